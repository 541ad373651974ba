"""The published BeatGAN protocol, run on the student that ships or on one of yours.

The student is scored on the test part of the fold it was trained on, never on its training or
validation beats; the artifact says which fold that was. No torch needed on a CPU.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.artifact import SHIPPED_STUDENT, Artifact, load_artifact
from models.dataset import DATABASE, FOLDS, Beats, annotation_digest, load_beats, split_beats
from models.metrics import average_precision, roc_auc
from models.student import StudentScorer
from pipeline.errors import ArtifactError

TIMED_BEATS: Final = 1024


def evaluate_beatgan(
    data: Path, description: Path = SHIPPED_STUDENT, *, device: str | None = None
) -> dict[str, Any]:
    """Return the figures of the student in ``description`` on the records under ``data``.

    The result is JSON-able: ``auc`` and ``ap`` of anomalous against normal beats, counts,
    ``auc_by_symbol`` of each kind of abnormal beat against all normal ones, and microseconds per
    beat at two batch sizes.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the student is unusable, or its training beats are not known for certain.
    """
    artifact = load_artifact(description)
    return evaluate_on(load_beats(data), artifact, device=device)


def evaluate_on(beats: Beats, artifact: Artifact, *, device: str | None = None) -> dict[str, Any]:
    """Return the figures of a student on the test part of its fold of ``beats``.

    Raises:
        ArtifactError: its training beats are not known for certain.
    """
    fold, seed = _trained_split(artifact, beats)
    scorer = StudentScorer(artifact, device=device)
    rows = split_beats(beats, fold=fold, seed=seed).test
    scores = scorer.score(beats.windows[rows]).scores
    symbols, anomalous = beats.symbols[rows], ~beats.normal[rows]
    return {
        "protocol": "beatgan",
        "database": DATABASE,
        "fold": fold,
        "seed": seed,
        "student": scorer.name,
        "device": scorer.device,
        "auc": roc_auc(scores, anomalous),
        "ap": average_precision(scores, anomalous),
        "normal_beats": int(np.count_nonzero(~anomalous)),
        "abnormal_beats": int(np.count_nonzero(anomalous)),
        "auc_by_symbol": _auc_by_symbol(scores, symbols, anomalous),
        "beats_by_symbol": {
            str(symbol): int(np.count_nonzero(symbols == symbol))
            for symbol in np.unique(symbols[anomalous])
        },
        "us_per_beat": {
            f"batch_{batch}": _us_per_beat(scorer, beats.windows[rows[:TIMED_BEATS]], batch)
            for batch in (1, 64)
        },
    }


def teacher_reconstruction() -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return BeatGAN's generator as a function of windows float32[B, 320], to measure against.

    Full size, evaluation mode, float32, on one thread of the CPU (for the whole process); its
    weights are untrained, which costs the same time.
    """
    import torch

    from models.beatgan import Autoencoder

    torch.set_num_threads(1)
    teacher = Autoencoder().eval()

    def reconstruct(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            result: NDArray[np.float32] = teacher(torch.from_numpy(windows)[:, None])[:, 0].numpy()
        return result

    return reconstruct


def _trained_split(artifact: Artifact, beats: Beats) -> tuple[int, int]:
    training = artifact.training
    fold, seed = training.get("fold"), training.get("seed")
    if type(fold) is not int or not 0 <= fold < FOLDS or type(seed) is not int:
        raise ArtifactError(
            "the student does not say on which fold it was trained, so no beat is known to be "
            "unseen: train one with `monitor train student`"
        )
    if training.get("annotations_sha256") != annotation_digest(beats):
        raise ArtifactError(
            "the student was trained with other annotations than these, so no beat is known to "
            f"be unseen: use the {DATABASE} it was trained on, or train it anew"
        )
    return fold, seed


def _auc_by_symbol(
    scores: NDArray[np.float32], symbols: NDArray[np.str_], anomalous: NDArray[np.bool_]
) -> dict[str, float]:
    result = {}
    for symbol in np.unique(symbols[anomalous]):
        chosen = ~anomalous | (symbols == symbol)
        result[str(symbol)] = roc_auc(scores[chosen], anomalous[chosen])
    return result


def _us_per_beat(scorer: StudentScorer, windows: NDArray[np.float32], batch: int) -> float:
    """Return the time a beat takes in batches of ``batch``, after one batch to warm up."""
    scorer.score(windows[:batch])
    begun = time.perf_counter()
    for first in range(0, len(windows), batch):
        scorer.score(windows[first : first + batch])
    return round((time.perf_counter() - begun) / len(windows) * 1e6, 2)
