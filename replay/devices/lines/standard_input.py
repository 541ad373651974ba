"""Standard input as a source of samples: lines as of a serial device, piped in by another program.

Units: mV out, samples, seconds. Not thread-safe.
"""

import os
import select
import sys
import time
from collections.abc import Callable
from typing import Final

from pipeline.errors import DeviceError
from replay.devices.lines.text_source import LineFormat, TextSource
from replay.pacing import BLOCK_S

_READ_TIMEOUT_S: Final = 2 * BLOCK_S
_MOST_BYTES: Final = 4096


class StandardInput(TextSource):
    """The lines on a file descriptor as a `replay.source.Source`; its end is that of the stream.

    Raises `DeviceError` where the descriptor is a terminal, or closed.
    """

    silent = "standard input brings nothing: check the program before the pipe"

    def __init__(
        self,
        form: LineFormat,
        *,
        stream: str,
        descriptor: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(form, stream=stream, clock=clock)
        if descriptor is None and sys.stdin is None:
            raise DeviceError("standard input is closed: pipe the lines of a device into it")
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        if os.isatty(self._descriptor):
            raise DeviceError("standard input is a terminal: pipe the lines of a device into it")

    def _gone(self) -> str:
        return ""

    def _receive(self) -> bytes:
        try:
            if not select.select([self._descriptor], [], [], _READ_TIMEOUT_S)[0]:
                return b""
            data = os.read(self._descriptor, _MOST_BYTES)
        except OSError as error:
            raise DeviceError(f"standard input cannot be read: {error.strerror}") from None
        if not data:
            self._ended = True
        return data
