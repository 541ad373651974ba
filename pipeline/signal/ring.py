"""The last seconds of the signals of one or several leads, by position. Pure in memory.

For pictures: values are kept in whole microvolts, as 16-bit integers, the way WFDB's format 16 has
them. That is what is published of them, in half the memory of float32.
"""

from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.state import Shape, State
from pipeline.signal.kernels import windows

PER_MV: Final = 1000.0
"""Of the integers."""

MOST_MV: Final = 32.767
"""Larger values are kept as this: the band-passed ECG of no heart reaches a third of it."""

_UNKNOWN: Final = -32768
"""Where there is no value, as in WFDB's format 16."""


class SignalRingState(State):
    """All memory of a `SignalRing`."""

    values: Annotated[NDArray[np.int16], Shape((None, None))]
    """int16[leads, size], in microvolts: those at position p lie at p % size; `_UNKNOWN` where
    none are."""
    epoch: int = 0
    begin: int = 0
    """Position of the first values since the ring started over; nothing is missing before it."""
    end: int = 0
    """Position one past the newest values."""

    @classmethod
    def fresh(cls, leads: int, size: int, epoch: int = 0, first: int = 0) -> Self:
        """Return the state of a ring whose first values are expected at position ``first``."""
        return cls(np.full((leads, size), _UNKNOWN, dtype=np.int16), epoch, first, first)

    @property
    def size(self) -> int:
        """How many positions are kept."""
        return int(self.values.shape[1])


class SignalRing:
    """The latest values of signals that go side by side, to the microvolt.

    Values are placed by position: a repeat changes nothing, a hole is NaN, and what comes late
    fills it. What lies in another epoch, or further from the newest value than the ring is long,
    starts the ring over, so that no wrong position can freeze it.
    """

    def __init__(self, state: SignalRingState) -> None:
        self.state = state

    def place(self, epoch: int, first: int, values: NDArray[np.float32]) -> None:
        """Take in ``values``, float32[leads, n] in mV, the first ones at position ``first``.

        Raises:
            ValueError: the ring has another number of leads; it is as before.
        """
        state, size, n = self.state, self.state.values.shape[1], values.shape[1]
        if len(values) != len(state.values):  # the kernel writes without a look
            raise ValueError(f"{len(values)} leads for a ring of {len(state.values)}")
        end = first + n
        if first == state.end and epoch == state.epoch and n <= size:
            self._write(first, values)  # nearly always
            state.end = end
            return
        newest = values[:, -size:]
        first = end - newest.shape[1]
        if epoch != state.epoch or not state.end - size <= first <= state.end + size:
            state.epoch, state.begin, state.end = epoch, first, first
            state.values.fill(_UNKNOWN)
        if first > state.end:
            self._write(state.end, np.full((len(values), first - state.end), np.float32(np.nan)))
        kept = max(first, state.end - size)
        self._write(kept, newest[:, kept - first :])
        state.begin, state.end = min(state.begin, first), max(state.end, end)

    def between(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return the values from one position to another, float32[leads, end - begin] in mV.

        Both must lie within what is kept: the last ``size`` positions before `end`. NaN where none
        is known.
        """
        kept = self.kept(begin, end)
        mv = (kept / PER_MV).astype(np.float32)
        mv[kept == _UNKNOWN] = np.nan
        return mv

    def kept(self, begin: int, end: int) -> NDArray[np.int16]:
        """Return what `between` does, as it is kept: a copy, int16[leads, end - begin]."""
        values, size, n = self.state.values, self.state.size, max(0, end - begin)
        at = begin % size if n else 0
        parts = values[:, at : at + n], values[:, : max(0, at + n - size)]
        return np.concatenate(parts, axis=1)

    @property
    def oldest(self) -> int:
        """Position of the oldest value that is kept since the ring started over."""
        return max(self.state.begin, self.state.end - self.state.size)

    def _write(self, first: int, values: NDArray[np.float32]) -> None:
        rings = self.state.values
        at = first % rings.shape[1]
        # Of one type of array: numba compiles the kernel for each that it gets.
        whole = np.ascontiguousarray(values)
        windows.keep_whole(whole, at, MOST_MV, PER_MV, _UNKNOWN, rings)


def json_of(kept: NDArray[np.int16]) -> bytes:
    """Return values of one lead, as a ring keeps them, as a list of mV in JSON.

    Each has up to three decimals and at least one; ``null`` stands where none is known.
    """
    text = np.empty(windows.LONGEST_TEXT * kept.size + 2, dtype=np.uint8)
    length = windows.write_thousandths(kept, _UNKNOWN, text)
    return text[:length].tobytes()
