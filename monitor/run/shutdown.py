"""How signals end a run: the first lets it drain, the next ends it at once.

The signals are Ctrl-C, SIGTERM and SIGHUP, the loss of the terminal. A signal that was ignored when
the program started stays ignored.
"""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Final

DRAIN_S: Final = 3.25
"""The longest time for pending beats to be scored and published."""

_CLOSE_S: Final = 0.75
"""The longest time, afterwards, for a process to end by itself: five seconds in all."""

_NORMAL_CLOSE_S: Final = 5.0
"""The same in a run that no signal has ended."""

_OUTPUT_S: Final = 0.25
"""Period of checks whether stdout is blocked while a run that a signal has ended writes to it."""


class Shutdown:
    """What signals have requested so far. One for a program: it installs the signal handlers."""

    def __init__(self) -> None:
        self.can_drain = False
        """Whether the run can drain; while it cannot, a signal raises `KeyboardInterrupt`."""
        self.requested = False
        """Whether a first signal came."""
        self.at_once = False
        """Whether a second one did."""
        self._on_terminal = [output for output in (1, 2) if os.isatty(output)]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_timer)

    @property
    def timeout_s(self) -> float:
        """How long a process may take to end, by what has been requested."""
        return 0.0 if self.at_once else _CLOSE_S if self.requested else _NORMAL_CLOSE_S

    def drained(self) -> None:
        """Record that nothing is pending any more, or that nothing needs to be waited for."""
        self.can_drain = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    @contextlib.contextmanager
    def bounded_output(self) -> Iterator[None]:
        """Write to stdout; where a signal has ended the run, do not wait for a reader.

        Raises:
            KeyboardInterrupt: a signal has ended the run, and its output is not read.
        """
        if self.requested:
            signal.setitimer(signal.ITIMER_REAL, _OUTPUT_S, _OUTPUT_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            for output in self._on_terminal:
                _redirect_to_null(output)
        if self.can_drain and not self.requested:
            self.requested = True
            # A timer, because the loop may be blocked in a write to a reader that does not read.
            signal.setitimer(signal.ITIMER_REAL, DRAIN_S)
            return
        self.at_once = self.requested
        self.requested = True
        self.can_drain = False
        _discard_blocked_output()
        raise KeyboardInterrupt

    def _on_timer(self, number: int, frame: object) -> None:
        draining, self.can_drain = self.can_drain, False
        if _discard_blocked_output() or draining:
            raise KeyboardInterrupt


def _discard_blocked_output() -> bool:
    """Discard further output if stdout takes none now; return whether that is so."""
    with contextlib.suppress(OSError, ValueError):  # stdout is closed
        if not select.select([], [sys.stdout], [], 0)[1]:
            _redirect_to_null(sys.stdout.fileno())
            return True
    return False


def _redirect_to_null(output: int) -> None:
    """Discard further writes: the terminal is gone, or the reader does not read."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, output)
    os.close(null)
