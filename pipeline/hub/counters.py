"""What a hub counts: alarms, frames, how long each stage took, and the sums over its streams.

Counters of a stream live in the stream, so that they continue with it in a new hub;
`HubCounters` keeps those of removed streams, and whatever belongs to no stream. What it counts is
reported by `pipeline.hub.status`.

No sockets; the clock is an argument. Not thread-safe: runs in the hub's loop.
"""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Final

from pipeline.errors import WireError
from pipeline.schema.public import STAGES, Alert, Latency, StageHistogram
from pipeline.stream.counters import Counters, counted
from pipeline.stream.session import StreamSession

logger = logging.getLogger(__name__)

_WARN_S: Final = 10.0

BUCKETS_MS: Final = (
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 1e3, 2e3, 5e3,
    1e4,
)  # fmt: skip
"""Fine around 10 and 50 ms, the limits for the way through the system, and around the 500 ms that
a beat's window waits for its end."""


_parts = attrgetter(*STAGES)


class Histogram:
    """How many values fell below each of `BUCKETS_MS`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_MS) + 1)
        self._sum_ms = 0.0

    def observe(self, value_ms: float) -> None:
        """Count one value."""
        self._counts[bisect_left(BUCKETS_MS, value_ms)] += 1
        self._sum_ms += value_ms

    def report(self) -> StageHistogram:
        """Return the counts."""
        *cumulative, count = accumulate(self._counts)
        return StageHistogram(cumulative=cumulative, count=count, sum_ms=round(self._sum_ms, 3))


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all streams there are and were."""

    counters: Counters
    shed_samples: int


class HubCounters:
    """All that one hub has counted since it began."""

    def __init__(self) -> None:
        self.rejected_frames = 0
        """Frames that were no message, contradicted their stream, or were not their sender's to
        send."""
        self.uncredited_chunks = 0
        """Chunks that came without credit and were not taken."""
        self.unsaved_states = 0
        """States of streams that did not fit into the log."""
        self._warned_at = float("-inf")
        self._unwarned = 0
        self.alarms: Counter[str] = Counter()
        """Alarms that began and are in the log, by kind."""
        self._removed = Totals(Counters(), 0)
        self._histograms = [Histogram() for _ in STAGES]

    def reject(self, error: WireError, now: float) -> None:
        """Count a frame that is refused; the program's log says so, every `_WARN_S` at most."""
        self.rejected_frames += 1
        self._unwarned += 1
        if now - self._warned_at >= _WARN_S:
            logger.warning("%d frames refused, the last: %s", self._unwarned, error)
            self._warned_at, self._unwarned = now, 0

    def on_uncredited(self, session: StreamSession | None) -> None:
        """Count a chunk that came without credit, of a stream where there is one."""
        self.uncredited_chunks += 1
        if session is not None:
            session.uncredited_chunks += 1

    def on_beat(self, latency: Latency) -> None:
        """Count where the time of a beat with a score went."""
        for histogram, milliseconds in zip(self._histograms, _parts(latency), strict=True):
            # A beat that an earlier hub found may have times of another clock.
            histogram.observe(max(0.0, milliseconds))

    def on_alert(self, alert: Alert) -> None:
        """Count an alert that is in the log, if it begins an alarm."""
        if alert.begins:
            self.alarms[alert.kind] += 1

    def on_removed(self, session: StreamSession) -> None:
        """Keep the counters of a stream that is removed."""
        self._removed = self.totals([session])

    def totals(self, sessions: Iterable[StreamSession]) -> Totals:
        """Return the sums over ``sessions`` and all streams that were removed."""
        total = Counters()
        _add(total, self._removed.counters)
        shed = self._removed.shed_samples
        for session in sessions:
            _add(total, session.stream.counters)
            shed = counted(shed, session.state.shed_samples)
        return Totals(total, shed)

    def latency_ms(self) -> dict[str, StageHistogram]:
        """Return the histogram of each stage."""
        return {
            stage: histogram.report()
            for stage, histogram in zip(STAGES, self._histograms, strict=True)
        }


def _add(total: Counters, one: Counters) -> None:
    """Add the numbers that a report needs to ``total``."""
    total.samples += one.samples
    total.duplicate_samples += one.duplicate_samples
    total.out_of_order_samples += one.out_of_order_samples
    total.gap_samples = counted(total.gap_samples, one.gap_samples)
    total.late_samples += one.late_samples
    total.unreadable_lines = counted(total.unreadable_lines, one.unreadable_lines)
    total.windows += one.windows
    total.scored_windows += one.scored_windows
    total.refused_windows += one.refused_windows
