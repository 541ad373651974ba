"""The signal around the beginning of an alarm, kept with it in the log.

`StripRecorder` remembers the last minute of the band-passed signal of one stream. Once the alert of
an alarm has its number, and the signal goes on for long enough behind its place (or will not go
on), it gives out the strip. Pure: no sockets, no clock.
"""

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.kinds import PHYSIOLOGICAL
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.public import Alert, SignalStrip
from pipeline.stream.strip import Strip, public_strip

STRIP_S: Final = 10.0
"""Length of a strip, half before the place of the alert and half behind it."""

_KEPT: Final = 60 * SAMPLING_RATE_HZ
"""Values kept: an alert that waits for a score comes late."""

_MOST_WANTED: Final = 256


class StripRecorder:
    """What is kept of one stream's signal, and the strips that are still to be cut."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._mv = np.full(_KEPT, np.nan, dtype=np.float32)
        """A ring: the value at position p lies at p % `_KEPT`."""
        self.epoch = 0
        self._begin = 0
        """Position of the oldest value that there was since the signal broke off, at 360 Hz."""
        self.end = 0
        """Position one past the newest value."""
        self._wanted: deque[tuple[int, int]] = deque(maxlen=_MOST_WANTED)
        """(number of the alert, its position at 360 Hz), as they came."""
        self._cut: list[tuple[int, SignalStrip]] = []

    def add(self, strip: Strip) -> None:
        """Remember the newest signal of the stream."""
        gap = strip.first_sample - self.end
        if strip.epoch != self.epoch or gap:
            self._cut_wanted(all_of_them=True)
            if strip.epoch == self.epoch and 0 < gap <= _KEPT:
                self._put(self.end, np.full(gap, np.nan, dtype=np.float32))
            else:
                self._begin = strip.first_sample
            self.epoch = strip.epoch
        self._put(strip.first_sample, strip.mv)

    def signal(self, begin: int, end: int) -> Strip:
        """Return what is kept from one position to the other, a copy."""
        begin, end = max(begin, self._oldest), min(end, self.end)
        n, at = max(0, end - begin), begin % _KEPT
        return Strip(
            self.epoch,
            begin,
            np.concatenate((self._mv[at : at + n], self._mv[: max(0, at + n - _KEPT)])),
        )

    def want(self, seq: int, epoch: int, time_s: float) -> None:
        """Take note that the alert ``seq`` at ``time_s`` wants its strip."""
        if epoch == self.epoch:
            self._wanted.append((seq, round(time_s * SAMPLING_RATE_HZ)))

    def take(self, *, all_of_them: bool = False) -> list[tuple[int, SignalStrip]]:
        """Return the strips that are whole, or ``all_of_them`` as far as they go, once."""
        self._cut_wanted(all_of_them=all_of_them)
        cut, self._cut = self._cut, []
        return cut

    @property
    def _oldest(self) -> int:
        return max(self._begin, self.end - _KEPT)

    def _put(self, first: int, mv: NDArray[np.float32]) -> None:
        self.end = first + mv.size
        newest = mv[-_KEPT:]
        at = (self.end - newest.size) % _KEPT
        before_the_seam = newest[: _KEPT - at]
        self._mv[at : at + before_the_seam.size] = before_the_seam
        self._mv[: newest.size - before_the_seam.size] = newest[_KEPT - at :]

    def _cut_wanted(self, *, all_of_them: bool) -> None:
        half = round(STRIP_S * SAMPLING_RATE_HZ / 2)
        left: deque[tuple[int, int]] = deque(maxlen=_MOST_WANTED)
        for seq, at in self._wanted:
            begin, end = max(at - half, self._oldest), min(at + half, self.end)
            if end < at + half and not all_of_them:
                left.append((seq, at))
            elif begin < end:
                self._cut.append((seq, public_strip(self._stream, self.signal(begin, end))))
        self._wanted = left


def wants_strip(alert: Alert) -> bool:
    """Say whether an alert gets a strip: one that says that something of the heart began."""
    return alert.state == "on" and alert.category == PHYSIOLOGICAL
