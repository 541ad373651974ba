"""How well the beats of the stream agree with the annotated ones, counted as EC57 asks.

The counting is that of `monitor evaluate ec57 --against detector`: `models.ec57.bxb`, without the
first five minutes of each record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.ec57.annotators import Score
from models.ec57.bxb import compare_beats
from models.ec57.detector import as_annotator
from models.evaluation.alarms.bootstrap import Estimate, estimate, percent
from models.evaluation.alarms.detection import DetectedBeats
from models.measure.result_json import INLINE
from pipeline.errors import InputError
from replay.annotations import read_annotations
from replay.headers import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class QrsOfRecord:
    """The QRS complexes of one record."""

    record: str
    score: Score = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class QrsResult:
    """The QRS complexes of several records, each beat weighed alike; intervals over records, %."""

    found: int
    missed: int
    false: int
    sensitivity: Estimate
    positive_predictivity: Estimate
    rows: list[QrsOfRecord]


def compare_qrs(record: Path, beats: DetectedBeats, fs_hz: float, samples: int) -> QrsOfRecord:
    """Return how the beats found in ``samples`` samples of a record agree with its reference.

    Raises:
        InputError: the annotations cannot be read, or the record ends in the learning period.
    """
    found = as_annotator(beats.samples, fs_hz)
    true = read_annotations(record, "atr", fs_hz=fs_hz)
    try:
        return QrsOfRecord(record=record.name, score=compare_beats(true, found, fs_hz, samples).qrs)
    except ValueError as error:
        raise InputError(f"record {quoted(record)} cannot be compared: {error}") from None


def sum_qrs(rows: Sequence[QrsOfRecord]) -> QrsResult:
    """Return the figures of all records together."""
    scores = [row.score for row in rows]
    return QrsResult(
        found=sum(one.tps for one in scores),
        missed=sum(one.fn for one in scores),
        false=sum(one.fp for one in scores),
        sensitivity=estimate([(one.tps, one.tps + one.fn) for one in scores], percent, 3),
        positive_predictivity=estimate([(one.tpp, one.tpp + one.fp) for one in scores], percent, 3),
        rows=list(rows),
    )
