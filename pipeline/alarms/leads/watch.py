"""What each of several leads showed at a moment, in a word, and which electrodes are off.

The leads' events come with the samples, the alarms ask for the time of their own: what a lead said
just before it. So the words depend on no chunk. Empty for one lead. Pure: no clock, no I/O.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State, field
from pipeline.signal.kernels.leads.complexes import found_at
from pipeline.signal.quality import Reason
from pipeline.signal.segment import Segment

KEPT_S: Final = 30.0
"""Events are remembered for this long: alarms ask for the latest seconds."""

AT_ONCE_S: Final = 0.1
"""The peaks of one QRS in two leads lie at most this far apart: it lasts little longer."""

BEATS: Final = "beats"
NO_QRS: Final = "no QRS"
FIBRILLATES: Final = "fibrillates"

WORDS: Final = {
    Reason.OK: "analysable",
    Reason.OVERLAID: "noisy",
    Reason.NOISE: "noise",
    Reason.MOTION: "motion",
    Reason.FLAT: "flat line",
    Reason.SATURATED: "saturated",
    Reason.NO_SIGNAL: "no signal",
    Reason.LEAD_OFF: "off",
    Reason.GAP: "missing",
}
"""Of the states that a lead can be in."""

_QUIET: Final = 0
"""Of a lead that does not fibrillate."""

_PRUNED_AT: Final = 64
"""With this many complexes a lead, more than `KEPT_S` has of most hearts, the old ones go."""


def lead_names(names: Sequence[str]) -> list[str]:
    """Return what leads are called for people: those without a name are numbered from 1."""
    return [name or f"lead {n}" for n, name in enumerate(names, 1)]


class LeadWatchState(State):
    """All memory of a `LeadWatch`; the lists have an entry for each lead."""

    reasons: list[int] = field(default_factory=list)
    """The `Reason` of each before ``changes``."""
    fibrillating: list[int] = field(default_factory=list)
    """Whether the waveform of each fibrillated before ``rhythms``."""
    changes: list[tuple[int, int, int]] = field(default_factory=list)
    """(sample, lead, reason), in order."""
    rhythms: list[tuple[int, int, int]] = field(default_factory=list)
    """(sample, lead, whether it fibrillates), in order."""
    complexes: Annotated[NDArray[np.int64], Shape((None, 3))] = field(
        default_factory=lambda: np.empty((0, 3), dtype=np.int64)
    )
    """int64[c, 3]: lead, R peak and the sample that confirmed it, of the latest seconds."""
    usual: Annotated[NDArray[np.int64], Shape((None, 3))] = field(
        default_factory=lambda: np.empty((0, 3), dtype=np.int64)
    )
    """int64[u, 3]: lead, R peak and the sample from which it is known, of those complexes that are
    like the usual ones of their lead."""
    off_due: list[int] = field(default_factory=list)
    """Where an electrode went off or on, which is not reported yet."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first sample of so many leads."""
        n = leads if leads > 1 else 0
        return cls(reasons=[int(Reason.OK)] * n, fibrillating=[_QUIET] * n)


class LeadWatch:
    """The words of several leads."""

    def __init__(
        self, names: Sequence[str], fs_hz: float, state: LeadWatchState | None = None
    ) -> None:
        """Continue from ``state``, or start over.

        Raises:
            SnapshotError: the state has another number of leads.
        """
        self.names = lead_names(names)
        self.state = state = state or LeadWatchState.fresh(len(names))
        n = len(names) if len(names) > 1 else 0
        events = [*state.changes, *state.rhythms]
        if not (
            len(state.reasons) == len(state.fibrillating) == n
            and all(0 <= lead < n for _, lead, _ in events)
            and all(value in WORDS for value in state.reasons)
            and all(value in WORDS for _, _, value in state.changes)
        ):
            raise SnapshotError("state of other leads than the stream has")
        self._fs_hz = fs_hz
        self._kept = round(KEPT_S * fs_hz)

    def reset(self) -> None:
        """Forget everything: a new epoch begins."""
        fresh = LeadWatchState.fresh(len(self.names))
        state = self.state
        state.reasons, state.fibrillating = fresh.reasons, fresh.fibrillating
        state.complexes, state.usual = fresh.complexes, fresh.usual
        state.changes.clear()
        state.rhythms.clear()
        state.off_due.clear()

    def take(self, segment: Segment) -> None:
        """Take in what a segment says of each lead, before the rules run over its time."""
        state = self.state
        if not state.reasons:
            return
        for sample, lead, reason in segment.lead_quality:
            off = Reason.LEAD_OFF in (reason, self._reason(lead))
            if off and sample not in state.off_due:
                state.off_due.append(sample)
            state.changes.append((sample, lead, int(reason)))
            if reason is Reason.GAP:  # the detection of fibrillation starts over, too
                state.rhythms.append((sample, lead, _QUIET))
        for change in segment.fibrillation:
            state.rhythms.append((change.sample, change.lead, int(change.active)))
        state.rhythms.sort()
        if len(segment.complexes):
            state.complexes = np.concatenate((state.complexes, segment.complexes))
        if len(segment.usual):
            state.usual = np.concatenate((state.usual, segment.usual))

    def forget_before(self, position: int) -> None:
        """Forget what happened so long before ``position`` that no rule asks for it."""
        state, since = self.state, position - self._kept
        for events, now in ((state.changes, state.reasons), (state.rhythms, state.fibrillating)):
            while events and events[0][0] < since:
                _, lead, value = events.pop(0)
                now[lead] = value
        if len(state.complexes) > _PRUNED_AT * len(self.names):
            state.complexes = state.complexes[state.complexes[:, 1] >= since]
            state.usual = state.usual[state.usual[:, 1] >= since]

    def take_off_due(self, sample: int) -> None:
        """Remove ``sample`` from where an electrode went off or on."""
        self.state.off_due = [at for at in self.state.off_due if at != sample]

    def reasons(self, upto: int) -> list[Reason]:
        """Return the state that each lead is in at the sample before ``upto``."""
        return [Reason(value) for value in _at(self.state.reasons, self.state.changes, upto)]

    def found_at(self, sample: int, upto: int) -> list[bool]:
        """Return whether each of several leads found a complex at ``sample``, before ``upto``."""
        if not self.state.reasons:
            return []
        found = np.empty(len(self.names), dtype=np.bool_)
        found_at(self.state.complexes, sample, AT_ONCE_S * self._fs_hz, upto, found)
        return found.tolist()

    def words(self, upto: int, since: int) -> dict[str, str] | None:
        """Return what each lead showed just before ``upto``, by name; None for one lead.

        ``since``: from there on a lead that can show a QRS has found one, or none.
        """
        state = self.state
        if not state.reasons:
            return None
        fibrillating = _at(state.fibrillating, state.rhythms, upto)
        lead, r, known_at = state.complexes.T
        found = set(lead[(r > since) & (known_at < upto)].tolist())
        return {
            self.names[k]: _word(reason, bool(fibrillating[k]), k in found)
            for k, reason in enumerate(self.reasons(upto))
        }

    def states_at(self, upto: int) -> dict[str, str]:
        """Return the state of each lead at the sample before ``upto`` in a word, by name."""
        return {name: WORDS[reason] for name, reason in self._named(self.reasons(upto))}

    def states(self) -> dict[str, str]:
        """Return the present state of each lead in a word, by name; empty for one lead."""
        return {self.names[k]: WORDS[self._reason(k)] for k in range(len(self.state.reasons))}

    def in_use(self, chosen: int) -> str:
        """Return the name of the lead in which beats are seen now; empty for one lead.

        That is the ``chosen`` one, or the first that can be analysed where that one cannot.
        """
        leads = range(len(self.state.reasons))
        if not leads:
            return ""
        usable = [lead for lead in leads if self._reason(lead) is Reason.OK]
        return self.names[chosen if chosen in usable or not usable else usable[0]]

    def off_text(self, upto: int) -> str:
        """Return which electrodes are off, for people; empty where none is."""
        reasons = self.reasons(upto)
        off = [name for name, reason in self._named(reasons) if reason is Reason.LEAD_OFF]
        if not off or len(off) == len(reasons):
            return Reason.LEAD_OFF.text if off else ""
        return f"{Reason.LEAD_OFF.text}: {', '.join(off)}; {self._watched_text(reasons)}"

    def on_text(self, sample: int) -> str:
        """Return which electrodes are on again from ``sample`` on, for people."""
        before, reasons = self.reasons(sample), self.reasons(sample + 1)
        back = [
            name
            for name, was, now in zip(self.names, before, reasons, strict=True)
            if was is Reason.LEAD_OFF and now is not Reason.GAP
        ]
        if not back:
            return "samples are missing: nothing is known of the electrodes"
        which = f"electrode{'' if len(back) == 1 else 's'} {_listed(back)}"
        return f"{which} {_are(back)} back; {self._watched_text(reasons)}"

    def _watched_text(self, reasons: Sequence[Reason]) -> str:
        """Return which leads are watched in these states of them, for people."""
        shown = [name for name, reason in self._named(reasons) if reason.shows_qrs]
        return f"{_listed(shown)} {_are(shown)} watched" if shown else "no lead shows a QRS"

    def _named(self, reasons: Sequence[Reason]) -> Iterator[tuple[str, Reason]]:
        return zip(self.names, reasons, strict=True)

    def _reason(self, lead: int) -> Reason:
        """Return the latest state of a lead."""
        latest = (value for _, at, value in reversed(self.state.changes) if at == lead)
        return Reason(next(latest, self.state.reasons[lead]))


def _listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: I, II and V1."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _at(before: Sequence[int], events: Iterable[tuple[int, int, int]], upto: int) -> list[int]:
    """Return each lead's value after all events at samples before ``upto``."""
    values = list(before)
    for sample, lead, value in events:
        if sample >= upto:
            break
        values[lead] = value
    return values


def _word(reason: Reason, fibrillates: bool, found: bool) -> str:
    if fibrillates and reason.shows_waves:
        return FIBRILLATES
    if reason in (Reason.OK, Reason.OVERLAID):
        return BEATS if found else NO_QRS
    return WORDS[reason]
