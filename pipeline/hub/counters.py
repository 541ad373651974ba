"""What the hub counts, and the report it makes of that each second.

Counters of a stream live in the stream, so that they go on where a hub goes on after its end;
`HubCounters` keeps those of streams that were forgotten, what belongs to no stream, and how long
each stage took. What concerns the system and no patient, it says to the program's log as well.

No sockets; the time is passed in. Reads the sizes of the log's files and of this process.
Not thread-safe: runs in the hub's loop; a report, once made, never changes.
"""

import logging
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, Protocol

from pipeline.schema.public import Alert, Latency, Status, utc_text
from pipeline.schema.system_report import STAGES, LogReport, StageHistogram, SystemReport
from pipeline.stream.counters import Counters, counted
from pipeline.stream.session import StreamSession

logger = logging.getLogger(__name__)

BUCKETS_MS: Final = (
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 1e3, 2e3, 5e3,
    1e4,
)  # fmt: skip
"""Fine around 10 and 50 ms, which the way through the system is held to, and around the 500 ms
that a beat's window waits for its end."""

_STATM: Final = Path("/proc/self/statm")


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
        """Return what was counted."""
        *cumulative, count = accumulate(self._counts)
        return StageHistogram(cumulative=cumulative, count=count, sum_ms=round(self._sum_ms, 3))


class LogFile(Protocol):
    """What is asked of the alert log."""

    path: Path

    @property
    def log_id(self) -> str:
        """What it is called."""

    @property
    def last_seq(self) -> int:
        """Number of the newest alert."""

    @property
    def low_water_seq(self) -> int:
        """Number of the oldest alert that is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How the windows and those who score them stand."""

    pending: int
    """Windows without a score."""
    redelivered: int
    scorers: int


class HubCounters:
    """All that one hub has counted since it began at ``began``."""

    def __init__(self, began: float, *, version: str = "", commit: str = "") -> None:
        self.rejected_frames = 0
        self._began = began
        self._version = version
        self._commit = commit
        self._left = Counters()
        self._left_shed = 0
        self._alerts: Counter[str] = Counter()
        self._stages = {stage: Histogram() for stage in STAGES}
        self._scorers = 0

    def on_beat(self, latency: Latency) -> None:
        """Count where the time of a beat that was told went."""
        for stage, histogram in self._stages.items():
            # A beat that an earlier hub found may have been told by another clock.
            histogram.observe(max(0.0, getattr(latency, stage)))

    def on_alert(self, alert: Alert) -> None:
        """Count an alert that is in the log, if it begins an alarm."""
        if alert.begins:
            self._alerts[alert.kind] += 1
        if not alert.stream or alert.kind == "no_data":
            where = {"stream": alert.stream} if alert.stream else {}
            logger.info("%s is %s: %s", alert.kind, alert.state, alert.reason, extra=where)

    def leave(self, session: StreamSession) -> None:
        """Keep the counters of a stream that is forgotten."""
        self._left = _sum([self._left, session.stream.counters])
        self._left_shed = counted(self._left_shed, session.state.shed_samples)

    def report(
        self,
        now: float,
        *,
        sessions: Collection[StreamSession],
        statuses: Iterable[Status],
        work: Work,
        rejected_frames: int,
        log: LogFile,
        writable: bool,
        fault: str = "",
        alarms: Sequence[Alert] = (),
    ) -> SystemReport:
        """Return how everything stands, and say if there are more or fewer scorers than before.

        Args:
            now: the hub's clock.
            sessions: every stream there is.
            statuses: of the same streams.
            work: the windows and the scorers.
            rejected_frames: what arrived and was no message.
            log: the alert log.
            writable: whether it takes what is to be written.
            fault: what is wrong with it; empty for nothing.
            alarms: about the system, that stand.
        """
        if work.scorers != self._scorers:
            level = logging.INFO if work.scorers else logging.WARNING
            logger.log(level, "scorers: %d, were %d", work.scorers, self._scorers)
            self._scorers = work.scorers
        total = _sum([self._left, *(session.stream.counters for session in sessions)])
        return SystemReport(
            utc=utc_text(time.time()),
            version=self._version,
            commit=self._commit,
            uptime_s=round(now - self._began, 3),
            resident_bytes=resident_bytes(),
            streams=dict(Counter("ended" if s.ended else s.state for s in statuses)),
            scorers=work.scorers,
            received_samples=total.samples + total.duplicate_samples,
            duplicate_samples=total.duplicate_samples,
            out_of_order_samples=total.out_of_order_samples,
            gap_samples=total.gap_samples,
            late_samples=total.late_samples,
            shed_samples=counted(self._left_shed, sum(c.state.shed_samples for c in sessions)),
            produced_windows=total.windows,
            scored_windows=total.scored_windows,
            pending_windows=work.pending,
            refused_windows=total.refused_windows,
            redelivered_windows=work.redelivered,
            rejected_frames=rejected_frames,
            alerts=dict(self._alerts),
            buckets_ms=list(BUCKETS_MS),
            latency_ms={stage: histogram.report() for stage, histogram in self._stages.items()},
            log=LogReport(
                log_id=log.log_id,
                name=log.path.name,
                last_seq=log.last_seq,
                low_water_seq=log.low_water_seq,
                bytes=_size(log.path),
                wal_bytes=_size(log.path.with_name(log.path.name + "-wal")),
                writable=writable,
            ),
            fault=fault,
            alarms=list(alarms),
        )


def _sum(counters: Iterable[Counters]) -> Counters:
    """Return the sums of the numbers that a report needs."""
    total = Counters()
    for one in counters:
        total.samples += one.samples
        total.duplicate_samples += one.duplicate_samples
        total.out_of_order_samples += one.out_of_order_samples
        total.gap_samples = counted(total.gap_samples, one.gap_samples)
        total.late_samples += one.late_samples
        total.windows += one.windows
        total.scored_windows += one.scored_windows
        total.refused_windows += one.refused_windows
    return total


def resident_bytes() -> int | None:
    """Return how much memory this process holds, or None where ``/proc`` does not say."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
