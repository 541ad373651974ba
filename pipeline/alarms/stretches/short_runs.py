"""Whether three beats are a ventricular run though the classifier names them otherwise.

A run of three or four beats is over before its stretch can show a tachycardia
(`pipeline.alarms.stretches.tachycardia`), and the classifier names each beat alone, by the patients
that it was trained on. It takes early beats that are not much wider than usual for supraventricular
ones. How a run begins tells the two apart. A ventricular run begins with a premature beat, and its
QRS is another from this beat on, for it starts elsewhere. A supraventricular one begins with the
usual QRS; aberrant beats come later in it.

Pure: no state, no clock, no I/O.
"""

import math
from collections.abc import Sequence
from typing import Final

from pipeline.alarms.stretches.tachycardia import StretchBeat
from pipeline.scoring.baseline_hold import FAST_RR_S
from pipeline.scoring.live_score import NOT_EARLY

RUN_BEATS: Final = 3

CONDUCTED: Final = 0.97
"""A QRS that correlates this much with a usual one was conducted from the atria, whatever the name
of the beat. So do 94 % of the normal beats of DS1 and svdb, and of 7345 ventricular ones that are
named so six."""

RESEMBLES: Final = 0.7
"""Each beat of a run correlates at least this much with the one before. Motion of an electrode
mostly does not; of one focus are beats above 0.95, but the last of a run may be a fusion beat."""

UNEVEN: Final = 3.0
"""One interval of a run may be this many times the other. Those of a complex that is found twice,
at its R and its T wave, differ by more: the ventricles are refractory so soon after it."""


def is_named_ventricular(beat: StretchBeat) -> bool:
    """Return whether a beat is named ventricular, and does not have the patient's usual QRS."""
    return beat.ventricular is True and not beat.shape.likeness >= CONDUCTED


def are_even(one_s: float, other_s: float) -> bool:
    """Return whether two intervals can be those between three beats of a run."""
    return max(one_s, other_s) <= UNEVEN * min(one_s, other_s)


def is_run(beats: Sequence[StretchBeat]) -> bool:
    """Return whether the latest three beats are a run that the beat before them is no part of.

    They come at 100 bpm, the first of them early, after a beat that is one of the patient's own.
    All are named ventricular or have a QRS that is none of the patient's own, each resembles the
    one before, and of one at least class V is more probable than it is of any beat.
    """
    if len(beats) <= RUN_BEATS or not beats[-RUN_BEATS].rr_s <= FAST_RR_S:
        return False  # nearly always
    before, first, second, third = beats[-RUN_BEATS - 1 :]
    run = (first, second, third)
    return (
        first.rr_s <= (1.0 - NOT_EARLY) * before.rr_s
        and second.rr_s + third.rr_s <= 2.0 * FAST_RR_S
        and all(beat.ventricular is not None for beat in (before, *run))
        and not (before.ventricular or before.is_foreign)
        and are_even(second.rr_s, third.rr_s)
        and all(is_named_ventricular(beat) or beat.is_foreign for beat in run)
        and any(beat.ventricular or beat.doubtful for beat in run)
        and all(_resembles(beat) for beat in (second, third))
    )


def _resembles(beat: StretchBeat) -> bool:
    return math.isnan(beat.shape.repeats) or beat.shape.repeats >= RESEMBLES
