"""The signal of one stream, of all its leads, that the dashboard shows. Pure in memory."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.public import SignalStrip, is_signal
from pipeline.signal.ring import SignalRing, SignalRingState

KEPT_S: Final = 120
"""How much signal is kept of each stream, to scroll back."""

_MOST_VALUES: Final = KEPT_S * 250 * 12
"""Kept of each stream, all leads together: of many leads at a high rate, less than `KEPT_S`."""

_MAX_MV: Final = 1e4
"""A larger value is no ECG and is treated as missing."""


class Stretch(NamedTuple):
    """A part of a stream's signal, as a recording is asked for it."""

    stream: str
    log_id: str
    epoch: int
    begin_s: float
    """In seconds of the signal, as the next."""
    end_s: float


class Scale(NamedTuple):
    """The lower and the upper edge of a trace in mV."""

    bottom: float
    top: float
    gain: float = 0.0
    """In mm/mV; 0 without paper."""


def _finite(values: list[float] | list[float | None]) -> NDArray[np.float32]:
    """Return ``values`` as float32 with NaN for null and for what no ECG reaches."""
    x = np.array(values, dtype=np.float64)
    x[~(np.abs(x) <= _MAX_MV)] = np.nan
    return x.astype(np.float32)


class StreamSignal:
    """The last `KEPT_S` of one stream's signal, from the strips that are published.

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
        self.scales: dict[int, tuple[object, Scale]] = {}
        """What a picture chose as the scale of a lead, and for what."""
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
    def oldest(self) -> int:
        """Position of the oldest value that is kept."""
        return SignalRing(self._state).oldest

    @property
    def oldest_s(self) -> float:
        """The same in seconds."""
        return self.oldest / self.fs_hz if self.fs_hz else 0.0

    @property
    def newest_s(self) -> float:
        """End of the signal in seconds."""
        return self.end / self.fs_hz if self.fs_hz else 0.0

    def between(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return float32[leads, n], mV, of what is kept of these positions; NaN where unknown.

        The last values are at ``end - 1``, or at the newest position before it.
        """
        end = min(end, self.end)
        return SignalRing(self._state).between(min(max(begin, self.oldest), end), end)

    def place(self, strip: SignalStrip) -> bool:
        """Take in ``strip``; return False, and change nothing, if it cannot be signal."""
        if not is_signal(strip):
            return False
        leads = list(strip.leads or [])
        most = _MOST_VALUES // len(strip.signals)
        size = min(math.ceil(KEPT_S * strip.fs_hz), most)
        values = np.stack([_finite(mv[-size:]) for mv in strip.signals])
        first = strip.first_sample + len(strip.mv) - values.shape[1]
        if (strip.fs_hz, leads) != (self.fs_hz, self.leads):
            self.fs_hz, self.leads = strip.fs_hz, leads
            self._state = SignalRingState.fresh(len(values), size, strip.epoch, first)
        self.in_use = strip.in_use
        SignalRing(self._state).place(strip.epoch, first, values)
        return True


class Piece(NamedTuple):
    """What a recording has of a stretch."""

    stretch: Stretch
    signal: StreamSignal
    """Empty where nothing is recorded."""

    @classmethod
    def of(cls, stretch: Stretch, strip: SignalStrip | None) -> "Piece":
        """Return what was read; None for nothing."""
        signal = StreamSignal()
        if strip is not None:
            signal.place(strip)
        return cls(stretch, signal)

    def covers(self, wanted: Stretch) -> bool:
        """Return whether what was read includes all of another stretch."""
        own = self.stretch
        same = (own.stream, own.log_id, own.epoch) == (wanted.stream, wanted.log_id, wanted.epoch)
        return same and own.begin_s <= wanted.begin_s and wanted.end_s <= own.end_s
