"""Each beat by name, on patients left out: the streaming front end, detector in the loop.

Each record is named by a classifier that was trained without its patient: DS2 by one that was
trained on DS1, svdb and DS1 by cross-validation (`models.experiments.beat_folds`). For each
database: how every beat that can be analysed is named, the ventricular runs, and how the live score
ranks beats and raises alerts; in one lead, and in all ECG leads of a record, at most three.
`COUNTING` states how beats count and is part of the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.beat_cache import cached_beats, code_digest
from models.data.mitdb import DATABASE, DS1, DS2, database_folder
from models.data.streamed_beats import Decisions, Models, decide, reference_of
from models.data.training_beats import SVDB
from models.ec57.matching import ANOMALOUS, FALSE_DETECTION, LEARNING_S
from models.evaluation.protocols.beat_reliability import NamedWith, reliability
from models.evaluation.protocols.classifier import COUNTING as COUNTING_OF_CLASSES
from models.evaluation.protocols.healthy_beats import (
    HealthyFigures,
    evaluate_healthy,
    healthy_records,
)
from models.evaluation.protocols.interpatient import APART
from models.evaluation.protocols.named_beats import (
    NamedFigures,
    PartFigures,
    Probabilities,
    RecordBeats,
    class_precision,
    named_figures,
    part_figures,
    ranking_figure,
)
from models.files.calibration import load_calibration
from models.inference.beat_classifier import Parts, Unseen
from models.inference.student import StudentScorer
from models.measure.metrics import average_precision, roc_auc
from models.measure.provenance import Provenance, provenance
from pipeline.alarms.kinds import EPISODE_S
from pipeline.constants import CLASSES as NAMED
from pipeline.errors import InputError
from pipeline.scoring.live_score import LiveScoreConfig
from replay.annotations import read_annotations
from replay.headers import find_records
from replay.lead_sets.asked import count_leads, names_of, with_leads
from replay.lead_sets.choice import ALL, DEFAULT_LEADS

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
    f"In all leads: those of a record that are named like an ECG, at most {DEFAULT_LEADS}; one "
    "that is derived from others is left out.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFigures:
    """How the live score ranks beats, and what it raises."""

    auc: float | None
    ap: float | None
    sensitivity: dict[str, float | None]
    """Share of the beats of each class that are called anomalous."""
    false_alerts_per_hour: float
    """After the fifth minute."""
    false_alerts_per_hour_first_minute: float
    """In the first minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFigures:
    """The figures of the records of one database."""

    records: list[str]
    leads: dict[str, int] = field(default_factory=dict)
    """As `replay.lead_sets.asked.count_leads`; empty in what an earlier release wrote."""
    hours: float
    """Counted time: after the fifth minute, without ventricular flutter."""
    named: NamedFigures
    """Every beat that can be analysed is named."""
    reliability: dict[str, list[NamedWith]]
    """By name, how often it is right."""
    average_precision: dict[str, float | None]
    """Of the probability of each class, among the beats of `named`."""
    average_precision_without: dict[str, dict[str, float | None]]
    """The same of all records but one of `APART`, by its name, where it is among them."""
    parts: dict[str, PartFigures] = field(default_factory=dict)
    """Network and trees, each alone, and both before the rule of atrial fibrillation."""
    alerts: AlertFigures
    alerts_without: dict[str, AlertFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatsResult:
    """The figures of a classifier, by database."""

    protocol: str = "beats"
    counting: list[str]
    databases: dict[str, DatabaseFigures]
    """In the lead that is usual for rhythm, or in the leads that were asked for."""
    all_leads: dict[str, DatabaseFigures] = field(default_factory=dict)
    """The same in all leads; empty where leads were asked for."""
    healthy: HealthyFigures | None
    """None where leads were asked for, or the Challenge 2017 is not there."""
    machine: Provenance


def evaluate_beats(
    data: Path,
    unseen: Unseen,
    *,
    leads: str | None = None,
    cache: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> BeatsResult:
    """Return how beats of patients are named by a classifier that has not seen them.

    Args:
        data: folder with ``mitdb/`` and, for its figures, ``svdb/``.
        unseen: returns the classifier for a record.
        leads: to watch together, as `replay.lead_sets.asked` reads them; records without them are
            left out. By default the lead that is usual for rhythm, and beside it all leads.
        cache: folder that keeps the streamed beats for the next time; None keeps none.
        on_step: called before each record.

    Raises:
        InputError: records are missing or unusable.
        ArtifactError: what ships is unusable, or no classifier is without a record.
    """
    models = Models(StudentScorer.load(device="cpu"), load_calibration())
    found = record_paths(data, leads)

    def in_leads(asked: str | None) -> dict[str, DatabaseFigures]:
        figures = {}
        for database, paths in found.items():
            records = load_records(paths, models, cache, on_step, asked)
            watched = count_leads(names_of(path, asked) for path in paths)
            figures[database] = replace(_named_by(unseen, records, models.config), leads=watched)
        return figures

    return BeatsResult(
        counting=list(COUNTING),
        databases=in_leads(leads),
        all_leads=in_leads(ALL) if leads is None else {},
        healthy=(
            evaluate_healthy(data, models, unseen, on_step)
            if leads is None and healthy_records(data)
            else None
        ),
        machine=provenance(),
    )


def _named_by(
    unseen: Unseen, records: Sequence[RecordBeats], config: LiveScoreConfig
) -> DatabaseFigures:
    """Return the figures of the records of a database, and of the parts of the classifier."""
    said = {one.name: parts_of(one, unseen) for one in records}
    *parts, classifier = (
        {name: of_record[number] for name, of_record in said.items()}
        for number in range(len(Parts._fields))
    )
    by_part = dict(zip(Parts._fields, parts, strict=False))
    return figures_of(records, classifier, config, by_part)


def evaluation_steps(data: Path, leads: str | None = None) -> int:
    """Return how often `evaluate_beats` calls ``on_step``; errors as `record_paths`."""
    records = sum(map(len, record_paths(data, leads).values()))
    return 2 * records + len(healthy_records(data)) if leads is None else records


def parts_of(one: RecordBeats, unseen: Unseen) -> Parts:
    """Return the probabilities of each class, float32[n, 4], NaN of what is not analysable."""
    known = one.beats.analysable
    beats = one.beats
    said = unseen(one.name).parts(beats.windows[known], beats.measures[known], beats.second[known])
    filled = np.full((len(said), known.size, len(NAMED)), np.nan, dtype=np.float32)
    for whole, part in zip(filled, said, strict=True):
        whole[known] = part
    return Parts(*filled)


def record_paths(data: Path, leads: str | None = None) -> dict[str, list[Path]]:
    """Return the records of each database that have the leads that are asked for.

    Raises:
        InputError: none has, mitdb is not complete, or there is a folder of svdb without records.
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
    have = set(with_leads([path for paths in found.values() for path in paths], leads))
    every = {name: [path for path in paths if path in have] for name, paths in found.items()}
    return {name: paths for name, paths in every.items() if paths}


def load_records(
    paths: Sequence[Path],
    models: Models,
    cache: Path | None,
    on_step: Callable[[str], None],
    leads: str | None = None,
) -> list[RecordBeats]:
    """Return records as the stream sees them in these leads, with their references.

    Raises:
        InputError: a record is missing or unusable.
    """
    code, records = code_digest() if cache else "", []
    for path in paths:
        on_step(f"record {path.name}" if leads is None else f"record {path.name}: {leads} leads")
        beats = cached_beats(path, models, cache, code, leads)
        notes = read_annotations(path, "atr", fs_hz=beats.fs_hz)
        reference = reference_of(path, beats.samples, beats.fs_hz)
        records.append(RecordBeats(path.name, beats, reference, notes))
    return records


def figures_of(
    records: Sequence[RecordBeats],
    probabilities: Probabilities,
    config: LiveScoreConfig,
    parts: Mapping[str, Probabilities] | None = None,
) -> DatabaseFigures:
    """Return the figures of the records of a database.

    Args:
        records: at least one.
        probabilities: what the classifier says.
        config: of the live score.
        parts: what its parts say, by their names.
    """
    scored = {one.name: decide(one.beats, probabilities[one.name], config) for one in records}
    apart = [one for one in records if one.name != APART]
    has_apart = len(apart) < len(records)
    return DatabaseFigures(
        records=[one.name for one in records],
        hours=round(sum(one.hours for one in records), 3),
        named=named_figures(records, probabilities),
        reliability=reliability(
            np.concatenate([probabilities[one.name][one.counted] for one in records]),
            np.concatenate([one.reference.classes[one.counted] for one in records]),
        ),
        average_precision=class_precision(records, probabilities),
        average_precision_without=(
            {APART: class_precision(apart, probabilities)} if has_apart else {}
        ),
        parts={name: part_figures(records, said) for name, said in (parts or {}).items()},
        alerts=_alert_figures(records, scored),
        alerts_without={APART: _alert_figures(apart, scored)} if has_apart else {},
    )


def _alert_figures(records: Sequence[RecordBeats], scored: Mapping[str, Decisions]) -> AlertFigures:
    scores, kinds, alerted = [], [], []
    late = early = 0
    for one in records:
        counted, missed = one.counted, one.missed
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
        auc=ranking_figure(roc_auc, ranked, anomalous[part]),
        ap=ranking_figure(average_precision, ranked, anomalous[part]),
        sensitivity={
            name: float(called[kind == name].mean()) if (kind == name).any() else None
            for name in ANOMALOUS
        },
        false_alerts_per_hour=late / sum(one.hours for one in records),
        false_alerts_per_hour_first_minute=early * 3600.0 / (FIRST_S * len(records)),
    )


def _false_alerts_s(one: RecordBeats, anomalous: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return when false alerts are raised, float64[n] seconds of the record."""
    called = np.flatnonzero(anomalous)
    at_s = one.beats.samples[called] / one.beats.fs_hz
    begins = np.diff(at_s, prepend=-np.inf) > EPISODE_S
    normal = np.isin(one.reference.classes[called], ("N", FALSE_DETECTION))
    return at_s[begins & normal & ~one.reference.flutter[called]]
