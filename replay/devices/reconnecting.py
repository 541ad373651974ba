"""What devices that may vanish have in common: when to look for them, and what is said of them.

Units: seconds. Not thread-safe.
"""

import logging
from collections.abc import Callable
from typing import Final

from replay.pacing import LONGEST_WAIT_S
from replay.source import SourceReport

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0
FAULT_S: Final = 1.0
"""After this long without a sample its source says why; sooner than the hub raises an alarm."""
REPORT_S: Final = 1.0
"""What cannot be read is reported this often."""
_LONGEST_FAULT: Final = 160


class Retries:
    """When to look again for a device that is gone: soon at first, then less often."""

    def __init__(self, clock: Callable[[], float], wait: Callable[[float], None]) -> None:
        self._clock = clock
        self._wait = wait
        self._after_s = FIRST_RETRY_S
        self._at_s = 0.0

    def lost(self) -> None:
        """Begin again: the device was lost just now."""
        self._after_s = FIRST_RETRY_S
        self._at_s = self._clock() + self._after_s

    def due(self) -> bool:
        """Return whether it is time to try, after a wait of at most a quarter of a second."""
        missing_s = self._at_s - self._clock()
        if missing_s > 0:
            self._wait(min(missing_s, LONGEST_WAIT_S))
        return missing_s <= 0

    def failed(self) -> None:
        """Try later: the device is not there yet."""
        self._after_s = min(2 * self._after_s, LONGEST_RETRY_S)
        self._at_s = self._clock() + self._after_s


class FaultReports:
    """What is new about a device, at most once a second but for a fault and its end."""

    def __init__(self, stream: str, now_s: float) -> None:
        self._stream = stream
        self._reported = SourceReport(0, "")
        """All that was reported as unreadable so far, and the present fault."""
        self._reported_s = now_s

    @property
    def fault(self) -> str:
        """The fault that was reported last."""
        return self._reported.fault

    def of_connection(
        self,
        now_s: float,
        read_s: float | None,
        *,
        closed: bool,
        gone: str,
        silent: str,
        unreadable: int = 0,
    ) -> SourceReport | None:
        """Return what is new about a device to which a connection is held.

        Args:
            now_s: the present time.
            read_s: when samples came last; None while there is no connection.
            closed: whether nobody reads the device any more.
            gone: the fault while there is no connection.
            silent: the fault while nothing comes.
            unreadable: as of `report`.
        """
        fault = ""
        if not closed and read_s is None:
            fault = gone
        elif not closed and read_s is not None and now_s - read_s >= FAULT_S:
            fault = silent
        return self.report(now_s, unreadable, fault)

    def report(
        self, now_s: float, unreadable: int, fault: str, *, final: bool = False
    ) -> SourceReport | None:
        """Return what is new: a fault, its end, or what could not be read; None for nothing.

        Args:
            now_s: the present time.
            unreadable: lines or packets that could not be read so far.
            fault: the present one; empty for none.
            final: whether nothing will be reported later.
        """
        fault = fault[:_LONGEST_FAULT]
        before = self._reported
        new = unreadable - before.unreadable
        if fault == before.fault and not (new and (final or now_s - self._reported_s >= REPORT_S)):
            return None
        if fault and fault != before.fault:
            logger.warning("%s: %s", self._stream, fault)
        self._reported, self._reported_s = SourceReport(unreadable, fault), now_s
        return SourceReport(new, fault)
