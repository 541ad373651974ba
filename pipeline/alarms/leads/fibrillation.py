"""Whether a patient fibrillates, by the waveforms of several leads.

A heart fibrillates in every lead or in none; what moves an electrode may look like it in one. So a
patient fibrillates where a lead does, unless another that does not shows a heart that beats:

* complexes like the patient's usual ones, at any rate, or
* where it can be analysed, complexes of any shape that repeat one another at a rate that no
  fibrillation has: a new rhythm is none of the usual beats.

What is looked at is the latest `BEATS_ON_S`, each half second while a lead fibrillates. Empty for
one lead. Pure: no clock, no I/O.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Self

import numpy as np

from pipeline.alarms.leads.watch import LeadWatch
from pipeline.alarms.organisation import BEATS, Organisation
from pipeline.errors import SnapshotError
from pipeline.schema.state import State, field
from pipeline.signal.fibrillation import FIBRILLATION_STEP_S
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FibrillationChange
from pipeline.signal.segmenter_state import EXPECTED, SegmenterState

BEATS_ON_S: Final = 4.0
"""Time within which a lead must show `BEATS_ON` complexes of a heart that beats."""

BEATS_ON: Final = 2
"""Complexes within `BEATS_ON_S`: 30 bpm, and one may be chance. A lead whose waveform fibrillates
was watched for as long before that is sure, so this costs no time."""

REPEATED: Final = 0.9
"""Least correlation with the one before of complexes that are not the usual ones."""

SPACED_S: Final = 0.5
"""Least time from the one before to such a complex: 120 a minute. Waves of fibrillation and flutter
come at 150 and more, and in a slow one the detector may find every second wave of 240: those are
less alike."""

RESUMES_S: Final = 1.5
"""Time for which a lead must show beats to end fibrillation that another still shows."""


_BEHIND_S: Final = 2.0
"""Most time between the next sample and where the leads are compared next."""


class LeadWaves(State):
    """What the waveform of one lead does."""

    fibrillates: bool = False
    begun_at: int = 0
    hz: float = 0.0
    mv: float = 0.0


class LeadsFibrillationState(State):
    """All memory of a `LeadsFibrillation`; positions in source samples."""

    waves: list[LeadWaves] = field(default_factory=list)
    """Of each lead; empty where there is one."""
    beats_at: list[int] = field(default_factory=list)
    """The latest beats, those of an `Organisation`."""
    fibrillates: bool = False
    """Whether the patient does."""
    beating_from: int | None = None
    """From where on a lead shows beats while the patient fibrillates."""
    check_at: int | None = None
    """Where the leads are compared next; None while none fibrillates."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first sample of so many leads."""
        return cls([LeadWaves() for _ in range(leads if leads > 1 else 0)])

    def is_consistent(self, segmenter: SegmenterState, fs_hz: float) -> bool:
        """Return whether the leads are in the state that their segmenter has them in.

        A lead that fibrillated in this state alone would do so for ever; leads whose next
        comparison lies far from the next sample would be compared much later, or never.
        """
        if not self.waves:
            return True
        seen = [lead.fibrillation.active for lead in segmenter.leads]
        late_s = (self.check_at or 0) / fs_hz - int(segmenter.counters[EXPECTED]) / fs_hz
        return seen == [wave.fibrillates for wave in self.waves] and (
            self.check_at is None or abs(late_s) <= _BEHIND_S
        )


class LeadsFibrillation:
    """Makes one patient's fibrillation of that of several leads."""

    def __init__(
        self,
        fs_hz: float,
        state: LeadsFibrillationState,
        watch: LeadWatch,
        organisation: Organisation,
    ) -> None:
        """Continue from ``state``, with what else is known of the leads and of the latest beats.

        Raises:
            SnapshotError: the state has another number of leads.
        """
        n = len(watch.names) if len(watch.names) > 1 else 0
        if len(state.waves) != n or len(state.beats_at) > BEATS:
            raise SnapshotError("state of the waveforms of other leads than the stream has")
        self.state = state
        self._fs_hz = fs_hz
        self._watch = watch
        self._organisation = organisation

    def reset(self) -> None:
        """Forget what was seen: the detection of fibrillation starts over."""
        state = self.state
        state.waves = [LeadWaves() for _ in state.waves]
        state.beats_at.clear()
        state.fibrillates, state.beating_from, state.check_at = False, None, None

    def on_beat(self, sample: int) -> None:
        """Take in a beat that the organisation has taken in."""
        if self.state.waves:
            self.state.beats_at.append(sample)
            del self.state.beats_at[:-BEATS]

    def on_change(self, change: FibrillationChange) -> None:
        """Take in that the waveform of a lead begins or ceases to fibrillate."""
        _, active, begun_at, hz, mv, lead = change
        self.state.waves[lead] = LeadWaves(active, begun_at, hz, mv)
        self.state.check_at = change.sample

    def changes(self, position: int) -> Iterator[FibrillationChange]:
        """Compare the leads where that is due before ``position``; yield the patient's changes."""
        while (at := self.state.check_at) is not None and at < position:
            if change := self._compare(at):
                yield change

    def _compare(self, at: int) -> FibrillationChange | None:
        state = self.state
        say_so = [wave for wave in state.waves if wave.fibrillates]
        state.check_at = at + round(FIBRILLATION_STEP_S * self._fs_hz) if say_so else None
        beats_on = bool(say_so) and self._beats_on(at)
        state.beating_from = (
            (at if state.beating_from is None else state.beating_from)
            if beats_on and state.fibrillates
            else None
        )
        resumed = (
            state.beating_from is not None and at - state.beating_from >= RESUMES_S * self._fs_hz
        )
        fibrillates = bool(say_so) and not (resumed if state.fibrillates else beats_on)
        if fibrillates == state.fibrillates:
            return None
        state.fibrillates, state.beating_from = fibrillates, None
        if fibrillates:
            first = min(say_so, key=lambda wave: wave.begun_at)
            return FibrillationChange(at, True, first.begun_at, first.hz, first.mv)
        begun_at = at if say_so else max(wave.begun_at for wave in state.waves)
        return FibrillationChange(at, False, begun_at, 0.0, 0.0)

    def _beats_on(self, at: int) -> bool:
        """Return whether a lead that does not fibrillate shows beats just before ``at``."""
        since = at - round(BEATS_ON_S * self._fs_hz)
        lead, r, known_at = self._watch.state.usual.T
        usual = lead[(r >= since) & (known_at <= at)]
        reasons = self._watch.reasons(at + 1)
        others = [k for k, wave in enumerate(self.state.waves) if not wave.fibrillates]
        analysed = [k for k in others if reasons[k] is Reason.OK]
        return any((usual == k).sum() >= BEATS_ON for k in others) or self._repeat(analysed, since)

    def _repeat(self, leads: Sequence[int], since: int) -> bool:
        """Return whether one of these leads shows spaced complexes that repeat since then."""
        at = np.array(self.state.beats_at, dtype=np.int64)
        if at.size <= BEATS_ON or not leads:
            return False
        spaced = (np.diff(at) >= SPACED_S * self._fs_hz) & (at[1:] >= since)
        alike = self._organisation.likeness()[:, 1 - at.size :] >= REPEATED
        return bool(((alike & spaced).sum(axis=1)[list(leads)] >= BEATS_ON).any())
