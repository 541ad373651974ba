"""Maintenance of a log while a monitor runs for months: retention, and small files.

`LogMaintenance.run` is called each turn of the hub's loop and does at most one small step a second.
It removes the oldest alerts and trends beyond the limits of a `Retention`; heartbeats and pages of
the replay socket publish the new low-water mark. It returns freed pages to the file system, and
each 30 seconds folds the write-ahead log into the file. Without limits nothing is removed, and
active alarms are kept whatever their age (`AlertLog.active_alarms`).

Not thread-safe: runs in the hub's loop.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import Final

from pipeline.errors import ConfigError, LogError
from pipeline.log.store import AlertLog
from pipeline.schema.alert import utc_text

logger = logging.getLogger(__name__)

MAX_WAL_BYTES: Final = 64 << 20
"""Limit of the write-ahead log. Only a reader that stays in a transaction lets it grow so long."""

CHECKPOINT_S: Final = 30.0

_STEP_S: Final = 1.0
_ROWS_A_STEP: Final = 500
_DAY_S: Final = 86_400.0
_MB: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Limits on what is kept: none by default; where both are set, both apply."""

    days: float | None = None
    """Alerts and trends from longer ago are removed."""
    mb: float | None = None
    """Limit on alerts, their strips and trends, in 10**6 bytes: beyond, the oldest are removed."""

    def __post_init__(self) -> None:
        if self.days is not None and not 0 < self.days < 1e5:
            raise ConfigError(f"keep alerts for {self.days} days: more than 0, below 100,000")
        if self.mb is not None and not self.mb >= 1:
            raise ConfigError(f"keep {self.mb} MB of alerts: at least 1")


KEEP_ALL: Final = Retention()


def too_old(raised: Sequence[str], before_utc: str, now_utc: str) -> int:
    """Return how many of the oldest alerts, or trends, were all raised before ``before_utc``.

    Args:
        raised: when each was raised, oldest first. One without a time, or with a time after
            ``now_utc`` because a clock was ahead, goes with the next one that is plausible.
        before_utc: alerts raised earlier are too old.
        now_utc: the time by now.
    """
    count = 0
    for n, utc in enumerate(raised, 1):
        if before_utc <= utc <= now_utc:
            break
        if utc and utc <= now_utc:
            count = n
    return count


def too_many(
    alerts: Sequence[tuple[str, int]], trends: Sequence[tuple[str, int]], excess: int
) -> tuple[int, int]:
    """Return how many of the oldest alerts and trends together make up ``excess`` bytes.

    Of each of them: when it was recorded, oldest first, and its size.
    """
    counts = [0, 0]
    both = [[(*row, kind) for row in rows] for kind, rows in enumerate((alerts, trends))]
    for _, size, kind in merge(*both, key=itemgetter(0)):
        if excess <= 0:
            break
        excess -= size
        counts[kind] += 1
    return counts[0], counts[1]


class LogMaintenance:
    """Keeps ``log`` within the limits of ``keep``."""

    def __init__(
        self, log: AlertLog, keep: Retention, *, utc: Callable[[], float] = time.time
    ) -> None:
        """Begin; ``utc`` is the machine's clock, in seconds since 1970."""
        self.fault = ""
        """What is wrong with the log, in one line; empty for nothing."""
        self._log = log
        self._keep = keep
        self._utc = utc
        self._utc_s = utc()
        self._began_at: float | None = None
        self._step_at = 0.0
        self._checkpoint_at = 0.0

    def run(self, now: float) -> None:
        """Do what is due at ``now``, by a clock that never steps, such as the hub's.

        From the beginning on the age of alerts is counted by that clock: when the machine's clock
        jumps to next year, no alert becomes a year old. If the machine's clock was ahead at the
        beginning and has been put right since, the machine's counts.
        """
        if self._began_at is None:
            self._began_at, self._checkpoint_at = now, now + CHECKPOINT_S
        if now < self._step_at:
            return
        self._step_at = now + _STEP_S
        try:
            self._remove(min(self._utc_s + now - self._began_at, self._utc()))
            self._log.shrink()
            if now >= self._checkpoint_at:
                self._checkpoint_at = now + CHECKPOINT_S
                self._log.checkpoint()
            self._report(self._wal_fault())
        except LogError as error:
            self._report(str(error))

    def _remove(self, utc_s: float) -> None:
        log, keep, alerts, trends = self._log, self._keep, 0, 0
        excess = 0 if keep.mb is None else log.bytes_held - round(keep.mb * _MB)
        if keep.days is None and excess <= 0:
            return
        raised, of_trends = log.raised(_ROWS_A_STEP), log.oldest_trends(_ROWS_A_STEP)
        recorded = [utc for utc, _ in of_trends]
        if keep.days is not None:
            ends = utc_text(utc_s - keep.days * _DAY_S), utc_text(utc_s)
            alerts, trends = too_old(raised, *ends), too_old(recorded, *ends)
        if excess > 0:
            of_alerts = list(zip(raised, log.sizes(_ROWS_A_STEP), strict=False))
            more = too_many(of_alerts, of_trends, excess)
            alerts, trends = max(alerts, more[0]), max(trends, more[1])
        if alerts:
            log.remove_before(log.low_water_seq + alerts)
        if trends:
            log.remove_trends(trends)

    def _wal_fault(self) -> str:
        if self._log.wal_bytes <= MAX_WAL_BYTES:
            return ""
        return (
            f"the write-ahead log of {self._log.path} has {self._log.wal_bytes >> 20} MiB: some "
            "program stays in a transaction that reads the log; end it"
        )

    def _report(self, fault: str) -> None:
        if fault and fault != self.fault:
            logger.warning("%s", fault)
        self.fault = fault
