"""The terminal while a dashboard, a process of its own, draws on it."""

import contextlib
import os
import sys
import tempfile
import termios
from typing import IO, Any, Final, TextIO

_RESTORE: Final = (
    b"\x1b[?1000l\x1b[?1006l\x1b[?1016l\x1b[?1004l\x1b[?2004l\x1b[?2048l\x1b[?2026l"
    b"\x1b[<u\x1b[?7h\x1b[0m\x1b[?25h\x1b[?1049l"
)
"""No reports of the mouse, of the focus, of what is pasted and of the size; keys as usual, lines
that wrap, colours off, the cursor shown, back from the alternate screen."""


def can_be_drawn_on(output: TextIO) -> bool:
    """Return whether ``output`` is a terminal with a cursor: elsewhere no dashboard is seen."""
    return output.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class Terminal:
    """The settings of the terminal, to restore where a dashboard died and could not."""

    def __init__(self) -> None:
        """Save the settings."""
        self._settings: list[Any] | None = None
        self._input = self._output = -1
        if sys.stdin is not None and sys.stdin.isatty():
            self._input = sys.stdin.fileno()
            self._settings = termios.tcgetattr(self._input)
        if sys.stdout.isatty():
            self._output = sys.stdout.fileno()

    def restore(self) -> None:
        """Restore the settings; do nothing where the terminal is gone."""
        try:
            # Changing the settings from the background would stop this process (SIGTTOU).
            if self._settings and os.tcgetpgrp(self._input) == os.getpgrp():
                termios.tcsetattr(self._input, termios.TCSANOW, self._settings)
            if self._output >= 0:
                os.write(self._output, _RESTORE)
        except OSError:
            return


class CapturedStderr:
    """Keeps stderr off a terminal; what was written is shown at the end."""

    def __init__(self, *, wanted: bool) -> None:
        """Open ``file`` for the stderr of child processes; None where nothing is captured."""
        self.file: IO[bytes] | None = None
        self._own: int | None = None
        if wanted and sys.stderr.isatty():
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)

    def capture_own(self) -> None:
        """Capture the stderr of this process as well."""
        if self.file is not None:
            sys.stderr.flush()
            self._own = os.dup(2)
            os.dup2(self.file.fileno(), 2)

    def close(self) -> None:
        """Show what was captured."""
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
