"""When nothing may be learned: a fast rhythm of unusual beats is not what is usual in a patient.

A ventricular tachycardia that goes on would soon be the commonest rhythm and shape, and be called
usual while it lasts. So from the third beat on of a stretch that is fast and whose QRS complexes
are not the patient's own, nothing of it is learned: templates, RR intervals and what is typical
stay as they were. One other beat in five does not end the stretch, for a tachycardia has fusion and
capture beats, and the detector errs in it; a bigeminy is no stretch.

This has an end. A heart whose beats have changed permanently (pacing begins, a bundle branch
blocks) mostly beats at less than 100/min and is learned at once. Where it is as fast, it is learned
after `HELD_AT_MOST` beats.

Where a stream begins there are no usual beats. A fast rhythm of wide beats is then taken for no
baseline either, if they repeat themselves: a tachycardia with wide complexes is ventricular until
shown otherwise (81 % were: Akhtar et al., Ann. Intern. Med. 109, 1988).

Pure and causal: no clock, no I/O.
"""

import math
from typing import Final

from pipeline.schema.state import State
from pipeline.scoring.qrs_shape import REPEATED, QrsShape

FAST_RR_S: Final = 0.6
"""100 bpm, where a tachycardia begins."""

BEGINS_AFTER: Final = 3
"""Beats of a stretch: one is an ectopic beat, two are a couplet, and both are learned from."""

MOST_LEVEL: Final = 6
OTHER_TAKES_OFF: Final = 2
"""A beat of the stretch counts one, to `MOST_LEVEL`, and another takes this off."""

HELD_AT_MOST: Final = 600
"""Beats from which nothing is learned, on end: five minutes at 120 bpm."""

FIRST_RR_S: Final = 0.5
WIDE_MS: Final = 140.0
"""Before anything is known of a patient, beats at 120 bpm that are as wide as this are no
baseline. By this measure (median of a patient) normal beats are as wide in one patient of 57 (DS1
of the MIT-BIH records, svdb), in none of 31 tachycardias of the 2015 challenge, and the reference
tachycardias of 8 of 10 patients of vfdb. Four patients with bundle branch blocks: 94 to 128 ms."""


class BaselineHoldState(State):
    """All memory of a `BaselineHold`."""

    level: int = 0
    """Fast and unusual beats of the stretch so far, less what other beats take off."""
    held: int = 0
    """Beats of the stretch from which nothing was learned."""


class BaselineHold:
    """Decides, beat by beat, whether the baseline may learn."""

    def __init__(self, state: BaselineHoldState | None = None) -> None:
        self.state = state or BaselineHoldState()

    @property
    def active(self) -> bool:
        """Whether nothing is to be learned from fast and unusual beats."""
        return self.state.level >= BEGINS_AFTER and self.state.held < HELD_AT_MOST

    def on_beat(self, rr_s: float, shape: QrsShape) -> bool:
        """Take in a beat and the interval before it; return whether it must not be learned."""
        state = self.state
        if not _is_fast_and_unusual(rr_s, shape):
            state.level = max(0, state.level - OTHER_TAKES_OFF)
            if state.level == 0:
                state.held = 0
            return False
        state.level = min(MOST_LEVEL, state.level + 1)
        held = self.active
        state.held += held
        return held


def _is_fast_and_unusual(rr_s: float, shape: QrsShape) -> bool:
    if math.isnan(shape.likeness):
        wide = shape.width_ms >= WIDE_MS and shape.repeats >= REPEATED
        return rr_s <= FIRST_RR_S and wide
    return rr_s <= FAST_RR_S and shape.unusual
