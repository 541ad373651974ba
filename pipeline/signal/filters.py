"""The filters' coefficients.

The Butterworth filters are given as numbers: their corners never change while the monitor runs,
and scipy's design functions take longer to import than a hub may take to start. A test designs
them again from their corners. The resampling depends on the source and is designed per stream.

Pure: no state, no clock. `pipeline.signal.kernels` runs them.
"""

from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.signal.kernels.windows import nearest_inputs

QRS_BAND_HZ: Final = (8.0, 20.0)
"""Where the QRS differs most from P, T and noise (Elgendi 2013)."""

RESAMPLING_DELAY_S: Final = 0.02
"""Half the length of the resampling filter: the input it must see beyond an output sample."""

_SHORTEST_HALF: Final = 3
"""Input samples on each side below which interpolation would be poor: rates under 150 Hz wait
longer than `RESAMPLING_DELAY_S`, at most 60 ms at 50 Hz."""

_MOST_PHASES: Final = 1024
"""Rates that need more fractional positions get the nearest of these (1/2048 sample off)."""

_KAISER_BETA: Final = 5.0
"""About 50 dB of stop-band attenuation (Kaiser & Schafer 1980)."""


class Resampling(NamedTuple):
    """A rational sampling rate conversion: output k lies at input position k * step / per."""

    step: int
    per: int
    half: int
    """Input samples needed after (and before) an output's position; 0 for no conversion."""
    taps: NDArray[np.float64]
    """float64[phases + 1, 2 * half]: row r weighs inputs around fractional position r / phases."""

    def first_at(self, source: int) -> int:
        """Return the first output index at or after input index ``source``."""
        return -(-source * self.per // self.step)

    def to_source(self, k: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the input indices nearest to output indices, int64 of any shape, no overflow."""
        out = np.empty(k.shape, dtype=np.int64)
        nearest_inputs(k.ravel(), self.step, self.per, out.reshape(-1))
        return out

    def one_to_source(self, k: int) -> int:
        """Return the input index nearest to one output index, as `to_source` does: no array."""
        whole, rest = divmod(k, self.per)
        return whole * self.step + (2 * rest * self.step + self.per) // (2 * self.per)


@cache  # for all streams of a rate: they are a hundredth of the memory of one
def resampling(fs_hz: float) -> Resampling:
    """Design the conversion from ``fs_hz`` to 360 Hz: a Kaiser-windowed sinc, polyphase.

    The rate is taken as a fraction (to 0.1 mHz, that is to 0.05 s in 24 h of 250 Hz at worst;
    exact for the rates in use), so that positions are integer arithmetic and never drift. The
    filter is symmetric: it delays nothing, but an output waits for ``half`` inputs after it.
    """
    ratio = Fraction(fs_hz).limit_denominator(10_000) / SAMPLING_RATE_HZ
    step, per = ratio.numerator, ratio.denominator
    if ratio == 1:
        return Resampling(1, 1, 0, np.ones((2, 0)))
    half = max(_SHORTEST_HALF, int(RESAMPLING_DELAY_S * fs_hz))
    phases = min(per, _MOST_PHASES)
    cutoff = 0.9 * min(1.0, SAMPLING_RATE_HZ / fs_hz)  # in units of the input's Nyquist rate
    distance = np.arange(1 - half, half + 1) - np.arange(phases + 1)[:, None] / phases
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / half) ** 2)))
    taps = np.sinc(cutoff * distance) * window
    return Resampling(step, per, half, taps / taps.sum(axis=1, keepdims=True))


BAND, QRS, NOISE = range(3)
"""Rows of what the filters write."""


_BANK: Final = (
    # `BAND_PASS_HZ`: first-order high-pass, second-order low-pass.
    (0.9744822833574399, -0.9744822833574399, 0.0, -0.9489645667148797, 0.0),
    (
        0.09763107293781749,
        0.19526214587563498,
        0.09763107293781749,
        -0.9428090415820632,
        0.3333333333333332,
    ),
    # `QRS_BAND_HZ`: second-order band-pass.
    (
        0.009525762376195457,
        0.019051524752390914,
        0.009525762376195457,
        -1.7329941577110215,
        0.8212895306617332,
    ),
    (1.0, -2.0, 1.0, -1.8822921693766894, 0.9054726345405674),
    # `NOISE_BAND_HZ`: second-order high-pass.
    (
        0.7338522479556232,
        -1.4677044959112464,
        0.7338522479556232,
        -1.3955689870845498,
        0.5398400047379431,
    ),
)


def filter_bank() -> NDArray[np.float64]:
    """Return the filters of the 360 Hz stream, float64[5, 5].

    Second-order sections, rows b0 b1 b2 a1 a2 with a0 = 1, Butterworth, run in one direction:

    * BAND, what windows are cut from, in two: first-order high-pass and second-order low-pass; a
      delay of a few milliseconds, and the same filter in training and live.
    * QRS, the input of the detector, in two.
    * NOISE, what shows muscle and mains noise, in one.
    """
    return np.array(_BANK)
