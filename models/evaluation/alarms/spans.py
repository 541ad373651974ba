"""Alarms as spans of time, and how they agree with the episodes of a reference.

Episode by episode as ``epicmp`` of the WFDB software does (any overlap counts), and second by
second. Pure: reads nothing. Times are seconds of the record.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.data.rhythms import Stretch
from models.evaluation.alarms.bootstrap import Estimate, estimate, percent
from pipeline.schema.public import Alert

FIBRILLATION, TACHYCARDIA = "ventricular_fibrillation", "ventricular_tachycardia"
LETHAL_RHYTHMS: Final = ("asystole", FIBRILLATION, TACHYCARDIA)
RATES: Final = ("extreme_bradycardia", "extreme_tachycardia")
LETHAL: Final = (*LETHAL_RHYTHMS, *RATES)
"""Kinds of our alarms: those of high priority, which are about life and death."""

WITHIN_S: Final = 10.0
"""An alarm has to come this soon after the onset (ANSI/AAMI EC13; Challenge 2015)."""

NEAR_S: Final = 5.0
"""An alarm this near to an episode belongs to it: annotators mark rhythms coarsely."""


@dataclass(frozen=True, slots=True)
class AlarmSpan:
    """From the beginning of an alarm's condition to its end."""

    kind: str
    begin_s: float
    sure_s: float
    """When it was raised."""
    end_s: float
    reason: str


def spans_of(alerts: Iterable[Alert], kinds: Collection[str], last_s: float) -> list[AlarmSpan]:
    """Return the spans of the conditions of ``kinds``; the record ends at ``last_s``.

    A condition that returns while its alarm is latched is a span of its own.
    """
    active: dict[str, Alert] = {}
    spans = []
    for alert in alerts:
        if alert.kind not in kinds:
            continue
        if alert.state == "on":
            active.setdefault(alert.episode, alert)
        elif alert.state in ("latched", "off") and alert.episode in active:
            spans.append(_span(active.pop(alert.episode), alert.end_s or alert.time_s))
    spans += [_span(alert, last_s) for alert in active.values()]
    return sorted(spans, key=lambda span: span.sure_s)


def _span(on: Alert, end_s: float) -> AlarmSpan:
    # An alarm that returns keeps the time at which it first began.
    begin_s = on.time_s if on.begin_s is None or (on.count or 1) > 1 else on.begin_s
    return AlarmSpan(on.kind, begin_s, on.time_s, max(end_s, on.time_s), on.reason)


def overlaps(span: AlarmSpan, stretch: Stretch, near_s: float = 0.0) -> bool:
    """Return whether an alarm and an episode overlap, or come as near as ``near_s``."""
    return span.begin_s <= stretch.end_s + near_s and span.end_s >= stretch.begin_s - near_s


def delay_s(spans: Sequence[AlarmSpan], stretch: Stretch) -> float | None:
    """Return how long after the onset of an episode its first alarm came; None if none came.

    An alarm that is on at the onset comes at once. One that comes up to `WITHIN_S` after the onset
    counts even if the episode is over by then.
    """
    last_s = max(stretch.end_s, stretch.begin_s + WITHIN_S)
    came = [s.sure_s for s in spans if s.end_s >= stretch.begin_s and s.sure_s <= last_s]
    return max(0.0, min(came) - stretch.begin_s) if came else None


def in_time(late_s: float | None) -> bool:
    """Return whether an alarm came within `WITHIN_S`; None is no alarm."""
    return late_s is not None and late_s <= WITHIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alarms of some kinds agree with the episodes of a reference, over several records.

    Sensitivity and positive predictivity are in %, None where nothing could be counted.
    """

    episodes: int
    found: int
    found_within_10_s: int
    """Found within `WITHIN_S`."""
    on_at_onset: int
    """Those of them that an alarm found which was on already, perhaps about something else."""
    within_10_s_percent: Estimate
    """Share of the episodes found within `WITHIN_S`, its interval over records."""
    episode_sensitivity: float | None
    alarms: int
    episode_positive_predictivity: float | None
    duration_sensitivity: float | None
    duration_positive_predictivity: float | None
    time_to_alarm_median_s: float | None
    time_to_alarm_p90_s: float | None
    time_to_alarm_worst_s: float | None


def agree(records: Iterable[tuple[Sequence[AlarmSpan], Sequence[Stretch]]]) -> Agreement:
    """Compare alarms and reference of several records."""
    episodes = alarms = true_alarms = 0
    delays: list[float] = []
    in_time_of: list[tuple[int, int]] = []
    reference_s = alarmed_s = shared_s = 0.0
    for spans, reference in records:
        # 1. Episode by episode: which were found, and how late.
        episodes += len(reference)
        came = [delay_s(spans, stretch) for stretch in reference]
        delays += [late_s for late_s in came if late_s is not None]
        in_time_of.append((sum(map(in_time, came)), len(reference)))
        # 2. Alarm by alarm: which belong to an episode.
        alarms += len(spans)
        true_alarms += sum(any(overlaps(span, s) for s in reference) for span in spans)
        # 3. Second by second.
        alarmed = _union([(span.begin_s, span.end_s) for span in spans])
        named = _union([(s.begin_s, s.end_s) for s in reference])
        alarmed_s += sum(b - a for a, b in alarmed)
        reference_s += sum(b - a for a, b in named)
        shared_s += sum(max(0.0, min(b, d) - max(a, c)) for a, b in alarmed for c, d in named)
    return Agreement(
        episodes=episodes,
        found=len(delays),
        found_within_10_s=sum(found for found, _ in in_time_of),
        on_at_onset=sum(late_s == 0.0 for late_s in delays),
        within_10_s_percent=estimate(in_time_of, percent),
        episode_sensitivity=_percent(len(delays), episodes),
        alarms=alarms,
        episode_positive_predictivity=_percent(true_alarms, alarms),
        duration_sensitivity=_percent(shared_s, reference_s),
        duration_positive_predictivity=_percent(shared_s, alarmed_s),
        time_to_alarm_median_s=_quantile(delays, 0.5),
        time_to_alarm_p90_s=_quantile(delays, 0.9),
        time_to_alarm_worst_s=_quantile(delays, 1.0),
    )


def _union(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for a, b in sorted(pieces):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(b, joined[-1][1]))
        else:
            joined.append((a, b))
    return joined


def _quantile(delays: list[float], share: float) -> float | None:
    return round(float(np.quantile(delays, share)), 2) if delays else None


def _percent(part: float, whole: float) -> float | None:
    return round(100.0 * part / whole, 2) if whole else None
