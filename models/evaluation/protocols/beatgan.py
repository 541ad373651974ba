"""The published BeatGAN protocol, run on the five fold students or on one of yours.

Each student is scored on the test part of the fold it was trained on, never on its training or
validation beats; its description names the fold. No torch needed on a CPU.

The protocol calls N, L and R normal and all else abnormal, the escape beats e and j included.
Under class N of EC57 the abnormal beats are these escape beats alone, against N, L and R.

Source of the protocol: Zhou, Liu, Hooi, Cheng & Ye, BeatGAN, IJCAI 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.annotated_beats import Beats, load_beats
from models.data.mitdb import DATABASE
from models.ec57.matching import classes_of
from models.evaluation.protocols.fold_scores import FOLD_NAMES, FoldScores, fold_of, score_fold
from models.files import strict_json
from models.files.model_file import weights_path
from models.files.student import SHIPPED_STUDENT, StudentArtifact, load_student
from models.inference.student import StudentScorer, cuda_available
from models.measure.metrics import Summary, average_precision, roc_auc, summary
from models.measure.provenance import Provenance, provenance
from models.measure.result_json import INLINE, OMIT_NONE, Fact
from models.measure.speed import DeviceTimes, us_per_beat
from pipeline.errors import ArtifactError

FOLD_STUDENTS: Final = tuple(
    SHIPPED_STUDENT.parent / "folds" / f"student-{fold}.json" for fold in FOLD_NAMES
)

OnStep = Callable[[str], None]
"""Called before each step with a few words that name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How well scores rank abnormal above normal beats.

    Each class of EC57 and each symbol among the abnormal beats is ranked against all normal ones.
    """

    auc: float
    ap: float
    normal_beats: int
    abnormal_beats: int
    auc_by_class: dict[str, float]
    beats_by_class: dict[str, int]
    auc_by_symbol: dict[str, float]
    beats_by_symbol: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """A student on the test part of its fold."""

    student: str | None = field(default=None, metadata=OMIT_NONE)
    protocol: str = "beatgan"
    database: str = DATABASE
    fold: str
    seed: int
    ranking: Ranking = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsResult:
    """The students of several folds: each, and the summary over the folds."""

    auc: Summary
    ap: Summary
    auc_by_class: dict[str, Summary]
    """Over the folds that have beats of the class."""
    auc_by_symbol: dict[str, Summary]
    folds: list[FoldResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentFacts:
    """Size and training of a student."""

    parameters: int
    """BatchNorm is folded into the convolutions and does not count."""
    file_bytes: int
    width: int
    latent: int
    smoothing_ticks: int
    scored_ticks: list[int]
    training: dict[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStudent:
    """Size, training and speed of a student."""

    facts: StudentFacts = field(metadata=INLINE)
    us_per_beat: DeviceTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatganResult:
    """The figures of the protocol."""

    protocol: str = "beatgan"
    database: str = DATABASE
    folds: FoldsResult = field(metadata=INLINE)
    student: MeasuredStudent
    """The first one."""
    machine: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFigures:
    """Figures by BeatGAN's own score, the mean square of the residual."""

    auc: float
    ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherResult:
    """The figures of the teachers on the test part of their fold, by their mean reconstruction."""

    protocol: str = "beatgan"
    fold: str
    seed: int
    teachers: int
    """How many."""
    ranking: Ranking = field(metadata=INLINE)
    """By the score rule of the student."""
    plain: PlainFigures
    parameters: int
    """Of all of them."""
    us_per_beat: DeviceTimes
    machine: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatganEvaluation:
    """The figures, and the scored beats that pictures are drawn from."""

    result: BeatganResult
    scores: list[FoldScores]


def evaluate_beatgan(
    data: Path,
    students: Sequence[Path] = FOLD_STUDENTS,
    *,
    device: str | None = None,
    on_step: OnStep = lambda text: None,
) -> BeatganEvaluation:
    """Evaluate the students in these descriptions on the records under ``data``.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        students: each of another fold, all of one seed.
        device: ``cpu`` or ``cuda``; by default the best there is.
        on_step: called before reading the records and before each student.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: a student is unusable, two are of one fold, or the training beats of one
            are not known for certain.
    """
    artifacts = [load_student(description) for description in students]
    _check_apart([fold_of(artifact) for artifact in artifacts])
    on_step("reading the records")
    beats = load_beats(data)
    scores = []
    for artifact in artifacts:
        on_step(f"fold {artifact.training.split}")
        scores.append(score_fold(beats, artifact, device=device))
    result = BeatganResult(
        folds=folds_result(scores),
        student=MeasuredStudent(facts=student_facts(students[0]), us_per_beat=_speed(artifacts[0])),
        machine=provenance(),
    )
    return BeatganEvaluation(result=result, scores=scores)


def folds_result(scores: Sequence[FoldScores]) -> FoldsResult:
    """Return the figures of every fold, and their summary over the folds."""
    folds = [_fold_result(fold, student=fold.scorer.name) for fold in scores]
    rankings = [fold.ranking for fold in folds]
    return FoldsResult(
        auc=summary([ranking.auc for ranking in rankings]),
        ap=summary([ranking.ap for ranking in rankings]),
        auc_by_class=_over_folds([ranking.auc_by_class for ranking in rankings]),
        auc_by_symbol=_over_folds([ranking.auc_by_symbol for ranking in rankings]),
        folds=folds,
    )


def evaluate_on(
    beats: Beats, artifact: StudentArtifact, *, device: str | None = None
) -> FoldResult:
    """Return the figures of a student on the test part of its fold of ``beats``.

    But for rounding they are the same on every machine.

    Raises:
        ArtifactError: its training beats are not known for certain.
    """
    return _fold_result(score_fold(beats, artifact, device=device))


def rank(beats: Beats, scores: NDArray[np.float32]) -> Ranking:
    """Return how well ``scores``, float32[n], rank these n beats."""
    abnormal = ~beats.normal

    def by(kinds: NDArray[np.str_]) -> tuple[dict[str, float], dict[str, int]]:
        """Return AUC against all normal beats and number of the abnormal beats of each kind."""
        aucs, counts = {}, {}
        for kind in np.unique(kinds[abnormal]):
            chosen = abnormal & (kinds == kind)
            against = chosen | ~abnormal
            aucs[str(kind)] = roc_auc(scores[against], chosen[against])
            counts[str(kind)] = int(np.count_nonzero(chosen))
        return aucs, counts

    auc_by_class, beats_by_class = by(classes_of(beats.symbols))
    auc_by_symbol, beats_by_symbol = by(beats.symbols)
    return Ranking(
        auc=roc_auc(scores, abnormal),
        ap=average_precision(scores, abnormal),
        normal_beats=int(np.count_nonzero(~abnormal)),
        abnormal_beats=int(np.count_nonzero(abnormal)),
        auc_by_class=auc_by_class,
        beats_by_class=beats_by_class,
        auc_by_symbol=auc_by_symbol,
        beats_by_symbol=beats_by_symbol,
    )


def student_facts(description: Path) -> StudentFacts:
    """Return size and training of the student in a description."""
    artifact = load_student(description)
    return StudentFacts(
        parameters=sum(tensor.size for tensor in artifact.tensors.values()),
        file_bytes=weights_path(description).stat().st_size,
        width=artifact.width,
        latent=artifact.latent,
        smoothing_ticks=artifact.smoothing_ticks,
        scored_ticks=list(artifact.scored_ticks),
        training=plain_facts(strict_json.to_json(artifact.training)),
    )


def plain_facts(facts: Mapping[str, object]) -> dict[str, Fact]:
    """Return the facts that are a number, a truth or a short text."""
    return {
        key: value
        for key, value in facts.items()
        if isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 40)
    }


def _check_apart(splits: Sequence[tuple[str, int]]) -> None:
    """Refuse students of which two were trained on one fold, or with different seeds."""
    folds, seeds = {fold for fold, _ in splits}, {seed for _, seed in splits}
    if len(folds) < len(splits) or len(seeds) > 1:
        found = ", ".join(f"fold {fold} seed {seed}" for fold, seed in splits)
        raise ArtifactError(
            f"the students have to be of different folds and one seed, these are of {found}: "
            "train the missing ones with `monitor train student`"
        )


def _fold_result(scores: FoldScores, student: str | None = None) -> FoldResult:
    return FoldResult(
        student=student,
        fold=scores.fold,
        seed=scores.seed,
        ranking=rank(scores.beats, scores.scores),
    )


def _over_folds(figures: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Return the summary of each kind over the folds that have beats of it."""
    kinds = sorted({kind for figure in figures for kind in figure})
    return {kind: summary([f[kind] for f in figures if kind in f]) for kind in kinds}


def _speed(artifact: StudentArtifact) -> DeviceTimes:
    """Return what a beat takes on the CPU, and on CUDA if it is there."""
    return DeviceTimes(
        cpu=us_per_beat(StudentScorer(artifact, device="cpu").score),
        cuda=us_per_beat(StudentScorer(artifact, device="cuda").score)
        if cuda_available()
        else None,
    )
