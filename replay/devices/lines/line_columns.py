"""Which column of a line is the ECG, where a device prints more than the protocol asks for.

Ordinary sketches print for the plotter of the Arduino IDE: ``ECG:512``, ``ECG:512<tab>HR:72``,
``512<tab>498``. A column is chosen by its number from 1 or by its label; without a choice, where it
is plain: one labelled value, one label of several that says ECG, or labels that are those of the
leads. What is chosen becomes a line of the protocol (`replay.devices.lines.serial_lines`).

A device prints the same columns in each line. The first lines settle which: damage makes one line
of other columns, hardly ten. Pure.
"""

import re
from collections.abc import Sequence
from typing import Final

from replay.signal_names import ECG, kind_named

SEPARATORS: Final = re.compile(rb"[ \t]*[,;\t][ \t]*|[ \t]+")
_LABEL_END: Final = re.compile(rb"[ \t]*[:=][ \t]*")
_NUMBER: Final = re.compile(rb"[-+]?[\d.]+|!")
_PLAIN: Final = re.compile(rb"[-+!@,.\d]*")
_SETTLED: Final = 10
"""This many more lines with these columns than with others settle that a device sends them."""


class ColumnPicker:
    """Turns the lines of a device into lines of values. Not thread-safe."""

    def __init__(self, leads: Sequence[str], columns: Sequence[str] = ()) -> None:
        """Take the ``columns``, one for each of the ``leads``; none for those that are plain."""
        self._leads = leads
        self._columns = columns
        self._labels: tuple[bytes, ...] | None = None
        """The labels of the columns that the device sends, empty ones for columns without; none at
        all for lines of the protocol."""
        self._seen = 0
        self._known: tuple[bytes, ...] | None = None
        """The latest labels in which columns were looked for."""
        self._chosen: tuple[list[int] | None, str] = (None, "")
        """The places of the columns among these labels, or why there are none."""
        self.why_not = ""
        """What to do about the latest line that has no such column; empty for nothing."""

    def picked(self, line: bytes) -> bytes | None:
        """Return the values of a line, with commas between them; None where it has none.

        Without columns to choose, a line without labels is returned as it is.
        """
        self.why_not = ""
        if not self._columns and _PLAIN.fullmatch(line):
            # An electrode that is off is said in any form.
            return line if line == b"!" or self._are_usual(()) else None
        labelled = _LABEL_END.sub(b":", line)
        if not self._columns and b":" not in labelled:
            if self._labels and self._seen >= _SETTLED:
                return None
            commas = re.sub(rb"[ \t]*,[ \t]*", b",", line)
            parts = SEPARATORS.split(commas)
            if commas.count(b",") < len(parts) - 1:
                if all(_NUMBER.fullmatch(part) for part in parts):
                    self.why_not = "say which column is the ECG, as in column=2"
                return None
            return commas if self._are_usual(()) else None
        fields = [field.rpartition(b":") for field in SEPARATORS.split(labelled)]
        labels = tuple(label for label, _, _ in fields)
        values = [value for _, _, value in fields]
        if not self._are_usual(labels):
            return None
        if labels != self._known:
            self._known, self._chosen = labels, self._places(labels)
        places, self.why_not = self._chosen
        return None if places is None else b",".join(values[place] for place in places)

    def _are_usual(self, labels: tuple[bytes, ...]) -> bool:
        """Return whether a line has the columns that most before it had."""
        same = labels == self._labels
        if self._seen < _SETTLED:
            self._seen += 1 if same else -1
            if self._seen < 0 or self._labels is None:
                self._labels, self._seen, same = labels, 1, True
        return same

    def _places(self, labels: tuple[bytes, ...]) -> tuple[list[int] | None, str]:
        """Return the places of the columns among the labels; None for none, with what to do."""
        names = [label.decode("latin-1").strip() for label in labels]
        folded = [name.upper() for name in names]
        if self._columns:
            places = [_place(column, folded) for column in self._columns]
            missing = [c for c, at in zip(self._columns, places, strict=True) if at is None]
            if missing:
                return None, f"it has no column {missing[0]}: check column= in the address"
            return [at for at in places if at is not None], ""
        if len(self._leads) > 1:
            leads = [lead.upper() for lead in self._leads]
            if all(folded.count(lead) == 1 for lead in leads):
                return [folded.index(lead) for lead in leads], ""
            return None, "name the columns of the leads, as in column=1,2"
        if len(names) == 1 and kind_named(names[0]) in (ECG, ""):
            return [0], ""
        ecg = [at for at, name in enumerate(names) if kind_named(name) == ECG]
        if len(ecg) == 1:
            return ecg, ""
        return None, "say which column is the ECG, as in column=2"


def _place(column: str, folded: list[str]) -> int | None:
    """Return the place of a column, given by label or by number from 1; None if there is none."""
    if folded.count(column.upper()) == 1:
        return folded.index(column.upper())
    number = int(column) if column.isascii() and column.isdigit() and len(column) < 4 else 0
    return number - 1 if 1 <= number <= len(folded) else None
