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
from numpy.typing import NDArray

from pipeline.schema.state import State
from pipeline.signal.kernels.scoring import shape as kernel

QRS: Final = slice(kernel.QRS_FROM, kernel.QRS_TO)
"""100 ms before the R peak to 150 ms after it."""

UNUSUAL: Final = 0.9
"""A QRS that correlates less with the patient's usual ones is none of them."""

REPEATED: Final = 0.95
"""The beats of a tachycardia of one focus correlate at least this much with each other."""

AS_USUAL: Final = kernel.AS_USUAL
"""Least correlation of a QRS that is as usual with a usual one; of others the width is measured."""


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


def shape_of(numbers: Sequence[float]) -> QrsShape:
    """Return the shape that the kernel wrote, `SHAPE_NUMBERS` of them."""
    # One NaN for all that is not known: then shapes are equal where their numbers are.
    likeness, repeats, width_ms, widening = numbers
    return QrsShape(
        likeness if likeness == likeness else math.nan,
        repeats if repeats == repeats else math.nan,
        width_ms if width_ms == width_ms else math.nan,
        widening if widening == widening else math.nan,
    )


def likeness_unshifted(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of two windows, float32[320] each, without a lag."""
    return kernel.likeness_unshifted(window, other)


def likeness(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of another window with that of a beat at its best lag.

    Both are float32[320]; the correlation lies in [-1, 1].
    """
    return kernel.likeness(window, other)


def width_ms(window: NDArray[np.float32]) -> float:
    """Return how wide the QRS of a window float32[320] is, at least 10 ms."""
    return kernel.width_ms(window)
