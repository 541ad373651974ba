"""The protocol of a serial device: its lines, and where their samples lie in the stream.

The device sends text, a line a sample, either ``value`` or ``seq,value[,leadoff]``
(docs/devices.md): ``value`` in ADC units, or ``!`` for a sample without one while an electrode is
off, ``seq`` the number of the sample modulo 65,536, ``leadoff`` 1 while an electrode is off. A
device of several leads sends a value for each, ``value,value`` or
``seq,value,value[,leadoff,leadoff]``; the number of fields decides which it is. Losses show in the
positions of the blocks, which follow the device's own count; a gap is never closed:

* Missing numbers leave a gap of that many samples, unless the following line shows that the number
  was damaged. A repeated number is dropped.
* After a silence, a disconnection or a restart of its count, the clock decides how far the position
  advances. Without numbers, only a silence of over a second can be recognised as a loss.
* Lines that come out of order, before or after their time by seconds, are skipped; they do not move
  what follows. A count that goes on from there for over a second is that of a device that
  restarted.
* Lines that have neither form, are too long, or whose number is not plausible are skipped and
  counted (`LineReader.rejected`, `PositionTracker.implausible`).
* A device numbers its lines or does not, for as long as it is read. A lead that appears or vanishes
  in mid-stream changes the number of fields: without this rule ``512,498`` of a device that sent
  ``512`` would be line 512 with the other lead's value. Such lines count as unreadable.
* A number counts up. Without ``leads`` in its address, ``512,498`` of a device of two leads reads
  as line 512; but values fall as often as they rise. Then lines count as unreadable, too, until
  their numbers count (`LineReader.counts`).

Pure: no port, no clock. Units: samples, seconds.
"""

import re
from typing import Final, NamedTuple

SEQUENCE_MODULUS: Final = 65_536
MAX_LINE_BYTES: Final = 32
"""Of one lead; each further one has half as many more."""
SILENCE_S: Final = 1.0
"""Without numbers, a longer silence is a gap; with them, the tolerance of a plausible number."""

DISORDER_S: Final = 10.0
"""Numbers that are off by up to so much signal are of lines out of order, ..."""

ANOTHER_COUNT_S: Final = 1.0
"""... unless the count goes on from there for so long: what was held up comes in a burst."""

_FORM_LINES: Final = 10
"""So many more lines with a number than without, or the other way about, settle which form a device
sends: damage makes one line of the other form, hardly ten."""

_FALL: Final = 3
"""A number that falls weighs so much, one that rises 1 against it: a quarter of all fall where none
is a count. A restart, damage or disorder make single ones fall."""

_FALLEN: Final = 30
"""So much weight of falling numbers shows that they are values: some tenths of a second of ECG."""

_COUNTED: Final = 250
"""So many numbers that rise in a row are a count again; no ECG rises for so long."""

_OF_NUMBERS: Final = re.compile(rb"[-!,\d]*\d[-!,\d]*")
"""A line that is made like a reading."""


def _line_of(leads: int) -> re.Pattern[bytes]:
    """Return the pattern of a line: number, values, flags."""
    if leads == 1:
        return re.compile(rb"(?:(\d{1,10}),)?(?:(-?\d{1,8})(?:,([01]))?|!)")
    more = b"{%d}" % (leads - 1)
    value = rb"(?:-?\d{1,8}|!)"
    values = rb"(" + value + rb"(?:," + value + rb")" + more + rb")"
    return re.compile(rb"(?:(\d{1,10}),)?" + values + rb"(?:,([01](?:,[01])" + more + rb"))?")


class Reading(NamedTuple):
    """One parsed line of the device."""

    sequence: int | None
    values: tuple[int | None, ...]
    """Of each lead; None for ``!``: the sample was taken, and has no value."""
    lead_off: tuple[bool, ...]
    """Of each lead."""


class LineReader:
    """Parses bytes into readings of so many ``leads``. Pure: no port, no clock."""

    def __init__(self, leads: int = 1) -> None:
        self._leads = leads
        self._line = _line_of(leads)
        self._longest = MAX_LINE_BYTES * (leads + 1) // 2
        self.rejected = 0
        """Number of lines that are not a reading,"""
        self.latest_rejected = b""
        """and the latest of them, or its beginning."""
        self._form = 0
        """Lines with a number less those without, at most `_FORM_LINES` either way."""
        self._number: int | None = None
        """Of the latest numbered line."""
        self._fallen = 0
        """Weight of numbers that fell, at most `_FALLEN`."""
        self._risen = 0
        """Numbers in a row that rose."""
        self.counts = True
        """Whether the numbers of its lines count; if not, they are rather values of a lead."""
        self._tail = b""
        self._skipping = True

    @property
    def has_other_columns(self) -> bool:
        """Whether the latest line that is not a reading is made like one: of other columns."""
        return _OF_NUMBERS.fullmatch(self.latest_rejected.strip(b" \r\t")) is not None

    def restart(self) -> None:
        """Drop the unfinished line; the next line counts as incomplete."""
        self._tail = b""
        self._skipping = True
        self._number = None

    def push(self, data: bytes) -> list[Reading]:
        """Return the readings of the lines that ``data`` completes, in order."""
        *lines, tail = (self._tail + data).split(b"\n")
        readings = []
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            reading = self._parsed(line.strip(b" \r\t"))
            if reading is None:
                self.rejected += 1
                self.latest_rejected = line[:MAX_LINE_BYTES]
            else:
                readings.append(reading)
        if len(tail) > self._longest:
            # The line is too long: drop what there is of it, and skip the rest.
            self.rejected += not self._skipping
            self.latest_rejected = tail[:MAX_LINE_BYTES]
            self._skipping = True
            tail = b""
        self._tail = tail
        return readings

    def _parsed(self, line: bytes) -> Reading | None:
        match = self._line.fullmatch(line)
        if match is None or (match[3] is not None and match[1] is None):
            return None
        sequence = None if match[1] is None else int(match[1]) % SEQUENCE_MODULUS
        fields = (match[2] or b"!").split(b",")
        values = tuple(None if field == b"!" else int(field) for field in fields)
        if not self._has_form(sequence is not None, any(v is not None for v in values)):
            return None
        flags = match[3].split(b",") if match[3] is not None else [b"0"] * self._leads
        off = tuple(
            value is None or flag == b"1" for value, flag in zip(values, flags, strict=True)
        )
        if sequence is not None and not self._has_count(sequence):
            return None
        return Reading(sequence, values, off)

    def _has_count(self, number: int) -> bool:
        """Return whether the numbers of lines count, with this one; a repeat says nothing."""
        step = 0 if self._number is None else (number - self._number) % SEQUENCE_MODULUS
        self._number = number
        if step > SEQUENCE_MODULUS // 2:
            self._fallen, self._risen = min(self._fallen + _FALL, _FALLEN), 0
        elif step:
            self._fallen, self._risen = max(self._fallen - 1, 0), self._risen + 1
        if self._fallen == _FALLEN:
            self.counts = False
        elif self._risen >= _COUNTED:
            self.counts = True
        return self.counts

    def _has_form(self, numbered: bool, has_values: bool) -> bool:
        """Return whether a line is numbered, or not, as most before it were.

        A line without any value may lack its number: it says that an electrode is off, whatever
        else the device sends.
        """
        if not numbered and not has_values:
            return True
        step = 1 if numbered else -1
        if abs(self._form) < _FORM_LINES:
            self._form += step
        return step * self._form > 0


class PositionTracker:
    """Assigns each reading its position in the stream. Pure: time is an argument."""

    def __init__(self, rate_hz: float) -> None:
        self.implausible = 0
        """Number of readings skipped because of their sequence number."""
        self._rate_hz = rate_hz
        self._position = -1
        self._sequence: int | None = None
        self._unconfirmed: int | None = None
        """The number that would confirm another count,"""
        self._unconfirmed_since = 0.0
        """and when the first of that count came."""
        self._deferred: tuple[Reading, int, float] | None = None
        """A reading whose number skips some, its distance from the last one, and its time. The next
        reading shows whether the number was damaged."""
        self._last_s: float | None = None
        self._use_clock = False

    @property
    def placed_any(self) -> bool:
        """Whether a reading has a position already."""
        return self._position >= 0

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
        if self._is_another_count(sequence, step, now_s):
            return by_clock
        self.implausible += 1
        return None

    def _is_another_count(self, sequence: int, step: int, now_s: float) -> bool:
        """Return whether a number that does not continue the count confirms another one.

        It may also be damaged, which the next number shows, or of a line out of order.
        """
        expected, self._unconfirmed = self._unconfirmed, (sequence + 1) % SEQUENCE_MODULUS
        if sequence != expected:
            self._unconfirmed_since = now_s
            return False
        off = min(step, SEQUENCE_MODULUS - step)
        silence_s = self._unconfirmed_since - (self._last_s or 0.0)
        # After a silence a device has most probably restarted: lines of its present come in order.
        in_disorder = off <= DISORDER_S * self._rate_hz and silence_s <= SILENCE_S
        return not in_disorder or now_s - self._unconfirmed_since >= ANOTHER_COUNT_S
