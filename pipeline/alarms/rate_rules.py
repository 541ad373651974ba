"""The rules of the heart rate: extreme rates over a few beats, limits over some seconds.

They go by the detections alone and wait for no score. Each rule looks at RR intervals of one
analysable stretch; an interval that is not known (NaN) makes it begin anew.
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

RATE_BEATS: Final = 8
"""The heart rate is the mean over this many RR intervals."""


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

    beats: list[tuple[int, float]] = field(default_factory=list)
    """(sample, RR interval that ends there) of the latest `FAST_BEATS` beats."""
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
        self._fs_hz = fs_hz

    def reset(self) -> None:
        """Begin anew: the next beat does not follow those before."""
        self.state.beats.clear()
        self.state.beyond_since.clear()
        self.state.active.clear()

    def on_qrs(self, sample: int, rr_s: float) -> Iterator[RateChange]:
        """Take in a QRS and the interval before it, NaN where it is not known.

        Yields:
            Every rate that is beyond its limit, with each beat anew, and once each that is back
            within it.
        """
        if not math.isfinite(rr_s):
            self.state.beats.clear()
            self.state.beyond_since.clear()
        self.state.beats.append((sample, rr_s))
        del self.state.beats[:-FAST_BEATS]
        settings = self._settings
        yield from self._extreme(
            "extreme_bradycardia", SLOW_BEATS, -1, settings.extreme_bradycardia_bpm
        )
        yield from self._extreme(
            "extreme_tachycardia", FAST_BEATS, 1, settings.extreme_tachycardia_bpm
        )
        yield from self._limit("heart_rate_low", -1, settings.heart_rate_low_bpm)
        yield from self._limit("heart_rate_high", 1, settings.heart_rate_high_bpm)

    def _extreme(self, kind: str, beats: int, side: int, limit_bpm: float) -> Iterator[RateChange]:
        # One long interval among slow ones is a pause, and no slow rate.
        bpm = self._bpm(beats - 1, longest_too=side > 0)
        if bpm is None:
            return
        if kind not in self.state.active and side * (bpm - limit_bpm) > 0:
            self.state.active[kind] = self.state.beats[-beats][0]
        yield from self._report(kind, side, bpm, limit_bpm)

    def _limit(self, kind: str, side: int, limit_bpm: float) -> Iterator[RateChange]:
        bpm = self._bpm(RATE_BEATS)
        if bpm is None:
            return
        if side * (bpm - limit_bpm) <= 0:
            self.state.beyond_since.pop(kind, None)
        elif kind not in self.state.active:
            sample = self.state.beats[-1][0]
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
            yield RateChange(kind, False, self.state.beats[-1][0], bpm, limit_bpm)
        elif side * (bpm - limit_bpm) > 0:
            yield RateChange(kind, True, self.state.active[kind], bpm, limit_bpm)

    def _bpm(self, intervals: int, *, longest_too: bool = True) -> float | None:
        """Return the mean rate over the latest intervals, or None if so many are not known."""
        if len(self.state.beats) <= intervals:
            return None
        latest = [rr_s for _, rr_s in self.state.beats][-intervals:]
        if not longest_too:
            latest.remove(max(latest))
        return 60.0 * len(latest) / sum(latest)
