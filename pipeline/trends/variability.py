"""Heart rate variability of five minutes.

Task Force of the ESC and NASPE, "Heart rate variability: standards of measurement", Circulation
93:1043-1065, 1996. Only intervals between two beats from the sinus node count (NN intervals). For
the spectrum those of ectopic beats are replaced, or one of them would be in all of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PERIOD_S: Final = 300.0
"""The standard's length of a short recording."""

LEAST_NORMAL: Final = 0.8
"""With fewer of the intervals between normal beats, or with less of the time covered by intervals,
the figures would say more about ectopic beats and noise than about the sinus node."""

LEAST_INTERVALS: Final = 120
"""Fewer in five minutes are no heart rhythm."""

LOW_HZ: Final = (0.04, 0.15)
HIGH_HZ: Final = (0.15, 0.4)

_LONG_S: Final = 0.05
"""Of pNN50."""

_GRID_HZ: Final = 4.0
"""Rate at which the intervals are sampled for the spectrum: above twice the rate of any heart's
intervals that matter here."""

_ROUNDS: Final = 10
"""Each brings the slopes of the spline to half their error or less, at first some milliseconds a
second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variability:
    """Of one stretch of five minutes."""

    sdnn_ms: float
    """Standard deviation of the NN intervals."""
    rmssd_ms: float
    """Root mean square of the differences between one NN interval and the next."""
    pnn50: float
    """Share of these differences that are above 50 ms, 0 to 1."""
    lf_ms2: float
    """Power from 0.04 to 0.15 Hz."""
    hf_ms2: float
    """Power from 0.15 to 0.4 Hz."""

    @property
    def lf_hf(self) -> float | None:
        """Ratio of the two powers; None where the higher one has none."""
        return self.lf_ms2 / self.hf_ms2 if self.hf_ms2 > 0 else None


def variability(
    times_s: NDArray[np.float64], rr_s: NDArray[np.float64], normal: NDArray[np.bool_]
) -> Variability | None:
    """Return the variability of the beats of five minutes, or None where it cannot be computed.

    Args:
        times_s: float64[n], R peaks in order.
        rr_s: float64[n], interval to the beat before; NaN where it is not known.
        normal: bool[n], whether a beat comes from the sinus node.
    """
    known = np.isfinite(rr_s)
    before = np.zeros(len(normal), dtype=np.bool_)
    before[1:] = normal[:-1]
    nn = known & normal & before
    covered_s = float(np.sum(rr_s[known]))
    if (
        np.sum(nn) < max(LEAST_INTERVALS, LEAST_NORMAL * np.sum(known))
        or covered_s < LEAST_NORMAL * PERIOD_S
    ):
        return None
    intervals_ms = 1e3 * rr_s[nn]
    following = np.flatnonzero(nn[1:] & nn[:-1]) + 1  # both intervals are NN, and share a beat
    steps_ms = 1e3 * (rr_s[following] - rr_s[following - 1])
    low, high = _powers(times_s[nn], intervals_ms)
    return Variability(
        sdnn_ms=float(np.std(intervals_ms, ddof=1)),
        rmssd_ms=float(np.sqrt(np.mean(steps_ms**2))) if len(steps_ms) else 0.0,
        pnn50=float(np.mean(np.abs(steps_ms) > 1e3 * _LONG_S)) if len(steps_ms) else 0.0,
        lf_ms2=low,
        hf_ms2=high,
    )


def _powers(times_s: NDArray[np.float64], intervals_ms: NDArray[np.float64]) -> tuple[float, float]:
    """Return the power in the low and the high band, ms².

    1. A cubic spline through the NN intervals replaces the others, and is sampled evenly.
    2. The mean and the slope are removed, and both ends tapered (Hann).
    3. The density of the whole stretch is integrated over each band.

    SciPy has all of this, and takes a hub two seconds and 60 MB to import.
    """
    grid_s = np.arange(times_s[0], times_s[-1], 1.0 / _GRID_HZ)
    even_ms = _spline(times_s, intervals_ms, grid_s)
    n = len(even_ms)
    place = np.arange(n) - (n - 1) / 2.0
    even_ms -= even_ms.mean() + place * (place @ even_ms / (place @ place))
    taper = 0.5 - 0.5 * np.cos(2.0 * np.pi / n * np.arange(n))
    density = np.abs(np.fft.rfft(taper * even_ms)) ** 2 * 2.0 / (_GRID_HZ * (taper @ taper))
    hz = np.fft.rfftfreq(n, 1.0 / _GRID_HZ)
    powers = []
    for begin, end in (LOW_HZ, HIGH_HZ):
        band = slice(*np.searchsorted(hz, (begin, end)))
        powers.append(float(np.trapezoid(density[band], hz[band])))
    return powers[0], powers[1]


def _spline(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the cubic spline through points, at places between the first and the last of them.

    The slope at a point follows from those at both neighbours, by the continuous curvature:
    Jacobi's method, whose error at least halves with each round. At both ends the slope is that of
    the parabola through three points.
    """
    width = np.diff(x)
    rise = np.diff(y) / width
    left, right = width[:-1], width[1:]
    share = right / (left + right)
    slope = np.concatenate((rise[:1], share * rise[:-1] + (1.0 - share) * rise[1:], rise[-1:]))
    slope[0], slope[-1] = 2.0 * rise[0] - slope[1], 2.0 * rise[-1] - slope[-2]
    given = 1.5 * slope[1:-1]
    before, after = 0.5 * share, 0.5 * (1.0 - share)
    for _ in range(_ROUNDS):
        slope[1:-1] = given - before * slope[:-2] - after * slope[2:]
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(width) - 1)
    h, t = width[piece], (at - x[piece]) / width[piece]
    begin, end = slope[piece], slope[piece + 1]
    bend = begin + end - 2.0 * rise[piece]
    return y[piece] + h * t * (begin + t * (3.0 * rise[piece] - 2.0 * begin - end + t * bend))
