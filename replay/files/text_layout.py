"""How a text holds a table of numbers: delimiter, decimal comma, names, units, where rows begin.

Found in the first lines of the file: CSV and TSV with a header or without one, with a line of units
(as PhysioNet exports), with comments or pairs of names and values before the table (as Apple's
Health app exports an ECG). Pure.
"""

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from replay.files.columns import Column, named
from replay.files.stated import UNITS

_DELIMITERS: Final = ("\t", ";", ",", "|", " ")
_NONE: Final = "\x1f"
"""A delimiter that no text has: one column."""

_LINES: Final = 40
"""This many rows decide."""

_BEGIN: Final = 5
"""This many rows in a row are the beginning of a table."""

_NOTHING: Final = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?"})
"""What stands for an unknown value, in small letters."""

_NUMBER: Final = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
_POINT = re.compile(_NUMBER, re.ASCII)
_COMMA = re.compile(_NUMBER.replace(r"\.", ","), re.ASCII)
_CLOCK = re.compile(
    r"(\d{4}-\d\d-\d\d[T ])?(\d{1,3}:)?\d{1,2}:\d\d([.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", re.ASCII)
_CUT = re.compile(r"\d+", re.ASCII)
_HERTZ = re.compile(r"([\d.,]{1,20})\s*(hz|hertz|赫兹|ヘルツ|герц)\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a text are read."""

    delimiter: str
    comma: bool
    """The decimal mark is a comma."""
    quoted: bool
    """Fields stand in quotation marks, which may hold the delimiter."""
    columns: tuple[Column, ...]
    kinds: str
    """Of each column a letter: ``n`` a number, ``t`` a time of day or date, ``x`` another text."""
    headed: bool
    """The file names the columns."""
    skip: int
    """Lines before the first row."""
    rate_hz: float | None
    """The rate that the lines before the table state."""
    start: datetime | None
    """When the first row was taken, where these lines state it."""

    def fields(self, line: str) -> list[str]:
        """Return the fields of a line."""
        return split(line, self.delimiter, quoted=self.quoted)


def split(line: str, delimiter: str, *, quoted: bool = True) -> list[str]:
    """Return the fields of a line, without space or quotation marks around them."""
    if delimiter == " ":
        return line.split()
    if not quoted or '"' not in line:
        fields = line.split(delimiter)
    else:
        try:
            fields = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            fields = line.split(delimiter)
    return [field.strip(" '\"\t\r") for field in fields]


def is_number(field: str, *, comma: bool) -> bool:
    """Return whether a field is a number, or stands for an unknown one."""
    if len(field) > 64:
        return False
    return field.lower() in _NOTHING or (_COMMA if comma else _POINT).fullmatch(field) is not None


def number(field: str, *, comma: bool) -> float:
    """Return the number in a field, NaN for an unknown one; ValueError if it is none."""
    if not is_number(field, comma=comma):
        raise ValueError(field)
    if field.lower() in _NOTHING:
        return float("nan")
    return float(field.replace(",", ".") if comma else field)


def find_layout(lines: Sequence[str], *, whole: bool) -> Layout | None:
    """Return how the first lines of a text are read; None where they hold no table of numbers.

    ``whole`` says that the text has no further lines: the last one may have been cut otherwise.
    """
    known = list(lines) if whole else list(lines[:-1])
    while known and not known[-1].strip():
        known.pop()
    one_column = any(line.strip() == "" for line in known[:-1])  # Apple: a blank before the values
    choices = [
        (delimiter, comma)
        for delimiter in (*_DELIMITERS, _NONE)
        for comma in (False, True)
        if not (comma and delimiter == "," and not any('"' in line for line in known[-4:]))
    ]
    if one_column and _is_pairs(known):
        choices = [(_NONE, False), (_NONE, True), *choices]
    tables = [_table(known, delimiter, comma=comma) for delimiter, comma in choices]
    # What splits numbers leaves texts behind.
    return max(
        filter(None, tables),
        key=lambda table: len(table.kinds) - 2 * table.kinds.count("x"),
        default=None,
    )


def _table(lines: Sequence[str], delimiter: str, *, comma: bool) -> Layout | None:
    """Return the table that the last lines are, if they are one by this delimiter."""
    tail = [split(line, delimiter) for line in lines[-_LINES:] if not line.startswith("#")]
    width = len(tail[-1]) if tail else 0
    if width < (2 if delimiter != _NONE else 1):
        return None
    rows = []
    for fields in reversed(tail):
        if len(fields) != width:
            break
        rows.append(fields)
    seconds = [row[1] for row in rows[1:]] if delimiter == "," and width == 2 else []
    if all(map(_CUT.fullmatch, seconds)) and any(len(s) > 1 and s[0] == "0" for s in seconds):
        return None  # one column with decimal commas: no whole number begins with a zero
    kinds = _kinds(rows[: max(1, min(len(rows) - 1, _LINES))], comma=comma)
    if "n" not in kinds:
        return None
    fits = [
        bool(line.strip()) and _fits(split(line, delimiter), kinds, comma=comma) for line in lines
    ]
    skip = next((n for n in range(len(fits)) if all(fits[n : n + _BEGIN])), len(lines))
    if skip == len(lines):
        return None
    before = [line for line in lines[:skip] if line.strip()]
    columns, headed = _columns(before, delimiter, width)
    about = _stated_before(before)
    if about.unit and width == 1 and not columns[0].unit:
        columns = (Column(columns[0].name if headed else about.lead or "ECG", about.unit),)
    return Layout(
        delimiter=delimiter,
        comma=comma,
        quoted=any('"' in line for line in lines[skip:]),
        columns=columns,
        kinds=kinds,
        headed=headed,
        skip=skip,
        rate_hz=about.rate_hz,
        start=about.start,
    )


def _kinds(rows: Sequence[Sequence[str]], *, comma: bool) -> str:
    kinds = ""
    for column in zip(*rows, strict=True):
        # A value that is none is a fault of its row, and says so when that is read.
        numbers = sum(is_number(field, comma=comma) for field in column)
        times = sum(_CLOCK.fullmatch(field.strip("[] ")) is not None for field in column)
        kinds += "n" if 2 * numbers > len(column) else "t" if 2 * times > len(column) else "x"
    return kinds


def _fits(fields: Sequence[str], kinds: str, *, comma: bool) -> bool:
    return len(fields) == len(kinds) and all(
        kind == "x"
        or (kind == "n" and is_number(field, comma=comma))
        or (kind == "t" and _CLOCK.fullmatch(field.strip("[] ")) is not None)
        for field, kind in zip(fields, kinds, strict=True)
    )


def _columns(before: Sequence[str], delimiter: str, width: int) -> tuple[tuple[Column, ...], bool]:
    """Return the columns by the last lines before the rows, and whether these name them."""
    heads = [split(line.lstrip("#% "), delimiter) for line in before[-2:]]
    heads = [fields for fields in heads if len(fields) == width]
    if width == 1 and before and (len(before) > 1 and _is_pairs(before)):
        heads = []
    if not heads:
        return tuple(Column(f"column {n}", "") for n in range(width)), False
    last = heads[-1]
    units = [UNITS.get(field.strip("[]() ").lower()) for field in last]
    if len(heads) == 2 and (any(units) or any(":" in field for field in last)):
        return tuple(named(a, b) for a, b in zip(heads[0], last, strict=True)), True
    return tuple(named(field) for field in last), True


def _is_pairs(lines: Sequence[str]) -> bool:
    """Return whether lines are names and values, some of them a rate or a unit of voltage."""
    pairs = [split(line, ",") for line in lines[:_LINES] if "," in line]
    return any(len(p) > 1 and (p[1].lower() in UNITS or _HERTZ.fullmatch(p[1])) for p in pairs)


class _Stated(NamedTuple):
    """What lines of names and values before a table state."""

    rate_hz: float | None
    unit: str
    lead: str
    start: datetime | None


def _stated_before(lines: Sequence[str]) -> _Stated:
    rate_hz, unit, lead, start = None, "", "", None
    for line in lines:
        fields = split(line.lstrip("#% "), ",")
        fields = fields if len(fields) > 1 else split(line.lstrip("#% "), ":")
        name, value = fields[0].lower(), " ".join(fields[1:2])
        match = _HERTZ.fullmatch(value)
        if match is not None and is_number(match[1].replace(",", "."), comma=False):
            rate_hz = float(match[1].replace(",", "."))
        elif len(fields) == 2 and value.lower() in UNITS:
            unit = value
        elif _DATED.fullmatch(value):
            with suppress(ValueError):
                start = datetime.strptime(value, "%Y-%m-%d %H:%M:%S %z")
        elif name in ("lead", "ableitung", "dérivation", "derivación", "derivazione"):
            lead = re.sub(r"^\w+\s+(?=(I{1,3}|aV[RLF]|V\d)$)", "", value)[:64]
    return _Stated(rate_hz, unit, lead, start)
