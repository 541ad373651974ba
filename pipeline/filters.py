"""The filters' coefficients, designed once per stream from the constants.

Pure: no state, no clock. `pipeline.kernels` runs them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pipeline.constants import BAND_PASS_HZ, SAMPLING_RATE_HZ


def band_pass_sections() -> NDArray[np.float64]:
    """Return the window band-pass as float64[2, 5]: rows b0 b1 b2 a1 a2 with a0 = 1.

    First-order high-pass and second-order low-pass, Butterworth, run in one direction: a delay
    of a few milliseconds, and the same filter in training and live.
    """
    low_hz, high_hz = BAND_PASS_HZ
    return sections(
        signal.butter(1, low_hz, "highpass", fs=SAMPLING_RATE_HZ, output="sos"),
        signal.butter(2, high_hz, "lowpass", fs=SAMPLING_RATE_HZ, output="sos"),
    )


def sections(*cascade: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stack scipy's second-order sections and drop their a0 column (it is always 1)."""
    return np.ascontiguousarray(np.vstack(cascade)[:, [0, 1, 2, 4, 5]])


def settled(coefficients: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the memory, float64[s, 2], of a filter that has seen ``level`` for ever.

    Starting from it, a stream with an offset begins without a step response.
    """
    memory = np.zeros((len(coefficients), 2))
    for row, (b0, b1, b2, a1, a2) in enumerate(coefficients):
        output = level * (b0 + b1 + b2) / (1.0 + a1 + a2)
        memory[row] = output - b0 * level, b2 * level - a2 * output
        level = output
    return memory
