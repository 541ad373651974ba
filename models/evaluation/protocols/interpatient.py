"""Patients never seen: the 22 records of DS2 through the stream, detector in the loop.

Student, scales and classifier come from the patients of DS1 alone, the thresholds from them and
from svdb and healthy people of the Challenge 2017; the stream gets DS2 as a live monitor would.
`COUNTING` states how each beat counts and is part of the result.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004). The rules of
counting follow ANSI/AAMI EC57 and WFDB's ``bxb``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.annotated_beats import PATIENT_SPLITS
from models.data.mitdb import DATABASE, DS2, database_folder
from models.ec57.matching import ANOMALOUS, CLASSES, FALSE_DETECTION, LEARNING_S, MATCH_S
from models.evaluation.protocols.beatgan import StudentFacts, plain_facts, student_facts
from models.evaluation.protocols.classifier import (
    ClassifierResult,
    evaluate_classifier,
    load_ds1_classifier,
)
from models.evaluation.protocols.scored_beats import (
    ScoredBeats,
    ScoredRecord,
    pooled,
    ranked,
    score_record,
)
from models.files.calibration import load_calibration
from models.files.student import SHIPPED_STUDENT, StudentArtifact, load_student
from models.inference.beat_scorer import BeatScorer
from models.inference.student import StudentScorer
from models.measure.metrics import average_precision, roc_auc
from models.measure.provenance import Provenance, provenance
from models.measure.result_json import INLINE, Fact, key
from pipeline.alarms.kinds import EPISODE_S
from pipeline.errors import ArtifactError
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from replay.lead_sets.asked import AskedLeads, count_leads, with_leads

APART: Final = "232"
"""The gross figures are reported without this record as well: three quarters of its beats are
supraventricular ectopics, and a patient is compared with his own usual beats."""

COUNTING: Final = (
    f"The stream gets each record from its beginning; the first {LEARNING_S:g} s are not counted, "
    "nor is ventricular flutter, which has no beats.",
    f"A detection within {1000 * MATCH_S:g} ms of an annotation is that beat, one to one.",
    "Anomalous are the annotations of the classes S, V, F and Q; normal is N.",
    "An anomalous beat that was not detected, or could not be analysed, was missed: no alert, and "
    "for AUC and AP it ranks below every beat with a score. Figures of the beats that were scored "
    "stand apart.",
    "A normal beat that was not detected, or could not be analysed, has no score and cannot raise "
    "a false alert; it is left out of AUC and AP, where it would flatter, and its number is given.",
    "A false detection with a score counts as a normal beat.",
    f"An alert is raised by the first of an episode of anomalous beats, which ends {EPISODE_S:g} s "
    "after its last. It is false where that first beat is normal. Sensitivity counts every beat "
    "that is called anomalous; how many normal ones are, by the hour, stands beside it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenRanking:
    """How well the live score ranks anomalous above normal beats; None without both kinds."""

    auc: float | None
    ap: float | None
    auc_by_class: dict[str, float | None]
    """Of each class against N."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnalysable:
    """Detections without a score."""

    by_class: dict[str, int] = field(metadata=INLINE)
    false_detections: int = field(metadata=key(FALSE_DETECTION))
    share_of_detections: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenFigures:
    """Ranking, alerts and counts of some beats; None where a figure cannot be given."""

    ranking: UnseenRanking = field(metadata=INLINE)
    sensitivity: dict[str, float | None]
    """Share of the beats of each class that were called anomalous."""
    false_alerts: int
    false_alerts_per_hour: float
    false_beats_per_hour: float
    """Normal beats that were called anomalous."""
    hours: float
    beats: dict[str, int]
    """By class, as in ``missed``."""
    missed: dict[str, int]
    false_detections: int
    not_analysable: NotAnalysable


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRanking:
    """The ranking of the beats that have a score, and that without `APART`."""

    ranking: UnseenRanking = field(metadata=INLINE)
    without: dict[str, UnseenRanking]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How the beats were detected, whatever their class."""

    sensitivity: float | None
    positive_predictivity: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFigures:
    """The figures of one record."""

    record: str
    figures: UnseenFigures = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenResult:
    """The figures of all records together, and of each."""

    records: list[str]
    leads: dict[str, int] = field(default_factory=dict)
    """As `replay.lead_sets.asked.count_leads`; empty in what an earlier release wrote."""
    gross: UnseenFigures = field(metadata=INLINE)
    without: dict[str, UnseenRanking]
    """The ranking without the record `APART`."""
    scored: ScoredRanking
    detection: Detection
    alerts: dict[str, int]
    """By kind, those of the signal included."""
    per_record: list[RecordFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStudent:
    """Which student it is, its size and training."""

    name: str
    facts: StudentFacts = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpatientResult:
    """The figures of the live score and of the classifier on DS2."""

    protocol: str = "interpatient"
    database: str = DATABASE
    student: NamedStudent
    calibration: dict[str, Fact]
    knob: float
    """False alerts an hour that were asked for."""
    threshold: float
    counting: list[str]
    unseen: UnseenResult = field(metadata=INLINE)
    classifier: ClassifierResult
    machine: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpatientEvaluation:
    """The figures, and the scored beats that pictures are drawn from."""

    result: InterpatientResult
    beats: ScoredBeats


def evaluate_interpatient(
    data: Path,
    student: Path = SHIPPED_STUDENT,
    *,
    false_alerts_per_hour: float | None = None,
    leads: AskedLeads = None,
    device: str | None = None,
    keep_strips: bool = False,
    on_step: Callable[[str], None] = lambda text: None,
) -> InterpatientEvaluation:
    """Evaluate the live score and the classifier that ships on DS2.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        student: description of a student trained on patients of DS1; ``live_score.json`` beside
            it holds its calibration.
        false_alerts_per_hour: the knob; by default the rate of the calibration.
        leads: to watch together, as `replay.lead_sets.asked` reads them; records that lack those
            that are named are left out. By default the lead that is usual for rhythm.
        device: ``cpu`` or ``cuda``; by default the best there is.
        keep_strips: keep window and residual of each beat, which pictures need.
        on_step: called before each record.

    Raises:
        InputError: records are missing or unreadable, or none has the leads.
        ArtifactError: student, calibration or classifier is unusable, or may have seen DS2.
        ConfigError: the rate was not calibrated.
    """
    artifact = load_student(student)
    check_unseen(artifact)
    calibration = student.with_name("live_score.json")
    config = load_calibration(calibration, student, false_alerts_per_hour=false_alerts_per_hour)
    calibrated = json.loads(calibration.read_bytes())
    paths = unseen_paths(data, leads)
    scorer = BeatScorer(StudentScorer(artifact, device=device), load_ds1_classifier())
    records = score_records(
        paths, scorer, config, leads=leads, keep_strips=keep_strips, on_step=on_step
    )
    knob = false_alerts_per_hour
    result = InterpatientResult(
        student=NamedStudent(name=scorer.name, facts=student_facts(student)),
        calibration=plain_facts(calibrated),
        knob=calibrated["false_alerts_per_hour"] if knob is None else knob,
        threshold=config.threshold,
        counting=list(COUNTING),
        unseen=unseen_result(records),
        classifier=evaluate_classifier(data, leads=leads, on_step=on_step),
        machine=provenance(),
    )
    return InterpatientEvaluation(result=result, beats=pooled(records))


def unseen_paths(data: Path, leads: AskedLeads = None) -> list[Path]:
    """Return the records of DS2, those that have the leads that are named; errors as there."""
    folder = database_folder(data)
    return with_leads([folder / name for name in DS2], leads)


def check_unseen(artifact: StudentArtifact) -> None:
    """Raise `ArtifactError` unless the student was trained on patients of DS1 alone."""
    split = artifact.training.split
    if split not in PATIENT_SPLITS:
        raise ArtifactError(
            f"the student was trained on split {split!r:.40}, not on the patients of DS1 alone, so "
            "those of DS2 are not unseen: train one with `monitor train student --split ds1`"
        )


def score_records(
    paths: Sequence[Path],
    scorer: Scorer,
    config: LiveScoreConfig,
    *,
    leads: AskedLeads = None,
    keep_strips: bool = False,
    on_step: Callable[[str], None] = lambda text: None,
) -> list[ScoredRecord]:
    """Run the records through the stream, one after the other; see `score_record`."""
    records = []
    for path in paths:
        on_step(f"record {path.name}")
        records.append(score_record(path, scorer, config, leads=leads, keep_strips=keep_strips))
    return records


def unseen_result(records: Sequence[ScoredRecord]) -> UnseenResult:
    """Return the figures of the records, gross and one by one."""
    beats, hours = pooled(records), sum(record.hours for record in records)
    kept, scored = beats.records != APART, np.isfinite(beats.scores)
    return UnseenResult(
        records=[record.name for record in records],
        leads=count_leads(record.leads for record in records),
        gross=_figures(beats, hours),
        without={APART: _ranking(beats.take(kept))},
        scored=ScoredRanking(
            ranking=_ranking(beats.take(scored)),
            without={APART: _ranking(beats.take(scored & kept))},
        ),
        detection=Detection(
            sensitivity=_share(beats.found[beats.classes != FALSE_DETECTION]),
            positive_predictivity=_share(beats.classes[beats.found] != FALSE_DETECTION),
        ),
        alerts={
            kind: sum(record.alerts.get(kind, 0) for record in records)
            for kind in sorted({kind for record in records for kind in record.alerts})
        },
        per_record=[
            RecordFigures(record=record.name, figures=_figures(record.beats, record.hours))
            for record in records
        ],
    )


def _figures(beats: ScoredBeats, hours: float) -> UnseenFigures:
    of = {kind: beats.classes == kind for kind in (*CLASSES, FALSE_DETECTION)}
    false = of["N"] | of[FALSE_DETECTION]
    false_alerts = int(np.count_nonzero(beats.raised & false))
    false_beats = int(np.count_nonzero(beats.alerted & false))
    unscored = beats.found & ~np.isfinite(beats.scores)

    def counts(mask: NDArray[np.bool_]) -> dict[str, int]:
        return {kind: int(np.count_nonzero(mask & of[kind])) for kind in CLASSES}

    return UnseenFigures(
        ranking=_ranking(beats),
        sensitivity={kind: _share(beats.alerted[of[kind]]) for kind in ANOMALOUS},
        false_alerts=false_alerts,
        false_alerts_per_hour=false_alerts / hours,
        false_beats_per_hour=false_beats / hours,
        hours=hours,
        beats=counts(np.ones(beats.found.size, dtype=bool)),
        missed=counts(~beats.found),
        false_detections=int(np.count_nonzero(of[FALSE_DETECTION])),
        not_analysable=NotAnalysable(
            by_class=counts(unscored),
            false_detections=int(np.count_nonzero(unscored & of[FALSE_DETECTION])),
            share_of_detections=_share(unscored[beats.found]),
        ),
    )


def _ranking(beats: ScoredBeats) -> UnseenRanking:
    scores, anomalous, classes = ranked(beats)
    by_class = {}
    for kind in ANOMALOUS:
        chosen = ~anomalous | (classes == kind)
        by_class[kind] = _figure(roc_auc, scores[chosen], anomalous[chosen])
    return UnseenRanking(
        auc=_figure(roc_auc, scores, anomalous),
        ap=_figure(average_precision, scores, anomalous),
        auc_by_class=by_class,
    )


def _figure(
    figure: Callable[[NDArray[np.float32], NDArray[np.bool_]], float],
    scores: NDArray[np.float32],
    anomalous: NDArray[np.bool_],
) -> float | None:
    """Return the figure, or None where there are not both kinds of beats to rank."""
    return figure(scores, anomalous) if anomalous.any() and not anomalous.all() else None


def _share(mask: NDArray[np.bool_]) -> float | None:
    return float(mask.mean()) if mask.size else None
