"""The times of the rows of a table: the sampling rate they show, and the gaps between them.

Every few thousandth row is looked at, and every row where those are not as far apart as their
number says.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from replay.files.regular import quoted

if TYPE_CHECKING:
    from replay.files.text_tables import Table

STEP: Final = 1 << 12
"""Rows from one that is looked at to the next."""

_NAMES: Final = frozenset(
    {"time", "times", "t", "timestamp", "elapsed time", "date", "datetime", "date time", "seconds"}
    | {"sec", "zeit", "uhrzeit", "zeitstempel", "temps", "tiempo", "tempo", "unix time"}
)
_UNITS_S: Final = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "sekunden": 1.0, "ms": 1e-3, "msec": 1e-3,
    "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_CLOCK = re.compile(
    r"(?:(\d{4})-(\d\d)-(\d\d)[T ])?(?:(\d{1,3}):)?(\d{1,2}):(\d\d)(?:[.,](\d{1,9}))?"
    r"(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_EPOCH_S: Final = 946_684_800.0
"""The year 2000 in seconds since 1970: larger times are dates."""


def is_time(table: "Table", column: int) -> bool:
    """Return whether a column holds times: by its name or values, not by its place."""
    layout = table.layout
    about = layout.columns[column]
    if layout.kinds[column] == "t":
        return True
    if layout.kinds[column] == "x":
        return False
    if layout.headed and about.name:
        return about.name.lower() in _NAMES or about.unit.lower() in _UNITS_S
    if column or layout.kinds.count("n") < 2:
        return False
    times = table.read(column, 0, min(table.n, STEP))
    steps = np.diff(times) if np.isfinite(times).all() else np.zeros(0)
    return bool(steps.size and _plausible(steps) and np.all(steps > 0))


def _plausible(steps: NDArray[np.float64]) -> bool:
    """Return whether times in seconds are as far apart as samples are."""
    low, high = SAMPLING_RATE_LIMITS_HZ
    return bool(1 / high <= float(np.median(steps)) <= 1 / low)


class RowTimes:
    """When the rows of a table were taken."""

    def __init__(self, table: "Table", column: int, stated_hz: float | None) -> None:
        """Look at the times in ``column``; a stated rate stands for those that are not even.

        Raises:
            InputError: no rate follows from them, and none is stated.
        """
        self._table, self._column = table, column
        self.rate_hz: float | None = None
        self.runs = [(0, 0, table.n)]
        """Rows without a gap: the position of the first, its row, and one past the last."""
        self.start: datetime | None = None
        """When the first row was taken, if its time is a date."""
        about = table.layout.columns[column]
        self._scale = _UNITS_S.get(about.unit.lower(), _UNITS_S.get(about.name.lower(), 1.0))
        if table.n < 3:
            return
        why = self._look(stated_unit=about.unit.lower() in _UNITS_S)
        if why and stated_hz is None:
            table.refuse(f"has in column {quoted(about.name)} times that {why}, or give --fs")

    def _look(self, *, stated_unit: bool) -> str:
        """Find rate and runs; return why that is impossible, and what to do."""
        first = self._times(0, min(self._table.n, STEP))
        steps = np.diff(first) if np.isfinite(first).all() else np.zeros(1)
        if (steps <= 0).any():
            return "do not ascend: sort the rows"
        period = float(np.median(steps))
        if not _plausible(steps):
            known = "" if stated_unit else ": write their unit into the name, as in 'time [ms]'"
            return f"are {period:.6g} s apart, and 0.1 to 20 ms are needed{known}"
        small = steps[steps < 1.5 * period]
        jitter = float(np.abs(small - period).max(initial=0.0))
        bounds = np.flatnonzero(steps >= 1.5 * period + jitter) + 1
        edges = np.concatenate([[0], bounds, [first.size]])
        longest = int(np.argmax(np.diff(edges)))
        a, b = int(edges[longest]), int(edges[longest + 1]) - 1
        if b > a:
            period = float(first[b] - first[a]) / (b - a)
        starts = self._gaps(period, jitter)
        if starts is None:
            return "are not even: resample them"
        self._place([0, *starts, self._table.n], jitter)
        return ""

    def _gaps(self, period: float, jitter: float) -> list[int] | None:
        """Return the rows that follow a gap; None where the times are not even."""
        starts: list[int] = []
        rows = [*range(0, self._table.n - 1, STEP), self._table.n - 1]
        at = [float(self._times(row, row + 1)[0]) for row in rows]
        if not np.isfinite(at).all():
            return None
        for n in range(len(rows) - 1):
            apart = at[n + 1] - at[n] - (rows[n + 1] - rows[n]) * period
            if abs(apart) <= 0.5 * period + 2 * jitter:
                continue
            times = self._times(rows[n], rows[n + 1] + 1)
            steps = np.diff(times) if np.isfinite(times).all() else np.zeros(1)
            if not (steps > 0).all():
                return None
            found = np.flatnonzero(steps >= 1.5 * period + jitter)
            if not found.size:
                return None
            starts += (found + rows[n] + 1).tolist()
        return starts

    def _place(self, edges: list[int], jitter: float) -> None:
        """Set rate and runs, given the rows at which each run begins, and the end."""
        longest = max(range(len(edges) - 1), key=lambda n: edges[n + 1] - edges[n])
        a, b = edges[longest], edges[longest + 1] - 1
        begin, end = (float(self._times(row, row + 1)[0]) for row in (a, b))
        if b <= a:
            return
        rate_hz = (b - a) / (end - begin)
        # The true rate is mostly a whole number, which rounded times show only nearly.
        if abs(rate_hz - round(rate_hz)) <= rate_hz * (2 * jitter / (end - begin) + 1e-6):
            rate_hz = float(round(rate_hz))
        zero = float(self._times(0, 1)[0])
        runs, past = [], 0
        for first, last in pairwise(edges):
            at = max(past, round((float(self._times(first, first + 1)[0]) - zero) * rate_hz))
            past = at + last - first
            runs.append((at, first, last))
        self.rate_hz, self.runs = rate_hz, runs
        self.start = self._start(zero)

    def _start(self, zero: float) -> datetime | None:
        if self._table.layout.kinds[self._column] == "t":
            field = self._table.layout.fields(self._table.texts(0, 1)[0])[self._column]
            match = _CLOCK.fullmatch(field.strip("[] "))
            dated = match is not None and match[1] is not None
            return datetime(1970, 1, 1) + timedelta(seconds=zero) if dated else None
        dated = _EPOCH_S < zero < 4 * _EPOCH_S
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=zero) if dated else None

    def _times(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the times of rows [first, last) in seconds."""
        if self._table.layout.kinds[self._column] == "n":
            return self._table.read(self._column, first, last) * self._scale
        layout = self._table.layout
        fields = []
        for line in self._table.texts(first, last):
            found = layout.fields(line)
            fields.append(found[self._column] if self._column < len(found) else "")
        return np.array([_seconds(field.strip("[] ")) for field in fields])


def _seconds(text: str) -> float:
    """Return a time of day, or a date with one, in seconds; NaN for what is none."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return float("nan")
    seconds = 3600.0 * int(match[4] or 0) + 60.0 * int(match[5]) + int(match[6])
    seconds += float(f"0.{match[7] or 0}")
    if match[1] is not None:
        try:
            day = datetime(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            return float("nan")
        seconds += (day - datetime(1970, 1, 1)).total_seconds()
    return seconds
