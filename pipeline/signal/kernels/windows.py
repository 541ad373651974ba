"""Kernels that cut windows out of the filtered stream."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit, value_range


@jit
def worst_codes(
    codes: NDArray[np.uint8], starts: NDArray[np.int64], width: int, out: NDArray[np.uint8]
) -> None:
    """Write the smallest code other than 0 of each window, 0 where all its samples are good.

    Args:
        codes: uint8[n].
        starts: int64[b], first sample of each window, 0 <= start <= n - width.
        width: samples in a window.
        out: uint8[b], written.
    """
    for b in range(starts.size):
        window, worst = codes[starts[b] : starts[b] + width], np.uint8(255)
        for i in range(width):  # several a step; one less than 0 is the largest number there is
            worst = min(worst, np.uint8(window[i] - np.uint8(1)))
        out[b] = np.uint8(worst + np.uint8(1))


@jit
def cut_windows(
    filtered: NDArray[np.float32],
    starts: NDArray[np.int64],
    flat_mv: float,
    windows: NDArray[np.float32],
    spans: NDArray[np.float32],
) -> None:
    """Copy windows out of ``filtered`` and scale each to [-1, 1] by its own extremes.

    Args:
        filtered: float32[n], mV.
        starts: int64[b], first sample of each window, 0 <= start <= n - width.
        flat_mv: a window whose extremes lie closer than this becomes zeros (flat-line guard).
        windows: float32[b, width], written.
        spans: float32[b], written: the distance between the extremes, mV.
    """
    width = windows.shape[1]
    for b in range(starts.size):
        x, window = filtered[starts[b] : starts[b] + width], windows[b]
        low, high = value_range(x, 0, width)
        span = high - low
        spans[b] = span
        if span < flat_mv:
            window[:] = np.float32(0.0)
        else:
            scale = np.float32(2.0) / span
            for i in range(width):
                window[i] = (x[i] - low) * scale - np.float32(1.0)
