"""When a sample was taken, by the clock of its source: a robust line through its time stamps.

Time in a stream is the index of a sample over the nominal rate; no decision depends on a clock. But
the clock of a device runs some parts per million fast or slow, and stamps arrive with jitter. A
line through the stamps of the last minutes gives every sample its time to a few milliseconds
(Lab Streaming Layer and pyxdf do the same). Stamps far from the line are not used; several in a
row that agree are a step of the clock, and the line begins anew. After a delay of the source the
samples that it had not read come in a burst: their stamps show when they were read, not taken.
Pure: the stamps are arguments.
"""

from itertools import islice
from typing import Final

import numpy as np

from pipeline.schema.state import State, field

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

BURST_SHARE: Final = 0.25
"""Stamps that advance by less than this part of their signal are of a burst ..."""

BURST_S: Final = 8.0
"""... unless they do so for so long: then the source is faster than its stated rate."""

_ENDS: Final = 5
"""Stamps at each end of the stretch over which the rate is measured; their median counts."""

_APART_S: Final = 0.2
"""Stamps nearer to the last one, in signal, are not needed."""

_OUTLIER: Final = 3.0
"""Times the median deviation beyond which a stamp is not used for the line."""


class SourceClockState(State):
    """All memory of a `SourceClock`; a stamp is (sample, seconds since 1970)."""

    stamps: list[tuple[int, float]] = field(default_factory=list)
    """Those that the line goes through, in order."""
    outliers: list[tuple[int, float]] = field(default_factory=list)
    """The latest ones, in a row, that lie far from the line."""
    latest: tuple[int, float] | None = None
    """The latest stamp, of use or not."""
    burst_since: float | None = None
    """The first stamp of a burst that has not ended."""
    line: tuple[int, float, float] | None = None
    """(sample, its time, seconds a sample)."""


class SourceClock:
    """The clock of one stream's source, in one epoch."""

    def __init__(self, fs_hz: float, state: SourceClockState | None = None) -> None:
        self.state = state or SourceClockState()
        self._fs_hz = fs_hz

    def observe(self, sample: int, stamp_s: float) -> float | None:
        """Record that ``sample`` was taken at ``stamp_s``, seconds since 1970.

        Returns:
            By how many seconds the clock stepped, where this stamp shows that it did.
        """
        state = self.state
        if state.latest is not None and sample - state.latest[0] < _APART_S * self._fs_hz:
            return None
        before, state.latest = state.latest, (sample, stamp_s)
        if before is not None and self._in_burst(sample - before[0], stamp_s, before[1]):
            return None
        predicted = self.utc_s(sample)
        if predicted is not None and abs(stamp_s - predicted) > STEP_S:
            return self._on_outlier(sample, stamp_s)
        state.outliers.clear()
        self._add(sample, stamp_s)
        return None

    def _in_burst(self, samples: int, stamp_s: float, before_s: float) -> bool:
        """Return whether ``samples`` came all but at once, as what had been held up does."""
        if not 0.0 <= stamp_s - before_s < BURST_SHARE * samples / self._fs_hz:
            self.state.burst_since = None
            return False
        if self.state.burst_since is None:
            self.state.burst_since = before_s
        return stamp_s - self.state.burst_since < BURST_S

    def utc_s(self, sample: int) -> float | None:
        """Return when ``sample`` was taken, seconds since 1970; None before the first stamp."""
        if self.state.line is None:
            return None
        at, utc_s, slope = self.state.line
        return utc_s + (sample - at) * slope

    def rate_off(self) -> float | None:
        """Return how much faster than its stated rate the source sends, as a fraction of that rate.

        None before `RATE_S` have passed. With jitter of 50 ms good to half a percent.
        """
        points = self.state.stamps
        if len(points) <= 2 * _ENDS:
            return None
        origin, origin_s = points[0]
        ends = np.array([*islice(points, _ENDS), *islice(reversed(points), _ENDS)])
        signal_at = (ends[:, 0] - origin) / self._fs_hz
        # How late the stamps are: one that is late alone changes no median.
        late_s = ends[:, 1] - origin_s - signal_at
        signal_s = float(np.median(signal_at[_ENDS:]) - np.median(signal_at[:_ENDS]))
        seconds = signal_s + float(np.median(late_s[_ENDS:]) - np.median(late_s[:_ENDS]))
        if seconds < RATE_S:
            return None
        return signal_s / seconds - 1.0

    def _on_outlier(self, sample: int, stamp_s: float) -> float | None:
        state = self.state
        outliers = state.outliers = [*state.outliers[1 - STEP_STAMPS :], (sample, stamp_s)]
        off = [stamp - (self.utc_s(at) or 0.0) for at, stamp in outliers]
        if len(off) < STEP_STAMPS or max(off) - min(off) > STEP_S:
            return None
        state.stamps.clear()
        state.outliers = []
        for stamp in outliers:
            self._add(*stamp)
        return float(np.median(off))

    def _add(self, sample: int, stamp_s: float) -> None:
        stamps = self.state.stamps
        stamps.append((sample, stamp_s))
        while sample - stamps[0][0] > WINDOW_S * self._fs_hz:
            stamps.pop(0)
        # Once a second is often enough; the very first ones count at once.
        fitted = self.state.line
        if fitted is None or len(stamps) < 16 or sample - fitted[0] >= self._fs_hz:
            self.state.line = self._fit()

    def _fit(self) -> tuple[int, float, float]:
        points = np.array(self.state.stamps, dtype=np.float64)
        at = int(points[-1, 0])
        x = points[:, 0] - at
        nominal = 1.0 / self._fs_hz
        # The stamps less their nominal times are small: nothing is rounded away.
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
