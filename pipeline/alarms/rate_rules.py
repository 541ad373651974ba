"""The rules of the heart rate: extreme rates over a few beats, limits over some seconds.

They go by the detections alone and wait for no score. An interval that is not known (NaN) is left
out: what was measured before a short loss of signal still counts, else a link that loses a packet
every few seconds, or one bad second in ten, would hide any rate (`BRIDGED_S`).
Pure: no clock, no I/O.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.alarms.settings import AlarmSettings
from pipeline.schema.state import State, field

SLOW_BEATS: Final = 5
FAST_BEATS: Final = 17
"""Beats over which an extreme rate is measured (PhysioNet/CinC Challenge 2015, table 1)."""

SLOW_INTERVALS: Final = 2
"""This many of the intervals between `SLOW_BEATS` beats must be longer than the limit's. One alone,
among usual ones, is a pause, which has an alarm of its own; two within five beats are no single
pause any more. Whatever is slow without its longest interval is slow by this rule, too."""

RATE_BEATS: Final = 8
"""The heart rate is the mean over this many RR intervals."""

BRIDGED_S: Final = 10.0
"""Without a known interval for this long the rules start over: the same time for which a count of
asystole is carried over a loss of signal, and after which the heart counts as unmonitored."""


_ROUNDING: Final = 1e-9
"""A mean of sixteen intervals is rounded by less."""


class RateChange(NamedTuple):
    """A condition of the rate: present with this beat, or over."""

    kind: str
    active: bool
    begun_at: int
    """Where it began, in source samples; where it ended, once it is over."""
    bpm: float
    limit_bpm: float


class RateRulesState(State):
    """All memory of `RateRules`."""

    intervals: list[tuple[int, float]] = field(default_factory=list)
    """(sample where it ends, seconds) of the latest known intervals of `FAST_BEATS` beats."""
    active: dict[str, int] = field(default_factory=dict)
    """The conditions that are present, and since where."""
    beyond_since: dict[str, int] = field(default_factory=dict)
    """Where the rate went beyond a limit that has a delay."""


class RateRules:
    """The rules of the heart rate of one stream."""

    def __init__(
        self, settings: AlarmSettings, fs_hz: float, state: RateRulesState | None = None
    ) -> None:
        self.state = state or RateRulesState()
        self._settings = settings
        self._bridged = BRIDGED_S * fs_hz
        self._fs_hz = fs_hz
        within_s = 60.0 / max(settings.extreme_bradycardia_bpm, settings.heart_rate_low_bpm)
        least_bpm = settings.extreme_tachycardia_bpm - settings.heart_rate_hysteresis_bpm
        beyond_s = 60.0 / min(settings.heart_rate_high_bpm, least_bpm)
        self._usual_s = beyond_s * (1 + 2 * _ROUNDING), within_s * (1 - 2 * _ROUNDING)
        """Intervals of which every mean is within all limits: these bounds and all between."""
        self._usual = 0
        """How many of the latest intervals are such, as far as was counted. In no state: nothing
        depends on it but the time that it saves."""

    @property
    def intervals_s(self) -> list[float]:
        """The latest known intervals in seconds, those of `FAST_BEATS` beats at most."""
        return [rr_s for _, rr_s in self.state.intervals]

    def reset(self) -> None:
        """Start over: the next beat does not follow those before."""
        self._forget()
        self.state.active.clear()

    def interrupt(self) -> None:
        """Record that the signal is lost: no condition is present, what was measured is kept."""
        self.state.active.clear()

    def on_qrs(self, sample: int, rr_s: float) -> list[RateChange]:
        """Take in a QRS and the interval before it, NaN where it is not known.

        Returns:
            Every rate that is beyond its limit, with each known interval again, and once each that
            is back within it.
        """
        known = self.state.intervals
        if known and sample - known[-1][0] > self._bridged:
            self._forget()
        if rr_s >= self._settings.asystole_s:
            self._forget()  # the heart stood still: what was before is no present rate
            return []
        if not math.isfinite(rr_s):
            return []
        known.append((sample, rr_s))
        if len(known) >= FAST_BEATS:
            del known[: 1 - FAST_BEATS]
        shortest_s, longest_s = self._usual_s
        self._usual = self._usual + 1 if shortest_s <= rr_s <= longest_s else 0
        within = self._usual >= len(known) or self._within_all_limits()
        if within and not self.state.active and not self.state.beyond_since:
            return []  # nearly always
        settings = self._settings
        return [
            *self._slow("extreme_bradycardia", settings.extreme_bradycardia_bpm),
            *self._fast("extreme_tachycardia", settings.extreme_tachycardia_bpm),
            *self._limit("heart_rate_low", -1, settings.heart_rate_low_bpm),
            *self._limit("heart_rate_high", 1, settings.heart_rate_high_bpm),
        ]

    def _within_all_limits(self) -> bool:
        """Return whether the means say that no condition begins, however they are rounded."""
        settings, rr_s = self._settings, [rr_s for _, rr_s in self.state.intervals]
        few, some = sum(rr_s[1 - SLOW_BEATS :]), sum(rr_s[-RATE_BEATS:])
        least_bpm = settings.extreme_tachycardia_bpm - settings.heart_rate_hysteresis_bpm
        slowest_s, fastest_s = 60.0 * (1 - _ROUNDING), 60.0 * (1 + _ROUNDING)
        return (
            few * settings.extreme_bradycardia_bpm < (SLOW_BEATS - 1) * slowest_s
            and some * settings.heart_rate_low_bpm < RATE_BEATS * slowest_s
            and (
                len(rr_s) < RATE_BEATS
                or some * settings.heart_rate_high_bpm > RATE_BEATS * fastest_s
            )
            and (len(rr_s) < FAST_BEATS - 1 or sum(rr_s) * least_bpm > (FAST_BEATS - 1) * fastest_s)
        )

    def _slow(self, kind: str, limit_bpm: float) -> Iterator[RateChange]:
        latest = self._latest(SLOW_BEATS - 1)
        if not latest:
            return
        long = sum(rr_s * limit_bpm > 60.0 for rr_s in latest)
        bpm = _mean_bpm(latest)
        begins = bpm < limit_bpm and long >= SLOW_INTERVALS
        yield from self._extreme(kind, -1, bpm, limit_bpm, latest, begins=begins)

    def _fast(self, kind: str, limit_bpm: float) -> Iterator[RateChange]:
        """Leave out the longest of sixteen intervals: one is a missed beat or a pause, no rate.

        At 140 bpm it takes 8 bpm and more off the mean of all, and atrial fibrillation has such
        intervals all the time. That mean must be no further within the limit than the hysteresis.
        """
        latest = self._latest(FAST_BEATS - 1)
        if not latest:
            return
        longest = latest.index(max(latest))
        bpm = _mean_bpm(latest[:longest] + latest[longest + 1 :])
        least_bpm = limit_bpm - self._settings.heart_rate_hysteresis_bpm
        begins = bpm > limit_bpm and _mean_bpm(latest) > least_bpm
        yield from self._extreme(kind, 1, bpm, limit_bpm, latest, begins=begins)

    def _extreme(
        self,
        kind: str,
        side: int,
        bpm: float,
        limit_bpm: float,
        latest: list[float],
        *,
        begins: bool,
    ) -> Iterator[RateChange]:
        if begins and kind not in self.state.active:
            sample, rr_s = self.state.intervals[-len(latest)]
            self.state.active[kind] = sample - round(rr_s * self._fs_hz)
        yield from self._report(kind, side, bpm, limit_bpm)

    def _limit(self, kind: str, side: int, limit_bpm: float) -> Iterator[RateChange]:
        latest = self._latest(RATE_BEATS)
        if not latest:
            return
        bpm = _mean_bpm(latest)
        if side * (bpm - limit_bpm) <= 0:
            self.state.beyond_since.pop(kind, None)
        elif kind not in self.state.active:
            sample = self.state.intervals[-1][0]
            since = self.state.beyond_since.setdefault(kind, sample)
            if sample - since >= self._settings.heart_rate_delay_s * self._fs_hz:
                self.state.active[kind] = since
        yield from self._report(kind, side, bpm, limit_bpm)

    def _report(self, kind: str, side: int, bpm: float, limit_bpm: float) -> Iterator[RateChange]:
        """Yield an active condition; it ends when the rate is within its limit by a hysteresis."""
        if kind not in self.state.active:
            return
        if side * (bpm - limit_bpm) < -self._settings.heart_rate_hysteresis_bpm:
            del self.state.active[kind]
            yield RateChange(kind, False, self.state.intervals[-1][0], bpm, limit_bpm)
        elif side * (bpm - limit_bpm) > 0:
            yield RateChange(kind, True, self.state.active[kind], bpm, limit_bpm)

    def _latest(self, intervals: int) -> list[float]:
        """Return the latest intervals in seconds, or none if so many are not known."""
        if len(self.state.intervals) < intervals:
            return []
        return [rr_s for _, rr_s in self.state.intervals[-intervals:]]

    def _forget(self) -> None:
        self.state.intervals.clear()
        self.state.beyond_since.clear()


def _mean_bpm(intervals_s: list[float]) -> float:
    return 60.0 * len(intervals_s) / sum(intervals_s)
