"""Whether a stretch of fast beats is a ventricular tachycardia, judged as a whole.

A rhythm is more than a run of names. The classifier errs in one beat of five of a tachycardia, and
names by the patients that it was trained on. So a stretch is a ventricular tachycardia in one of
three cases:

1. All of its beats are named ventricular, and most of them have a QRS that is not just the
   patient's usual one.
2. Four of five look ventricular, by their name or because the QRS is not this patient's own; they
   come regularly and one is like the other: one focus or circuit. The others have no usual QRS
   either: they are fusion beats, or misnamed. A beat with the usual QRS was conducted from the
   atria. Most are named ventricular; or, whatever their names, most are far from the usual shape,
   and wide. A supraventricular tachycardia mostly keeps the usual QRS, or a narrow one. What moves
   an electrode neither keeps time nor repeats itself.
3. The same where nothing is known of the patient yet, but as wide as no healthy QRS is and faster
   (`pipeline.scoring.baseline_hold`).

Pure: no state, no clock, no I/O.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from pipeline.schema.state import State
from pipeline.scoring.baseline_hold import FIRST_RR_S, WIDE_MS
from pipeline.scoring.qrs_shape import LOOKED_AT, REPEATED, QrsShape

ONE_IN: Final = 5
"""One beat of so many may differ from the others: a fusion or capture beat, or one misnamed."""

DISTINCT: Final = 0.8
"""The QRS of a tachycardia correlates at most so much with the usual one, in the median. Fast
supraventricular rhythms, whose P waves and ST segments run into the QRS, lie above it."""

WIDER: Final = 1.2
"""Times the width of the usual QRS."""

IRREGULAR: Final = 0.15
"""An interval that deviates more than this part from the median is irregular. In atrial
fibrillation half of the intervals do."""


class StretchBeat(State):
    """One beat of a stretch."""

    sample: int
    rr_s: float
    """The interval before it."""
    ventricular: bool | None
    """Whether it is named ventricular; None where that is not known."""
    shape: QrsShape


def looks_ventricular(shape: QrsShape) -> bool:
    """Return whether a QRS is none of the patient's own, or is wide where none is known."""
    if math.isnan(shape.likeness):
        return shape.width_ms >= WIDE_MS
    return shape.unusual or shape.widening >= WIDER


def is_ventricular_tachycardia(beats: Sequence[StretchBeat]) -> bool:
    """Return whether beats in a row, two at least and fast enough, are such a tachycardia."""
    named = sum(beat.ventricular is True for beat in beats)
    if named == len(beats):
        return not _median([beat.shape.likeness for beat in beats]) >= LOOKED_AT
    if not all(beat.ventricular or looks_ventricular(beat.shape) for beat in beats):
        return False
    spared = len(beats) // ONE_IN
    named_enough = len(beats) - named <= spared
    return _is_one_focus(beats, spared) and (named_enough or _is_far_from_usual(beats))


def _is_one_focus(beats: Sequence[StretchBeat], spared: int) -> bool:
    """Return whether beats keep time and repeat one shape, but for ``spared`` of them."""
    intervals = [beat.rr_s for beat in beats[1:]]
    usual = median(intervals)
    deviations = sorted(abs(interval - usual) for interval in intervals)
    if deviations[-1 - spared] > IRREGULAR * usual:
        return False
    # The first may follow a beat of another rhythm.
    repeats = sorted(b.shape.repeats for b in beats[1:] if not math.isnan(b.shape.repeats))
    return len(repeats) > spared and repeats[spared] >= REPEATED


def _is_far_from_usual(beats: Sequence[StretchBeat]) -> bool:
    """Return whether beats have another shape than usual and are wide, whatever their names."""
    likeness = _median([beat.shape.likeness for beat in beats])
    wide = _median([beat.shape.width_ms for beat in beats]) >= WIDE_MS
    if math.isnan(likeness):
        return wide and median(beat.rr_s for beat in beats) <= FIRST_RR_S
    return likeness <= DISTINCT and (
        wide or _median([beat.shape.widening for beat in beats]) >= WIDER
    )


def _median(values: Sequence[float]) -> float:
    """Return the median of what is known; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan
