"""When the samples of a stream arrived, for the latencies of its beats. Pure."""

from bisect import bisect_right
from typing import Final

from pipeline.schema.state import State, field

KEPT_S: Final = 20.0
"""Of signal: no beat is found later."""

TOGETHER_S: Final = 0.005
"""Chunks within this time count as one arrival: there may be ten thousand a second."""


class ArrivalState(State):
    """All memory of `ArrivalTimes`."""

    arrivals: list[tuple[int, float]] = field(default_factory=list)
    """(index one past the last sample of a chunk, when it arrived in seconds), in order."""


class ArrivalTimes:
    """The latest arrivals of one stream, in one epoch."""

    def __init__(self, fs_hz: float, state: ArrivalState | None = None) -> None:
        self.state = state or ArrivalState()
        self._kept = round(KEPT_S * fs_hz)

    def record(self, end: int, at: float) -> None:
        """Record that the samples before ``end`` had arrived at ``at``, in seconds."""
        arrivals = self.state.arrivals
        if arrivals and 0 <= at - arrivals[-1][1] < TOGETHER_S:
            _, at = arrivals.pop()
        arrivals.append((end, at))
        while arrivals[0][0] < end - self._kept:
            arrivals.pop(0)

    def of(self, sample: int) -> float | None:
        """Return when ``sample`` arrived; the nearest known time for one too old or missing."""
        arrivals = self.state.arrivals
        if not arrivals:
            return None
        at = bisect_right(arrivals, sample, key=lambda arrival: arrival[0])
        return arrivals[min(at, len(arrivals) - 1)][1]
