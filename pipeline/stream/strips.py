"""The band-passed signal of a stream, on its way to the dashboard and around alarms in the log.

Within the hub a strip is an array of all leads: a number that is not shown never becomes an object.
`StripRecorder` remembers the last 30 s of one stream, to the microvolt. Once the alert of an
alarm has its number, and the signal lasts for long enough behind its position (or has ended), it
gives out the strip around it, which names the lead in use there. Pure: no sockets, no clock.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.kinds import PHYSIOLOGICAL
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import SnapshotError
from pipeline.schema.public import UNSET, Alert, SignalStrip
from pipeline.schema.state import State, field
from pipeline.signal.ring import SignalRing, SignalRingState
from pipeline.signal.segment import Segment

STRIP_S: Final = 10.0
"""Length of a strip, half before the position of the alert and half behind it."""

KEPT: Final = 30 * SAMPLING_RATE_HZ
"""Values kept: an alert that waits for a score comes late. A scorer that died is back in a few
seconds; one that is later by 25 s finds the strip cut off at its beginning."""

_MOST_WANTED: Final = 256

NO_BEATS: Final = np.empty((0, 2), dtype=np.int64)
NO_BEATS.setflags(write=False)


class Strip(NamedTuple):
    """Consecutive values of one stream."""

    epoch: int
    first_sample: int
    """Position of the first values, at 360 Hz."""
    mv: NDArray[np.float32]
    """float32[leads, n]; NaN where the signal is masked."""
    beats: NDArray[np.int64] = NO_BEATS
    """int64[b, 2]: R peaks, at 360 Hz, of the beats that became complete with these values, and the
    lead in which each is seen, by number; of one lead they need not be given."""


def strip_of(epoch: int, segment: Segment) -> Strip:
    """Return the new signal of a segment, and of several leads where its beats are seen."""
    beats = NO_BEATS
    if len(segment.strips) > 1 and segment.leads.size:
        beats = np.column_stack((segment.r_samples, segment.leads))
    return Strip(epoch, segment.strip_first, segment.strips, beats)


def public_strip(
    stream: str, strip: Strip, leads: Sequence[str] = (), lead: int = 0
) -> SignalStrip:
    """Return ``strip`` as it is published and logged: three decimals, None for NaN.

    ``leads`` are the names of several leads, ``lead`` is the one in use.
    """
    # As float32 each number would be printed with all the digits of its neighbour in float64.
    rows = np.round(strip.mv.astype(np.float64), 3).tolist()
    if np.isnan(strip.mv).any():
        rows = [[None if v != v else v for v in row] for row in rows]
    first, *others = rows
    several = len(rows) > 1
    return SignalStrip(
        stream=stream,
        epoch=strip.epoch,
        first_sample=strip.first_sample,
        fs_hz=float(SAMPLING_RATE_HZ),
        mv=first,
        leads=list(leads) if several else UNSET,
        more_mv=others if several else UNSET,
        lead=leads[lead] if several else UNSET,
    )


class StripRecorderState(State):
    """All memory of a `StripRecorder`."""

    ring: SignalRingState
    wanted: list[tuple[int, int]] = field(default_factory=list)
    """(number of the alert, its position at 360 Hz) of the strips still to be cut."""
    cut: list[tuple[int, SignalStrip]] = field(default_factory=list)
    """(number of the alert, its strip) of those that were not taken yet."""
    used: list[tuple[int, int]] = field(default_factory=list)
    """(position at 360 Hz, lead by number) where another lead came into use than the one before,
    which was the first lead at first."""

    @classmethod
    def fresh(cls, leads: int = 1) -> Self:
        """Return the state before the first sample of so many leads."""
        return cls(SignalRingState.fresh(leads, KEPT))


class StripRecorder:
    """The last 30 s of one stream's signal, and the strips that are still to be cut."""

    def __init__(
        self,
        stream: str,
        state: StripRecorderState | None = None,
        *,
        leads: Sequence[str] = ("",),
    ) -> None:
        """Begin with the signal of ``leads``, or continue from ``state``.

        Raises:
            SnapshotError: it keeps other leads, or another length of signal.
        """
        self.state = state or StripRecorderState.fresh(len(leads))
        kept, wanted = self.state.ring.values.shape, (len(leads), KEPT)
        if kept != wanted:
            raise SnapshotError(f"state of {kept[0]} x {kept[1]} values, not {len(leads)} x {KEPT}")
        if not all(0 <= lead < len(leads) for _, lead in self.state.used):
            raise SnapshotError(f"state of a lead beyond the {len(leads)} of the stream")
        self._stream = stream
        self._leads = tuple(leads)
        self._ring = SignalRing(self.state.ring)

    @property
    def epoch(self) -> int:
        """Epoch of the newest value."""
        return self.state.ring.epoch

    @property
    def end(self) -> int:
        """Position one past the newest value, at 360 Hz."""
        return self.state.ring.end

    def add(self, strip: Strip) -> bool:
        """Remember the newest signal of the stream; return whether it continues what is kept."""
        used, ring = self.state.used, self.state.ring
        continues = strip.first_sample == ring.end and strip.epoch == ring.epoch
        if not continues:
            self._cut_wanted(all_of_them=True)
            if strip.epoch != ring.epoch and used:
                used[:] = [(strip.first_sample, used[-1][1])]
        self._ring.place(strip.epoch, strip.first_sample, strip.mv)
        if len(strip.mv) == 1:
            return continues
        for at, lead in strip.beats.tolist():
            if lead != (used[-1][1] if used else 0):
                used.append((at, lead))
        while len(used) > 1 and used[1][0] <= self._ring.oldest:
            del used[0]
        return continues

    def signal(self, begin: int, end: int) -> Strip:
        """Return what is kept from one position to the other, a copy."""
        begin, end = max(begin, self._ring.oldest), min(end, self.end)
        return Strip(self.epoch, begin, self._ring.between(begin, end))

    def published(self, begin: int, end: int, at: int) -> SignalStrip:
        """Return what is kept between two positions, to be published; its lead is in use ``at``."""
        lead = next((lead for since, lead in reversed(self.state.used) if since <= at), 0)
        return public_strip(self._stream, self.signal(begin, end), self._leads, lead)

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
                self.state.cut.append((seq, self.published(begin, end, at)))
        self.state.wanted = waiting


def wants_strip(alert: Alert) -> bool:
    """Return whether an alert gets a strip: the first one of a physiological alarm."""
    return alert.state == "on" and alert.category == PHYSIOLOGICAL
