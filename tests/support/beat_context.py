"""The context of beats by its definition, slowly: from all beats before, for each beat again.

Also which beats are held, by `pipeline.scoring.baseline_hold`, the rule that the kernel repeats.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.scoring.baseline_hold import WIDE_MS, BaselineHold
from pipeline.scoring.beat_features import CONTEXT_NAMES
from pipeline.scoring.qrs_shape import QrsShape
from pipeline.signal.kernels.naming import slots
from pipeline.signal.kernels.naming.hold import WIDE

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Flags = NDArray[np.bool_]

RHYTHM: Final = 7
R: Final = 140
P, QRS, T = slice(R - 90, R - 28), slice(R - 36, R + 54), slice(R + 54, R + 160)
PARTS: Final = (slice(0, 320), P, QRS, T)
TICKS: Final = np.arange(-36.0, 54.0)
LAGS: Final = np.arange(-12, 13, 3)


def held_beats(rr_s: Doubles, usable: Flags, measures: Singles) -> Flags:
    """Return of which beats nothing is learned, from what was measured of them."""
    hold = BaselineHold()
    held = np.zeros(rr_s.size, dtype=bool)
    for i, row in enumerate(measures.astype(np.float64)):
        if not usable[i]:
            held[i] = hold.active
            continue
        known = row[slots.LATE_KNOWN] >= slots.LEAST_LATE
        shape = QrsShape(
            likeness=row[slots.LATE_QRS_LAG] if known else math.nan,
            repeats=row[slots.LAST_QRS],
            width_ms=WIDE_MS if row[slots.WIDTH] >= WIDE else 0.0,
        )
        held[i] = hold.on_beat(known_or_nan(rr_s[i]), shape)
    return held


def contexts_of(
    rr_s: Doubles,
    windows: Singles,
    usable: Flags,
    held: Flags,
    asked: Sequence[int] | None = None,
) -> Doubles:
    """Return float64[n, 22], 0 of beats that are not usable. Nothing is learned of held beats.

    With ``asked``, it is 0 of all beats but these.
    """
    wanted = usable.copy() if asked is None else usable & np.isin(np.arange(rr_s.size), asked)
    out = np.zeros((rr_s.size, len(CONTEXT_NAMES)))
    rr = np.array([known_or_nan(one) for one in rr_s.tolist()])
    intervals: list[float] = []
    steps: list[float] = []
    due: list[Doubles] = []
    for i, window in enumerate(windows.astype(np.float64)):
        before = [math.nan, math.nan, *rr[:i]][-2:]
        if wanted[i]:
            if intervals:
                out[i, :RHYTHM] = _rhythm(rr[i], before, intervals[-1000:], steps[-64:])
            kept = _kept(due)
            if len(kept) >= 5:
                out[i, RHYTHM:] = _shape(window, np.stack(kept))
        if held[i] or math.isnan(rr[i]):
            continue
        if usable[i] and intervals:
            lateness = log_ratio(rr[i], float(np.quantile(intervals[-1000:], 0.75)))
            if -0.12 < lateness < 0.25:
                due.append(window)
        if not math.isnan(before[-1]):
            steps.append(abs(log_ratio(rr[i], before[-1])))
        intervals.append(rr[i])
    return out


def known_or_nan(rr_s: float) -> float:
    """Return the interval, NaN for what is none."""
    return rr_s if math.isfinite(rr_s) and rr_s > 0.0 else math.nan


def log_ratio(a: float, b: float) -> float:
    """Return log(a / b) within 1.5 of 0; 0 where one is not known."""
    if math.isnan(a) or math.isnan(b):
        return 0.0
    return float(np.clip(math.log(a) - math.log(b), -1.5, 1.5))


def _rhythm(
    rr: float, before: list[float], intervals: list[float], steps: list[float]
) -> list[float]:
    q25, q50, q75, q90 = np.quantile(intervals, (0.25, 0.5, 0.75, 0.9)).tolist()
    step = float(np.median(steps)) if steps else 0.0
    below_median, below_upper = log_ratio(rr, q50), log_ratio(rr, q75)
    spreads = (
        below_median / (0.1 + log_ratio(q75, q25)),
        below_upper / (0.1 + log_ratio(q90, q50)),
        below_median / (0.05 + step),
    )
    known = float(not math.isnan(rr))
    last, one_before = log_ratio(before[-1], q75), log_ratio(before[-2], q75)
    return [known, below_upper, last, one_before, *np.clip(spreads, -6.0, 6.0)]


def _kept(due: list[Doubles]) -> list[Doubles]:
    """Return the windows of usual beats kept: the first 64, then every fifth of all."""
    later = [window for number, window in enumerate(due[64:], 65) if number % 5 == 0]
    return [*due[:64], *later][-64:]


def _shape(window: Doubles, kept: Doubles) -> list[float]:
    template = np.median(kept, axis=0)
    usual = np.array([_distances(one - template) for one in kept])
    centre, ninth_decile = np.quantile(usual, (0.5, 0.9), axis=0)
    further = _distances(window - template) - centre
    return [
        1.0,
        *np.clip(further, -2.0, 4.0),
        *np.clip(further / (0.1 + ninth_decile - centre), -6.0, 12.0),
        *(_correlation(window[part], template[part]) for part in (QRS, P, PARTS[0])),
        max(
            _correlation(one, template[QRS])
            for one in sliding_window_view(window, TICKS.size)[QRS.start + LAGS]
        ),
        log_ratio(_width(window), _width(template)),
        float(np.clip(np.ptp(window[QRS]) / (np.ptp(template[QRS]) + 0.05) - 1.0, -1.0, 1.0)),
    ]


def _distances(apart: Doubles) -> Doubles:
    squares = [np.mean(np.square(apart[part])) for part in PARTS]
    distances: Doubles = np.log(np.sqrt(squares) + 0.01)
    return distances


def _correlation(a: Doubles, b: Doubles) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-9))


def _width(window: Doubles) -> float:
    slope = np.square(np.diff(window[QRS.start - 1 : QRS.stop]))
    return max(1.0, math.sqrt(np.square(TICKS) @ slope / (slope.sum() + 1e-9)))
