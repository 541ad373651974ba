"""A device on a serial port as a source of samples.

The device sends text, a line a sample, either ``value`` or ``seq,value[,leadoff]``
(docs/devices.md): ``value`` in ADC units, or ``!`` for a sample without one while an electrode is
off, ``seq`` the number of the sample modulo 65,536, ``leadoff`` 1 while an electrode is off. Losses
show in the positions of the blocks, which follow the device's own count; a gap is never closed:

* Missing numbers leave a gap of that many samples, unless the following line shows that the number
  was damaged. A repeated number is dropped.
* After a silence, a disconnection or a restart of its count, the clock decides how far the position
  advances. Without numbers, only a silence of over a second can be recognised as a loss.
* Lines that have neither form, are too long, or whose number is not plausible are skipped and
  counted in `SerialSource.rejected_lines`.

The only user of pyserial. Units: mV out, samples, seconds. Not thread-safe.
"""

import contextlib
import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import serial
from serial.tools import list_ports

from pipeline.errors import DeviceError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.headers import quoted
from replay.pacing import BLOCK_S, LONGEST_WAIT_S, wait_s
from replay.source import SourceInfo

logger = logging.getLogger(__name__)

_PORT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError)
with contextlib.suppress(ImportError):  # Windows has none
    import termios

    _PORT_ERRORS += (termios.error,)  # not an OSError; a device may disappear while it is opened

SEQUENCE_MODULUS: Final = 65_536
MAX_LINE_BYTES: Final = 32
READ_TIMEOUT_S: Final = 2 * BLOCK_S
"""Silence after which an incomplete block is sent."""
SILENCE_S: Final = 1.0
"""Without numbers, a longer silence is a gap; with them, the tolerance of a plausible number."""
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0

_LINE = re.compile(rb"(?:(\d{1,10}),)?(?:(-?\d{1,8})(?:,([01]))?|!)")


class Reading(NamedTuple):
    """One parsed line of the device."""

    sequence: int | None
    value: int | None
    """None for ``!``: the sample was taken, and has no value."""
    lead_off: bool


class LineReader:
    """Parses bytes into readings. Pure: no port, no clock."""

    def __init__(self) -> None:
        self.rejected = 0
        """Number of lines that are not a reading."""
        self._tail = b""
        self._skipping = True

    def restart(self) -> None:
        """Drop the unfinished line; the next line counts as incomplete."""
        self._tail = b""
        self._skipping = True

    def push(self, data: bytes) -> list[Reading]:
        """Return the readings of the lines that ``data`` completes, in order."""
        *lines, tail = (self._tail + data).split(b"\n")
        readings = []
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            reading = _parsed(line.strip(b" \r\t"))
            if reading is None:
                self.rejected += 1
            else:
                readings.append(reading)
        if len(tail) > MAX_LINE_BYTES:
            # The line is too long: drop what there is of it, and skip the rest.
            self.rejected += not self._skipping
            self._skipping = True
            tail = b""
        self._tail = tail
        return readings


def _parsed(line: bytes) -> Reading | None:
    match = _LINE.fullmatch(line)
    if match is None or (match[3] is not None and match[1] is None):
        return None
    sequence = None if match[1] is None else int(match[1]) % SEQUENCE_MODULUS
    if match[2] is None:
        return Reading(sequence, None, True)
    return Reading(sequence, int(match[2]), match[3] == b"1")


class PositionTracker:
    """Assigns each reading its position in the stream. Pure: time is an argument."""

    def __init__(self, rate_hz: float) -> None:
        self.implausible = 0
        """Number of readings skipped because of their sequence number."""
        self._rate_hz = rate_hz
        self._position = -1
        self._sequence: int | None = None
        self._unconfirmed: int | None = None
        self._deferred: tuple[Reading, int, float] | None = None
        """A reading whose number skips some, its distance from the last one, and its time. The next
        reading shows whether the number was damaged."""
        self._last_s: float | None = None
        self._use_clock = False

    def reconnected(self) -> None:
        """Place the next reading by the clock: its number does not continue the last one."""
        self._use_clock = True
        self._unconfirmed = self._deferred = None

    def track(self, reading: Reading, now_s: float) -> list[tuple[int, Reading]]:
        """Return the readings whose positions are known now; positions ascend.

        That is a deferred reading, if this one confirms it, and then this reading, unless it is
        skipped or deferred itself.
        """
        placed = []
        if self._deferred is not None:
            if self._lies_before(self._deferred[0], reading):
                placed = self.release()
            else:
                self.implausible += 1
                self._deferred = None
        step = self._step(reading.sequence, now_s)
        if step is None:
            return placed
        if step > 1 and not self._use_clock and self._is_by_number(reading.sequence, step):
            self._deferred = reading, step, now_s
            return placed
        return [*placed, self._assign(reading, step, now_s)]

    def release(self) -> list[tuple[int, Reading]]:
        """Place the deferred reading, if there is one: no later reading contradicts it."""
        if self._deferred is None:
            return []
        deferred, self._deferred = self._deferred, None
        return [self._assign(*deferred)]

    def _assign(self, reading: Reading, step: int, now_s: float) -> tuple[int, Reading]:
        self._position += step
        self._sequence = reading.sequence
        self._last_s = now_s
        self._use_clock = False
        self._unconfirmed = None
        return self._position, reading

    def _lies_before(self, deferred: Reading, reading: Reading) -> bool:
        """Return whether ``deferred`` lies between the last reading placed and this one."""
        if reading.sequence is None or deferred.sequence is None or self._sequence is None:
            return True
        from_last = (reading.sequence - self._sequence) % SEQUENCE_MODULUS
        from_ahead = (reading.sequence - deferred.sequence) % SEQUENCE_MODULUS
        return from_ahead <= from_last

    def _is_by_number(self, sequence: int | None, step: int) -> bool:
        """Return whether ``step`` follows from the number of a reading, not from the clock."""
        if sequence is None or self._sequence is None:
            return False
        return (sequence - self._sequence - step) % SEQUENCE_MODULUS == 0

    def _step(self, sequence: int | None, now_s: float) -> int | None:
        """Return how many samples after the last reading this one is; None to skip it."""
        if self._last_s is None:
            return 1
        elapsed = (now_s - self._last_s) * self._rate_hz
        by_clock = max(1, round(elapsed))
        if self._use_clock:
            return by_clock
        if sequence is None or self._sequence is None:
            return by_clock if elapsed > SILENCE_S * self._rate_hz else 1
        step = (sequence - self._sequence) % SEQUENCE_MODULUS
        if step == 0:
            return None
        if step <= 1 + elapsed + SILENCE_S * self._rate_hz:
            # The numbers may wrap around during a silence: the clock decides how often.
            return step + SEQUENCE_MODULUS * max(0, round((elapsed - step) / SEQUENCE_MODULUS))
        # A damaged number, or a device that restarted: the next number shows which.
        expected = self._unconfirmed
        self._unconfirmed = (sequence + 1) % SEQUENCE_MODULUS
        if sequence == expected:
            return by_clock
        self.implausible += 1
        return None


def attached_ports() -> list[str]:
    """Return the paths of the serial devices attached to this machine, sorted.

    Built-in ports, which exist whether or not something is connected, are left out.
    """
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


class SerialSource:
    """A serial device as a `replay.source.Source`, called ``stream``.

    ``gain`` is in ADC units per mV. The constructor opens and locks the port; it raises
    `DeviceError` if the port is absent, busy or not a serial port. A later loss of the device is
    not an error: the source waits until it is back.
    """

    def __init__(
        self,
        path: str,
        *,
        baud: int,
        rate_hz: float,
        gain: float,
        stream: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        self._path = path
        self._baud = baud
        self._gain = gain
        self._clock = clock
        self._wait = wait
        self._info = SourceInfo(stream=stream, fs_hz=rate_hz, lead="serial")
        self._block = max(1, round(rate_hz * BLOCK_S))
        self._lines = LineReader()
        self._tracker = PositionTracker(rate_hz)
        self._pending: list[tuple[int, Reading]] = []
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = 0.0
        self._closed = False
        self.reconnects = 0
        """How often the device was lost and came back."""
        self._port: serial.Serial | None = self._open()

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
            if not data:
                self._pending += self._tracker.release()
            if len(self._pending) >= self._block or not data or now_s - yielded_s > 0.2:
                if self._pending:
                    yield from self._pending_blocks()
                else:
                    yield None
                yielded_s = now_s

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
        mv = np.array([r.value for _, r in pending], dtype=np.float64) / self._gain
        flags = np.array([FLAG_LEAD_OFF * r.lead_off for _, r in pending], dtype=np.uint8)
        starts = [0, *(np.flatnonzero(np.diff(positions) != 1) + 1).tolist()]
        read_at = time.time()
        return [
            SampleBlock(
                first_sample=int(positions[start]),
                samples=mv[start:end].astype(np.float32),
                flags=flags[start:end] if flags[start:end].any() else None,
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
