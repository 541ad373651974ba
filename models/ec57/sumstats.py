"""Put the comparisons of many records together, as ANSI/AAMI EC57 wants it and ``sumstats`` does.

Gross figures count every beat (or run) alike, average figures every record; a record without a
beat of a kind has no part in the average of that kind. As in WFDB's ``sumstats`` (Moody; revision
of 2020), fusion beats that were called S are no error in the gross and average positive
predictivity of S, though `bxb` counts them in that of a record, and the average RR error is that
of the figures rounded to 0.01 ms.

Pure: numpy and the standard library.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.ec57.annotators import Score
from models.ec57.bxb import LABELS, BeatComparison
from models.ec57.rxr import RunComparison

Average = tuple[float | None, float | None]
"""Mean sensitivity and mean positive predictivity over records, %; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The gross and the average line."""

    gross: Mapping[str, Score]
    average: Mapping[str, Average]
    average_rms_rr_error_ms: float | None = None


def sum_beats(records: Sequence[BeatComparison]) -> Summary:
    """Return gross and average of ``qrs``, ``veb`` and ``sveb``, for any number of records."""
    scores = [_beat_scores(record) for record in records]
    errors = [record.rms_rr_error_ms for record in records]
    return Summary(
        gross=_gross(scores, ("qrs", "veb", "sveb")),
        average=_average(scores, ("qrs", "veb", "sveb")),
        average_rms_rr_error_ms=_mean(None if e is None else float(f"{e:.2f}") for e in errors),
    )


def sum_runs(records: Sequence[RunComparison]) -> Summary:
    """Return gross and average of couplets, short and long runs, for any number of records."""
    names = ("couplets", "short_runs", "long_runs")
    scores = [{name: getattr(record, name) for name in names} for record in records]
    return Summary(gross=_gross(scores, names), average=_average(scores, names))


def _beat_scores(record: BeatComparison) -> dict[str, Score]:
    fusions_called_s = int(record.matrix[LABELS.index("F"), LABELS.index("S")])
    sveb = record.sveb._replace(fp=record.sveb.fp - fusions_called_s)
    return {"qrs": record.qrs, "veb": record.veb, "sveb": sveb}


def _gross(scores: Sequence[Mapping[str, Score]], names: Iterable[str]) -> dict[str, Score]:
    return {
        name: Score(*(sum(column) for column in zip(*(one[name] for one in scores), strict=True)))
        if scores
        else Score(0, 0, 0, 0)
        for name in names
    }


def _average(scores: Sequence[Mapping[str, Score]], names: Iterable[str]) -> dict[str, Average]:
    return {
        name: (
            _mean(one[name].sensitivity for one in scores),
            _mean(one[name].positive_predictivity for one in scores),
        )
        for name in names
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those values that there are, None without any."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
