"""The QRS of a beat in each of several leads, beside what is usual there.

The live score learns what is usual in the lead that a beat is seen in. Here the others learn from
it: where that lead shows the patient's usual QRS, every lead shows its own. So a tachycardia can be
seen where its QRS is widest, and an electrode that moves is known by what the others go on showing.
Empty for one lead. Pure: no clock, no I/O.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.schema.state import Shape, State, field
from pipeline.scoring.beat import Beat
from pipeline.scoring.qrs_shape import AS_USUAL, QrsShape, likeness_unshifted, shape_of
from pipeline.signal.kernels.scoring import leads as kernel
from pipeline.signal.kernels.scoring.shape import SHAPE_NUMBERS

LEARNED: Final = 8
"""From this many usual beats the template of a lead is known: one or two may be misnamed."""

STEP: Final = 0.1
"""The template follows each usual beat by this much: the latest ten count most."""

_ONE_USUAL: Final = np.ones(1, dtype=np.bool_)


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
        usable = beat.usable_in
        shapes = self._shapes(beat, usable)
        usual = learns and shapes[beat.lead].likeness >= AS_USUAL
        steps = [self._step(lead) if usual and its else 0.0 for lead, its in enumerate(usable)]
        kernel.follow_leads(
            beat.in_leads, np.array(usable), np.array(steps, np.float32), state.usual, state.before
        )
        return shapes

    def _shapes(self, beat: Beat, usable: Sequence[bool]) -> list[QrsShape]:
        """Return the shape of a beat in each lead; unknown where it cannot be analysed."""
        state = self.state
        assert beat.in_leads is not None
        wanted = [its and n >= LEARNED for its, n in zip(usable, state.learned, strict=True)]
        seen_in = self._seen_in(beat) if usable[beat.lead] else None
        if seen_in is not None:
            wanted[beat.lead] = False
        numbers = np.empty((len(wanted), SHAPE_NUMBERS))
        kernel.compare_leads(
            beat.in_leads, np.array(wanted), state.usual, state.before, _ONE_USUAL, numbers
        )
        shapes = [shape_of(of_lead) for of_lead in numbers.tolist()]
        if seen_in is not None:
            shapes[beat.lead] = seen_in
        return shapes

    def _seen_in(self, beat: Beat) -> QrsShape | None:
        """Return the shape of a beat in the lead that it is seen in, where the live score has it.

        None where nothing is usual for the live score, but something is here.
        """
        if beat.verdict is None:
            return None
        state, its = self.state, beat.verdict.shape
        if its.likeness >= AS_USUAL or state.learned[beat.lead] < LEARNED:
            return its
        if math.isnan(its.likeness) or beat.in_leads is None:
            return None
        here = likeness_unshifted(beat.in_leads[beat.lead], state.usual[beat.lead])
        return QrsShape(likeness=here) if here >= AS_USUAL else its

    def _step(self, lead: int) -> float:
        """Count a usual beat; return by how much the template of a lead follows it."""
        learned = self.state.learned
        if learned[lead] == LEARNED:
            return STEP
        learned[lead] += 1
        return 1.0 / learned[lead]
