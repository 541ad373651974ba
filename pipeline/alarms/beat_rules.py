"""The alarms that need the score of a beat: anomalous beats, and ventricular ones in a row.

`BeatAlarms` takes in every beat in order, when it is published: a beat waits for the scores of
those before it. An alarm of anomalous beats begins with the first and ends when none has come for
`pipeline.alarms.kinds.EPISODE_S`. So a patient whose every second beat is ectopic has one alarm,
not a thousand (alarm fatigue: Drew et al., PLoS ONE 9, 2014). Each beat is published on its own
under ``beat/``.

Time is the position of the beats: the alarms are the same however the samples were cut into chunks
and in whatever order the scores came. No clock, no I/O.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Self

from pipeline.alarms.kinds import BEAT_KINDS
from pipeline.alarms.leads.shapes import LeadShapes, LeadShapesState
from pipeline.alarms.leads.watch import WORDS, lead_names
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.alarms.ventricular import (
    RhythmChange,
    VentricularRhythm,
    VentricularRhythmState,
)
from pipeline.constants import CLASSES
from pipeline.errors import SnapshotError
from pipeline.schema.public import Alert
from pipeline.schema.state import State, field
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import Verdict
from pipeline.scoring.qrs_shape import AS_USUAL, QrsShape
from pipeline.signal.quality import Reason

VENTRICULAR: Final = 0.5
"""A beat counts as ventricular for the rhythms where V is more probable than all else together.
Motion of an electrode makes beats of less, one after the other: counted from 0.4 on, they are three
false tachycardias in the two records of nstdb, and one above this bound."""

DOUBTFUL: Final = 0.1
"""A beat may be ventricular where V is more probable than before anything is known of it: 7 % of
the beats of DS1 and svdb are."""


_V: Final = CLASSES.index("V")

_WORDS_KEPT: Final = 8
"""Beats of which the words of the leads are remembered."""


class BeatAlarmsState(State):
    """All memory of `BeatAlarms`."""

    rhythm: VentricularRhythmState = field(default_factory=VentricularRhythmState)
    latest: int = 0
    """Sample of the latest beat."""
    ends: list[tuple[int, int]] = field(default_factory=list)
    """Epochs that began, and where the one before each ended."""
    shapes: LeadShapesState = field(default_factory=LeadShapesState)
    said: list[list[str]] = field(default_factory=list)
    """A word of each of several leads for the latest beats, `_WORDS_KEPT` at most."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first beat of a stream of so many leads."""
        return cls(shapes=LeadShapesState.fresh(leads))


class BeatAlarms:
    """The rules of one stream that go by scored beats, and the alarms they raised."""

    def __init__(
        self,
        machine: AlarmStateMachine,
        fs_hz: float,
        settings: AlarmSettings,
        state: BeatAlarmsState | None = None,
        leads: Sequence[str] = ("",),
    ) -> None:
        """Raise alarms in ``machine``; continue from ``state``, or begin.

        Raises:
            SnapshotError: the state does not fit these leads.
        """
        self.state = state = state or BeatAlarmsState.fresh(len(leads))
        if not state.shapes.fits(len(leads)) or any(len(one) != len(leads) for one in state.said):
            raise SnapshotError("state of the QRS of other leads than the stream has")
        self._names = lead_names(leads)
        self._shapes = LeadShapes(state.shapes)
        self.machine = machine
        self._settings = settings
        self._rhythm = VentricularRhythm(settings, fs_hz, state.rhythm)

    def on_beat(self, beat: Beat) -> list[Alert]:
        """Take in a beat that is published now; return its alerts."""
        alerts: list[Alert] = []
        while self.state.ends and beat.id[1] != self.machine.state.beat_epoch:
            alerts += self._next_epoch()
        alerts += self.advance(beat.sample)
        self.state.latest = beat.sample
        shape = None if beat.verdict is None else beat.verdict.shape
        named, doubtful = _is_ventricular(beat)
        in_leads: Sequence[QrsShape] = ()
        if beat.in_leads is not None:
            in_leads = self._in_leads(beat, learns=not (named or doubtful))
            if in_leads and beat.verdict is not None:
                shape = in_leads[beat.lead]
        for found in self._rhythm.on_beat(
            beat.sample, beat.rr_s, named, shape, doubtful=doubtful, in_leads=in_leads,
            found_in=beat.found_in,
        ):  # fmt: skip
            alerts += self._on_rhythm(found)
        return alerts + self._on_anomaly(beat)

    def _in_leads(self, beat: Beat, *, learns: bool) -> list[QrsShape]:
        """Return the shape of a beat in each of several leads, and keep a word of each for it."""
        shapes = self._shapes.on_beat(beat, learns=learns)
        if shapes:
            its = zip(shapes, beat.reasons_in, strict=True)
            self.state.said.append([_word(shape, reason) for shape, reason in its])
            del self.state.said[:-_WORDS_KEPT]
        return shapes

    def _lead_words(self, beats: int) -> dict[str, str] | None:
        """Return a word for each of several leads: the one for most of the latest beats."""
        latest = self.state.said[-min(beats, _WORDS_KEPT) :]
        if not latest:
            return None
        words = (Counter(of_lead).most_common(1)[0][0] for of_lead in zip(*latest, strict=True))
        return dict(zip(self._names, words, strict=True))

    def begin_epoch(self, epoch: int, ended_at: int) -> None:
        """Record that an epoch follows; the one before ended at ``ended_at``.

        Its last beats may still wait for their scores: it is over with the first beat of the next.
        """
        self.state.ends.append((epoch, ended_at))

    def advance(self, position: int) -> list[Alert]:
        """Record that every beat before ``position`` was published."""
        alerts: list[Alert] = []
        for found in self._rhythm.advance(position):
            alerts += self._on_rhythm(found)
        if self.machine.state.alarms:
            alerts += self.machine.advance(position, BEAT_KINDS)
        return alerts

    def close(self, position: int) -> list[Alert]:
        """End every condition: the last beat was published, the stream is over at ``position``."""
        alerts = []
        while self.state.ends:
            alerts += self._next_epoch()
        return alerts + self.advance(position) + self._finish("end of the stream")

    def _next_epoch(self) -> list[Alert]:
        epoch, ended_at = self.state.ends.pop(0)
        alerts = self.advance(ended_at) + self._finish("new epoch")
        self.machine.state.beat_epoch = epoch
        self._rhythm.reset()
        self.state.said.clear()
        self.state.latest = 0
        return alerts

    def _finish(self, why: str) -> list[Alert]:
        return self.machine.end_all(why, self.state.latest, BEAT_KINDS)

    def _on_rhythm(self, found: RhythmChange) -> list[Alert]:
        rate = f" at {found.bpm:.0f} bpm" if found.bpm > 0 else ""
        if found.kind == "bigeminy":
            reason = "every second beat ventricular"
        else:
            reason = f"{found.beats} ventricular beats in a row{rate}"
        if not found.active:
            return self.machine.end(found.kind, found.begun_at, reason)
        values: dict[str, float] = {"beats": float(found.beats)}
        if found.bpm > 0:
            values["bpm"] = round(found.bpm, 1)
        if found.kind == "ventricular_tachycardia":
            values["limit_bpm"] = self._settings.tachycardia_bpm
            values["limit_beats"] = float(self._settings.tachycardia_beats)
        alerts = self.machine.begin(
            found.kind,
            found.sample,
            reason,
            begun_at=found.begun_at,
            values=values,
            leads=self._lead_words(found.beats),
        )
        if found.kind == "couplet":  # over by the time it is found
            alerts += self.machine.end("couplet", found.sample, reason)
        return alerts

    def _on_anomaly(self, beat: Beat) -> list[Alert]:
        verdict = beat.verdict
        if verdict is None or not verdict.anomalous:
            return []
        facts = {} if self.machine.goes_on("anomalous_beat") else _facts(beat, verdict)
        begun = self.machine.begin("anomalous_beat", beat.sample, verdict.reason, **facts)
        return begun + self.machine.end("anomalous_beat", beat.sample, "over")


def _facts(beat: Beat, verdict: Verdict) -> dict[str, Any]:
    """Return what an alert says of an anomalous beat."""
    return {
        "score": round(verdict.score, 4),
        "threshold": round(verdict.threshold, 4),
        "shares": beat.contributions,
        "ticks": beat.ticks,
        "beat_class": beat.beat_class,
        "class_probabilities": beat.class_probabilities,
        "bpm": beat.bpm,
    }


def _is_ventricular(beat: Beat) -> tuple[bool | None, bool]:
    """Return whether a beat is ventricular, and whether it may be.

    It is None where its window does not show. It may be where class V is more probable than it is
    of any beat. For the rhythms the class of an anomalous beat counts.
    """
    if beat.verdict is None:
        return None, False
    of_v = 0.0
    if beat.verdict.anomalous and beat.probabilities is not None:
        of_v = float(beat.probabilities[_V])
    return None if beat.fibrillating else of_v >= VENTRICULAR, of_v >= DOUBTFUL


def _word(shape: QrsShape, reason: Reason) -> str:
    """Return what a lead shows of a beat, in a word."""
    if reason is not Reason.OK:
        return WORDS.get(reason, reason.text)
    if math.isnan(shape.likeness):
        return "beats"
    return "unusual QRS" if shape.likeness < AS_USUAL else "usual QRS"
