"""The classifier trained on DS1, on the patients of DS2, counted as ANSI/AAMI EC57 counts beats.

Every analysable detection is classified, whatever its live score: these are the figures of the
classifier alone. `COUNTING` states how beats count and is part of the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.detected_beats import DetectedRecord, detect_all
from models.data.mitdb import DATABASE, DS1, DS2, database_folder
from models.ec57.matching import CLASSES, FALSE_DETECTION, LEARNING_S, MATCH_S
from models.evaluation.protocols.beatgan import plain_facts
from models.files import strict_json
from models.files.beat_trees import SHIPPED_TREES, load_beat_trees
from models.files.classifier import SHIPPED_CLASSIFIER, load_classifier
from models.files.model_file import weights_path
from models.inference.beat_classifier import SHIPPED_DS1, BeatClassifier
from models.inference.beat_trees import BeatTrees
from models.inference.classifier import ClassifierScorer
from models.measure.result_json import INLINE, Fact
from models.measure.speed import DeviceTimes, us_per_beat
from pipeline.constants import CLASSES as NAMED
from pipeline.constants import MEASURES
from pipeline.errors import ArtifactError
from replay.lead_sets.asked import AskedLeads, with_leads

NOT_NAMED: Final = "none"
"""Name of a beat that was missed or could not be analysed."""

FORGIVEN: Final = {"V": ("F", "Q"), "S": ("Q",)}
"""Beats of these classes may be called V, or S, without counting against its predictivity."""

COUNTING: Final = (
    f"Each record streams from its beginning; its first {LEARNING_S:g} s are not counted, nor is "
    "ventricular flutter.",
    f"A detection within {1000 * MATCH_S:g} ms of an annotation is that beat, one to one.",
    "A beat has the class of the highest probability. One that was not detected, or could not be "
    "analysed, has none and counts as not found.",
    "A false detection that is called V counts against the positive predictivity of V; S likewise.",
    "An F or Q that is called V, and a Q that is called S, count neither for nor against.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """What the classifier called the beats, with sensitivity and positive predictivity."""

    sensitivity: dict[str, float | None]
    """Of V and S, %; None where there is no such beat."""
    positive_predictivity: dict[str, float | None]
    """Of V and S, %; None where no beat was called so."""
    confusion: dict[str, dict[str, int]]
    """How many beats of each true class, false detections included, got which name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordClassFigures:
    """The figures of one record."""

    record: str
    figures: ClassFigures = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """The figures of all records together, and of each."""

    gross: ClassFigures
    per_record: list[RecordClassFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierResult:
    """The figures of a classifier on DS2, its size, training and speed."""

    protocol: str = "EC57 beat classes"
    database: str = DATABASE
    classifier: str
    counting: list[str]
    classes: ClassResult = field(metadata=INLINE)
    parameters: int
    """Of the network."""
    trees: int
    file_bytes: int
    training: dict[str, Fact]
    us_per_beat: DeviceTimes


def evaluate_classifier(
    data: Path,
    folder: Path = SHIPPED_DS1,
    *,
    leads: AskedLeads = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> ClassifierResult:
    """Return the figures of a classifier on the records of DS2.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        folder: of a classifier trained on patients of DS1 alone.
        leads: to watch together, as `replay.lead_sets.asked` reads them; records that lack those
            that are named are left out.
        on_step: called before each record.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the classifier is unusable, or may have seen DS2.
    """
    classifier = load_ds1_classifier(folder)
    network = load_classifier(folder / SHIPPED_CLASSIFIER.name)
    trees = load_beat_trees(folder / SHIPPED_TREES.name)
    paths = with_leads([database_folder(data) / name for name in DS2], leads)
    records = detect_all(paths, leads, lambda name: on_step(f"record {name}: classes"))
    descriptions = [folder / one.name for one in (SHIPPED_TREES, SHIPPED_CLASSIFIER)]
    return ClassifierResult(
        classifier=classifier.name,
        counting=list(COUNTING),
        classes=class_result(tables_of(records, classifier)),
        parameters=sum(tensor.size for tensor in network.tensors.values()),
        trees=trees.tensors["roots"].size,
        file_bytes=sum(weights_path(one).stat().st_size for one in descriptions),
        training=plain_facts(strict_json.to_json(network.training)),
        us_per_beat=DeviceTimes(cpu=us_per_beat(partial(_classify_without_rhythm, classifier))),
    )


def load_ds1_classifier(folder: Path = SHIPPED_DS1) -> BeatClassifier:
    """Return a classifier trained on patients of DS1 alone, by default the one beside what ships.

    Raises:
        ArtifactError: it is unusable, or may have seen DS2.
    """
    trees = load_beat_trees(folder / SHIPPED_TREES.name)
    network = load_classifier(folder / SHIPPED_CLASSIFIER.name)
    for training in (trees.training, network.training):
        if set(training.records) != {DATABASE} or not set(training.records[DATABASE]) <= set(DS1):
            raise ArtifactError(
                f"{folder} was not trained on records of DS1 alone, so those of DS2 are not "
                "unseen: train one with `monitor train classifier --ds1`"
            )
    return BeatClassifier(BeatTrees(trees), ClassifierScorer(network))


def _classify_without_rhythm(
    classifier: BeatClassifier, windows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Classify windows, to measure how long it takes."""
    return classifier.probabilities(windows, np.zeros((len(windows), MEASURES), dtype=np.float32))


def tables_of(
    records: Sequence[DetectedRecord], classifier: BeatClassifier
) -> dict[str, NDArray[np.int64]]:
    """Return for each record how many beats of each true class got which name, int64[6, 5].

    Rows are N, S, V, F, Q and false detections, columns N, S, V, F and no name. The learning
    period is not counted.
    """
    return {record.name: _table(record, classifier) for record in records}


def class_result(tables: Mapping[str, NDArray[np.int64]]) -> ClassResult:
    """Return the figures of the tables of `tables_of`, by record."""
    return ClassResult(
        gross=_figures(np.sum(list(tables.values()), axis=0)),
        per_record=[
            RecordClassFigures(record=name, figures=_figures(table))
            for name, table in tables.items()
        ],
    )


_ROWS: Final = (*CLASSES, FALSE_DETECTION)
_COLUMNS: Final = (*NAMED, NOT_NAMED)


def _table(record: DetectedRecord, classifier: BeatClassifier) -> NDArray[np.int64]:
    begin = LEARNING_S * record.fs_hz
    named = np.full(record.samples.size, len(NAMED))
    usable = record.analysable
    probabilities = classifier.probabilities(
        record.windows[usable], record.measures[usable], record.second[usable]
    )
    named[usable] = probabilities.argmax(axis=1)
    table = np.zeros((len(_ROWS), len(_COLUMNS)), dtype=np.int64)
    row_of = {name: row for row, name in enumerate(_ROWS)}
    counted = record.samples >= begin
    rows = np.array([row_of[name] for name in record.classes[counted]], dtype=np.int64)
    np.add.at(table, (rows, named[counted]), 1)
    for name in record.missed[record.missed_samples >= begin]:
        table[row_of[name], -1] += 1
    return table


def _figures(table: NDArray[np.int64]) -> ClassFigures:
    sensitivity, predictivity = {}, {}
    for name, forgiven in FORGIVEN.items():
        row, column = _ROWS.index(name), _COLUMNS.index(name)
        right = int(table[row, column])
        counting = [i for i, other in enumerate(_ROWS) if other not in forgiven]
        sensitivity[name] = _percent(right, int(table[row].sum()))
        predictivity[name] = _percent(right, int(table[counting, column].sum()))
    return ClassFigures(
        sensitivity=sensitivity,
        positive_predictivity=predictivity,
        confusion={
            name: dict(zip(_COLUMNS, map(int, table[row]), strict=True))
            for row, name in enumerate(_ROWS)
        },
    )


def _percent(part: int, whole: int) -> float | None:
    return round(100.0 * part / whole, 2) if whole else None
