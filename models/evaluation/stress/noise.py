"""Calibrated noise for clean records, mixed as WFDB's ``nst`` does it.

The rules are those of ``nst`` and ``sigamp`` (Moody, WFDB Software Package; Moody, Muldrow &
Mark, Computers in Cardiology 11, 1984):

* The signal's amplitude S is the mean peak-to-peak amplitude of the first 300 normal QRS, within
  50 ms of their annotation; the noise's N is the mean of the RMS amplitudes of its first 300
  seconds, each about its own mean. Of both, a twentieth is left out at either end.
* The signal-to-noise ratio compares the powers of a sine of the amplitude S and of the noise:
  the gain of the noise is ``10^(-dB/20) S / (sqrt(8) N)``.
* Five minutes without noise, then two minutes with and two without, to the end. Where the noise
  begins or ends, and where it is repeated, the signal is shifted so that it does not jump.

The records of the MIT-BIH Noise Stress Test Database come out but for the rounding of their
samples; ``tests/models/evaluation/test_noise.py`` says how near. Pure: arrays in, arrays out, mV.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NORMAL_QRS: Final = frozenset("NLRaJASj/QBenf")
"""Normal QRS for ``sigamp``: all but ventricular beats and fusions with them."""

ADC_UNITS_PER_MV: Final = 200
"""``sigamp`` cuts the noise's deviations to whole units of the records' converters."""

_MEASURED: Final = 300
_TRIM: Final = 20
_QRS_S: Final = 0.05
_FIRST_S: Final = 300.0
_PERIOD_S: Final = 120.0


def signal_amplitude(
    samples: NDArray[np.float32], r_samples: NDArray[np.int64], fs_hz: float
) -> float:
    """Return the peak-to-peak amplitude of normal QRS, mV.

    Args:
        samples: float32[n], mV.
        r_samples: int64[b], positions of normal QRS, ascending.
        fs_hz: samples a second.

    Raises:
        ValueError: no QRS lies far enough from the ends.
    """
    reach = int(_QRS_S * fs_hz + 0.5)
    inside = r_samples[(r_samples >= reach) & (r_samples + reach < samples.size)][:_MEASURED]
    if not inside.size:
        raise ValueError("no QRS to measure")
    around = samples[inside[:, None] + np.arange(-reach, reach + 1)]
    return _trimmed_mean(np.ptp(around, axis=1))


def noise_amplitude(noise: NDArray[np.float32], fs_hz: float) -> float:
    """Return the RMS amplitude, mV, of noise, float32[n] in mV.

    Raises:
        ValueError: it lasts less than a second.
    """
    second = round(fs_hz)
    count = min(_MEASURED, noise.size // second)
    if not count:
        raise ValueError("less than a second of noise")
    seconds = noise[: count * second].reshape(count, second).astype(np.float64)
    units = np.trunc((seconds - seconds.mean(axis=1, keepdims=True)) * ADC_UNITS_PER_MV)
    return _trimmed_mean(np.sqrt(np.mean(np.square(units), axis=1))) / ADC_UNITS_PER_MV


def noise_gain(snr_db: float, signal_mv: float, noise_mv: float) -> float:
    """Return the factor of the noise for a ratio; amplitudes are peak to peak, and RMS."""
    return float(10.0 ** (-snr_db / 20.0) * signal_mv / (np.sqrt(8.0) * noise_mv))


def noisy_parts(n: int, fs_hz: float) -> list[tuple[int, int]]:
    """Return first and end of the stretches with noise in ``n`` samples."""
    period = round(_PERIOD_S * fs_hz)
    starts = range(round(_FIRST_S * fs_hz), n, 2 * period)
    return [(start, min(start + period, n)) for start in starts]


def add_noise(
    clean: NDArray[np.float32], noise: NDArray[np.float32], gain: float, fs_hz: float
) -> NDArray[np.float32]:
    """Return a clean signal, float32[n] in mV, with ``gain`` times the noise in its noisy parts.

    Raises:
        ValueError: there is no noise.
    """
    if not noise.size:
        raise ValueError("no noise")
    per_round = float(noise[-1]) - float(noise[0])
    added = np.zeros(clean.size)
    level = 0.0
    for first, end in noisy_parts(clean.size, fs_hz):
        # From the sample before on: there nothing is added yet, so that nothing jumps.
        rounds, at = np.divmod(np.arange(first - 1, end), noise.size)
        part = gain * (noise[at] + rounds * per_round)
        added[first:end] = part[1:] - part[0] + level
        level = added[end - 1]
        added[end:] = level
    return (clean + added).astype(np.float32)


def _trimmed_mean(values: NDArray[np.floating[Any]]) -> float:
    out = values.size // _TRIM
    return float(np.sort(values)[out : values.size - out].mean())
