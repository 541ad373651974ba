"""Each beat by name, on patients left out: the streaming front end, detector in the loop.

Each record is named by a classifier that was trained without its patient: DS2 by one that was
trained on DS1, svdb and DS1 by cross-validation (`models.experiments.beat_folds`). For each
database: how every beat that can be analysed is named, the ventricular runs, and how the live score
ranks beats and raises alerts. `COUNTING` states how beats count and is part of the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.beat_cache import cached_beats, code_digest
from models.data.mitdb import DATABASE, DS1, DS2, database_folder
from models.data.streamed_beats import (
    Decisions,
    Models,
    ReferenceBeats,
    StreamedBeats,
    decide,
    reference_of,
)
from models.data.training_beats import SVDB
from models.ec57.annotators import Score
from models.ec57.matching import ANOMALOUS, CLASSES, FALSE_DETECTION, LEARNING_S
from models.ec57.rxr import compare_runs
from models.ec57.sumstats import Runs
from models.evaluation.protocols.beat_reliability import NamedWith, reliability
from models.evaluation.protocols.classifier import (
    COUNTING as COUNTING_OF_CLASSES,
)
from models.evaluation.protocols.classifier import (
    NOT_NAMED,
    ClassFigures,
    ClassResult,
    class_result,
)
from models.evaluation.protocols.healthy_beats import (
    HealthyFigures,
    evaluate_healthy,
    healthy_records,
)
from models.evaluation.protocols.interpatient import APART
from models.files.calibration import load_calibration
from models.inference.beat_classifier import Unseen
from models.inference.student import StudentScorer
from models.measure.metrics import average_precision, roc_auc
from models.measure.result_json import INLINE
from pipeline.alarms.kinds import EPISODE_S
from pipeline.constants import CLASSES as NAMED
from pipeline.errors import InputError
from pipeline.scoring.live_score import LiveScoreConfig
from replay.annotations import Annotations, read_annotations
from replay.headers import find_records

FIRST_S: Final = 60.0
"""The first minute of a record, whose false alerts are counted apart."""

COUNTING: Final = (
    *COUNTING_OF_CLASSES,
    "The average precision of a class ranks by its probability; a beat of the class that was not "
    "detected or could not be analysed ranks below all, another such beat takes no part.",
    "Runs are counted as by WFDB's rxr: couplets, three to five beats, six and more.",
    f"An alert is raised by the first of an episode of anomalous beats, which ends {EPISODE_S:g} s "
    "after its last. It is false where that first beat is normal or no beat.",
    "The first minute is counted from the beginning of each record.",
)


class RecordBeats(NamedTuple):
    """One record as the stream sees it, with its reference."""

    name: str
    beats: StreamedBeats
    reference: ReferenceBeats
    annotations: Annotations
    """All that the annotators wrote, which the comparison of runs needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFigures:
    """How beats are named, all records together and each."""

    classes: ClassResult = field(metadata=INLINE)
    without: dict[str, ClassFigures]
    """All records but `APART`, where it is one of them."""
    runs: Runs[Score]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFigures:
    """How the live score ranks beats, and what it raises."""

    auc: float | None
    ap: float | None
    sensitivity: dict[str, float | None]
    """Share of the beats of each class that are called anomalous."""
    false_alerts_per_hour: float
    """After the fifth minute,"""
    false_alerts_per_hour_first_minute: float
    """and in the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFigures:
    """The figures of the records of one database."""

    records: list[str]
    hours: float
    """Counted time: after the fifth minute, without ventricular flutter."""
    named: NamedFigures
    """Every beat that can be analysed is named."""
    reliability: dict[str, list[NamedWith]]
    """By name, how often it is right."""
    average_precision: dict[str, float | None]
    """Of the probability of each class, among the beats of `named`."""
    alerts: AlertFigures
    alerts_without: dict[str, AlertFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatsResult:
    """The figures of a classifier, by database."""

    protocol: str = "beats"
    counting: list[str]
    databases: dict[str, DatabaseFigures]
    healthy: HealthyFigures | None
    """None where the Challenge 2017 is not there."""


def evaluate_beats(
    data: Path,
    unseen: Unseen,
    *,
    cache: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> BeatsResult:
    """Return how beats of patients are named by a classifier that has not seen them.

    Args:
        data: folder with ``mitdb/`` and, for its figures, ``svdb/``.
        unseen: returns the classifier for a record.
        cache: folder that keeps the streamed beats for the next time; None keeps none.
        on_step: called before each record.

    Raises:
        InputError: records are missing or unusable.
        ArtifactError: what ships is unusable, or no classifier is without a record.
    """
    models = Models(StudentScorer.load(device="cpu"), load_calibration())
    databases = {}
    for database, paths in record_paths(data).items():
        records = load_records(paths, models, cache, on_step)
        probabilities = {one.name: _probabilities(one, unseen) for one in records}
        databases[database] = figures_of(records, probabilities, models.config)
    healthy = evaluate_healthy(data, models, unseen, on_step) if healthy_records(data) else None
    return BeatsResult(counting=list(COUNTING), databases=databases, healthy=healthy)


def _probabilities(one: RecordBeats, unseen: Unseen) -> NDArray[np.float32]:
    """Return the probabilities of each class, float32[n, 4], NaN of what is not analysable."""
    known = one.beats.analysable
    found = np.full((known.size, len(NAMED)), np.nan, dtype=np.float32)
    classifier = unseen(one.name)
    found[known] = classifier.probabilities(one.beats.windows[known], one.beats.measures[known])
    return found


def record_paths(data: Path) -> dict[str, list[Path]]:
    """Return the records of each database.

    Raises:
        InputError: mitdb is not complete, or there is a folder of svdb without records.
    """
    folder = database_folder(data)
    found = {
        f"{DATABASE} DS2": [folder / name for name in DS2],
        f"{DATABASE} DS1": [folder / name for name in DS1],
    }
    svdb = folder.parent / SVDB
    if svdb.is_dir():
        records = find_records(str(svdb))
        if not records:
            raise InputError(f"{svdb} holds no records: fetch them with `monitor fetch {SVDB}`")
        found[SVDB] = [path.with_suffix("") for path in records]
    return found


def load_records(
    paths: Sequence[Path], models: Models, cache: Path | None, on_step: Callable[[str], None]
) -> list[RecordBeats]:
    """Return records as the stream sees them, with their references.

    Raises:
        InputError: a record is missing or unusable.
    """
    code, records = code_digest() if cache else "", []
    for path in paths:
        on_step(f"record {path.name}")
        beats = cached_beats(path, models, cache, code)
        notes = read_annotations(path, "atr", fs_hz=beats.fs_hz)
        records.append(RecordBeats(path.name, beats, reference_of(path, beats), notes))
    return records


def figures_of(
    records: Sequence[RecordBeats],
    probabilities: Mapping[str, NDArray[np.float32]],
    config: LiveScoreConfig,
) -> DatabaseFigures:
    """Return the figures of the records of a database.

    Args:
        records: at least one.
        probabilities: by record, float32[n, 4]; NaN of beats that cannot be analysed.
        config: of the live score.
    """
    names = {one.name: _names(probabilities[one.name]) for one in records}
    scored = {one.name: decide(one.beats, probabilities[one.name], config) for one in records}
    apart = [one for one in records if one.name != APART]
    return DatabaseFigures(
        records=[one.name for one in records],
        hours=round(sum(map(_counted_hours, records)), 3),
        named=_named_figures(records, names),
        reliability=reliability(
            np.concatenate([probabilities[one.name][_counted(one)] for one in records]),
            np.concatenate([one.reference.classes[_counted(one)] for one in records]),
        ),
        average_precision={
            name: _class_precision(records, probabilities, number)
            for number, name in enumerate(NAMED)
        },
        alerts=_alert_figures(records, scored),
        alerts_without=(
            {APART: _alert_figures(apart, scored)} if len(apart) < len(records) else {}
        ),
    )


def _names(probabilities: NDArray[np.float32]) -> NDArray[np.str_]:
    known = np.isfinite(probabilities).all(axis=1)
    names = np.array(NAMED)[np.nan_to_num(probabilities).argmax(axis=1)]
    return np.where(known, names, NOT_NAMED)


def _named_figures(
    records: Sequence[RecordBeats], names: Mapping[str, NDArray[np.str_]]
) -> NamedFigures:
    tables = {one.name: _table(one, names[one.name]) for one in records}
    apart = {name: table for name, table in tables.items() if name != APART}
    return NamedFigures(
        classes=class_result(tables),
        without={APART: class_result(apart).gross} if len(apart) < len(tables) else {},
        runs=_runs(records, names),
    )


def _counted(one: RecordBeats) -> NDArray[np.bool_]:
    return (one.beats.samples >= LEARNING_S * one.beats.fs_hz) & ~one.reference.flutter


def _missed(one: RecordBeats) -> NDArray[np.str_]:
    return one.reference.missed[one.reference.missed_samples >= LEARNING_S * one.beats.fs_hz]


def _counted_hours(one: RecordBeats) -> float:
    seconds = max(0.0, one.beats.seconds - LEARNING_S)
    for first, last in one.reference.flutters:
        begin, end = first / one.beats.fs_hz, min(last / one.beats.fs_hz, one.beats.seconds)
        seconds -= max(0.0, end - max(begin, LEARNING_S))
    return seconds / 3600.0


def _table(one: RecordBeats, names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return how many beats of each true class got which name, int64[6, 5]."""
    rows, columns = [*CLASSES, FALSE_DETECTION], [*NAMED, NOT_NAMED]
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    counted, missed = _counted(one), _missed(one)
    true = np.concatenate((one.reference.classes[counted], missed))
    named = np.concatenate((names[counted], np.full(missed.size, NOT_NAMED)))
    for row, kind in enumerate(rows):
        for column, name in enumerate(columns):
            table[row, column] = np.count_nonzero((true == kind) & (named == name))
    return table


class _NamedBeats(NamedTuple):
    """The beats by their names, as an annotator."""

    sample: NDArray[np.int64]
    symbol: list[str]
    subtype: list[int]
    aux_note: list[str]


def _runs(records: Sequence[RecordBeats], names: Mapping[str, NDArray[np.str_]]) -> Runs[Score]:
    compared = []
    for one in records:
        symbols = np.where(names[one.name] == NOT_NAMED, "Q", names[one.name]).tolist()
        beats = len(symbols)
        ours = _NamedBeats(one.beats.samples, symbols, [0] * beats, [""] * beats)
        compared.append(
            compare_runs(one.annotations, ours, one.beats.fs_hz, int(one.beats.extent[1]))
        )
    nothing = Score(0, 0, 0, 0)
    return Runs(
        couplets=reduce(add, (found.couplets for found in compared), nothing),
        short_runs=reduce(add, (found.short_runs for found in compared), nothing),
        long_runs=reduce(add, (found.long_runs for found in compared), nothing),
    )


def _class_precision(
    records: Sequence[RecordBeats], of: Mapping[str, NDArray[np.float32]], number: int
) -> float | None:
    scores, right = [], []
    for one in records:
        counted, missed = _counted(one), _missed(one)
        true = np.concatenate((one.reference.classes[counted], missed)) == NAMED[number]
        unknown = np.full(missed.size, np.nan, dtype=np.float32)
        found = np.concatenate((of[one.name][counted, number], unknown))
        part = np.isfinite(found) | true
        scores.append(np.where(np.isfinite(found), found, -1.0)[part])
        right.append(true[part])
    return _figure(average_precision, np.concatenate(scores), np.concatenate(right))


def _alert_figures(records: Sequence[RecordBeats], scored: Mapping[str, Decisions]) -> AlertFigures:
    scores, kinds, alerted = [], [], []
    late = early = 0
    for one in records:
        counted, missed = _counted(one), _missed(one)
        scores.append(
            np.concatenate((scored[one.name].score[counted], np.full(missed.size, np.nan)))
        )
        kinds.append(np.concatenate((one.reference.classes[counted], missed)))
        alerted.append(
            np.concatenate((scored[one.name].anomalous[counted], np.zeros(missed.size, dtype=bool)))
        )
        false_at_s = _false_alerts_s(one, scored[one.name].anomalous)
        late += int(np.count_nonzero(false_at_s >= LEARNING_S))
        early += int(np.count_nonzero(false_at_s < FIRST_S))
    score, kind, called = map(np.concatenate, (scores, kinds, alerted))
    anomalous, known = np.isin(kind, ANOMALOUS), np.isfinite(score)
    part = known | anomalous
    ranked = np.where(known, score, score[known].min(initial=0.0) - 1.0)[part]
    return AlertFigures(
        auc=_figure(roc_auc, ranked, anomalous[part]),
        ap=_figure(average_precision, ranked, anomalous[part]),
        sensitivity={
            name: float(called[kind == name].mean()) if (kind == name).any() else None
            for name in ANOMALOUS
        },
        false_alerts_per_hour=late / sum(map(_counted_hours, records)),
        false_alerts_per_hour_first_minute=early * 3600.0 / (FIRST_S * len(records)),
    )


def _false_alerts_s(one: RecordBeats, anomalous: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return when false alerts are raised, float64[n] seconds of the record."""
    called = np.flatnonzero(anomalous)
    at_s = one.beats.samples[called] / one.beats.fs_hz
    begins = np.diff(at_s, prepend=-np.inf) > EPISODE_S
    normal = np.isin(one.reference.classes[called], ("N", FALSE_DETECTION))
    return at_s[begins & normal & ~one.reference.flutter[called]]


def _figure(
    figure: Callable[[NDArray[np.float32], NDArray[np.bool_]], float],
    scores: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> float | None:
    """Return the figure, or None where there are not both kinds of beats to rank."""
    both = right.any() and not right.all()
    return figure(scores.astype(np.float32), right) if both else None
