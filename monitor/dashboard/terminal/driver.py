"""Textual's driver of a terminal, which writes to stdout and reads keys where stdin is no terminal.

Stderr is that of error lines: a run keeps it off the terminal while a dashboard draws there.
"""

import os
import sys

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class StdoutDriver(LinuxDriver):
    """Writes to stdout, and reads the terminal itself where stdin is something else."""

    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Take the terminal."""
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = sys.__stdout__
        if not self.input_tty:
            self.fileno = _terminal_or_silence()

    def _enable_mouse_support(self) -> None:
        """Ask for clicks alone: moves of the mouse mean nothing here."""
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")


def _terminal_or_silence() -> int:
    """Return a descriptor of this process's terminal, or one that nothing is ever read from."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        silence, _ = os.pipe()
        return silence
