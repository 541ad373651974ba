"""The signal of one stream, of all its leads, that the dashboard shows. Pure in memory."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.public import SignalStrip, is_signal
from pipeline.signal.ring import SignalRing, SignalRingState

SIGNAL_SECONDS: Final = 10
"""How much signal is kept of each stream."""

_MAX_MV: Final = 1e4
"""A larger value is no ECG and is treated as missing."""


def _finite(values: list[float] | list[float | None]) -> NDArray[np.float32]:
    """Return ``values`` as float32 with NaN for null and for what no ECG reaches."""
    x = np.array(values, dtype=np.float64)
    x[~(np.abs(x) <= _MAX_MV)] = np.nan
    return x.astype(np.float32)


class StreamSignal:
    """The last `SIGNAL_SECONDS` of one stream's signal, from the strips that are published.

    `SignalRing` says where strips are placed; one of another rate or of other leads starts the ring
    over.
    """

    def __init__(self) -> None:
        self.fs_hz = 0.0
        """Rate of the values; positions count from time 0 in it."""
        self.leads: list[str] = []
        """The names of several leads; empty for one."""
        self.in_use = 0
        """The lead in use, by its number."""
        self._state = SignalRingState.fresh(1, 0)

    @property
    def epoch(self) -> int:
        """Epoch of the values."""
        return self._state.epoch

    @property
    def begin(self) -> int:
        """Position of the first value received; before it nothing was missed."""
        return self._state.begin

    @property
    def end(self) -> int:
        """Position one past the newest value."""
        return self._state.end

    @property
    def samples(self) -> NDArray[np.float32]:
        """float32[leads, n], mV; the last ones are at ``end - 1``; NaN where none is known."""
        end, size = self._state.end, self._state.size
        return SignalRing(self._state).between(end - size, end)

    def place(self, strip: SignalStrip) -> bool:
        """Take in ``strip``; return False, and change nothing, if it cannot be signal."""
        if not is_signal(strip):
            return False
        size, leads = math.ceil(SIGNAL_SECONDS * strip.fs_hz), list(strip.leads or [])
        values = np.stack([_finite(mv[-size:]) for mv in strip.signals])
        first = strip.first_sample + len(strip.mv) - values.shape[1]
        if (strip.fs_hz, leads) != (self.fs_hz, self.leads):
            self.fs_hz, self.leads = strip.fs_hz, leads
            self._state = SignalRingState.fresh(len(values), size, strip.epoch, first)
        self.in_use = strip.in_use
        SignalRing(self._state).place(strip.epoch, first, values)
        return True
