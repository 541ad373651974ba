"""What a log needs while a monitor runs for months: old alerts removed, its files kept small.

`LogMaintenance.tend` is called each turn of the hub's loop and does at most one small step a
second: alerts too old or too many are removed from the old end, and the low-water mark says so to
everybody (heartbeats, pages of the replay socket); freed pages go back to the file system; each 30
seconds the write-ahead log is folded into the file. Nothing is removed that was not asked for, and
what stands is kept whatever its age (`AlertLog.standing`).

Not thread-safe: runs in the hub's loop.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.errors import ConfigError, LogError
from pipeline.log.store import AlertLog
from pipeline.schema.public import utc_text

logger = logging.getLogger(__name__)

MAX_WAL_BYTES: Final = 64 << 20
"""Of the write-ahead log. It gets there only if a reader stays in a transaction."""

CHECKPOINT_S: Final = 30.0

_STEP_S: Final = 1.0
_ALERTS_A_STEP: Final = 500
_DAY_S: Final = 86_400.0
_MB: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of the log is kept: everything, unless limits are set; both count."""

    days: float | None = None
    """Alerts raised longer ago are removed."""
    mb: float | None = None
    """In 10**6 bytes, of alerts and their strips: the oldest are removed beyond that."""

    def __post_init__(self) -> None:
        if self.days is not None and not 0 < self.days < 1e5:
            raise ConfigError(f"keep alerts for {self.days} days: more than 0, below 100,000")
        if self.mb is not None and not self.mb >= 1:
            raise ConfigError(f"keep {self.mb} MB of alerts: at least 1")


EVERYTHING: Final = Retention()


def too_old(raised: Sequence[str], before_utc: str, now_utc: str) -> int:
    """Return how many of the oldest alerts, raised then, were all raised before ``before_utc``.

    One that does not say when, or that says a time after ``now_utc`` because a clock was ahead,
    goes with the next one that can be believed.
    """
    count = 0
    for n, utc in enumerate(raised, 1):
        if before_utc <= utc <= now_utc:
            break
        if utc and utc <= now_utc:
            count = n
    return count


def too_many(sizes: Sequence[int], excess: int) -> int:
    """Return how many of the oldest alerts, of these sizes, make up ``excess`` bytes."""
    for n, size in enumerate(sizes):
        if excess <= 0:
            return n
        excess -= size
    return len(sizes)


class LogMaintenance:
    """Looks after ``log``, of which ``keep`` is kept."""

    def __init__(
        self, log: AlertLog, keep: Retention, *, utc: Callable[[], float] = time.time
    ) -> None:
        """Begin; ``utc`` is the clock of the machine, in seconds since 1970."""
        self.fault = ""
        """What is wrong, in one line; empty for nothing."""
        self._log = log
        self._keep = keep
        self._utc = utc
        self._utc_s = utc()
        self._began_at: float | None = None
        self._step_at = 0.0
        self._checkpoint_at = 0.0

    def tend(self, now: float) -> None:
        """Do what is due at ``now``, of a clock that never steps, as the hub's.

        The age of alerts is counted by that clock from the beginning on: when the clock of the
        machine jumps to next year, no alert is a year old. Where that of the machine was ahead at
        the beginning and was put right since, it counts.
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
            self._found(self._wal_fault())
        except LogError as error:
            self._found(str(error))

    def _remove(self, utc_s: float) -> None:
        log, keep, count = self._log, self._keep, 0
        if keep.days is not None:
            before_utc = utc_text(utc_s - keep.days * _DAY_S)
            count = too_old(log.raised(_ALERTS_A_STEP), before_utc, utc_text(utc_s))
        if keep.mb is not None and log.bytes_held > keep.mb * _MB:
            excess = log.bytes_held - round(keep.mb * _MB)
            count = max(count, too_many(log.sizes(_ALERTS_A_STEP), excess))
        if count:
            log.remove_before(log.low_water_seq + count)

    def _wal_fault(self) -> str:
        if self._log.wal_bytes <= MAX_WAL_BYTES:
            return ""
        return (
            f"the write-ahead log of {self._log.path} has {self._log.wal_bytes >> 20} MiB: some "
            "program stays in a transaction that reads the log; end it"
        )

    def _found(self, fault: str) -> None:
        if fault and fault != self.fault:
            logger.warning("%s", fault)
        self.fault = fault
