"""The compiled inner loops: arrays in, arrays out, the caller allocates.

Every kernel takes its settings as arguments and its memory as an array that it updates, so a
stream can be cut into chunks anywhere. None touches a clock, a file or a socket. The callers
(`pipeline.segmenter`) validate and cast, so that each kernel is compiled for one signature.
"""

import numba
import numpy as np
from numpy.typing import NDArray

jit = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")


@jit
def band_pass(
    x: NDArray[np.float32],
    sections: NDArray[np.float64],
    memory: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Filter ``x`` by a cascade of second-order sections, transposed direct form II.

    Args:
        x: float32[n], finite.
        sections: float64[s, 5], rows b0 b1 b2 a1 a2 with a0 = 1.
        memory: float64[s, 2], updated.
        out: float32[n], written.
    """
    for i in range(x.size):
        v = np.float64(x[i])
        for s in range(sections.shape[0]):
            y = sections[s, 0] * v + memory[s, 0]
            memory[s, 0] = sections[s, 1] * v - sections[s, 3] * y + memory[s, 1]
            memory[s, 1] = sections[s, 2] * v - sections[s, 4] * y
            v = y
        out[i] = np.float32(v)


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
        at = starts[b]
        low = filtered[at]
        high = filtered[at]
        for i in range(1, width):
            v = filtered[at + i]
            low = min(low, v)
            high = max(high, v)
        span = high - low
        spans[b] = span
        if span < flat_mv:
            windows[b, :] = np.float32(0.0)
        else:
            scale = np.float32(2.0) / span
            for i in range(width):
                windows[b, i] = (filtered[at + i] - low) * scale - np.float32(1.0)
