"""The rules of the heart rate: extreme rates over a few beats, limits over some seconds.

They go by the detections alone and wait for no score. Every rule keeps what it remembers in RR
intervals of one analysable stretch; an interval that is not known (NaN) makes it begin anew.
Pure: no clock, no I/O.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.alarms.settings import AlarmSettings

SLOW_BEATS: Final = 5
FAST_BEATS: Final = 17
"""Beats over which an extreme rate is judged (PhysioNet/CinC Challenge 2015, table 1)."""

RATE_BEATS: Final = 8
"""The heart rate is the mean over this many RR intervals."""


class RateChange(NamedTuple):
    """A condition of the rate: there with this beat, or over."""

    kind: str
    there: bool
    begun_at: int
    """Where it began, in source samples; where it ended, once it is over."""
    bpm: float
    limit_bpm: float


class RateRules:
    """What the rules of the rate remember of one stream."""

    def __init__(self, settings: AlarmSettings, fs_hz: float) -> None:
        self._settings = settings
        self._fs_hz = fs_hz
        self._beats: deque[tuple[int, float]] = deque(maxlen=FAST_BEATS)
        """(sample, RR interval that ends there) of the latest beats."""
        self._there: dict[str, int] = {}
        """What is there, and since where."""
        self._beyond_since: dict[str, int] = {}
        """Where the rate went beyond a limit that has a delay."""

    def forget(self) -> None:
        """Begin anew: what comes next does not follow what was."""
        self._beats.clear()
        self._beyond_since.clear()
        self._there.clear()

    def on_qrs(self, sample: int, rr_s: float) -> Iterator[RateChange]:
        """Take note of a QRS and of the interval before it, NaN where it is not known.

        Yields:
            Every rate that is beyond its limit, with each beat anew, and once each that is back
            within it.
        """
        if not math.isfinite(rr_s):
            self._beats.clear()
            self._beyond_since.clear()
        self._beats.append((sample, rr_s))
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
        if kind not in self._there and side * (bpm - limit_bpm) > 0:
            self._there[kind] = self._beats[-beats][0]
        yield from self._tell(kind, side, bpm, limit_bpm)

    def _limit(self, kind: str, side: int, limit_bpm: float) -> Iterator[RateChange]:
        bpm = self._bpm(RATE_BEATS)
        if bpm is None:
            return
        if side * (bpm - limit_bpm) <= 0:
            self._beyond_since.pop(kind, None)
        elif kind not in self._there:
            sample = self._beats[-1][0]
            since = self._beyond_since.setdefault(kind, sample)
            if sample - since >= self._settings.heart_rate_delay_s * self._fs_hz:
                self._there[kind] = since
        yield from self._tell(kind, side, bpm, limit_bpm)

    def _tell(self, kind: str, side: int, bpm: float, limit_bpm: float) -> Iterator[RateChange]:
        """Tell what is there; it ends once the rate is within its limit by the hysteresis."""
        if kind not in self._there:
            return
        if side * (bpm - limit_bpm) < -self._settings.heart_rate_hysteresis_bpm:
            del self._there[kind]
            yield RateChange(kind, False, self._beats[-1][0], bpm, limit_bpm)
        elif side * (bpm - limit_bpm) > 0:
            yield RateChange(kind, True, self._there[kind], bpm, limit_bpm)

    def _bpm(self, intervals: int, *, longest_too: bool = True) -> float | None:
        """Return the mean rate over the latest intervals, or None if so many are not known."""
        if len(self._beats) <= intervals:
            return None
        latest = [rr_s for _, rr_s in self._beats][-intervals:]
        if not longest_too:
            latest.remove(max(latest))
        return 60.0 * len(latest) / sum(latest)
