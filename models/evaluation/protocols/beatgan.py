"""The published BeatGAN protocol, run on the five fold students or on one of yours.

Each student is scored on the test part of the fold it was trained on, never on its training or
validation beats; its description says which fold that was. No torch needed on a CPU.

The protocol calls N, L and R normal and all else abnormal, the escape beats e and j included:
under class N of EC57 stand these alone, against N, L and R.

Source of the protocol: Zhou, Liu, Hooi, Cheng & Ye, BeatGAN, IJCAI 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.data.annotated_beats import Beats, load_beats
from models.data.mitdb import DATABASE
from models.ec57.matching import classes_of
from models.evaluation.protocols.fold_scores import FOLD_NAMES, FoldScores, fold_of, score_fold
from models.evaluation.report.beatgan_pictures import draw_beatgan
from models.evaluation.report.pictures import prepare
from models.files.json_object import to_json
from models.files.model_file import weights_path
from models.files.student import SHIPPED_STUDENT, StudentArtifact, load_student
from models.inference.student import StudentScorer, cuda_available
from models.measure.metrics import average_precision, roc_auc, summary
from models.measure.provenance import machine
from models.measure.speed import us_per_beat
from pipeline.errors import ArtifactError

FOLD_STUDENTS: Final = tuple(
    SHIPPED_STUDENT.parent / "folds" / f"student-{fold}.json" for fold in FOLD_NAMES
)

OnStep = Callable[[str], None]
"""Told, in a few words, what comes next."""


def evaluate_beatgan(
    data: Path,
    students: Sequence[Path] = FOLD_STUDENTS,
    *,
    device: str | None = None,
    pictures: Path | None = None,
    on_step: OnStep = lambda text: None,
) -> dict[str, Any]:
    """Return the figures of the students in these descriptions on the records under ``data``.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        students: each of another fold, all of one seed.
        device: ``cpu`` or ``cuda``; by default the best there is.
        pictures: folder for PNG files; none are drawn without.
        on_step: called before reading the records and before each student.

    Returns:
        JSON-able: what `fold_figures` returns; ``student`` with size, training and speed of the
        first; machine and commit.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: a student is unusable, two are of one fold, or the training beats of one
            are not known for certain.
        ConfigError: pictures cannot be drawn here.
    """
    artifacts = [load_student(description) for description in students]
    _check_apart([fold_of(artifact) for artifact in artifacts])
    if pictures is not None:
        prepare(pictures)
    on_step("reading the records")
    beats = load_beats(data)
    tested = []
    for artifact in artifacts:
        on_step(f"fold {artifact.training.split}")
        tested.append(score_fold(beats, artifact, device=device))
    if pictures is not None:
        on_step("drawing")
        draw_beatgan(tested, pictures)
    return {
        "protocol": "beatgan",
        "database": DATABASE,
        **fold_figures(tested),
        "student": {**described_student(students[0]), "us_per_beat": _speed(artifacts[0])},
        "machine": machine(),
    }


def fold_figures(tested: Sequence[FoldScores]) -> dict[str, Any]:
    """Return the figures of every fold, and their mean, sd, min and max over the folds."""
    folds = [{"student": fold.scorer.name, **_figures(fold)} for fold in tested]
    return {
        "auc": summary([fold["auc"] for fold in folds]),
        "ap": summary([fold["ap"] for fold in folds]),
        "auc_by_class": _over_folds([fold["auc_by_class"] for fold in folds]),
        "auc_by_symbol": _over_folds([fold["auc_by_symbol"] for fold in folds]),
        "folds": folds,
    }


def evaluate_on(
    beats: Beats, artifact: StudentArtifact, *, device: str | None = None
) -> dict[str, Any]:
    """Return the figures of a student on the test part of its fold of ``beats``.

    JSON-able and, but for rounding, the same on every machine: ``protocol``, ``database``,
    ``fold``, ``seed`` and what `ranking_figures` returns.

    Raises:
        ArtifactError: its training beats are not known for certain.
    """
    return _figures(score_fold(beats, artifact, device=device))


def ranking_figures(beats: Beats, scores: NDArray[np.float32]) -> dict[str, Any]:
    """Return how well ``scores``, float32[n], rank these n beats, JSON-able.

    ``auc`` and ``ap`` of abnormal against normal beats, how many there are of each, and for each
    class of EC57 and each symbol among the abnormal beats their AUC against all normal ones and
    their number.
    """
    abnormal = ~beats.normal
    figures: dict[str, Any] = {
        "auc": roc_auc(scores, abnormal),
        "ap": average_precision(scores, abnormal),
        "normal_beats": int(np.count_nonzero(~abnormal)),
        "abnormal_beats": int(np.count_nonzero(abnormal)),
    }
    for name, kinds in (("class", classes_of(beats.symbols)), ("symbol", beats.symbols)):
        aucs, counts = {}, {}
        for kind in np.unique(kinds[abnormal]):
            chosen = abnormal & (kinds == kind)
            against = chosen | ~abnormal
            aucs[str(kind)] = roc_auc(scores[against], chosen[against])
            counts[str(kind)] = int(np.count_nonzero(chosen))
        figures |= {f"auc_by_{name}": aucs, f"beats_by_{name}": counts}
    return figures


def described_student(description: Path) -> dict[str, Any]:
    """Return size and training of a student, JSON-able; a BatchNorm is folded in and counts not."""
    artifact = load_student(description)
    return {
        "parameters": sum(tensor.size for tensor in artifact.tensors.values()),
        "file_bytes": weights_path(description).stat().st_size,
        "width": artifact.width,
        "latent": artifact.latent,
        "smoothing_ticks": artifact.smoothing_ticks,
        "scored_ticks": list(artifact.scored_ticks),
        "training": plain_facts(to_json(artifact.training)),
    }


def plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are a number, a truth or a short text."""
    return {
        key: value
        for key, value in facts.items()
        if isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 40)
    }


def _check_apart(splits: Sequence[tuple[str, int]]) -> None:
    """Refuse students of which two were trained on one fold, or by different deals."""
    folds, seeds = {fold for fold, _ in splits}, {seed for _, seed in splits}
    if len(folds) < len(splits) or len(seeds) > 1:
        found = ", ".join(f"fold {fold} seed {seed}" for fold, seed in splits)
        raise ArtifactError(
            f"the students have to be of different folds and one seed, these are of {found}: "
            "train the missing ones with `monitor train student`"
        )


def _figures(tested: FoldScores) -> dict[str, Any]:
    return {
        "protocol": "beatgan",
        "database": DATABASE,
        "fold": tested.fold,
        "seed": tested.seed,
        **ranking_figures(tested.beats, tested.scores),
    }


def _over_folds(figures: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return the summary of each kind over the folds that have beats of it."""
    kinds = sorted({kind for figure in figures for kind in figure})
    return {kind: summary([f[kind] for f in figures if kind in f]) for kind in kinds}


def _speed(artifact: StudentArtifact) -> dict[str, dict[str, float] | None]:
    """Return microseconds a beat on ``cpu`` and on ``cuda``, None where there is none."""
    return {
        device: us_per_beat(StudentScorer(artifact, device=device).score)
        if device == "cpu" or cuda_available()
        else None
        for device in ("cpu", "cuda")
    }
