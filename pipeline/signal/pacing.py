"""The signal as the detector sees it: without pacing spikes, and `spikes.LATE` behind.

Pure in memory: the arrays of a segmenter's state are updated. Units: mV at 360 Hz.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import spikes
from pipeline.signal.segmenter_state import TAIL_SAMPLES, SegmenterState


def without_spikes(
    state: SegmenterState, settings: NDArray[np.float64], clean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return float32[TAIL_SAMPLES + n], the samples before and as many as ``clean``, float32[n].

    ``settings`` are those of `spikes.remove_spikes`, by which a spike is known.
    """
    x = np.concatenate((state.unspiked, clean))
    out = np.empty(TAIL_SAMPLES + clean.size, dtype=np.float32)
    out[:TAIL_SAMPLES] = state.tail_clean
    spikes.remove_spikes(x, settings, state.spikes, out[TAIL_SAMPLES:])
    state.unspiked[:] = x[clean.size :]
    return out


def band_without_spikes(
    state: SegmenterState,
    bank: NDArray[np.float64],
    clean: NDArray[np.float32],
    unspiked: NDArray[np.float32],
    filtered: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return ``filtered`` as if there had been no spikes.

    Args:
        state: the segmenter's.
        bank: float64[5, 5], `filters.filter_bank`.
        clean: float32[n], the new samples.
        unspiked: float32[n], those that `without_spikes` returned for them.
        filtered: float32[TAIL_SAMPLES + n - LATE], the signal in the band of windows, which ends
            with the same sample as ``unspiked``.
    """
    new = np.empty(clean.size, dtype=np.float32)
    if not spikes.spike_response(
        clean, unspiked, state.spiked, bank, state.response_filter, TAIL_SAMPLES, new
    ):  # nearly always
        return filtered
    response = np.concatenate((state.response, new))
    state.response[:] = response[clean.size :]
    return filtered - response[spikes.LATE :]
