"""The lines of a serial device.

The device sends text, a line a sample, either ``value`` or ``seq,value[,leadoff]``
(docs/devices.md): ``value`` in ADC units, or ``!`` for a sample without one while an electrode is
off, ``seq`` the number of the sample modulo 65,536, ``leadoff`` 1 while an electrode is off. A
device of several leads sends a value for each, ``value,value`` or
``seq,value,value[,leadoff,leadoff]``; the number of fields decides which it is. Where the samples
lie in the stream, `replay.devices.lines.line_positions` finds out.

* Lines that have neither form, or are too long, are skipped and counted (`LineReader.rejected`).
* A device numbers its lines or does not, for as long as it is read. A lead that appears or vanishes
  in mid-stream changes the number of fields: without this rule ``512,498`` of a device that sent
  ``512`` would be line 512 with the other lead's value. Such lines count as unreadable.
* A line may carry the device's time in place of a number, ``@micros,value``, and end with a
  checksum, ``*5A``. Lines without one are not read once a device was seen to send it.
* Where a device prints other columns, `replay.devices.lines.line_columns` chooses among them.
* A number counts up. Without ``leads`` in its address, ``512,498`` of a device of two leads reads
  as line 512; but values fall as often as they rise. Then lines count as unreadable, too, until
  their numbers count (`LineReader.counts`).

Pure: no port, no clock.
"""

import re
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from replay.devices.lines.line_columns import ColumnPicker

SEQUENCE_MODULUS: Final = 65_536
TIME_MODULUS: Final = 1 << 32
"""Of the device's time in microseconds, as ``micros()`` of an Arduino counts."""
MAX_LINE_BYTES: Final = 400
"""Twelve leads with decimals, or what a sketch prints for a plotter."""
_FORM_LINES: Final = 10
"""This many more lines with a number than without, or the other way about, settle which form a
device sends: damage makes one line of the other form, hardly ten."""

_FALL: Final = 3
"""Weight of a number that falls, against 1 of one that rises: a quarter of all fall where none
is a count. A restart, damage or disorder make single ones fall."""

_FALLEN: Final = 30
"""This much weight of falling numbers shows that they are values: some tenths of a second of
ECG."""

_COUNTED: Final = 250
"""This many numbers that rise in a row are a count again; no ECG rises for this long."""

_OF_NUMBERS: Final = re.compile(rb"[-!,\d]*\d[-!,\d]*")
"""A line that is made like a reading."""


_CHECKSUM = re.compile(rb"(.*)\*([0-9A-Fa-f]{2})")

_DECIMALS: Final = re.compile(rb"[-+!@,\d]*\d*\.\d[-+!,.\d]*")
"""A line that would be a reading if its values were whole."""


def checksum(line: bytes) -> int:
    """Return the checksum of a line, as in NMEA 0183: all of its bytes, exclusive or."""
    return reduce(xor, line, 0)


def _line_of(leads: int, *, decimals: bool) -> re.Pattern[bytes]:
    """Return the pattern of a line: number or time, values, flags."""
    number = rb"(?:(@?\d{1,10}),)?"
    one = rb"[-+]?(?:\d{1,8}(?:\.\d{0,12})?|\.\d{1,12})" if decimals else rb"-?\d{1,8}"
    if leads == 1:
        return re.compile(number + rb"(?:(" + one + rb")(?:,([01]))?|!)")
    more = b"{%d}" % (leads - 1)
    value = rb"(?:" + one + rb"|!)"
    values = rb"(" + value + rb"(?:," + value + rb")" + more + rb")"
    return re.compile(number + values + rb"(?:,([01](?:,[01])" + more + rb"))?")


class Reading(NamedTuple):
    """One parsed line of the device."""

    sequence: int | None
    values: tuple[float | None, ...]
    """Of each lead; None for ``!``: the sample was taken, and has no value."""
    lead_off: tuple[bool, ...]
    """Of each lead."""
    device_us: int | None = None
    """When the sample was taken, by the device's clock, modulo `TIME_MODULUS`."""


class LineReader:
    """Parses bytes into readings of so many leads. Pure: no port, no clock."""

    def __init__(
        self,
        leads: int | Sequence[str] = 1,
        *,
        columns: Sequence[str] = (),
        decimals: bool = False,
    ) -> None:
        """Read lines of ``leads``, their number or their names.

        ``columns`` are those to take, `ColumnPicker` finds them otherwise. Values have ``decimals``
        only where their unit was given: without it they are units of a converter.
        """
        names = [f"lead {n}" for n in range(leads)] if isinstance(leads, int) else leads
        self._leads = len(names)
        self._decimals = decimals
        self._line = _line_of(self._leads, decimals=decimals)
        self._columns = ColumnPicker(names, columns)
        self.rejected = 0
        """Number of lines that are not a reading."""
        self.latest_rejected = b""
        """The latest of these lines, or its beginning."""
        self._advice = ""
        self._checked = 0
        """Lines with a right checksum, at most `_FORM_LINES`."""
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

    @property
    def unfinished(self) -> bool:
        """Whether there is a line without its end."""
        return bool(self._tail)

    @property
    def advice(self) -> str:
        """What to do so that lines like the latest that is no reading can be read; or nothing."""
        return self._advice

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
        if len(tail) > MAX_LINE_BYTES:
            # The line is too long: drop what there is of it, and skip the rest.
            self.rejected += not self._skipping
            self.latest_rejected = tail[:MAX_LINE_BYTES]
            self._skipping = True
            tail = b""
        self._tail = tail
        return readings

    def _parsed(self, line: bytes) -> Reading | None:
        self._advice = ""
        checked = self._without_checksum(line)
        if checked is None:
            return None
        picked = self._columns.picked(checked)
        if picked is None:
            self._advice = self._columns.why_not
            return None
        match = self._line.fullmatch(picked)
        if match is None or (match[3] is not None and match[1] is None):
            if not self._decimals and _DECIMALS.fullmatch(picked):
                self._advice = "say in which unit its values are, as in unit=mV"
            return None
        sequence = device_us = None
        if match[1] is not None and match[1].startswith(b"@"):
            device_us = int(match[1][1:]) % TIME_MODULUS
        elif match[1] is not None:
            sequence = int(match[1]) % SEQUENCE_MODULUS
        fields = (match[2] or b"!").split(b",")
        number = float if self._decimals else int
        values = tuple(None if field == b"!" else number(field) for field in fields)
        if not self._has_form(match[1] is not None, any(v is not None for v in values)):
            return None
        flags = match[3].split(b",") if match[3] is not None else [b"0"] * self._leads
        off = tuple(
            value is None or flag == b"1" for value, flag in zip(values, flags, strict=True)
        )
        if sequence is not None and not self._has_count(sequence):
            return None
        return Reading(sequence, values, off, device_us)

    def _without_checksum(self, line: bytes) -> bytes | None:
        """Return a line without its checksum; None if that is wrong, or missing where it is usual.

        One line in 256 that is damaged has a right one: a device that sends none is not believed to
        send one before ten are right.
        """
        match = _CHECKSUM.fullmatch(line)
        if match is None:
            return line if self._checked < _FORM_LINES else None
        if checksum(match[1]) != int(match[2], 16):
            return None
        self._checked = min(self._checked + 1, _FORM_LINES)
        return match[1]

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
