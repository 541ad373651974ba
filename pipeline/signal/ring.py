"""The last seconds of the signals of one or several leads, by position. Pure in memory."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.state import Shape, State


class SignalRingState(State):
    """All memory of a `SignalRing`."""

    values: Annotated[NDArray[np.float32], Shape((None, None))]
    """float32[leads, size]: the values at position p lie at p % size; NaN where none is known."""
    epoch: int = 0
    begin: int = 0
    """Position of the first values since the ring started over; nothing is missing before it."""
    end: int = 0
    """Position one past the newest values."""

    @classmethod
    def fresh(cls, leads: int, size: int, epoch: int = 0, first: int = 0) -> Self:
        """Return the state of a ring whose first values are expected at position ``first``."""
        return cls(np.full((leads, size), np.nan, dtype=np.float32), epoch, first, first)

    @property
    def size(self) -> int:
        """How many positions are kept."""
        return int(self.values.shape[1])


class SignalRing:
    """The latest values of signals that go side by side.

    Values are placed by position: a repeat changes nothing, a hole is NaN, and what comes late
    fills it. What lies in another epoch, or further from the newest value than the ring is long,
    starts the ring over, so that no wrong position can freeze it.
    """

    def __init__(self, state: SignalRingState) -> None:
        self.state = state

    def place(self, epoch: int, first: int, values: NDArray[np.float32]) -> None:
        """Take in ``values``, float32[leads, n], the first ones at position ``first``."""
        state, size = self.state, self.state.size
        end = first + values.shape[1]
        values = values[:, -size:]
        first = end - values.shape[1]
        if epoch != state.epoch or not state.end - size <= first <= state.end + size:
            state.epoch, state.begin, state.end = epoch, first, first
            state.values.fill(np.nan)
        if first > state.end:
            hole = np.full((len(values), first - state.end), np.nan, dtype=np.float32)
            self._write(state.end, hole)
        kept = max(first, state.end - size)
        self._write(kept, values[:, kept - first :])
        state.begin, state.end = min(state.begin, first), max(state.end, end)

    def between(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return a copy of the values from one position to another, float32[leads, end - begin].

        Both must lie within what is kept: the last ``size`` positions before `end`.
        """
        values, size, n = self.state.values, self.state.size, max(0, end - begin)
        if not n:
            return values[:, :0].copy()
        at = begin % size
        parts = values[:, at : at + n], values[:, : max(0, at + n - size)]
        return np.concatenate(parts, axis=1)

    @property
    def oldest(self) -> int:
        """Position of the oldest value that is kept since the ring started over."""
        return max(self.state.begin, self.state.end - self.state.size)

    def _write(self, first: int, values: NDArray[np.float32]) -> None:
        ring = self.state.values
        at = first % self.state.size
        before_the_seam = min(values.shape[1], self.state.size - at)
        ring[:, at : at + before_the_seam] = values[:, :before_the_seam]
        ring[:, : values.shape[1] - before_the_seam] = values[:, before_the_seam:]
