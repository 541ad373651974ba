"""The coefficients in the code are those of the filters that the text names."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from pipeline.constants import BAND_PASS_HZ, SAMPLING_RATE_HZ
from pipeline.signal import fibrillation
from pipeline.signal.filters import BAND, NOISE, QRS, QRS_BAND_HZ, filter_bank
from pipeline.signal.kernels.fibrillation import THIN
from pipeline.signal.quality import NOISE_BAND_HZ


def designed(
    order: int, corner_hz: float | tuple[float, float], kind: str, fs_hz: float
) -> NDArray[np.float64]:
    """Return rows b0 b1 b2 a1 a2 of a Butterworth filter as scipy designs it."""
    sections = signal.butter(order, corner_hz, kind, fs=fs_hz, output="sos")
    return np.asarray(sections[:, [0, 1, 2, 4, 5]])


def test_the_bank_is_what_its_corners_give() -> None:
    """Band-pass, QRS and noise band at 360 Hz, each where the kernels look for it."""
    low_hz, high_hz = BAND_PASS_HZ
    parts = (
        designed(1, low_hz, "highpass", SAMPLING_RATE_HZ),
        designed(2, high_hz, "lowpass", SAMPLING_RATE_HZ),
        designed(2, QRS_BAND_HZ, "bandpass", SAMPLING_RATE_HZ),
        designed(2, NOISE_BAND_HZ, "highpass", SAMPLING_RATE_HZ),
    )

    np.testing.assert_allclose(filter_bank(), np.vstack(parts), rtol=1e-9, atol=1e-12)
    assert (BAND, QRS, NOISE) == (0, 1, 2)


@pytest.mark.parametrize(("name", "corners_hz"), [("BAND", (1.0, 30.0)), ("LOW", (2.0, 7.0))])
def test_the_bands_of_fibrillation_are_what_their_corners_give(
    name: str, corners_hz: tuple[float, float]
) -> None:
    """Both at the rate of the thinned samples."""
    expected = designed(2, corners_hz, "bandpass", SAMPLING_RATE_HZ / THIN)

    np.testing.assert_allclose(getattr(fibrillation, name), expected, rtol=1e-9, atol=1e-12)
