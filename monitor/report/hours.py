"""A recording hour by hour. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from monitor.api.beat_table import BeatTable
from monitor.api.events import Rhythm
from pipeline.trends.rates import rates_of

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S

_BAR_STEPS_S: Final = (10.0, 60.0, 600.0, HOUR_S)
_MOST_BARS: Final = 72

LOST: Final = frozenset({"not_analysable", "lead_off"})
AF: Final = "atrial_fibrillation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One row of the hourly table; of the first and the last hour only what was recorded."""

    begin_s: float
    end_s: float
    beats: int
    bpm_min: float | None
    bpm_mean: float | None
    bpm_max: float | None
    """As those of the summary: over eight intervals at its lowest, on average, at its highest."""
    classes: dict[str, int]
    anomalous: int
    longest_rr_s: float | None
    atrial_fibrillation_s: float
    """Time in an alarm of atrial fibrillation."""
    lost_s: float
    """Time in which nothing could be analysed."""


def hours_of(
    beats: BeatTable,
    rhythms: Sequence[Rhythm],
    duration_s: float,
    start: datetime | None,
    classes: Sequence[str],
    *,
    one_lead: bool,
) -> list[Hour]:
    """Return the hours of a recording: of the clock where its start is known.

    Of several leads, one electrode that is off leaves the others to analyse.
    """
    lost = LOST if one_lead else LOST - {"lead_off"}
    edges = edges_of(duration_s, HOUR_S, start)
    cuts = np.searchsorted(beats["time_s"], edges)
    hours = []
    for begin_s, end_s, first, last in zip(edges, edges[1:], cuts, cuts[1:], strict=False):
        some = beats[first:last]
        low, mean, high = rates_of(some["rr_s"])
        known = some["rr_s"][np.isfinite(some["rr_s"])]
        hours.append(
            Hour(
                begin_s=begin_s,
                end_s=end_s,
                beats=len(some),
                bpm_min=low,
                bpm_mean=mean,
                bpm_max=high,
                classes={name: int(np.sum(some["beat_class"] == name)) for name in classes},
                anomalous=int(np.sum(some["anomalous"])),
                longest_rr_s=round(float(known.max()), 3) if len(known) else None,
                atrial_fibrillation_s=covered_s(rhythms, {AF}, begin_s, end_s),
                lost_s=covered_s(rhythms, lost, begin_s, end_s),
            )
        )
    return hours


def bar_edges(duration_s: float, start: datetime | None, least_s: float = 0.0) -> list[float]:
    """Return the limits of the bars of a chart over the time, each at least so long."""
    steps = (step for step in _BAR_STEPS_S if step >= least_s and duration_s / step <= _MOST_BARS)
    return edges_of(duration_s, next(steps, HOUR_S), start)


def covered_s(
    rhythms: Iterable[Rhythm], kinds: Iterable[str], begin_s: float, end_s: float
) -> float:
    """Return how much of a time lies in stretches of these kinds, each moment once."""
    wanted, covered, until = frozenset(kinds), 0.0, begin_s
    for one in sorted(rhythms, key=lambda stretch: stretch.begin_s):
        if one.kind in wanted:
            covered += max(0.0, min(one.end_s, end_s) - max(one.begin_s, until))
            until = max(until, min(one.end_s, end_s))
    return round(covered, 3)


def edges_of(duration_s: float, step_s: float, start: datetime | None) -> list[float]:
    """Return the limits of pieces of time, in seconds, whole by the clock where it is known."""
    first = step_s
    if start is not None:
        since_midnight = start - start.replace(hour=0, minute=0, second=0, microsecond=0)
        first -= since_midnight.total_seconds() % step_s
    inner = np.arange(first, duration_s, step_s)
    return [0.0, *map(float, inner), duration_s]
