"""How the beats of records are named: classes, runs, and how the probability of a class ranks them.

`models.evaluation.protocols.beats` states how beats count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.streamed_beats import ReferenceBeats, StreamedBeats
from models.ec57.annotators import Score
from models.ec57.matching import CLASSES, FALSE_DETECTION, LEARNING_S
from models.ec57.rxr import compare_runs
from models.evaluation.protocols.classifier import (
    NOT_NAMED,
    ClassFigures,
    ClassResult,
    class_result,
)
from models.evaluation.protocols.interpatient import APART
from models.measure.metrics import average_precision
from models.measure.result_json import INLINE
from pipeline.constants import CLASSES as NAMED
from replay.annotations import Annotations

Probabilities = Mapping[str, NDArray[np.float32]]
"""By record: of each class, float32[n, 4]; NaN of beats that cannot be analysed."""

_ROWS: Final = (*CLASSES, FALSE_DETECTION)
_COLUMNS: Final = (*NAMED, NOT_NAMED)


class RecordBeats(NamedTuple):
    """One record as the stream sees it, with its reference."""

    name: str
    beats: StreamedBeats
    reference: ReferenceBeats
    annotations: Annotations
    """All that the annotators wrote, which the comparison of runs needs."""

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which detections count: after the fifth minute, outside of flutter."""
        begun = self.beats.samples >= LEARNING_S * self.beats.fs_hz
        return begun & ~self.reference.flutter

    @property
    def missed(self) -> NDArray[np.str_]:
        """Classes of the annotated beats that count and were not detected."""
        begin = LEARNING_S * self.beats.fs_hz
        return self.reference.missed[self.reference.missed_samples >= begin]

    @property
    def hours(self) -> float:
        """Counted time."""
        rate, length = self.beats.fs_hz, self.beats.seconds
        seconds = max(0.0, length - LEARNING_S)
        for first, last in self.reference.flutters:
            begin, end = first / rate, min(last / rate, length)
            seconds -= max(0.0, end - max(begin, LEARNING_S))
        return seconds / 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRuns:
    """Ventricular runs, as WFDB's rxr counts them."""

    couplets: Score
    short_runs: Score
    """Runs of three to five beats."""
    long_runs: Score
    """Runs of six and more beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFigures:
    """How beats are named, all records together and each."""

    classes: ClassResult = field(metadata=INLINE)
    without: dict[str, ClassFigures]
    """All records but `APART`, where it is one of them."""
    runs: NamedRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFigures:
    """How one part of the classifier names beats by itself, all records together."""

    classes: ClassFigures = field(metadata=INLINE)
    without: dict[str, ClassFigures]
    """All records but `APART`, where it is one of them."""
    couplets: Score
    average_precision: dict[str, float | None]
    """Of the probability of each class."""


def named_figures(records: Sequence[RecordBeats], probabilities: Probabilities) -> NamedFigures:
    """Return how the beats of records are named, by the highest probability."""
    names = {one.name: _names(probabilities[one.name]) for one in records}
    tables = {one.name: _table(one, names[one.name]) for one in records}
    apart = {name: table for name, table in tables.items() if name != APART}
    return NamedFigures(
        classes=class_result(tables),
        without={APART: class_result(apart).gross} if len(apart) < len(tables) else {},
        runs=_runs(records, names),
    )


def part_figures(records: Sequence[RecordBeats], probabilities: Probabilities) -> PartFigures:
    """Return how a part of the classifier names the beats of records."""
    named = named_figures(records, probabilities)
    return PartFigures(
        classes=named.classes.gross,
        without=named.without,
        couplets=named.runs.couplets,
        average_precision=class_precision(records, probabilities),
    )


def class_precision(
    records: Sequence[RecordBeats], probabilities: Probabilities
) -> dict[str, float | None]:
    """Return the average precision of the probability of each class."""
    return {
        name: _precision_of(records, probabilities, number) for number, name in enumerate(NAMED)
    }


def ranking_figure(
    figure: Callable[[NDArray[np.float32], NDArray[np.bool_]], float],
    scores: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> float | None:
    """Return the figure, or None where there are not both kinds of beats to rank."""
    both = right.any() and not right.all()
    return figure(scores.astype(np.float32), right) if both else None


def _names(probabilities: NDArray[np.float32]) -> NDArray[np.str_]:
    known = np.isfinite(probabilities).all(axis=1)
    names = np.array(NAMED)[np.nan_to_num(probabilities).argmax(axis=1)]
    return np.where(known, names, NOT_NAMED)


def _table(one: RecordBeats, names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return how many beats of each true class got which name, int64[6, 5]."""
    table = np.zeros((len(_ROWS), len(_COLUMNS)), dtype=np.int64)
    counted, missed = one.counted, one.missed
    true = np.concatenate((one.reference.classes[counted], missed))
    named = np.concatenate((names[counted], np.full(missed.size, NOT_NAMED)))
    for row, kind in enumerate(_ROWS):
        for column, name in enumerate(_COLUMNS):
            table[row, column] = np.count_nonzero((true == kind) & (named == name))
    return table


class _NamedBeats(NamedTuple):
    """The beats by their names, as an annotator."""

    sample: NDArray[np.int64]
    symbol: list[str]
    subtype: list[int]
    aux_note: list[str]


def _runs(records: Sequence[RecordBeats], names: Mapping[str, NDArray[np.str_]]) -> NamedRuns:
    compared = []
    for one in records:
        symbols = np.where(names[one.name] == NOT_NAMED, "Q", names[one.name]).tolist()
        beats = len(symbols)
        ours = _NamedBeats(one.beats.samples, symbols, [0] * beats, [""] * beats)
        compared.append(
            compare_runs(one.annotations, ours, one.beats.fs_hz, int(one.beats.extent[1]))
        )
    nothing = Score(0, 0, 0, 0)
    return NamedRuns(
        couplets=reduce(add, (found.couplets for found in compared), nothing),
        short_runs=reduce(add, (found.short_runs for found in compared), nothing),
        long_runs=reduce(add, (found.long_runs for found in compared), nothing),
    )


def _precision_of(
    records: Sequence[RecordBeats], probabilities: Probabilities, number: int
) -> float | None:
    scores, right = [], []
    for one in records:
        missed = one.missed
        true = np.concatenate((one.reference.classes[one.counted], missed)) == NAMED[number]
        unknown = np.full(missed.size, np.nan, dtype=np.float32)
        found = np.concatenate((probabilities[one.name][one.counted, number], unknown))
        part = np.isfinite(found) | true
        scores.append(np.where(np.isfinite(found), found, -1.0)[part])
        right.append(true[part])
    return ranking_figure(average_precision, np.concatenate(scores), np.concatenate(right))
