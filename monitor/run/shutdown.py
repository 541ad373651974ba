"""How a run is told to end: the first signal lets it drain, the next ends it at once.

Signals are Ctrl-C, SIGTERM and SIGHUP, the loss of the terminal. One that was ignored when the
program began stays so.
"""

import contextlib
import os
import select
import signal
import sys
from typing import Final

DRAIN_S: Final = 3.25
"""The longest time for what is pending to be told."""

_CLOSE_S: Final = 0.75
"""The longest time, afterwards, for a process to end by itself: five seconds in all."""

_UNHURRIED_S: Final = 5.0


class Shutdown:
    """What signals have asked for so far. One for a program: it takes the signals over."""

    def __init__(self) -> None:
        self.drains = False
        """Whether the run can drain; while it cannot, a signal raises `KeyboardInterrupt`."""
        self.asked = False
        """Whether a first signal came."""
        self.at_once = False
        """Whether a second one did."""
        self._on_terminal = [output for output in (1, 2) if os.isatty(output)]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_time_over)

    @property
    def patience_s(self) -> float:
        """How long a process may take to end, by what has been asked for."""
        return 0.0 if self.at_once else _CLOSE_S if self.asked else _UNHURRIED_S

    def drained(self) -> None:
        """Take note that nothing is pending any more, or has not to be waited for."""
        self.drains = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            for output in self._on_terminal:
                _let_go(output)
        if self.drains and not self.asked:
            self.asked = True
            # By the clock, not by the loop: that may be writing to somebody who does not read.
            signal.setitimer(signal.ITIMER_REAL, DRAIN_S)
            return
        self.at_once = self.asked
        self.asked = True
        self._on_time_over(number, frame)

    def _on_time_over(self, number: int, frame: object) -> None:
        self.drains = False
        with contextlib.suppress(OSError, ValueError):
            if not select.select([], [sys.stdout], [], 0)[1]:
                _let_go(sys.stdout.fileno())
        raise KeyboardInterrupt


def _let_go(output: int) -> None:
    """Write nowhere from now on: the terminal is gone, or the reader does not read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
