"""The teachers, beside their student: their figures by the BeatGAN protocol, size and speed.

Several are measured together, by the mean of their reconstructions. Teachers do not ship; anyone
who has trained some can measure them. Needs torch.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.annotated_beats import Beats, annotation_digest, split_named
from models.evaluation.protocols.beatgan import PlainFigures, TeacherResult, rank
from models.evaluation.protocols.fold_scores import FOLD_NAMES, rows_of
from models.inference.student import SCORED_TICKS, SMOOTHING_TICKS, smoothed_score
from models.measure.metrics import average_precision, roc_auc
from models.measure.provenance import provenance
from models.measure.speed import DeviceTimes, us_per_beat
from models.nets.beatgan import Autoencoder
from models.training.checkpoint import read_checkpoint
from models.training.teacher import load_teacher
from pipeline.errors import ArtifactError

_BATCH: Final = 256


def evaluate_teachers(beats: Beats, paths: Sequence[Path]) -> TeacherResult:
    """Return the figures of the teachers in ``paths`` on the test part of their fold of ``beats``.

    Raises:
        ArtifactError: one is missing, altered, not of a fold, of another fold than the first, or
            trained on other beats than the training part of that fold.
    """
    fold, seed = _fold_of(paths[0], beats)
    for path in paths[1:]:
        _fold_of(path, beats)
    teachers = [load_teacher(path, split=fold, seed=seed, device="cpu") for path in paths]
    reconstruct = _reconstruction(teachers)
    test = rows_of(beats, split_named(beats, fold, seed=seed).test)
    smoothed, plain = _scores(reconstruct, test.windows)
    abnormal = ~test.normal
    return TeacherResult(
        fold=fold,
        seed=seed,
        teachers=len(teachers),
        ranking=rank(test, smoothed),
        plain=PlainFigures(auc=roc_auc(plain, abnormal), ap=average_precision(plain, abnormal)),
        parameters=sum(weight.numel() for teacher in teachers for weight in teacher.parameters()),
        us_per_beat=DeviceTimes(cpu=us_per_beat(reconstruct)),
        machine=provenance(),
    )


def _fold_of(path: Path, beats: Beats) -> tuple[str, int]:
    """Return fold and seed of a teacher; raise `ArtifactError` if its beats are not known."""
    settings = read_checkpoint(path).state.config
    fold, seed = settings.get("split"), settings.get("seed")
    if fold not in FOLD_NAMES or type(seed) is not int:
        raise ArtifactError(
            f"{path} does not say on which fold its teacher was trained: name the best.safetensors "
            "of `monitor train teacher`"
        )
    if settings.get("annotations_sha256") != annotation_digest(beats):
        raise ArtifactError(
            f"{path} was trained on other beats than fold {fold} has here, so no beat is known to "
            "be unseen: train it again"
        )
    return str(fold), seed


def teacher_reconstruction() -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return BeatGAN's generator as a function of windows float32[B, 320], to measure against.

    Full size, evaluation mode, float32, on one thread of the CPU (for the whole process); its
    weights are untrained, which costs the same time.
    """
    torch.set_num_threads(1)
    return _reconstruction([Autoencoder().eval()])


def _reconstruction(
    teachers: Sequence[Autoencoder],
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    def reconstruct(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            x_b1t = torch.from_numpy(windows)[:, None]
            mean = torch.stack([teacher(x_b1t)[:, 0] for teacher in teachers]).mean(dim=0)
            result: NDArray[np.float32] = mean.numpy()
        return result

    return reconstruct


def _scores(
    reconstruct: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    windows: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scores by the student's rule and by BeatGAN's, float32[n] each."""
    smoothed, plain = [], []
    for first in range(0, len(windows), _BATCH):
        part = windows[first : first + _BATCH]
        residuals = part - reconstruct(part)
        smoothed.append(smoothed_score(residuals, SMOOTHING_TICKS, slice(*SCORED_TICKS)))
        plain.append(np.square(residuals).mean(axis=1))
    return np.concatenate(smoothed), np.concatenate(plain)
