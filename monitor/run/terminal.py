"""The terminal while a dashboard, a process of its own, has it."""

import contextlib
import os
import sys
import tempfile
import termios
from typing import IO, Any, Final

_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"
"""Colours off, cursor shown, back from the alternate screen."""


class Terminal:
    """The terminal as it is now, given back if the dashboard dies and cannot do so."""

    def __init__(self) -> None:
        """Remember its settings."""
        self._settings: list[Any] | None = None
        self._input = self._output = -1
        if sys.stdin is not None and sys.stdin.isatty():
            self._input = sys.stdin.fileno()
            self._settings = termios.tcgetattr(self._input)
        if sys.stdout.isatty():
            self._output = sys.stdout.fileno()

    def restore(self) -> None:
        """Make it what it was; quietly nothing where it is gone."""
        try:
            # In the background a change of the settings would stop this process.
            if self._settings and os.tcgetpgrp(self._input) == os.getpgrp():
                termios.tcsetattr(self._input, termios.TCSANOW, self._settings)
            if self._output >= 0:
                os.write(self._output, _LEAVE)
        except OSError:
            return


class StderrAside:
    """Keeps stderr off the terminal, where it is one; what came is shown in the end."""

    def __init__(self, *, wanted: bool) -> None:
        """Begin, with the stderr of others: ``file`` is theirs, None if nothing is kept."""
        self.file: IO[bytes] | None = None
        self._own: int | None = None
        if wanted and sys.stderr.isatty():
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  (passed on)

    def take_own(self) -> None:
        """Keep this process's own stderr as well."""
        if self.file is not None:
            sys.stderr.flush()
            self._own = os.dup(2)
            os.dup2(self.file.fileno(), 2)

    def close(self) -> None:
        """Show what was kept."""
        if self.file is None:
            return
        if self._own is not None:
            sys.stderr.flush()
            os.dup2(self._own, 2)
            os.close(self._own)
        self.file.seek(0)
        with contextlib.suppress(OSError):  # the terminal is gone
            os.write(2, self.file.read())
        self.file.close()
