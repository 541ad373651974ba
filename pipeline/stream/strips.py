"""The band-passed signal of a stream, on its way to the dashboard and around alarms in the log.

Within the hub a strip is an array of all leads, and leaves it as JSON: no number becomes an object.
`StripRecorder` remembers the last 30 s of one stream, to the microvolt. Once the alert of an
alarm has its number, and the signal lasts for long enough behind its position (or has ended), it
gives out the strip around it, which names the lead in use there. Pure: no sockets, no clock.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.kinds import PHYSIOLOGICAL
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import SnapshotError
from pipeline.schema.public import UNSET, Alert
from pipeline.schema.state import Shape, State, field
from pipeline.schema.strip import EncodedStrip, Raw
from pipeline.signal.ring import SignalRing, SignalRingState, json_of
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


class CutStrip(State):
    """A part of a stream's signal."""

    epoch: int
    first_sample: int
    """Position of the first values, at 360 Hz."""
    lead: int
    """The lead in use, by its number."""
    values: Annotated[NDArray[np.int16], Shape((None, None))]
    """int16[leads, n], as a `SignalRing` keeps them."""


class StripRecorderState(State):
    """All memory of a `StripRecorder`."""

    ring: SignalRingState
    wanted: list[tuple[int, int]] = field(default_factory=list)
    """(number of the alert, its position at 360 Hz) of the strips still to be cut."""
    cut: list[tuple[int, CutStrip]] = field(default_factory=list)
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
        cut = [strip for _, strip in self.state.cut]
        if any(len(strip.values) != len(leads) for strip in cut):
            raise SnapshotError(f"state with strips of other than {len(leads)} leads")
        in_use = [*(lead for _, lead in self.state.used), *(strip.lead for strip in cut)]
        if not all(0 <= lead < len(leads) for lead in in_use):
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

    def published(self, begin: int, end: int, at: int) -> EncodedStrip:
        """Return what is kept between two positions, to be published; its lead is in use ``at``."""
        return self._encoded(self._cut(begin, end, at))

    def want(self, seq: int, epoch: int, time_s: float) -> None:
        """Record that the alert ``seq`` at ``time_s`` wants its strip."""
        if epoch == self.epoch:
            self.state.wanted.append((seq, round(time_s * SAMPLING_RATE_HZ)))
            del self.state.wanted[:-_MOST_WANTED]

    def take(self, *, all_of_them: bool = False) -> list[tuple[int, EncodedStrip]]:
        """Return the strips that are whole, or ``all_of_them`` as far as they go, once.

        Each has the number of its alert.
        """
        if not (self.state.wanted or self.state.cut):
            return []  # nearly always
        self._cut_wanted(all_of_them=all_of_them)
        cut, self.state.cut = self.state.cut, []
        return [(seq, self._encoded(strip)) for seq, strip in cut]

    def _cut_wanted(self, *, all_of_them: bool) -> None:
        half = round(STRIP_S * SAMPLING_RATE_HZ / 2)
        waiting = []
        for seq, at in self.state.wanted:
            begin, end = max(at - half, self._ring.oldest), min(at + half, self.end)
            if end < at + half and not all_of_them:
                waiting.append((seq, at))
            elif begin < end:
                self.state.cut.append((seq, self._cut(begin, end, at)))
        self.state.wanted = waiting

    def _cut(self, begin: int, end: int, at: int) -> CutStrip:
        """Return what is kept between two positions; its lead is in use ``at``."""
        lead = next((lead for since, lead in reversed(self.state.used) if since <= at), 0)
        begin, end = max(begin, self._ring.oldest), min(end, self.end)
        return CutStrip(self.epoch, begin, lead, self._ring.kept(begin, end))

    def _encoded(self, strip: CutStrip) -> EncodedStrip:
        """Return a strip as it is published and logged."""
        first, *others = (Raw(json_of(values)) for values in strip.values)
        several = len(self._leads) > 1
        return EncodedStrip(
            stream=self._stream,
            epoch=strip.epoch,
            first_sample=strip.first_sample,
            fs_hz=float(SAMPLING_RATE_HZ),
            mv=first,
            leads=list(self._leads) if several else UNSET,
            more_mv=others if several else UNSET,
            lead=self._leads[strip.lead] if several else UNSET,
        )


def wants_strip(alert: Alert) -> bool:
    """Return whether an alert gets a strip: the first one of a physiological alarm."""
    return alert.state == "on" and alert.category == PHYSIOLOGICAL
