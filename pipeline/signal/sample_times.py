"""Times of samples, in order, in two arrays: a list of pairs takes eight times the memory. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State

_FIRST_SIZE: Final = 16


class SampleTimesState(State):
    """All memory of `SampleTimes`: entries from ``begin`` to ``end`` count."""

    samples: Annotated[NDArray[np.int64], Shape((None,))]
    seconds: Annotated[NDArray[np.float64], Shape((None,))]
    begin: int = 0
    end: int = 0

    @classmethod
    def fresh(cls) -> Self:
        """Return the state without an entry."""
        return cls(np.zeros(_FIRST_SIZE, dtype=np.int64), np.zeros(_FIRST_SIZE))


class SampleTimes:
    """Entries of a sample and a time each."""

    def __init__(self, state: SampleTimesState) -> None:
        """Continue from ``state``.

        Raises:
            SnapshotError: the state has no such entries.
        """
        if not 0 <= state.begin <= state.end <= len(state.samples) == len(state.seconds):
            raise SnapshotError(f"state of {state.end - state.begin} times that are not there")
        self.state = state

    def __len__(self) -> int:
        return self.state.end - self.state.begin

    @property
    def samples(self) -> NDArray[np.int64]:
        """int64[n], the samples."""
        return self.state.samples[self.state.begin : self.state.end]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """float64[n], the times."""
        return self.state.seconds[self.state.begin : self.state.end]

    @property
    def latest_s(self) -> float | None:
        """The last time; None of none."""
        state = self.state
        return state.seconds.item(state.end - 1) if state.end > state.begin else None

    def some(self, first: int, n: int) -> tuple[list[int], list[float]]:
        """Return the samples and the times of ``n`` entries, which there must be.

        ``first``: how many come before them; where it is negative, how many come from there on.
        """
        state = self.state
        begin = first + (state.begin if first >= 0 else state.end)
        at = slice(begin, begin + n)
        return state.samples[at].tolist(), state.seconds[at].tolist()

    def add(self, sample: int, at: float) -> None:
        """Add an entry behind all others."""
        state = self.state
        if state.end == len(state.samples):
            self._make_room()
        state.samples[state.end], state.seconds[state.end] = sample, at
        state.end += 1

    def add_all(self, samples: Sequence[int], seconds: Sequence[float]) -> None:
        """Add entries behind all others."""
        state, n = self.state, len(samples)
        if state.end + n > len(state.samples):
            self._make_room(n)
        state.samples[state.end : state.end + n] = samples
        state.seconds[state.end : state.end + n] = seconds
        state.end += n

    def move_latest(self, sample: int) -> None:
        """Give the time of the last entry to a later ``sample``."""
        self.state.samples[self.state.end - 1] = sample

    def forget_before(self, sample: int) -> None:
        """Remove the entries of earlier samples."""
        state = self.state
        while state.begin < state.end and state.samples.item(state.begin) < sample:
            state.begin += 1

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Remove the entries that are not ``wanted``, bool[n]."""
        samples, seconds = self.samples[wanted], self.seconds[wanted]
        self._put(samples, seconds, len(self.state.samples))

    def clear(self) -> None:
        """Remove all."""
        self.state.begin = self.state.end = 0

    def at_or_behind(self, sample: int) -> float | None:
        """Return the time of the first entry behind ``sample``, else of the last; None of none."""
        state = self.state
        if state.begin == state.end:
            return None
        # Through a memory view: the items of an array are slow to compare.
        at = bisect_right(state.samples.data, sample, state.begin, state.end)
        return state.seconds.item(min(at, state.end - 1))

    def _make_room(self, more: int = 1) -> None:
        """Move the entries to the front of arrays with room for so many ``more``, or some more."""
        room = len(self) // 8 + max(more, _FIRST_SIZE)
        self._put(self.samples, self.seconds, len(self) + room)

    def _put(self, samples: NDArray[np.int64], seconds: NDArray[np.float64], size: int) -> None:
        state, n = self.state, len(samples)
        size = max(size, _FIRST_SIZE)
        state.samples, state.seconds = np.zeros(size, dtype=np.int64), np.zeros(size)
        state.samples[:n], state.seconds[:n] = samples, seconds
        state.begin, state.end = 0, n
