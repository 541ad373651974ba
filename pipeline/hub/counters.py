"""What a hub counts: alarms, frames, how long each stage took, and the sums over its streams.

Counters of a stream live in the stream, so that they continue with it in a new hub;
`HubCounters` keeps those of removed streams, and whatever belongs to no stream. What it counts is
reported by `pipeline.hub.status`.

No sockets; the clock is an argument. Not thread-safe: runs in the hub's loop.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WireError
from pipeline.schema.public import STAGES, Alert, StageHistogram
from pipeline.scoring.beat import Beat
from pipeline.stream.counters import MOST, Counters
from pipeline.stream.session import StreamSession

logger = logging.getLogger(__name__)

_WARN_S: Final = 10.0

BUCKETS_MS: Final = (
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 1e3, 1.5e3,
    2e3, 5e3, 1e4,
)  # fmt: skip
"""Fine around 10 and 50 ms, the limits for the way through the system, and around the 500 ms that
a beat's window waits for its end."""


_SUMMED: Final = (
    "samples", "duplicate_samples", "out_of_order_samples", "gap_samples", "late_samples",
    "unreadable_lines", "windows", "scored_windows", "refused_windows",
)  # fmt: skip
"""The `Counters` that a report has."""

_numbers_of = attrgetter(*_SUMMED)
_times_of = attrgetter(
    "r_arrived", "window_arrived", "ready_arrived", "cut_at", "scored_at", "compute_s"
)


class Histograms:
    """How many values of each of several kinds fell below each of `BUCKETS_MS`."""

    def __init__(self, kinds: int) -> None:
        self._counts = np.zeros((kinds, len(BUCKETS_MS) + 1), np.int64)
        self._sums_ms = np.zeros(kinds)
        self._first = np.arange(0, self._counts.size, len(BUCKETS_MS) + 1)[:, None]
        """Place of the first count of each kind."""

    def observe(self, values_ms: NDArray[np.float64]) -> None:
        """Count values, float64[kinds, n]."""
        at = self._first + np.searchsorted(BUCKETS_MS, values_ms)
        counts = np.bincount(at.ravel(), minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)
        self._sums_ms += values_ms.sum(axis=1)

    def report(self) -> list[StageHistogram]:
        """Return the counts of each kind."""
        return [
            StageHistogram(cumulative=cumulative, count=count, sum_ms=round(sum_ms, 3))
            for (*cumulative, count), sum_ms in zip(
                self._counts.cumsum(axis=1).tolist(), self._sums_ms.tolist(), strict=True
            )
        ]


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
        self._histograms = Histograms(len(STAGES))

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

    def on_beats(self, beats: Sequence[Beat], now: float) -> list[float]:
        """Count where the time of beats with a score went that are published ``now``.

        Returns the whole latency of each, as `Beat.latency` has it, in milliseconds.
        """
        if not beats:
            return []
        r, window, ready, cut, scored, compute = np.array([_times_of(beat) for beat in beats]).T
        with np.errstate(invalid="ignore"):
            models = np.minimum(compute, scored - cut)
            stages_ms = 1e3 * np.array(
                [window - r, ready - window, cut - ready, scored - cut - models, models,
                 now - scored, now - r]
            )  # fmt: skip
        # A beat that an earlier hub found may have times of another clock, or of none.
        known_ms = np.nan_to_num(stages_ms, nan=0.0, posinf=0.0, neginf=0.0)
        self._histograms.observe(known_ms.clip(min=0.0))
        return [round(total, 3) for total in known_ms[-1].tolist()]

    def on_alert(self, alert: Alert) -> None:
        """Count an alert that is in the log, if it begins an alarm."""
        if alert.begins:
            self.alarms[alert.kind] += 1

    def on_removed(self, session: StreamSession) -> None:
        """Keep the counters of a stream that is removed."""
        self._removed = self.totals([session])

    def totals(self, sessions: Iterable[StreamSession]) -> Totals:
        """Return the sums over ``sessions`` and all streams that were removed."""
        rows, shed = [_numbers_of(self._removed.counters)], self._removed.shed_samples
        for session in sessions:
            rows.append(_numbers_of(session.stream.counters))
            shed += session.state.shed_samples
        sums = (min(MOST, sum(numbers)) for numbers in zip(*rows, strict=True))
        return Totals(Counters(**dict(zip(_SUMMED, sums, strict=True))), min(MOST, shed))

    def latency_ms(self) -> dict[str, StageHistogram]:
        """Return the histogram of each stage."""
        return dict(zip(STAGES, self._histograms.report(), strict=True))
