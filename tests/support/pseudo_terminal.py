"""A command in a pseudo-terminal, and the text on its screen."""

import contextlib
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

_CODES = re.compile(r"\x1b\[([0-9;?<>=]*)([ -/]*[@-~])|\n|[^\x1b\n]+")
"""What a picture is written with: control sequences, new lines, and text."""


class Cells:
    """What stands in the cells of a screen, from what was written to it."""

    def __init__(self) -> None:
        self._rows: dict[int, list[str]] = {}
        self._at = (0, 0)
        self._unread = b""

    def write(self, data: bytes) -> None:
        """Take in what was written; half a sequence at its end waits for the rest."""
        self._unread += data
        whole = self._unread
        last = whole.rfind(b"\x1b")
        if last >= 0 and not re.match(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]", whole[last:]):
            whole = whole[:last]
        while whole and whole[-1] >= 0x80 and len(self._unread) - len(whole) < 4:
            try:
                whole.decode()
                break
            except UnicodeDecodeError:
                whole = whole[:-1]
        self._unread = self._unread[len(whole) :]
        for found in _CODES.finditer(whole.decode(errors="replace")):
            numbers, final = found.groups()
            if final is None:
                self._print(found.group())
            elif final == "H":
                row, column = (int(n or 1) for n in (numbers or "1;1").split(";"))
                self._at = (row - 1, column - 1)
            elif final == "J" or (final in "hl" and numbers == "?1049"):
                self._rows.clear()

    def _print(self, text: str) -> None:
        row, column = self._at
        if text == "\n":
            self._at = (row + 1, 0)
            return
        cells = self._rows.setdefault(row, [])
        cells += [" "] * (column + len(text) - len(cells))
        cells[column : column + len(text)] = text
        self._at = (row, column + len(text))

    @property
    def text(self) -> str:
        """The text on the screen, line by line."""
        return "\n".join("".join(cells) for _, cells in sorted(self._rows.items()))


class PseudoTerminal:
    """A process that believes to stand in a terminal; a context manager."""

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
        self._cells = Cells()

    def read(self, timeout_s: float) -> None:
        """Take in what is written within ``timeout_s``, or the first of it."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return
        with contextlib.suppress(OSError):  # the other end is closed
            self._cells.write(os.read(self._master, 1 << 16))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    @property
    def screen(self) -> str:
        """Return the text on the screen, line by line."""
        return self._cells.text

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
