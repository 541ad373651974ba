"""The last seconds of a signal, by position. Pure in memory."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.state import Shape, State


class SignalRingState(State):
    """All memory of a `SignalRing`."""

    values: Annotated[NDArray[np.float32], Shape((None,))]
    """float32[size]: the value at position p lies at p % size; NaN where none is known."""
    epoch: int = 0
    begin: int = 0
    """Position of the first value since the ring started over; nothing is missing before it."""
    end: int = 0
    """Position one past the newest value."""

    @classmethod
    def fresh(cls, size: int, epoch: int = 0, first: int = 0) -> Self:
        """Return the state of a ring whose first value is expected at position ``first``."""
        return cls(np.full(size, np.nan, dtype=np.float32), epoch, first, first)


class SignalRing:
    """The latest values of one signal.

    Values are placed by position: a repeat changes nothing, a hole is NaN, and what comes late
    fills it. What lies in another epoch, or further from the newest value than the ring is long,
    starts the ring over, so that no wrong position can freeze it.
    """

    def __init__(self, state: SignalRingState) -> None:
        self.state = state

    def place(self, epoch: int, first: int, values: NDArray[np.float32]) -> None:
        """Take in ``values``, float32[n], the first at position ``first``."""
        state, size = self.state, self.state.values.size
        end = first + values.size
        values = values[-size:]
        first = end - values.size
        if epoch != state.epoch or not state.end - size <= first <= state.end + size:
            state.epoch, state.begin, state.end = epoch, first, first
            state.values.fill(np.nan)
        if first > state.end:
            self._write(state.end, np.full(first - state.end, np.nan, dtype=np.float32))
        kept = max(first, state.end - size)
        self._write(kept, values[kept - first :])
        state.begin, state.end = min(state.begin, first), max(state.end, end)

    def between(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return a copy of the values from one position to another, float32[end - begin].

        Both must lie within what is kept: the last ``size`` positions before `end`.
        """
        values, n = self.state.values, max(0, end - begin)
        if not n:
            return values[:0].copy()
        at = begin % values.size
        return np.concatenate((values[at : at + n], values[: max(0, at + n - values.size)]))

    @property
    def oldest(self) -> int:
        """Position of the oldest value that is kept since the ring started over."""
        return max(self.state.begin, self.state.end - self.state.values.size)

    def _write(self, first: int, values: NDArray[np.float32]) -> None:
        ring = self.state.values
        at = first % ring.size
        before_the_seam = values[: ring.size - at]
        ring[at : at + before_the_seam.size] = before_the_seam
        ring[: values.size - before_the_seam.size] = values[before_the_seam.size :]
