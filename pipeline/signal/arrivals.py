"""When the samples of a stream arrived, for the latencies of its beats. Pure."""

from bisect import bisect_right
from collections import deque
from typing import Final

KEPT_S: Final = 20.0
"""Of signal: no beat is found later."""

TOGETHER_S: Final = 0.005
"""What came within it came together: ten thousand chunks a second need not be told apart."""


class ArrivalTimes:
    """The latest arrivals of one stream, in one epoch."""

    def __init__(self, fs_hz: float) -> None:
        self._kept = round(KEPT_S * fs_hz)
        self._arrivals: deque[tuple[int, float]] = deque()

    def note(self, end: int, at: float) -> None:
        """Take note that the samples before ``end`` had arrived at ``at``, in seconds."""
        if self._arrivals and 0 <= at - self._arrivals[-1][1] < TOGETHER_S:
            _, at = self._arrivals.pop()
        self._arrivals.append((end, at))
        while self._arrivals[0][0] < end - self._kept:
            self._arrivals.popleft()

    def of(self, sample: int) -> float | None:
        """Return when ``sample`` arrived; the nearest known time for one too old or missing."""
        if not self._arrivals:
            return None
        at = bisect_right(self._arrivals, sample, key=lambda arrival: arrival[0])
        return self._arrivals[min(at, len(self._arrivals) - 1)][1]
