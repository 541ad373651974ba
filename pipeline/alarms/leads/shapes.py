"""The QRS of a beat in each of several leads, beside what is usual there.

The live score learns what is usual in the lead that a beat is seen in. Here the others learn from
it: where that lead shows the patient's usual QRS, every lead shows its own. So a tachycardia can be
seen where its QRS is widest, and an electrode that moves is known by what the others go on showing.
Empty for one lead. Pure: no clock, no I/O.
"""

import math
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.beat import Beat
from pipeline.scoring.qrs_shape import AS_USUAL, QrsShape, compare, likeness_unshifted

LEARNED: Final = 8
"""From this many usual beats the template of a lead is known: one or two may be misnamed."""

STEP: Final = 0.1
"""The template follows each usual beat by this much: the latest ten count most."""


class LeadShapesState(State):
    """All memory of a `LeadShapes`."""

    usual: Annotated[NDArray[np.float32], Shape((None, WINDOW_SAMPLES))] = field(
        default_factory=lambda: np.zeros((0, WINDOW_SAMPLES), dtype=np.float32)
    )
    """The template of each lead."""
    learned: list[int] = field(default_factory=list)
    """Number of beats from which each template was learned, `LEARNED` at most."""
    before: Annotated[NDArray[np.float32], Shape((None, WINDOW_SAMPLES))] = field(
        default_factory=lambda: np.zeros((0, WINDOW_SAMPLES), dtype=np.float32)
    )
    """The beat before, as each lead showed it; zeros where it could not be analysed."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first beat of a stream of so many leads."""
        n = leads if leads > 1 else 0
        zeros = np.zeros((n, WINDOW_SAMPLES), dtype=np.float32)
        return cls(zeros, [0] * n, zeros.copy())

    def fits(self, leads: int) -> bool:
        """Return whether this can be the state of so many leads."""
        n = leads if leads > 1 else 0
        return (
            len(self.usual) == len(self.learned) == len(self.before) == n
            and all(0 <= count <= LEARNED for count in self.learned)
            and bool(np.isfinite(self.usual).all() and np.isfinite(self.before).all())
        )


class LeadShapes:
    """Compares the QRS of beats in several leads."""

    def __init__(self, state: LeadShapesState) -> None:
        self.state = state

    def on_beat(self, beat: Beat, *, learns: bool) -> list[QrsShape]:
        """Return the shape of a beat in each lead, unknown where it cannot be analysed there.

        In the lead that it is seen in that is the shape of its verdict, unless it is as usual by
        what was learned here: the live score has seen this lead only while it was in use, and may
        have to learn it, or remember it from long ago.

        Args:
            beat: with its verdict, where it has one.
            learns: whether it may be learned from, where it has the usual QRS.
        """
        state = self.state
        if not state.learned or beat.in_leads is None:
            return []
        shapes = [
            self._shape(lead, window, beat) if usable else QrsShape()
            for lead, (window, usable) in enumerate(zip(beat.in_leads, beat.usable_in, strict=True))
        ]
        usual = learns and shapes[beat.lead].likeness >= AS_USUAL
        for lead, (window, usable) in enumerate(zip(beat.in_leads, beat.usable_in, strict=True)):
            state.before[lead] = window if usable else 0.0
            if usable and usual:
                self._learn(lead, window)
        return shapes

    def _shape(self, lead: int, window: NDArray[np.float32], beat: Beat) -> QrsShape:
        state = self.state
        known = state.learned[lead] >= LEARNED
        if lead == beat.lead and beat.verdict is not None:
            its = beat.verdict.shape
            if its.likeness >= AS_USUAL or not known:
                return its
            if not math.isnan(its.likeness):
                here = likeness_unshifted(window, state.usual[lead])
                return QrsShape(likeness=here) if here >= AS_USUAL else its
        if not known:
            return QrsShape()
        before = state.before[lead]
        usual = state.usual[lead : lead + 1]
        return compare(window, usual, before if before.any() else None)

    def _learn(self, lead: int, window: NDArray[np.float32]) -> None:
        state = self.state
        if state.learned[lead] < LEARNED:
            state.learned[lead] += 1
            step = 1.0 / state.learned[lead]
        else:
            step = STEP
        state.usual[lead] += np.float32(step) * (window - state.usual[lead])
