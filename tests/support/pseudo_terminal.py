"""A command in a pseudo-terminal, and the text on its screen."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

_PLACED = re.compile(r"\x1b\[(\d+);1H")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PseudoTerminal:
    """A process that believes to stand in a terminal; a context manager.

    Reads what `monitor.dashboard.screen.Screen` writes: whole lines, each at its row.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (120, 40),
        environment: Mapping[str, str],
    ) -> None:
        """Start ``command`` on a screen of (columns, rows)."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        self._rows: dict[int, str] = {}
        self._unread = b""

    def read(self, timeout_s: float) -> None:
        """Take in what is written within ``timeout_s``, or the first of it."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return
        try:
            self._unread += os.read(self._master, 1 << 16)
        except OSError:  # the other end is closed
            return
        # A frame ends with its last line; what follows the last row's code may be half of it.
        text = self._unread.decode(errors="ignore")
        pieces = _PLACED.split(text)
        for row, line in zip(pieces[1::2], pieces[2::2], strict=True):
            self._rows[int(row)] = _CODES.sub("", line)
        last = self._unread.rfind(b"\x1b[", 0, max(self._unread.rfind(b";1H"), 0))
        self._unread = self._unread[max(last, 0) :]

    @property
    def screen(self) -> str:
        """Return the text on the screen, line by line."""
        return "\n".join(line for _, line in sorted(self._rows.items()))

    def until(self, seen: Callable[[str], bool], wait_s: float) -> float:
        """Read until the screen is as wanted; return the seconds that took, or fail."""
        began = time.monotonic()
        while not seen(self.screen):
            assert time.monotonic() - began < wait_s, self.screen
            self.read(0.02)
        return time.monotonic() - began

    def __enter__(self) -> Self:
        """Nothing more to begin."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process, and give its terminal back."""
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30.0
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)  # or it would wait for room to write
        self.process.kill()
        self.process.wait()
        os.close(self._master)
