"""Times of samples, in order, in two arrays: a list of pairs takes ten times the memory. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State

_FIRST_SIZE: Final = 16

_FAR: Final = 2**31
"""Samples: an entry so far from the next one is a week old at 3 kHz, and of no use."""

_LAST: Final = 2**54
"""No position is beyond: a chunk begins before 2**53, and ends somewhat later."""


class SampleTimesState(State):
    """All memory of `SampleTimes`: entries from ``begin`` to ``end`` count."""

    offsets: Annotated[NDArray[np.int32], Shape((None,))]
    """The samples, counted from ``origin``."""
    seconds: Annotated[NDArray[np.float64], Shape((None,))]
    origin: int = 0
    begin: int = 0
    end: int = 0

    @classmethod
    def fresh(cls) -> Self:
        """Return the state without an entry."""
        return cls(np.zeros(_FIRST_SIZE, dtype=np.int32), np.zeros(_FIRST_SIZE))


class SampleTimes:
    """Entries of a sample and a time each; those far before the last one are forgotten."""

    def __init__(self, state: SampleTimesState) -> None:
        """Continue from ``state``.

        Raises:
            SnapshotError: the state has no such entries.
        """
        if not 0 <= state.begin <= state.end <= len(state.offsets) == len(state.seconds):
            raise SnapshotError(f"state of {state.end - state.begin} times that are not there")
        if not -_LAST <= state.origin <= _LAST:
            raise SnapshotError(f"state of times of samples from {state.origin} on")
        self.state = state

    def __len__(self) -> int:
        return self.state.end - self.state.begin

    @property
    def samples(self) -> NDArray[np.int64]:
        """int64[n], the samples."""
        state = self.state
        return state.offsets[state.begin : state.end].astype(np.int64) + state.origin

    @property
    def seconds(self) -> NDArray[np.float64]:
        """float64[n], the times."""
        return self.state.seconds[self.state.begin : self.state.end]

    @property
    def latest_s(self) -> float | None:
        """The last time; None of none."""
        state = self.state
        return state.seconds.item(state.end - 1) if state.end > state.begin else None

    @property
    def span(self) -> int:
        """How many samples lie between the first entry and the last; there must be one."""
        state = self.state
        return state.offsets.item(state.end - 1) - state.offsets.item(state.begin)

    def some(self, first: int, n: int) -> tuple[list[int], list[float]]:
        """Return the samples and the times of ``n`` entries, which there must be.

        The samples are counted from any origin, until the next entry is added.
        ``first``: how many come before them; where it is negative, how many come from there on.
        """
        state = self.state
        begin = first + (state.begin if first >= 0 else state.end)
        at = slice(begin, begin + n)
        return state.offsets[at].tolist(), state.seconds[at].tolist()

    def add(self, sample: int, at: float) -> None:
        """Add an entry behind all others."""
        state = self.state
        end, offset = state.end, sample - state.origin
        if end == len(state.offsets) or not -_FAR < offset < _FAR:
            self._make_room(sample)
            end, offset = state.end, sample - state.origin
        state.offsets[end], state.seconds[end] = offset, at
        state.end = end + 1

    def add_all(self, samples: Sequence[int], seconds: Sequence[float]) -> None:
        """Add entries behind all others."""
        for sample, at in zip(samples, seconds, strict=True):
            self.add(sample, at)

    def move_latest(self, sample: int) -> None:
        """Give the time of the last entry to a later ``sample``."""
        state = self.state
        state.end -= 1
        self.add(sample, state.seconds.item(state.end))

    def forget_before(self, sample: int) -> None:
        """Remove the entries of earlier samples."""
        state = self.state
        offset = sample - state.origin
        while state.begin < state.end and state.offsets.item(state.begin) < offset:
            state.begin += 1

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Remove the entries that are not ``wanted``, bool[n]."""
        samples, seconds = self.samples[wanted], self.seconds[wanted]
        self._put(self.state.origin, samples, seconds, len(self.state.offsets))

    def clear(self) -> None:
        """Remove all."""
        self.state.begin = self.state.end = 0

    def at_or_behind(self, sample: int) -> float | None:
        """Return the time of the first entry behind ``sample``, else of the last; None of none."""
        state = self.state
        if state.begin == state.end:
            return None
        # Through a memory view: the items of an array are slow to compare.
        at = bisect_right(state.offsets.data, sample - state.origin, state.begin, state.end)
        return state.seconds.item(min(at, state.end - 1))

    def _make_room(self, sample: int) -> None:
        """Move the entries to the front of arrays with room for ``sample``, and some more.

        The origin becomes the first one that is near enough to it.
        """
        samples, seconds = self.samples, self.seconds
        near = np.abs(samples - sample) < _FAR
        samples, seconds = samples[near], seconds[near]
        origin = int(samples[0]) if samples.size else sample
        self._put(origin, samples, seconds, samples.size + samples.size // 16 + _FIRST_SIZE)

    def _put(
        self, origin: int, samples: NDArray[np.int64], seconds: NDArray[np.float64], size: int
    ) -> None:
        state, n = self.state, len(samples)
        state.offsets, state.seconds = np.zeros(size, dtype=np.int32), np.zeros(size)
        state.offsets[:n], state.seconds[:n] = samples - origin, seconds
        state.origin, state.begin, state.end = origin, 0, n
