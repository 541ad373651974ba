"""A device on a serial port as a source of samples.

The only user of pyserial. Units: mV out, samples, seconds. Not thread-safe.
"""

import contextlib
import errno
import logging
import os
import stat
import time
from collections.abc import Callable
from typing import Final

import serial
from serial.tools import list_ports

from pipeline.errors import DeviceError
from replay.devices.lines.text_source import LineFormat, TextSource
from replay.devices.reconnecting import Retries
from replay.headers import quoted
from replay.pacing import BLOCK_S, wait_s

logger = logging.getLogger(__name__)

_PORT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError)
with contextlib.suppress(ImportError):  # Windows has none
    import termios

    _PORT_ERRORS += (termios.error,)  # not an OSError; a device may disappear while it is opened

READ_TIMEOUT_S: Final = 2 * BLOCK_S
"""Silence after which an incomplete block is sent."""


def attached_ports() -> list[str]:
    """Return the paths of the serial devices attached to this machine, sorted.

    Built-in ports, which exist whether or not something is connected, are left out.
    """
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


class SerialSource(TextSource):
    """A serial device as a `replay.source.Source`, called ``stream``.

    The constructor opens and locks the port; it raises `DeviceError` if the port is absent, busy or
    no serial port. A later loss of the device is not an error: the source waits until it is back.
    """

    def __init__(
        self,
        path: str,
        form: LineFormat,
        *,
        baud: int,
        stream: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        super().__init__(form, stream=stream, clock=clock)
        self.check = f"baud={baud} and what it prints"
        self._path = path
        self._baud = baud
        self._retries = Retries(clock, wait)
        self.reconnects = 0
        """How often the device was lost and came back."""
        self._port: serial.Serial | None = self._open()

    def _gone(self) -> str:
        if self._port is not None:
            return ""
        return f"the device is gone: plug it in again, {quoted(self._path)} is looked for"

    def close(self) -> None:
        """Release the port; safe to call twice."""
        super().close()
        self._drop_port()

    def _receive(self) -> bytes:
        """Return the bytes received within 40 ms; none while the device is lost."""
        if self._port is None:
            self._reconnect()
            return b""
        try:
            data = self._port.read(1)
            if data:
                data += self._port.read(min(self._port.in_waiting, 4096))
            return bytes(data)
        except OSError as error:  # serial.SerialException is one
            logger.warning("device %s is lost: %s", quoted(self._path), quoted(error))
            self._drop_port()
            self._retries.lost()
            return b""

    def _reconnect(self) -> None:
        if not self._retries.due():
            return
        try:
            self._port = self._open()
        except DeviceError:
            self._retries.failed()
            return
        logger.warning("device %s is back", quoted(self._path))
        self.reconnects += 1
        self._restart()

    def _open(self) -> serial.Serial:
        where = f"device {quoted(self._path)}"
        try:
            if os.name == "posix" and not stat.S_ISCHR(os.stat(self._path).st_mode):
                raise DeviceError(f"{where} is no serial port; {_attached()}")
            return serial.Serial(
                self._path, self._baud, timeout=READ_TIMEOUT_S, write_timeout=0, exclusive=True
            )
        except _PORT_ERRORS as error:
            number = getattr(error, "errno", None)
            if number in (errno.EAGAIN, errno.EBUSY):
                raise DeviceError(f"{where} is busy: another program has it open") from None
            if number == errno.ENOENT:
                raise DeviceError(f"{where} is not there; {_attached()}") from None
            if number == errno.EACCES:
                raise DeviceError(
                    f"{where} may not be opened by you; join the group that owns it "
                    "(dialout, uucp) and log in again"
                ) from None
            raise DeviceError(f"{where} cannot be used as a serial port: {quoted(error)}") from None

    def _drop_port(self) -> None:
        if self._port is not None:
            try:
                self._port.close()
            except OSError:
                logger.debug("closing a port that is gone", exc_info=True)
            self._port = None


def _attached() -> str:
    ports = attached_ports()
    return f"attached are {', '.join(map(quoted, ports))}" if ports else "none is attached"
