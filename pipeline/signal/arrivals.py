"""When the samples of a stream arrived, for the latencies of its beats. Pure."""

from collections.abc import Sequence
from typing import Final

from pipeline.schema.state import State, field
from pipeline.signal.sample_times import SampleTimes, SampleTimesState

KEPT_S: Final = 6.0
"""Of signal: no beat is found later, for a window is cut from the last 5.7 s
(`pipeline.signal.leads.lead_state.TAIL_SAMPLES`)."""

TOGETHER_S: Final = 0.005
"""Chunks within this time count as one arrival: there may be ten thousand a second."""


class ArrivalState(State):
    """All memory of `ArrivalTimes`."""

    arrivals: SampleTimesState = field(default_factory=SampleTimesState.fresh)
    """Index one past the last sample of a chunk, when it arrived in seconds."""


class ArrivalTimes:
    """The latest arrivals of one stream, in one epoch."""

    def __init__(self, fs_hz: float, state: ArrivalState | None = None) -> None:
        """Begin, or continue from ``state``.

        Raises:
            SnapshotError: the state has no such arrivals.
        """
        self.state = state or ArrivalState()
        self._arrivals = SampleTimes(self.state.arrivals)
        self._kept = round(KEPT_S * fs_hz)

    def record(self, end: int, at: float) -> None:
        """Record that the samples before ``end`` had arrived at ``at``, in seconds."""
        arrivals = self._arrivals
        latest_s = arrivals.latest_s
        if latest_s is not None and 0 <= at - latest_s < TOGETHER_S:
            arrivals.move_latest(end)
        else:
            arrivals.add(end, at)
        arrivals.forget_before(end - self._kept)

    def record_all(self, ends: Sequence[int], arrivals: Sequence[float]) -> None:
        """Record, as `record` one by one, when the samples before each of ``ends`` had arrived."""
        if not ends:
            return
        times = self._arrivals
        latest_s = times.latest_s
        samples, seconds = list[int](), list[float]()
        for end, at in zip(ends, arrivals, strict=True):
            if latest_s is not None and 0 <= at - latest_s < TOGETHER_S:
                if samples:
                    samples[-1] = end
                else:
                    times.move_latest(end)
            else:
                samples.append(end)
                seconds.append(at)
                latest_s = at
        times.add_all(samples, seconds)
        times.forget_before(ends[-1] - self._kept)

    def of(self, sample: int) -> float | None:
        """Return when ``sample`` arrived; the nearest known time for one too old or missing."""
        return self._arrivals.at_or_behind(sample)
