"""When a sample was taken, by the clock of its source: a robust line through its time stamps.

Time in a stream is the index of a sample over the nominal rate; nothing is decided by a clock. But
the clock of a device runs some parts per million fast or slow, and stamps arrive with jitter. A
line through the stamps of the last minutes gives every sample its time to a few milliseconds
(Lab Streaming Layer and pyxdf do the same). Stamps far from the line are left out; several in a
row that agree are a step of the clock, and the line begins anew. Pure: the stamps are arguments.
"""

from collections import deque
from typing import Final

import numpy as np

WINDOW_S: Final = 600.0
"""The line goes through the stamps of so much signal: with jitter of ±50 ms its end is known to
about a millisecond, and a clock hardly changes its rate within."""

LINE_S: Final = 60.0
"""Before so much signal was stamped the nominal rate is the line's slope: jitter would decide."""

STEP_S: Final = 1.0
"""A stamp so far from the line is wrong, or the clock has stepped."""

STEP_STAMPS: Final = 3
"""So many wrong ones in a row, agreeing with each other, are a step."""

RATE_S: Final = 8.0
"""From so long on the rate is known well enough to call it wrong."""

_ENDS: Final = 5
"""Stamps at each end of the stretch over which the rate is measured; their median counts."""

_APART_S: Final = 0.2
"""Stamps nearer to the last one, in signal, are not needed."""

_OUTLIER: Final = 3.0
"""Times the median deviation beyond which a stamp is left out of the line."""


class SourceClock:
    """The clock of one stream's source, in one epoch."""

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._points: deque[tuple[int, float]] = deque()
        self._wrong: list[tuple[int, float]] = []
        self._line: tuple[int, float, float] | None = None
        """(index, its time, seconds a sample)."""

    def observe(self, sample: int, stamp_s: float) -> float | None:
        """Take note that ``sample`` was taken at ``stamp_s``, seconds since 1970.

        Returns:
            By how many seconds the clock stepped, where this stamp shows that it did.
        """
        last = self._points[-1][0] if self._points else None
        if last is not None and sample - last < _APART_S * self._fs_hz:
            return None
        predicted = self.utc_s(sample)
        if predicted is not None and abs(stamp_s - predicted) > STEP_S:
            return self._on_wrong(sample, stamp_s)
        self._wrong.clear()
        self._add(sample, stamp_s)
        return None

    def utc_s(self, sample: int) -> float | None:
        """Return when ``sample`` was taken, seconds since 1970; None before the first stamp."""
        if self._line is None:
            return None
        at, utc_s, slope = self._line
        return utc_s + (sample - at) * slope

    def rate_off(self) -> float | None:
        """Return by which share the source sends more samples a second than it says.

        None before `RATE_S` have passed. With jitter of 50 ms good to half a percent.
        """
        if len(self._points) <= 2 * _ENDS:
            return None
        points = list(self._points)
        (first, begin_s), (last, end_s) = (
            np.median(np.array(ends), axis=0) for ends in (points[:_ENDS], points[-_ENDS:])
        )
        seconds = float(end_s - begin_s)
        if seconds < RATE_S:
            return None
        return float(last - first) / self._fs_hz / seconds - 1.0

    def _on_wrong(self, sample: int, stamp_s: float) -> float | None:
        if self._wrong and sample - self._wrong[-1][0] < _APART_S * self._fs_hz:
            return None
        self._wrong = [*self._wrong[1 - STEP_STAMPS :], (sample, stamp_s)]
        off = [stamp - (self.utc_s(at) or 0.0) for at, stamp in self._wrong[-STEP_STAMPS:]]
        if len(off) < STEP_STAMPS or max(off) - min(off) > STEP_S:
            return None
        points = self._wrong[-STEP_STAMPS:]
        self._points.clear()
        self._wrong = []
        for point in points:
            self._add(*point)
        return float(np.median(off))

    def _add(self, sample: int, stamp_s: float) -> None:
        self._points.append((sample, stamp_s))
        while sample - self._points[0][0] > WINDOW_S * self._fs_hz:
            self._points.popleft()
        # Once a second is often enough; the very first ones count at once.
        fitted = self._line
        if fitted is None or len(self._points) < 16 or sample - fitted[0] >= self._fs_hz:
            self._line = self._fit()

    def _fit(self) -> tuple[int, float, float]:
        points = np.array(self._points, dtype=np.float64)
        at = int(points[-1, 0])
        x = points[:, 0] - at
        nominal = 1.0 / self._fs_hz
        # What is left of the stamps without their nominal rate is small: nothing is rounded away.
        origin = float(points[0, 1])
        y = (points[:, 1] - origin) - (points[:, 0] - points[0, 0]) * nominal
        kept = np.ones(x.size, dtype=np.bool_)
        offset, slope = float(np.median(y)), 0.0
        if -x[0] >= LINE_S * self._fs_hz:
            for _ in range(2):
                slope, offset = np.polyfit(x[kept], y[kept], 1)
                away = np.abs(y - (offset + slope * x))
                kept = away <= _OUTLIER * max(float(np.median(away)), 1e-6)
            slope, offset = np.polyfit(x[kept], y[kept], 1)
        utc_s = origin + (at - int(points[0, 0])) * nominal + float(offset)
        return at, utc_s, nominal + float(slope)
