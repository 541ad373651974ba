"""The heart rate of a patient over the last hours, minute by minute. Pure.

Minutes come from the topic ``trend/<stream>``, and those from before the wall began from the log of
the monitor, where one is given.
"""

from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.log.reader import LogReader
from pipeline.schema.public import Trend
from pipeline.trends.minutes import MINUTE_S

HOURS: Final = 8
"""Kept of each patient."""

MINUTES: Final = 60 * HOURS

_MOST_READ: Final = 64 * MINUTES
"""Of a log, of all streams together."""


class Minute(NamedTuple):
    """The heart rate of a minute, in whole bpm; None where it is not known."""

    at: int
    """Its number: those that are missing between two are counted."""
    low: int | None
    mean: int | None
    high: int | None


class Hours:
    """The minutes of one patient, bounded."""

    def __init__(self) -> None:
        self.minutes: deque[Minute] = deque()
        self._newest: tuple[int, float] | None = None
        """Epoch and time of the newest one, in seconds; None where a log begins."""

    def take(self, trend: Trend) -> bool:
        """Take in the next minute; return False for one that is known, or older.

        A new epoch goes on where the one before ended: its time says nothing of the time between.
        """
        this, before, passed = (trend.epoch, trend.time_s), self._newest, 1
        if before is not None:
            if this <= before:
                return False
            if this[0] == before[0]:
                passed = max(1, round((this[1] - before[1]) / MINUTE_S))
        at = self.minutes[-1].at + passed if self.minutes else 0
        self._newest = this
        self.minutes.append(
            Minute(at, _whole(trend.bpm_min), _whole(trend.bpm_mean), _whole(trend.bpm_max))
        )
        while self.minutes[0].at <= at - MINUTES:
            self.minutes.popleft()
        return True

    def begin_again(self) -> None:
        """Take the next minute behind the newest one, whatever its epoch: the log is another."""
        self._newest = None

    def ago(self) -> list[tuple[int, int | None, int | None, int | None]]:
        """Return minutes before the newest one, lowest, mean and highest rate, the newest last."""
        newest = self.minutes[-1].at if self.minutes else 0
        return [(newest - one.at, one.low, one.mean, one.high) for one in self.minutes]


def _whole(bpm: float | None) -> int | None:
    return round(bpm) if bpm is not None and 0 < bpm < 1_000 else None


def hours_in(path: Path) -> tuple[str, list[Trend]]:
    """Return the id of a log and its newest minutes of all streams, in order.

    Raises:
        InputError: there is no such log.
        LogError: it cannot be read.
    """
    with LogReader(path) as log:
        return log.meta().log_id, log.newest_trends(_MOST_READ)
