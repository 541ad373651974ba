"""CSV, TSV and other tables of numbers in a text, read piece by piece.

Opening a file counts its lines and notes where every few thousandth begins; reading goes to the
nearest and parses what is asked for. So a day of signal takes no more memory than some minutes.
A column of times gives the sampling rate; where it jumps ahead, there is a gap.
"""

import os
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import InputError
from replay.files.arrays import in_mv
from replay.files.columns import chosen, is_counter, signals_of, unit_missing
from replay.files.pieces import Piece, Samples, read_pieces
from replay.files.regular import check_regular, quoted, read_head
from replay.files.row_times import RowTimes, is_time
from replay.files.stated import Stated
from replay.files.text_layout import Layout, find_layout, number
from replay.headers import MAX_LEAD_SAMPLES, RecordHeader
from replay.leads import MV_PER_UNIT

_HEAD: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 14
STEP: Final = 1 << 12
"""The beginnings of this many lines are not noted."""

_READ: Final = 1 << 22
_AT_ONCE: Final = 1 << 15
"""This many lines are split and parsed at a time; their texts take far more memory than numbers."""


class Table:
    """The rows of a text. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        size = check_regular(path, "text")
        self.layout = self._layout(size)
        self._numeric = [n for n, kind in enumerate(self.layout.kinds) if kind == "n"]
        self._offsets, self.n = self._lines(size)
        if self.n > MAX_LEAD_SAMPLES:
            self.refuse(f"has more than {MAX_LEAD_SAMPLES:,} rows; split it")
        self._parsed: tuple[int, int, NDArray[np.float64]] | None = None

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that names the file."""
        raise InputError(f"text {quoted(self.path)} {why}")

    def _layout(self, size: int) -> Layout:
        head = _decoded(read_head(self.path, "text", _HEAD).removeprefix(b"\xef\xbb\xbf"))
        lines = head.split("\n")
        if max(map(len, lines)) > _LONGEST_LINE:
            self.refuse("has a line of over 16 KiB; a table has a row for each sample")
        layout = find_layout([line.rstrip("\r") for line in lines], whole=size <= _HEAD)
        if layout is None:
            self.refuse(
                "holds no table of numbers: write a line for each sample, a column for each lead"
            )
        if len(layout.kinds) > 4 * MAX_LEADS_PER_RECORD:
            self.refuse(f"has {len(layout.kinds)} columns; a row for each sample is needed")
        return layout

    def _lines(self, size: int) -> tuple[NDArray[np.int64], int]:
        """Return where every `STEP`-th row begins, and how many rows there are."""
        starts, line, at, last = list[int](), 0, 0, 0
        skip = self.layout.skip
        if skip == 0:
            starts.append(0)
        with open(self.path, "rb") as file:
            while data := file.read(_READ):
                ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10) + 1
                gaps = np.diff(ends, prepend=last - at)
                if gaps.max(initial=0) > _LONGEST_LINE:
                    self.refuse("has a line of over 16 KiB; a table has a row for each sample")
                # The line after end k is number line + k + 1.
                rows = line + np.arange(1, ends.size + 1) - skip
                starts += (at + ends[(rows >= 0) & (rows % STEP == 0)]).tolist()
                line += ends.size
                at += len(data)
                last = at - len(data) + int(ends[-1]) if ends.size else last
                if at - last > _LONGEST_LINE:
                    self.refuse("has a line of over 16 KiB; a table has a row for each sample")
            count = line - skip + (at > last)  # the last line may lack its end
        if at < size:
            self.refuse("became shorter while it was read")
        blank = self._blank_end(at)
        return np.array([*starts, at], dtype=np.int64), count - blank

    def _blank_end(self, size: int) -> int:
        """Return how many blank lines end the file."""
        with open(self.path, "rb") as file:
            end = os.pread(file.fileno(), _LONGEST_LINE, max(0, size - _LONGEST_LINE))
        lines = end.replace(b"\r", b"").split(b"\n")
        lines = lines[:-1] if lines[-1] == b"" else lines
        blank = 0
        while blank < len(lines) and not lines[-1 - blank].strip():
            blank += 1
        return blank

    def read(self, column: int, first: int, last: int) -> NDArray[np.float64]:
        """Return the numbers of rows [first, last) of a column; NaN where none is known."""
        if self._parsed is None or not self._parsed[0] <= first <= last <= self._parsed[1]:
            self._parsed = (first, last, self._parse(first, last))
        begin, _, values = self._parsed
        return values[self._numeric.index(column), first - begin : last - begin]

    def texts(self, first: int, last: int) -> list[str]:
        """Return the lines of rows [first, last)."""
        block, end = first // STEP, -(-last // STEP)
        begin = int(self._offsets[block])
        stop = int(self._offsets[min(end, len(self._offsets) - 1)])
        with open(self.path, "rb") as file:
            data = os.pread(file.fileno(), stop - begin, begin)
        if block == 0 and self.layout.skip == 0:
            data = data.removeprefix(b"\xef\xbb\xbf")
        lines = _decoded(data).split("\n")
        if len(data) < stop - begin or len(lines) < last - block * STEP:
            self.refuse("became shorter while it was read")
        return lines[first - block * STEP : last - block * STEP]

    def only(self, columns: list[int]) -> None:
        """Read no other columns from now on."""
        self._numeric, self._parsed = sorted(set(columns)), None

    def _parse(self, first: int, last: int) -> NDArray[np.float64]:
        """Return rows [first, last) of the columns of numbers, [columns, rows]."""
        values = np.empty((len(self._numeric), last - first))
        for at in range(first, last, _AT_ONCE):
            end = min(at + _AT_ONCE, last)
            values[:, at - first : end - first] = self._parse_rows(at, end)
        return values

    def _parse_rows(self, first: int, last: int) -> NDArray[np.float64]:
        layout, lines = self.layout, self.texts(first, last)
        plain = "\n".join(lines)
        # Of blank lines alone, numpy warns.
        if plain.strip() and not layout.quoted and not (layout.comma and layout.delimiter == ","):
            plain = plain.replace(",", ".") if layout.comma else plain
            try:
                values = np.loadtxt(
                    plain.split("\n"),
                    delimiter=None if layout.delimiter == " " else layout.delimiter,
                    usecols=self._numeric,
                    comments=None,
                    ndmin=2,
                    dtype=np.float64,
                )
                if len(values) == len(lines):
                    return np.ascontiguousarray(values.T)
            except ValueError:
                pass  # an unknown value, or a fault that the slow way names
        return self._parse_slowly(lines, first)

    def _parse_slowly(self, lines: list[str], first: int) -> NDArray[np.float64]:
        layout = self.layout
        values = np.empty((len(self._numeric), len(lines)))
        for row, line in enumerate(lines):
            fields = layout.fields(line.rstrip("\r"))
            where = f"line {layout.skip + first + row + 1:,}"
            if len(fields) != len(layout.kinds):
                wanted = f"{len(layout.kinds)} columns are needed"
                self.refuse(f"has {len(fields) if line.strip() else 0} in {where}; {wanted}")
            for place, column in enumerate(self._numeric):
                try:
                    values[place, row] = number(fields[column], comma=layout.comma)
                except ValueError:
                    what = (
                        f"{quoted(fields[column])} in column {quoted(layout.columns[column].name)}"
                    )
                    self.refuse(f"has {what} of {where}; a number is needed")
        return values


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def open_text(path: Path, stated: Stated) -> RecordHeader:
    """Return the header of a table in a text, with what reads its columns.

    Raises:
        InputError: the file cannot be used, or its rate or unit is stated nowhere.
    """
    table, where = Table(path), f"text {quoted(path)}"
    layout = table.layout
    time = next((n for n in range(len(layout.kinds)) if is_time(table, n)), None)
    places = _places(table, stated, where, time)
    times = None
    if time is not None and layout.rate_hz is None:
        times = RowTimes(table, time, stated.fs_hz)
    found_hz = layout.rate_hz if times is None else times.rate_hz
    columns = [layout.columns[place] for place in places]
    rate_hz = stated.rate_hz(found_hz, where, unit_missing=unit_missing(columns, stated))
    probe = np.array([table.read(place, 0, min(table.n, STEP)) for place in places])
    signals = signals_of(columns, probe, stated, where)
    table.only(places)
    runs = [(0, 0, table.n)] if times is None else times.runs
    frames = runs[-1][0] + runs[-1][2] - runs[-1][1]
    if frames > MAX_LEAD_SAMPLES:
        table.refuse(f"lasts {frames / rate_hz:.3g} s by its times; split it")

    def values(index: int, first: int, last: int) -> Samples:
        scale = MV_PER_UNIT.get(signals[index].units.lower(), 1.0)
        return in_mv(table.read(places[index], first, last), scale), None

    def from_row(index: int, row: int, first: int, last: int) -> Samples:
        return values(index, row + first, row + last)

    def read(index: int, first: int, last: int) -> Samples:
        pieces = [Piece(at, at + end - row, partial(from_row, index, row)) for at, row, end in runs]
        return read_pieces(pieces, first, last)

    return RecordHeader(
        path=path,
        frame_rate_hz=rate_hz,
        frames=frames,
        signals=signals,
        start=layout.start if times is None else times.start,
        read=read if len(runs) > 1 else values,
    )


def _places(table: Table, stated: Stated, where: str, time: int | None) -> list[int]:
    """Return the columns that are signals: those asked for, or all that may be.

    Raises:
        InputError: one asked for is not there or holds no numbers, or there are too many.
    """
    layout = table.layout
    places = chosen(layout.columns, stated, where)
    if stated.columns:
        for place in places:
            if layout.kinds[place] != "n":
                table.refuse(f"has no numbers in column {quoted(layout.columns[place].name)}")
    else:
        places = [n for n in places if layout.kinds[n] == "n" and n != time]
        if len(places) > 1 and _is_nothing(table, places[-1]):
            places.pop()
        places = [n for n in places if not _counts(table, n)] or places
    if len(places) > MAX_LEADS_PER_RECORD:
        table.refuse(f"has {len(places)} columns of numbers; name those of the ECG with --column")
    if not places:
        table.refuse("holds times and no signal")
    return places


def _is_nothing(table: Table, column: int) -> bool:
    """Return whether a column is what a delimiter at the end of each line makes."""
    layout = table.layout
    if column < len(layout.columns) - 1 or (layout.headed and layout.columns[column].name):
        return False
    return bool(np.isnan(table.read(column, 0, min(table.n, STEP))).all())


def _counts(table: Table, column: int) -> bool:
    """Return whether a column numbers the rows: by its name, or as the first without one."""
    name = table.layout.columns[column].name
    if table.layout.headed and name:
        return is_counter(name)
    values = table.read(column, 0, min(table.n, STEP))
    if column or values.size < 3 or not np.isfinite(values).all():
        return False
    return bool(np.all(np.diff(values) == 1))
