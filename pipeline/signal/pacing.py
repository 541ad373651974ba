"""The band of windows as the detector sees it: without pacing spikes.

Pure in memory: the arrays of a lead's state are updated. Units: mV at 360 Hz.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import spikes
from pipeline.signal.leads.lead_state import TAIL_SAMPLES, LeadState
from pipeline.signal.workspace import LeadWorkspace


def band_without_spikes(
    state: LeadState, bank: NDArray[np.float64], clean: NDArray[np.float32], work: LeadWorkspace
) -> NDArray[np.float32]:
    """Return ``work.delayed`` as if there had been no spikes, float32[TAIL_SAMPLES + n - LATE].

    Args:
        state: of the lead.
        bank: float64[5, 5], `filters.filter_bank`.
        clean: float32[n], the new samples.
        work: what holds them without spikes and filtered.
    """
    if not spikes.spike_response(
        clean, work.raw.new, state.spiked, bank, state.response_filter, TAIL_SAMPLES,
        work.response.new,
    ):  # fmt: skip  # nearly always
        return work.delayed
    work.response.before[:] = state.response
    state.response[:] = work.response.latest
    return work.delayed - work.response.whole[spikes.LATE :]
