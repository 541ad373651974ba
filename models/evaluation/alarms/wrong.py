"""What was called wrongly, and in one line what our side had there.

Pure: reads nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from models.evaluation.alarms.detection import NOT_ANALYSABLE, Detected
from models.evaluation.alarms.spans import LETHAL, AlarmSpan, in_time, spans_of
from pipeline.alarms.kinds import KINDS

_UNSPECIFIC: Final = "anomalous_beat"
"""Says no more than the beats do."""

_MOST: Final = 2
"""So many alarms are named in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCall:
    """An episode without its alarm, or an alarm without an episode."""

    record: str
    """With its database: ``vfdb/424``."""
    at_s: float
    """Where to look."""
    wrong: str
    ours: str
    """What our alarm said, or what was nearest to one."""


def wrong_alarm(record: str, span: AlarmSpan, verdict: str = "false") -> WrongCall:
    """Return an alarm without an episode; ``verdict`` is the word for it."""
    return WrongCall(
        record=record,
        at_s=round(span.sure_s, 2),
        wrong=f"{verdict} {words(span.kind)}",
        ours=in_words(span),
    )


def missed_or_late(late_s: float | None) -> str:
    """Return what an alarm was that came so long after the onset, None for never; "" in time."""
    if late_s is None:
        return "missed"
    return "" if in_time(late_s) else f"{late_s:.1f} s late:"


def in_words(span: AlarmSpan) -> str:
    """Return an alarm as a phrase."""
    return f"{words(span.kind)} at {span.sure_s:.1f} s: {span.reason}"


def nearest(detected: Detected, begin_s: float, end_s: float) -> str:
    """Return what our side had from ``begin_s`` to ``end_s``, where an alarm was missed.

    The lethal alarms that overlap the stretch, then the other conditions, then the beats.
    """
    spans = spans_of(detected.alerts, [k for k in KINDS if k != _UNSPECIFIC], detected.seconds)
    here = [span for span in spans if span.begin_s <= end_s and span.end_s >= begin_s]
    lethal = [span for span in here if span.kind in LETHAL]
    others = sorted({words(span.kind) for span in here if span.kind not in LETHAL})
    parts = [f"{in_words(span)}, until {span.end_s:.1f} s" for span in lethal[:_MOST]]
    if len(lethal) > _MOST:
        parts.append(f"{len(lethal) - _MOST} more")
    if not lethal:
        parts.append("no lethal alarm")
    if others:
        parts.append(", ".join(others))
    return "; ".join([*parts, _beats_in_words(detected, begin_s, end_s)])


def _beats_in_words(detected: Detected, begin_s: float, end_s: float) -> str:
    at_s = detected.beats.samples / detected.fs_hz
    inside = np.flatnonzero((at_s >= begin_s) & (at_s <= end_s))
    labels = [detected.beats.labels[i] for i in inside]
    said = [f"{len(labels)} beats" if len(labels) != 1 else "1 beat"]
    if len(labels) > 1:
        rr_s = np.diff(at_s[inside])
        said.append(f"RR {rr_s.min():.2f} to {rr_s.max():.2f} s")
    for label in ("S", "F", "V"):
        if label in labels:
            row = longest_run(labels, label)
            said.append(f"{labels.count(label)} {label}" + (f" ({row} in a row)" * (row > 1)))
    if NOT_ANALYSABLE in labels:
        said.append(f"{labels.count(NOT_ANALYSABLE)} not analysable")
    return ", ".join(said)


def longest_run(labels: Sequence[str], label: str) -> int:
    """Return how many of ``label`` follow each other at most."""
    return max((len(list(run)) for name, run in groupby(labels) if name == label), default=0)


def words(kind: str) -> str:
    """Return the name of a kind of alarm in words."""
    return kind.replace("_", " ")
