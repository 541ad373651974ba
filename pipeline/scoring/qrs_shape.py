"""The QRS of a beat beside the patient's usual ones: alike or not, and how wide.

A ventricular beat spreads through muscle and not through the conduction system, so its QRS is wide
and has another shape than the patient's usual one, however fast the heart beats. A supraventricular
tachycardia mostly keeps the usual shape. Shape is a correlation, so that neither the gain nor the
size of the beat matters. On DS1 of the MIT-BIH records and on svdb nine of ten normal beats
correlate above 0.95 with the usual template, nine of ten ventricular ones below 0.93, and half of
them below 0.76.

Pure: no state, no clock, no I/O. Windows are float32[320]; ticks are those of 360 Hz.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R
from pipeline.schema.state import State

QRS: Final = slice(WINDOW_BEFORE_R - 36, WINDOW_BEFORE_R + 54)
"""100 ms before the R peak to 150 ms after it."""

UNUSUAL: Final = 0.9
"""A QRS that correlates less with the patient's usual ones is none of them."""

REPEATED: Final = 0.95
"""The beats of a tachycardia of one focus correlate at least so much with each other."""

LOOKED_AT: Final = 0.95
"""Of a QRS that correlates less than this with the usual ones the width is measured, too."""

_LAGS: Final = np.arange(-12, 13, 3)
"""Ticks; the detector may take another peak of a wide complex for R."""

_TICKS_SQUARED: Final = np.square(np.arange(-36.0, 54.0))
_TRIANGLE: Final = math.sqrt(12.0)
"""The slopes of a triangle that is n wide lie n / sqrt(12) from its middle, root mean square."""

_NEVER: Final = 1e-9


class QrsShape(State, eq=True):
    """How the QRS of one beat compares; NaN where nothing is known, or nobody asks."""

    likeness: float = math.nan
    """Its correlation with the most alike of the patient's usual ones."""
    repeats: float = math.nan
    """Its correlation with the beat before."""
    width_ms: float = math.nan
    """The width of a triangle whose slopes are spread as widely."""
    widening: float = math.nan
    """This width over that of the most alike usual one."""

    @property
    def unusual(self) -> bool:
        """Whether it is known to be none of the patient's usual ones."""
        return self.likeness < UNUSUAL


def compare(
    window: NDArray[np.float32],
    usual: Sequence[NDArray[np.float32]],
    before: NDArray[np.float32] | None,
) -> QrsShape:
    """Compare a beat with the usual templates, each float32[320], and with the beat before.

    Of a beat that is much as usual nothing but the likeness to one template is measured; with no
    usual template, all else is.
    """
    for template in usual:
        correlation = as_it_lies(window, template)
        if correlation >= LOOKED_AT:
            return QrsShape(likeness=correlation)
    shape = QrsShape(width_ms=width_ms(window))
    if usual:
        shape.likeness, nearest = max(
            (likeness(window, template), index) for index, template in enumerate(usual)
        )
        shape.widening = shape.width_ms / width_ms(usual[nearest])
    if before is not None:
        shape.repeats = likeness(window, before)
    return shape


def as_it_lies(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of two windows, float32[320] each, without a lag."""
    return _correlation(window[QRS], other[QRS])


def likeness(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of another window with that of a beat at its best lag.

    Both are float32[320]; the correlation lies in [-1, 1].
    """
    shifted = sliding_window_view(window, QRS.stop - QRS.start)[QRS.start + _LAGS]
    shifted = shifted - shifted.mean(axis=1, keepdims=True)
    qrs = other[QRS] - other[QRS].mean()
    powers = np.einsum("ln,ln->l", shifted, shifted) * (qrs @ qrs)
    return float((shifted @ qrs / np.sqrt(powers + _NEVER)).max())


def width_ms(window: NDArray[np.float32]) -> float:
    """Return how wide the QRS of a window float32[320] is, at least 10 ms."""
    slope = np.square(np.diff(window[QRS.start - 1 : QRS.stop]))
    ticks = math.sqrt(float(_TICKS_SQUARED @ slope) / (float(slope.sum()) + _NEVER))
    return max(10.0, _TRIANGLE * ticks * 1000.0 / SAMPLING_RATE_HZ)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    # Sums and products of numbers: a quarter of the time that arrays of deviations take.
    n, sum_a, sum_b = a.size, float(a.sum()), float(b.sum())
    power = (float(a @ a) - sum_a * sum_a / n) * (float(b @ b) - sum_b * sum_b / n)
    return (float(a @ b) - sum_a * sum_b / n) / math.sqrt(max(power, 0.0) + _NEVER)
