"""Cut a stream of ECG samples into beats, one chunk at a time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import kernels
from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.filters import band_pass_sections, settled

FLAT_WINDOW_MV: Final = 0.02
"""A window that spans less is no beat: it is scaled to zeros instead of amplified noise."""


def filter_record(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a whole 360 Hz record, float32[n] in mV, behind the window band-pass."""
    coefficients = band_pass_sections()
    out = np.empty(x.size, dtype=np.float32)
    if x.size:
        memory = settled(coefficients, float(x[0]))
        kernels.band_pass(np.ascontiguousarray(x, dtype=np.float32), coefficients, memory, out)
    return out


def cut_windows(
    filtered: NDArray[np.float32], r_samples: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut [R - 140, R + 180) around every R peak of a filtered 360 Hz stretch.

    Args:
        filtered: float32[n], mV, as `filter_record` returns it.
        r_samples: int64[b]; every window must lie inside the stretch.

    Returns:
        windows float32[b, 320] scaled to [-1, 1] (zeros where flat), and spans float32[b], the
        peak-to-peak amplitude of each in mV.

    Raises:
        ValueError: a window reaches over an end of the stretch.
    """
    starts = np.ascontiguousarray(r_samples, dtype=np.int64) - WINDOW_BEFORE_R
    if starts.size and (starts.min() < 0 or starts.max() + WINDOW_SAMPLES > filtered.size):
        raise ValueError("a window reaches over an end of the stretch")
    windows = np.empty((starts.size, WINDOW_SAMPLES), dtype=np.float32)
    spans = np.empty(starts.size, dtype=np.float32)
    kernels.cut_windows(
        np.ascontiguousarray(filtered, dtype=np.float32), starts, FLAT_WINDOW_MV, windows, spans
    )
    return windows, spans
