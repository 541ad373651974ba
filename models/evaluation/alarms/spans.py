"""Alarms as stretches of time, and how they agree with stretches that a reference names.

Episode by episode as ``epicmp`` of the WFDB software does (any overlap counts), and second by
second. Pure: reads nothing. Times are seconds of the record.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from models.data.rhythms import Stretch
from pipeline.schema.public import Alert

WITHIN_S: Final = 10.0
"""An alarm has to come within so long of the onset (ANSI/AAMI EC13; Challenge 2015)."""

NEAR_S: Final = 5.0
"""An alarm so near to a stretch of the reference is about it: annotators mark rhythms coarsely."""


class AlarmSpan(NamedTuple):
    """From where an alarm's condition began to where it ended."""

    kind: str
    begin_s: float
    sure_s: float
    """When it was raised."""
    end_s: float
    reason: str


def spans_of(alerts: Iterable[Alert], kinds: Collection[str], last_s: float) -> list[AlarmSpan]:
    """Return the stretches in which conditions of ``kinds`` were told; the record ends at last_s.

    A condition that returns while its alarm has latched is a stretch of its own.
    """
    there: dict[str, Alert] = {}
    spans = []
    for alert in alerts:
        if alert.kind not in kinds:
            continue
        if alert.state == "on":
            there.setdefault(alert.episode, alert)
        elif alert.state in ("latched", "off") and alert.episode in there:
            spans.append(_span(there.pop(alert.episode), alert.end_s or alert.time_s))
    spans += [_span(alert, last_s) for alert in there.values()]
    return sorted(spans, key=lambda span: span.sure_s)


def _span(on: Alert, end_s: float) -> AlarmSpan:
    # When it returns, an alarm keeps where it first began.
    begin_s = on.time_s if on.begin_s is None or (on.count or 1) > 1 else on.begin_s
    return AlarmSpan(on.kind, begin_s, on.time_s, max(end_s, on.time_s), on.reason)


def overlaps(span: AlarmSpan, stretch: Stretch, near_s: float = 0.0) -> bool:
    """Say whether an alarm and a stretch share a moment, or come as near as ``near_s``."""
    return span.begin_s <= stretch.end_s + near_s and span.end_s >= stretch.begin_s - near_s


def delay_s(spans: Sequence[AlarmSpan], stretch: Stretch) -> float | None:
    """Return how long after a stretch began the first alarm of it came; None if none came.

    An alarm that is on when it begins comes at once; one that comes up to `WITHIN_S` after the
    onset counts though the stretch may be over by then.
    """
    last_s = max(stretch.end_s, stretch.begin_s + WITHIN_S)
    came = [s.sure_s for s in spans if s.end_s >= stretch.begin_s and s.sure_s <= last_s]
    return max(0.0, min(came) - stretch.begin_s) if came else None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alarms of some kinds agree with stretches of the reference, over several records."""

    stretches: int
    found: int
    within: int
    """Found within `WITHIN_S`."""
    delays_s: list[float]
    alarms: int
    true_alarms: int
    reference_s: float
    alarmed_s: float
    shared_s: float

    def figures(self) -> dict[str, Any]:
        """Return the figures as they are printed; None where nothing could be counted."""
        return {
            "episodes": self.stretches,
            "found": self.found,
            "found_within_10_s": self.within,
            "episode_sensitivity": _share(self.found, self.stretches),
            "alarms": self.alarms,
            "episode_positive_predictivity": _share(self.true_alarms, self.alarms),
            "duration_sensitivity": _share(self.shared_s, self.reference_s),
            "duration_positive_predictivity": _share(self.shared_s, self.alarmed_s),
            "time_to_alarm_median_s": round(float(np.median(self.delays_s)), 2)
            if self.delays_s
            else None,
            "time_to_alarm_worst_s": round(max(self.delays_s), 2) if self.delays_s else None,
        }


def agree(records: Iterable[tuple[Sequence[AlarmSpan], Sequence[Stretch]]]) -> Agreement:
    """Compare alarms and reference of several records."""
    stretches = found = within = alarms = true_alarms = 0
    delays: list[float] = []
    reference_s = alarmed_s = shared_s = 0.0
    for spans, reference in records:
        for stretch in reference:
            stretches += 1
            late_s = delay_s(spans, stretch)
            if late_s is not None:
                found += 1
                within += late_s <= WITHIN_S
                delays.append(late_s)
        alarms += len(spans)
        true_alarms += sum(any(overlaps(span, s) for s in reference) for span in spans)
        alarmed = _union([(span.begin_s, span.end_s) for span in spans])
        named = _union([(s.begin_s, s.end_s) for s in reference])
        alarmed_s += sum(b - a for a, b in alarmed)
        reference_s += sum(b - a for a, b in named)
        shared_s += sum(max(0.0, min(b, d) - max(a, c)) for a, b in alarmed for c, d in named)
    return Agreement(
        stretches, found, within, delays, alarms, true_alarms, reference_s, alarmed_s, shared_s
    )


def _union(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for a, b in sorted(pieces):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(b, joined[-1][1]))
        else:
            joined.append((a, b))
    return joined


def _share(part: float, whole: float) -> float | None:
    return round(100.0 * part / whole, 2) if whole else None
