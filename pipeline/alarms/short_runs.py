"""What belongs to a run of ventricular beats.

Pure: no state, no clock, no I/O.
"""

from typing import Final

from pipeline.alarms.tachycardia import StretchBeat

CONDUCTED: Final = 0.97
"""A QRS that correlates so much with a usual one was conducted from the atria, whatever the name of
the beat. So do 94 % of the normal beats of DS1 and svdb, and of 7345 ventricular ones that are
named so six."""

UNEVEN: Final = 3.0
"""One interval of a run may be so many times the other. Those of a complex that is found twice, at
its R and its T wave, differ by more: the ventricles are refractory so soon after it."""


def is_named_ventricular(beat: StretchBeat) -> bool:
    """Return whether a beat is named ventricular, and does not have the patient's usual QRS."""
    return beat.ventricular is True and not beat.shape.likeness >= CONDUCTED


def are_even(one_s: float, other_s: float) -> bool:
    """Return whether two intervals can be those between three beats of a run."""
    return max(one_s, other_s) <= UNEVEN * min(one_s, other_s)
