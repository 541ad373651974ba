"""Sum up the comparisons of many records, as ANSI/AAMI EC57 asks and ``sumstats`` does it.

Gross figures weigh every beat (or run) alike, average figures every record; a record without a
beat of a kind has no part in the average of that kind. As in WFDB's ``sumstats`` (Moody; revision
of 2020), fusion beats that were called S are no error in the gross and average positive
predictivity of S, though `bxb` counts them in that of a record, and the average RR error is that
of the figures rounded to 0.01 ms.

Pure: numpy and the standard library.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Generic, TypeVar

import numpy as np

from models.ec57.annotators import Score
from models.ec57.bxb import LABELS, BeatComparison
from models.ec57.rxr import RunComparison

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats(Generic[T]):
    """One figure of beats: of all, of ventricular and of supraventricular ectopic ones."""

    qrs: T
    veb: T
    sveb: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs(Generic[T]):
    """One figure of ventricular runs: of two beats, of three to five, of six and more."""

    couplets: T
    short_runs: T
    long_runs: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """Means over records, %; None without any."""

    sensitivity: float | None
    positive_predictivity: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatSummary:
    """The gross and the average line of beats."""

    gross: Beats[Score]
    average: Beats[Average]
    average_rms_rr_error_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The gross and the average line of runs."""

    gross: Runs[Score]
    average: Runs[Average]


def sum_beats(records: Sequence[BeatComparison]) -> BeatSummary:
    """Return gross and average of beats, for any number of records."""
    qrs = [record.qrs for record in records]
    veb: list[Score] = [record.veb for record in records]
    sveb = [_sveb(record) for record in records]
    errors = [record.rms_rr_error_ms for record in records]
    return BeatSummary(
        gross=Beats(qrs=_gross(qrs), veb=_gross(veb), sveb=_gross(sveb)),
        average=Beats(qrs=_average(qrs), veb=_average(veb), sveb=_average(sveb)),
        average_rms_rr_error_ms=_mean(None if e is None else float(f"{e:.2f}") for e in errors),
    )


def sum_runs(records: Sequence[RunComparison]) -> RunSummary:
    """Return gross and average of runs, for any number of records."""
    couplets = [record.couplets for record in records]
    short = [record.short_runs for record in records]
    long = [record.long_runs for record in records]
    return RunSummary(
        gross=Runs(couplets=_gross(couplets), short_runs=_gross(short), long_runs=_gross(long)),
        average=Runs(
            couplets=_average(couplets), short_runs=_average(short), long_runs=_average(long)
        ),
    )


def _sveb(record: BeatComparison) -> Score:
    """Return the score of S without the fusion beats that were called S."""
    fusions_called_s = int(record.matrix[LABELS.index("F"), LABELS.index("S")])
    return replace(record.sveb, fp=record.sveb.fp - fusions_called_s)


def _gross(scores: Sequence[Score]) -> Score:
    return reduce(add, scores, Score(0, 0, 0, 0))


def _average(scores: Sequence[Score]) -> Average:
    return Average(
        sensitivity=_mean(score.sensitivity for score in scores),
        positive_predictivity=_mean(score.positive_predictivity for score in scores),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
