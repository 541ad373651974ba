"""Losses in a stream whose samples have time stamps and no numbers. Pure.

Two stamps more than one and a half samples apart are a loss, or jitter: most programs stamp a chunk
when they send it, and send late now and then. After jitter the next stamps fall back to where they
would have been; after a loss they never do. So what follows a jump is held back for a second of
signal, until that is known. Jumps as large as the jitter that was seen are jitter at once, so that
nothing waits where stamps always jitter.

A smaller loss is not looked for in the sum of many stamps. It would move them all from then on, and
so does a program that is late by as much from then on, as when its buffer grows: the stamps are
the same. Such a loss moves later beats by at most three times the jitter; a gap that is none would
cost the beats around it.

Units: seconds, samples.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIRM_S: Final = 1.0
"""This much signal after a jump shows whether stamps fall back."""

SURE_S: Final = 1.0
"""No program is so late: a jump as long is a loss, or of a clock that was set."""

FARTHEST_S: Final = 2.0**40
"""Stamps beyond are those of no clock."""

_JITTER_HALVES_S: Final = 60.0
"""The jitter that was seen is half forgotten after this much signal."""


class Piece(NamedTuple):
    """Consecutive samples."""

    samples: NDArray[Any]
    """[n, channels]."""
    missing: int | None
    """Samples that are missing before them; None where stamps do not tell."""
    stamp_s: float
    """Of the last one."""


class StampedSignal:
    """Divides samples where some are missing. Not thread-safe."""

    def __init__(self, rate_hz: float, channels: int) -> None:
        self._interval_s = 1 / rate_hz
        self._confirm = round(CONFIRM_S * rate_hz)
        self._samples: NDArray[Any] = np.zeros((0, channels))
        self._stamps = np.zeros(0)
        self._expected_s: float | None = None
        """The stamp of the next sample if nothing is missing."""
        self._jitter_s = 0.0

    def push(self, samples: NDArray[Any], stamps: NDArray[np.float64]) -> Iterator[Piece]:
        """Yield what is decided of the samples, [n, channels], and of those before them."""
        stamps = self._usable(stamps)
        held = self._stamps.size
        self._samples = np.concatenate([self._samples, samples]) if held else samples
        self._stamps = np.concatenate([self._stamps, stamps]) if held else stamps
        yield from self._decided(now=False)

    def release(self) -> Iterator[Piece]:
        """Yield what was held back: nothing arrives that could decide it."""
        yield from self._decided(now=True)

    def _decided(self, *, now: bool) -> Iterator[Piece]:
        missing: int | None = 0
        while self._stamps.size:
            if self._expected_s is None:
                self._expected_s = float(self._stamps[0])
            steps = np.diff(self._stamps, prepend=self._expected_s - self._interval_s)
            steps -= self._interval_s
            least_s = max(0.5 * self._interval_s, 2 * self._jitter_s)
            jumps = np.flatnonzero((steps > least_s) | (steps < -SURE_S))
            if not jumps.size or jumps[0]:
                yield self._taken(int(jumps[0]) if jumps.size else steps.size, missing)
                missing = 0
                continue
            if not now and steps.size < self._confirm and abs(steps[0]) < SURE_S:
                return
            missing = self._missing(float(steps[0]))
            self._expected_s = float(self._stamps[0])

    def _usable(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return stamps within bounds; one that is no number follows from the one before it."""
        usable = np.clip(stamps, -FARTHEST_S, FARTHEST_S)
        for at in np.flatnonzero(np.isnan(usable)):
            before_s = self._stamps[-1] if self._stamps.size else 0.0
            usable[at] = (usable[at - 1] if at else before_s) + self._interval_s
        return usable

    def _missing(self, jump_s: float) -> int | None:
        """Return what is missing at a jump of the first stamp that is held."""
        if jump_s < 0:
            return None
        assert self._expected_s is not None
        window = self._stamps[: self._confirm]
        late_s = window - self._expected_s - self._interval_s * np.arange(window.size)
        stays_s = float(late_s.min())
        if jump_s < SURE_S and stays_s < max(0.5 * self._interval_s, jump_s / 2):
            self._jitter_s = max(self._jitter_s, jump_s)
            return 0
        return round((jump_s if jump_s >= SURE_S else stays_s) / self._interval_s)

    def _taken(self, n: int, missing: int | None) -> Piece:
        last_s = float(self._stamps[n - 1])
        piece = Piece(self._samples[:n], missing, last_s)
        self._samples, self._stamps = self._samples[n:], self._stamps[n:]
        self._expected_s = last_s + self._interval_s
        self._jitter_s *= 0.5 ** (n * self._interval_s / _JITTER_HALVES_S)
        return piece
