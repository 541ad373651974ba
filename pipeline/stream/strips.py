"""The band-passed signal of a stream, on its way to the dashboard and around alarms in the log.

Within the hub a strip is an array: a number that is not shown never becomes an object.
`StripRecorder` remembers the last minute of one stream. Once the alert of an alarm has its number,
and the signal lasts for long enough behind its position (or has ended), it gives out the
strip around it. Pure: no sockets, no clock.
"""

from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.kinds import PHYSIOLOGICAL
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import SnapshotError
from pipeline.schema.public import Alert, SignalStrip
from pipeline.schema.state import State, field
from pipeline.signal.ring import SignalRing, SignalRingState

STRIP_S: Final = 10.0
"""Length of a strip, half before the position of the alert and half behind it."""

KEPT: Final = 60 * SAMPLING_RATE_HZ
"""Values kept: an alert that waits for a score comes late."""

_MOST_WANTED: Final = 256


class Strip(NamedTuple):
    """Consecutive values of one stream."""

    epoch: int
    first_sample: int
    """Position of the first value, at 360 Hz."""
    mv: NDArray[np.float32]
    """float32[n]; NaN where the signal is masked."""


def public_strip(stream: str, strip: Strip) -> SignalStrip:
    """Return ``strip`` as it is published and logged: three decimals, None for NaN."""
    # As float32 each number would be printed with all the digits of its neighbour in float64.
    values = np.round(strip.mv.astype(np.float64), 3).tolist()
    return SignalStrip(
        stream=stream,
        epoch=strip.epoch,
        first_sample=strip.first_sample,
        fs_hz=float(SAMPLING_RATE_HZ),
        mv=[None if v != v else v for v in values],
    )


class StripRecorderState(State):
    """All memory of a `StripRecorder`."""

    ring: SignalRingState
    wanted: list[tuple[int, int]] = field(default_factory=list)
    """(number of the alert, its position at 360 Hz) of the strips still to be cut."""
    cut: list[tuple[int, SignalStrip]] = field(default_factory=list)
    """(number of the alert, its strip) of those that were not taken yet."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first sample."""
        return cls(SignalRingState.fresh(KEPT))


class StripRecorder:
    """The last minute of one stream's signal, and the strips that are still to be cut."""

    def __init__(self, stream: str, state: StripRecorderState | None = None) -> None:
        """Begin, or continue from ``state``.

        Raises:
            SnapshotError: it keeps another length of signal.
        """
        self.state = state or StripRecorderState.fresh()
        if self.state.ring.values.size != KEPT:
            raise SnapshotError(f"state of {self.state.ring.values.size} values, not {KEPT}")
        self._stream = stream
        self._ring = SignalRing(self.state.ring)

    @property
    def epoch(self) -> int:
        """Epoch of the newest value."""
        return self.state.ring.epoch

    @property
    def end(self) -> int:
        """Position one past the newest value, at 360 Hz."""
        return self.state.ring.end

    def add(self, strip: Strip) -> None:
        """Remember the newest signal of the stream."""
        if (strip.epoch, strip.first_sample) != (self.epoch, self.end):
            self._cut_wanted(all_of_them=True)
        self._ring.place(strip.epoch, strip.first_sample, strip.mv)

    def signal(self, begin: int, end: int) -> Strip:
        """Return what is kept from one position to the other, a copy."""
        begin, end = max(begin, self._ring.oldest), min(end, self.end)
        return Strip(self.epoch, begin, self._ring.between(begin, end))

    def want(self, seq: int, epoch: int, time_s: float) -> None:
        """Record that the alert ``seq`` at ``time_s`` wants its strip."""
        if epoch == self.epoch:
            self.state.wanted.append((seq, round(time_s * SAMPLING_RATE_HZ)))
            del self.state.wanted[:-_MOST_WANTED]

    def take(self, *, all_of_them: bool = False) -> list[tuple[int, SignalStrip]]:
        """Return the strips that are whole, or ``all_of_them`` as far as they go, once."""
        self._cut_wanted(all_of_them=all_of_them)
        cut, self.state.cut = self.state.cut, []
        return cut

    def _cut_wanted(self, *, all_of_them: bool) -> None:
        half = round(STRIP_S * SAMPLING_RATE_HZ / 2)
        waiting = []
        for seq, at in self.state.wanted:
            begin, end = max(at - half, self._ring.oldest), min(at + half, self.end)
            if end < at + half and not all_of_them:
                waiting.append((seq, at))
            elif begin < end:
                self.state.cut.append((seq, public_strip(self._stream, self.signal(begin, end))))
        self.state.wanted = waiting


def wants_strip(alert: Alert) -> bool:
    """Return whether an alert gets a strip: the first one of a physiological alarm."""
    return alert.state == "on" and alert.category == PHYSIOLOGICAL
