"""When a sample was taken, by the clock of its source: a robust line through its time stamps.

Time in a stream is the index of a sample over the nominal rate; no decision depends on a clock. But
the clock of a device runs some parts per million fast or slow, and stamps arrive with jitter. A
line through the stamps of the last minutes gives every sample its time to a few milliseconds
(Lab Streaming Layer and pyxdf do the same). Stamps far from the line are not used.

A clock that steps leaves the line at once, a source whose rate is not the stated one leaves it
little by little: several stamps in a row that agree behind a jump are a step, and the line begins
again; a steady drift away from it is another rate, and the line takes that slope. After a delay of
the source the samples that it had not read come in a burst: their stamps show when they were read,
not taken.
Pure: the stamps are arguments.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import State, field
from pipeline.signal.sample_times import SampleTimes, SampleTimesState

WINDOW_S: Final = 600.0
"""The line goes through the stamps of this much signal: with jitter of ±50 ms its end is known to
about one and a half milliseconds, and a clock hardly changes its rate within."""

LINE_S: Final = 60.0
"""Before this much signal was stamped the nominal rate is the line's slope: jitter would decide."""

STEP_S: Final = 1.0
"""A stamp this far from the line is wrong, or the clock has stepped."""

STEP_STAMPS: Final = 3
"""This many wrong ones in a row, agreeing with each other more than with the one before, are a
step. What drifts is as far from the stamp before it as from the one after."""

RATE_S: Final = 8.0
"""From this long on the rate is known well enough to call it wrong."""

BURST_SHARE: Final = 0.25
"""Stamps that advance by less than this part of their signal are of a burst, for `BURST_S`."""

BURST_S: Final = 8.0
"""Longest burst: beyond it the source is faster than its stated rate."""

OTHER_RATE: Final = 0.1
"""Stamps that leave the line while three quarters of their lags say that the rate is off by more
than this share do so because it is. What is off by less does not leave the line within `RATE_S`."""

KNOWN_OFF: Final = 0.02
"""A rate that is off by more, four times the error to which `RATE_S` know it, is the slope of the
line before `LINE_S`: else the stamps would leave it."""

MOST_OFF: Final = 50.0
"""Times or part of the stated rate beyond which stamps are no rate, but nonsense."""

_LAG_S: Final = 2.0
"""A rate is measured over lags of this much time: jitter of 50 ms is a fortieth of it."""

_LAGS: Final = 6
"""Fewer lags show no rate."""

_RECENT_S: Final = 0.2
"""One of the recent stamps is kept each time this time has passed."""

_FEW: Final = 9
"""Recent stamps that are kept at least, however long ago they came."""

_ENDS: Final = 5
"""Stamps at each end of the stretch over which the rate is measured; their median counts. Odd."""

_APART_S: Final = 0.2
"""Stamps nearer to the last one, in signal, are not needed."""

_MOST_STAMPS: Final = 1_800
"""Where there are more, one in `_OLD_APART_S` is enough of those before the last `LINE_S`."""

_OLD_APART_S: Final = 0.5

_FIT_SHARE: Final = 0.01
"""The line is fitted again with so much more signal, of what it goes through: 6 s of ten minutes
turn it by less than jitter does."""

_OUTLIER: Final = 3.0
"""Times the median deviation beyond which a stamp is not used for the line."""


class SourceClockState(State):
    """All memory of a `SourceClock`; a stamp is (sample, seconds since 1970)."""

    stamps: SampleTimesState = field(default_factory=SampleTimesState.fresh)
    """Those that the line goes through, in order."""
    outliers: list[tuple[int, float]] = field(default_factory=list)
    """The latest ones, in a row, that lie far from the line, behind the one before them."""
    latest: tuple[int, float] | None = None
    """The latest stamp, of use or not."""
    burst_since: float | None = None
    """The first stamp of a burst that has not ended."""
    line: tuple[int, float, float] | None = None
    """(sample, its time, seconds a sample)."""
    outlying_since: float | None = None
    """The first of the latest ones, in a row, that lie far from the line."""
    recent: list[tuple[int, float]] = field(default_factory=list)
    """The stamps of the last `RATE_S`, of use for the line or not."""
    rate: float = 1.0
    """Times the stated rate: what the line takes for the rate until it knows better."""


class SourceClock:
    """The clock of one stream's source, in one epoch."""

    def __init__(self, fs_hz: float, state: SourceClockState | None = None) -> None:
        """Begin, or continue from ``state``.

        Raises:
            SnapshotError: it has a rate that no source was ever found to have, or no such stamps.
        """
        self.state = state or SourceClockState()
        if not 1.0 / MOST_OFF < self.state.rate < MOST_OFF:
            raise SnapshotError(f"state of a source at {self.state.rate} times its stated rate")
        self._stamps = SampleTimes(self.state.stamps)
        self._fs_hz = fs_hz
        self._rate_off = self._measured_rate_off()

    @property
    def _hz(self) -> float:
        """Samples a second as the line takes them to come."""
        return self._fs_hz * self.state.rate

    def observe(self, sample: int, stamp_s: float) -> float | None:
        """Record that ``sample`` was taken at ``stamp_s``, seconds since 1970.

        Returns:
            By how many seconds the clock stepped, where this stamp shows that it did.
        """
        state = self.state
        self._remember(sample, stamp_s)
        if state.latest is not None and sample - state.latest[0] < _APART_S * self._hz:
            return None
        before, state.latest = state.latest, (sample, stamp_s)
        if before is not None and self._in_burst(sample - before[0], stamp_s, before[1]):
            state.outliers.clear()  # a jump is one from the stamp just before
            self._moved()
            return None
        predicted = self.utc_s(sample)
        if before is not None and predicted is not None and abs(stamp_s - predicted) > STEP_S:
            return self._on_outlier(before, sample, stamp_s)
        state.outliers.clear()
        state.outlying_since = None
        self._add(sample, stamp_s)
        return None

    def _remember(self, sample: int, stamp_s: float) -> None:
        """Keep a stamp among the recent ones."""
        recent = self.state.recent
        if recent and -STEP_S <= stamp_s - recent[-1][1] < _RECENT_S:
            return
        if recent and stamp_s < recent[-1][1]:
            recent.clear()  # no rate can be read across a clock that went back
        recent.append((sample, stamp_s))
        while len(recent) > _FEW and stamp_s - recent[1][1] >= RATE_S:
            recent.pop(0)

    def _in_burst(self, samples: int, stamp_s: float, before_s: float) -> bool:
        """Return whether ``samples`` came all but at once, as what had been held up does."""
        if not 0.0 <= stamp_s - before_s < BURST_SHARE * samples / self._hz:
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
        return self._rate_off

    def _measured_rate_off(self) -> float | None:
        known = self.state.rate - 1.0 if self.state.rate != 1.0 else None
        if len(self._stamps) <= 2 * _ENDS:
            return known
        first, latest = self._stamps.some(0, _ENDS), self._stamps.some(-_ENDS, _ENDS)
        origin = first[0][0], first[1][0]
        begin_s, late_at_begin = _middle(*first, *origin, self._hz)
        end_s, late_at_end = _middle(*latest, *origin, self._hz)
        signal_s = end_s - begin_s
        passed_s = signal_s + late_at_end - late_at_begin
        if passed_s < RATE_S:
            return known
        return self.state.rate * signal_s / passed_s - 1.0

    def _on_outlier(self, before: tuple[int, float], sample: int, stamp_s: float) -> float | None:
        """Return by how much the clock stepped, where this stamp, far from the line, shows it."""
        state = self.state
        state.outliers = [*(state.outliers or [before])[-STEP_STAMPS:], (sample, stamp_s)]
        if state.outlying_since is None:
            state.outlying_since = stamp_s
        off_before, *off = [stamp - (self.utc_s(at) or 0.0) for at, stamp in state.outliers]
        jump, spread = abs(off[0] - off_before), max(off) - min(off)
        if len(off) == STEP_STAMPS and jump >= 0.5 * STEP_S and spread <= min(STEP_S, 0.5 * jump):
            # No rate can be read across a step.
            state.recent = state.outliers[1:]
            self._begin_anew(state.recent)
            return float(np.median(off))
        late = abs(stamp_s - state.outlying_since) >= RATE_S
        return float(np.median(off)) if self._moved(for_good=late) else None

    def _begin_anew(self, stamps: list[tuple[int, float]]) -> None:
        """Draw the line through ``stamps`` alone."""
        self._stamps.clear()
        self.state.outliers, self.state.line = [], None
        self.state.outlying_since = None
        for stamp in stamps:
            self._add(*stamp)

    def _moved(self, *, for_good: bool = False) -> bool:
        """Take another rate for that of the source, where the recent stamps have it throughout.

        Returns:
            Whether they have the rate that the line had, though they have left it ``for_good``: a
            step of the clock that was not seen as one. The line starts over for that, too.
        """
        state, recent = self.state, np.array(self.state.recent)
        if recent[-1, 1] - recent[0, 1] < RATE_S:
            return False
        samples, times = recent[:, 0] - recent[0, 0], recent[:, 1] - recent[0, 1]
        first = np.searchsorted(times, times - _LAG_S, side="right") - 1
        last = np.flatnonzero(first >= 0)
        if last.size < _LAGS:
            return False
        first = first[last]
        hz = (samples[last] - samples[first]) / (times[last] - times[first])
        low, median, high = np.quantile(hz / self._hz, (0.25, 0.5, 0.75)).tolist()
        other = low > 1.0 + OTHER_RATE or high < 1.0 / (1.0 + OTHER_RATE)
        if not 1.0 / MOST_OFF < state.rate * median < MOST_OFF or not (other or for_good):
            return False
        stepped: bool = abs(median - 1.0) <= KNOWN_OFF
        if not stepped:
            state.rate *= median
            state.burst_since = None
        # The older half may have the rate from before.
        self._begin_anew(state.recent[len(state.recent) // 2 :])
        return stepped

    def _add(self, sample: int, stamp_s: float) -> None:
        stamps = self._stamps
        stamps.add(sample, stamp_s)
        stamps.forget_before(math.ceil(sample - WINDOW_S * self._hz))
        if len(stamps) > _MOST_STAMPS:
            firsts = np.diff(stamps.samples // (_OLD_APART_S * self._hz), prepend=-1.0) > 0
            stamps.keep(firsts | (stamps.samples >= sample - LINE_S * self._hz))
        self._rate_off = self._measured_rate_off()
        # Once a second is often enough, at most; the very first ones count at once.
        fitted = self.state.line
        lasts = max(self._hz, _FIT_SHARE * stamps.span)
        if fitted is None or len(stamps) < 16 or sample - fitted[0] >= lasts:
            self.state.line = self._fit()

    def _fit(self) -> tuple[int, float, float]:
        samples, seconds = self._stamps.samples, self._stamps.seconds
        at, first, origin = int(samples[-1]), int(samples[0]), float(seconds[0])
        x = (samples - at).astype(np.float64)
        off = self._rate_off
        rate = self.state.rate if off is None or abs(off) <= KNOWN_OFF else 1.0 + off
        nominal = 1.0 / (self._fs_hz * rate)
        # The stamps less their nominal times are small: nothing is rounded away.
        y = (seconds - origin) - (samples - first) * nominal
        if -x[0] < LINE_S * self._hz:
            slope, offset = 0.0, _median(y)
        else:
            slope, offset = _line_through(x, y)
            for _ in range(2):
                away = np.abs(y - (offset + slope * x))
                kept = away <= _OUTLIER * max(_median(away), 1e-6)
                slope, offset = _line_through(x[kept], y[kept])
        utc_s = origin + (at - first) * nominal + offset
        return at, utc_s, nominal + slope


def _middle(
    samples: list[int], seconds: list[float], origin: int, origin_s: float, hz: float
) -> tuple[float, float]:
    """Return, of an odd number of stamps, the medians of where they lie and how late they are.

    Both in seconds, counted from an ``origin``. One stamp that is late alone changes no median.
    """
    late = [
        at - origin_s - (sample - origin) / hz for sample, at in zip(samples, seconds, strict=True)
    ]
    middle = len(late) // 2
    return (sorted(samples)[middle] - origin) / hz, sorted(late)[middle]


def _line_through(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset of the line with the least squares."""
    x_mean, y_mean = float(x.sum()) / x.size, float(y.sum()) / y.size
    middle = x - x_mean
    slope = float(middle @ y) / float(middle @ middle)
    return slope, y_mean - slope * x_mean


def _median(values: NDArray[np.float64]) -> float:
    """Return what `np.median` does of finite values, in a third of its time."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    low, high = np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1].tolist()
    return 0.5 * float(low + high)
