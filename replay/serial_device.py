"""A device on a serial port as a source of samples.

It sends text, a line a sample, either ``value`` or ``seq,value[,leadoff]`` (docs/devices.md):
``value`` in ADC units, ``seq`` the number of the sample modulo 65,536, ``leadoff`` 1 while an
electrode is off. What goes wrong shows in the positions of the blocks, which are the device's
own count and never closed up:

* Missing numbers leave a gap of that many samples, once the line behind them does not prove the
  number to be damaged; a repeated number is dropped.
* A device that went silent or away, or began to count anew, comes back as far on as the clock
  says. Without numbers a silence of over a second is all the loss that can be seen.
* Lines that are neither form, or too long, or whose number is not plausible, are skipped and
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

    _PORT_ERRORS += (termios.error,)  # no OSError; a device may go while it is opened

SEQUENCE_MODULUS: Final = 65_536
MAX_LINE_BYTES: Final = 32
READ_TIMEOUT_S: Final = 2 * BLOCK_S
"""Silence after which a block goes out as it is."""
SILENCE_S: Final = 1.0
"""Without numbers, a longer silence is a gap; with them, the slack of what is plausible."""
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0

_LINE = re.compile(rb"(?:(\d{1,10}),)?(-?\d{1,8})(?:,([01]))?")


class Reading(NamedTuple):
    """One line of the device."""

    sequence: int | None
    value: int
    lead_off: bool


class LineReader:
    """Cuts bytes into readings. Pure: no port, no clock."""

    def __init__(self) -> None:
        self.rejected = 0
        """Lines that were no reading."""
        self._tail = b""
        self._skipping = True

    def restart(self) -> None:
        """Forget the unfinished line; the first line that follows counts as torn."""
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
            # No newline in sight: hold nothing back of it, and skip it up to its end.
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
    return Reading(sequence, int(match[2]), match[3] == b"1")


class Placer:
    """Gives each reading its position in the stream. Pure: time is an argument."""

    def __init__(self, rate_hz: float) -> None:
        self.implausible = 0
        """Readings skipped for their number."""
        self._rate_hz = rate_hz
        self._position = -1
        self._sequence: int | None = None
        self._unconfirmed: int | None = None
        self._ahead: tuple[Reading, int, float] | None = None
        """A reading whose number left some out, how far on it would be, and when it came: the next
        one tells whether the number was damaged."""
        self._last_s: float | None = None
        self._by_clock = False

    def reconnected(self) -> None:
        """Place the next reading by the clock: its number says nothing about the last one."""
        self._by_clock = True
        self._unconfirmed = self._ahead = None

    def place(self, reading: Reading, now_s: float) -> list[tuple[int, Reading]]:
        """Return what can be placed now, in order: positions above all before them.

        That is the reading, nothing if it is to be skipped or waits for the next one, and before
        it the one that waited for this one.
        """
        placed = []
        if self._ahead is not None:
            if self._lies_before(self._ahead[0], reading):
                placed = self.settle()
            else:
                self.implausible += 1
                self._ahead = None
        step = self._step(reading.sequence, now_s)
        if step is None:
            return placed
        if step > 1 and not self._by_clock and self._leads_to(reading.sequence, step):
            self._ahead = reading, step, now_s
            return placed
        return [*placed, self._put(reading, step, now_s)]

    def settle(self) -> list[tuple[int, Reading]]:
        """Place the reading that waits for the next one, if one does: nothing contradicts it."""
        if self._ahead is None:
            return []
        ahead, self._ahead = self._ahead, None
        return [self._put(*ahead)]

    def _put(self, reading: Reading, step: int, now_s: float) -> tuple[int, Reading]:
        self._position += step
        self._sequence = reading.sequence
        self._last_s = now_s
        self._by_clock = False
        self._unconfirmed = None
        return self._position, reading

    def _lies_before(self, ahead: Reading, reading: Reading) -> bool:
        """Say whether ``ahead`` lies between the last reading placed and this one."""
        if reading.sequence is None or ahead.sequence is None or self._sequence is None:
            return True
        from_last = (reading.sequence - self._sequence) % SEQUENCE_MODULUS
        from_ahead = (reading.sequence - ahead.sequence) % SEQUENCE_MODULUS
        return from_ahead <= from_last

    def _leads_to(self, sequence: int | None, step: int) -> bool:
        """Say whether it is by its number that a reading is ``step`` after the last one."""
        if sequence is None or self._sequence is None:
            return False
        return (sequence - self._sequence - step) % SEQUENCE_MODULUS == 0

    def _step(self, sequence: int | None, now_s: float) -> int | None:
        """Return how many samples further on than the last reading this one is."""
        if self._last_s is None:
            return 1
        elapsed = (now_s - self._last_s) * self._rate_hz
        by_clock = max(1, round(elapsed))
        if self._by_clock:
            return by_clock
        if sequence is None or self._sequence is None:
            return by_clock if elapsed > SILENCE_S * self._rate_hz else 1
        step = (sequence - self._sequence) % SEQUENCE_MODULUS
        if step == 0:
            return None
        if step <= 1 + elapsed + SILENCE_S * self._rate_hz:
            # Numbers come round while nothing is heard: the clock says how often.
            return step + SEQUENCE_MODULUS * max(0, round((elapsed - step) / SEQUENCE_MODULUS))
        # A torn number, or a device that started again: the next number tells which.
        expected = self._unconfirmed
        self._unconfirmed = (sequence + 1) % SEQUENCE_MODULUS
        if sequence == expected:
            return by_clock
        self.implausible += 1
        return None


def attached_ports() -> list[str]:
    """Return the paths of the serial devices attached to this machine, sorted.

    Built-in ports, which are there whether or not something is wired to them, are left out.
    """
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


class SerialSource:
    """A serial device as a `replay.source.Source`, called ``stream``.

    ``gain`` is in ADC units per mV. The constructor opens the port and locks it; it raises
    `DeviceError` if it is absent, busy or no serial port. Later losses are waited out.
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
        self._placer = Placer(rate_hz)
        self._pending: list[tuple[int, Reading]] = []
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = 0.0
        self._closed = False
        self.reconnects = 0
        """Times that the device was lost and came back."""
        self._port: serial.Serial | None = self._open()

    @property
    def info(self) -> SourceInfo:
        """Return the stream at the rate that was given."""
        return self._info

    @property
    def rejected_lines(self) -> int:
        """Return how many lines were skipped so far."""
        return self._lines.rejected + self._placer.implausible

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield about 20 ms at a time as it arrives, None while there is nothing."""
        yielded_s = self._clock()
        while not self._closed:
            data = self._receive()
            now_s = self._clock()
            for reading in self._lines.push(data):
                self._pending += self._placer.place(reading, now_s)
            if not data:
                self._pending += self._placer.settle()
            if len(self._pending) >= self._block or not data or now_s - yielded_s > 0.2:
                if self._pending:
                    yield from self._taken()
                else:
                    yield None
                yielded_s = now_s

    def seek(self, epoch: int, sample: int) -> None:
        """Nothing: what was is gone."""

    def close(self) -> None:
        """Release the port; safe to call twice."""
        self._closed = True
        self._drop_port()

    def _taken(self) -> list[SampleBlock]:
        """Return what is pending as blocks, cut where positions jump."""
        pending, self._pending = self._pending, []
        positions = np.array([position for position, _ in pending], dtype=np.int64)
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
        """Return bytes that arrived, after waiting 40 ms for some; none while it is away."""
        if self._port is None:
            self._try_again()
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

    def _try_again(self) -> None:
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
        self._placer.reconnected()

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
