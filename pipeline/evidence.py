"""The signal around the beginning of an alarm, kept with it in the log.

`Evidence` remembers the last minute of the band-passed signal of one stream. Once the alert of an
alarm has its number, and the signal goes on for long enough behind its place (or will not go on),
it gives out the strip. Pure: no sockets, no clock.
"""

from collections import deque
from itertools import islice
from typing import Final

from pipeline.alarms.kinds import PHYSIOLOGICAL
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.public import Alert, SignalStrip

STRIP_S: Final = 10.0
"""Length of a strip, half before the place of the alert and half behind it."""

_KEPT: Final = 60 * SAMPLING_RATE_HZ
"""Values kept: an alert that waits for a score comes late."""

_MOST_WANTED: Final = 256


class Evidence:
    """What is kept of one stream's signal, and the strips that are still to be cut."""

    def __init__(self) -> None:
        self._mv: deque[float | None] = deque(maxlen=_KEPT)
        self._stream = ""
        self._epoch = 0
        self._end = 0
        """Position one past the newest value, at 360 Hz."""
        self._wanted: deque[tuple[int, int]] = deque(maxlen=_MOST_WANTED)
        """(number of the alert, its position at 360 Hz), as they came."""
        self._cut: list[tuple[int, SignalStrip]] = []

    def add(self, strip: SignalStrip) -> None:
        """Remember the newest signal of the stream, at 360 Hz."""
        self._stream = strip.stream
        gap = strip.first_sample - self._end
        if strip.epoch != self._epoch or gap:
            self._cut_wanted(all_of_them=True)
            if strip.epoch == self._epoch and 0 < gap <= _KEPT:
                self._mv.extend([None] * gap)
            else:
                self._mv.clear()
            self._epoch = strip.epoch
        self._mv.extend(strip.mv)
        self._end = strip.first_sample + len(strip.mv)

    def want(self, seq: int, epoch: int, time_s: float) -> None:
        """Take note that the alert ``seq`` at ``time_s`` wants its strip."""
        if epoch == self._epoch:
            self._wanted.append((seq, round(time_s * SAMPLING_RATE_HZ)))

    def take(self, *, all_of_them: bool = False) -> list[tuple[int, SignalStrip]]:
        """Return the strips that are whole, or ``all_of_them`` as far as they go, once."""
        self._cut_wanted(all_of_them=all_of_them)
        cut, self._cut = self._cut, []
        return cut

    def _cut_wanted(self, *, all_of_them: bool) -> None:
        half = round(STRIP_S * SAMPLING_RATE_HZ / 2)
        oldest = self._end - len(self._mv)
        left: deque[tuple[int, int]] = deque(maxlen=_MOST_WANTED)
        for seq, at in self._wanted:
            begin, end = max(at - half, oldest), min(at + half, self._end)
            if end < at + half and not all_of_them:
                left.append((seq, at))
            elif begin < end:
                values = list(islice(self._mv, begin - oldest, end - oldest))
                strip = SignalStrip(
                    stream=self._stream,
                    epoch=self._epoch,
                    first_sample=begin,
                    fs_hz=float(SAMPLING_RATE_HZ),
                    mv=values,
                )
                self._cut.append((seq, strip))
        self._wanted = left


def evident(alert: Alert) -> bool:
    """Say whether an alert gets a strip: one that says that something of the heart began."""
    return alert.state == "on" and alert.category == PHYSIOLOGICAL
