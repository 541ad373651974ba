"""A device on a serial port as a source of samples.

`replay.devices.serial_lines` has its protocol. Lines that cannot be read are reported as a number
each second, and what keeps the device from sending samples in a sentence.

The only user of pyserial. Units: mV out, samples, seconds. Not thread-safe.
"""

import contextlib
import errno
import logging
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import serial
from serial.tools import list_ports

from pipeline.errors import DeviceError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.devices.serial_lines import LineReader, PositionTracker, Reading
from replay.headers import quoted
from replay.pacing import BLOCK_S, LONGEST_WAIT_S, wait_s
from replay.source import SourceInfo, SourceReport

logger = logging.getLogger(__name__)

_PORT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError)
with contextlib.suppress(ImportError):  # Windows has none
    import termios

    _PORT_ERRORS += (termios.error,)  # not an OSError; a device may disappear while it is opened

READ_TIMEOUT_S: Final = 2 * BLOCK_S
"""Silence after which an incomplete block is sent."""
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0
FAULT_S: Final = 1.0
"""After so long without a sample its source says why; sooner than the hub raises an alarm."""
REPORT_S: Final = 1.0
"""Lines that cannot be read are reported so often."""


def attached_ports() -> list[str]:
    """Return the paths of the serial devices attached to this machine, sorted.

    Built-in ports, which exist whether or not something is connected, are left out.
    """
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


class SerialSource:
    """A serial device as a `replay.source.Source`, called ``stream``.

    ``gain`` is in ADC units per mV, ``leads`` are the names of its leads. The constructor opens and
    locks the port; it raises `DeviceError` if the port is absent, busy or no serial port. A later
    loss of the device is not an error: the source waits until it is back.
    """

    def __init__(
        self,
        path: str,
        *,
        baud: int,
        rate_hz: float,
        gain: float,
        stream: str,
        leads: Sequence[str] = ("serial",),
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        self._path = path
        self._baud = baud
        self._gain = gain
        self._clock = clock
        self._wait = wait
        self._info = SourceInfo(stream=stream, fs_hz=rate_hz, leads=tuple(leads))
        self._block = max(1, round(rate_hz * BLOCK_S))
        self._lines = LineReader(len(leads))
        self._tracker = PositionTracker(rate_hz)
        self._pending: list[tuple[int, Reading]] = []
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = 0.0
        self._closed = False
        self.reconnects = 0
        """How often the device was lost and came back."""
        self._port: serial.Serial | None = self._open()
        now_s = self._clock()
        self._heard_s = -math.inf
        """When it sent bytes last,"""
        self._read_s = now_s
        """and when a sample, or when it was opened."""
        self._reported = SourceReport(0, "")
        """The lines reported so far, and the present fault."""
        self._reported_s = now_s

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name and the rate that was given."""
        return self._info

    @property
    def rejected_lines(self) -> int:
        """Return how many lines were skipped so far."""
        return self._lines.rejected + self._tracker.implausible

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield about 20 ms at a time as samples arrive, None while there are none."""
        yielded_s = self._clock()
        while not self._closed:
            data = self._receive()
            now_s = self._clock()
            for reading in self._lines.push(data):
                self._pending += self._tracker.track(reading, now_s)
            self._heard_s = now_s if data else self._heard_s
            self._read_s = now_s if self._pending else self._read_s
            if not data:
                self._pending += self._tracker.release()
            if len(self._pending) >= self._block or not data or now_s - yielded_s > 0.2:
                if self._pending:
                    yield from self._pending_blocks()
                else:
                    yield None
                yielded_s = now_s

    def report(self) -> SourceReport | None:
        """Return what is new: a fault, its end, or lines that could not be read."""
        now_s = self._clock()
        before, fault = self._reported, self._fault(now_s)
        new = self.rejected_lines - before.unreadable
        if fault == before.fault and not (new and now_s - self._reported_s >= REPORT_S):
            return None
        self._reported, self._reported_s = SourceReport(before.unreadable + new, fault), now_s
        return SourceReport(new, fault)

    def _fault(self, now_s: float) -> str:
        """Return what keeps the device from sending samples, and what to do; empty for nothing."""
        if self._closed:
            return ""
        if self._port is None:
            return f"the device is gone: plug it in again, {quoted(self._path)} is looked for"[:160]
        if now_s - self._read_s < FAULT_S:
            return ""
        if now_s - self._heard_s >= FAULT_S:
            return "the device sends nothing: check its cable, its power and its program"
        columns, counts = self._lines.has_other_columns, self._lines.counts
        changed = counts and columns and self._tracker.placed_any
        if not counts:
            unread = "its lines are not numbered"
        else:
            unread = "its lines have other columns now" if changed else "its lines cannot be read"
        if self._reported.fault.startswith(unread):
            return self._reported.fault  # with the line that was the latest then
        latest = self._lines.latest_rejected[:16].strip().decode("latin-1")
        example = f", such as {latest!r}" if latest else ""
        if changed:
            return f"{unread}{example}: end this, and start again with leads= as the device sends"
        leads = len(self._info.leads)
        if not counts or (columns and leads == 1):
            return f"{unread}{example}: name each of its leads, as in serial:...?leads=I,II"
        needed = f", which is {leads} values a line" if leads > 1 else ""
        return f"{unread}{example}: check baud={self._baud} and what it prints{needed}"

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing: past samples of a device are lost."""

    def close(self) -> None:
        """Release the port; safe to call twice."""
        self._closed = True
        self._drop_port()

    def _pending_blocks(self) -> list[SampleBlock]:
        """Return the pending readings as blocks, divided where positions jump."""
        pending, self._pending = self._pending, []
        positions = np.array([position for position, _ in pending], dtype=np.int64)
        # None becomes NaN.
        mv = np.array([r.values for _, r in pending], dtype=np.float64).T / self._gain
        flags = np.array([r.lead_off for _, r in pending]).T * np.uint8(FLAG_LEAD_OFF)
        if len(mv) == 1:
            mv, flags = mv[0], flags[0]
        starts = [0, *(np.flatnonzero(np.diff(positions) != 1) + 1).tolist()]
        read_at = time.time()
        return [
            SampleBlock(
                first_sample=int(positions[start]),
                samples=mv[..., start:end].astype(np.float32),
                flags=flags[..., start:end] if flags[..., start:end].any() else None,
                stamp_s=read_at if end == len(pending) else None,
            )
            for start, end in zip(starts, [*starts[1:], len(pending)], strict=True)
        ]

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
            self._retry_s = FIRST_RETRY_S
            self._retry_at_s = self._clock() + self._retry_s
            return b""

    def _reconnect(self) -> None:
        missing_s = self._retry_at_s - self._clock()
        if missing_s > 0:
            self._wait(min(missing_s, LONGEST_WAIT_S))
            return
        try:
            self._port = self._open()
        except DeviceError:
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
            self._retry_at_s = self._clock() + self._retry_s
            return
        logger.warning("device %s is back", quoted(self._path))
        self.reconnects += 1
        self._read_s = self._clock()
        self._lines.restart()
        self._tracker.reconnected()

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
