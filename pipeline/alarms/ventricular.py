"""Ventricular beats, and the rhythms that several of them form.

A ventricular beat is one of class V. `VentricularRhythm` counts them: couplets, runs, bigeminy, and
tachycardia, for which the stretch is assessed as a whole
(`pipeline.alarms.stretches.tachycardia`). Pure: no clock, no I/O.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from pipeline.alarms.settings import RANGES, AlarmSettings
from pipeline.alarms.stretches.short_runs import RUN_BEATS, are_even, is_named_ventricular, is_run
from pipeline.alarms.stretches.tachycardia import (
    BEFORE,
    ONE_FOCUS_BEATS,
    StretchBeat,
    tachycardia_of,
)
from pipeline.errors import SnapshotError
from pipeline.schema.state import State, field
from pipeline.scoring.baseline_hold import FAST_RR_S
from pipeline.scoring.qrs_shape import QrsShape

ODD_BEATS: Final = 2
"""Up to this many beats in a row that do not look ventricular do not end a tachycardia."""

BETWEEN_S: Final = 1.0
"""A run goes on at 60 bpm or more over a beat that is not named."""

SILENT_S: Final = 3.0
"""Without any beat for this long a run is over: what follows is another one."""

_CYCLES: Final = "VNVNVN"
_BIGEMINY: Final = (_CYCLES, _CYCLES[::-1])
"""Bigeminy: three cycles."""


_RUN_KEPT: Final = int(RANGES["tachycardia_beats"][1])
"""Beats of a run that are remembered one by one: no tachycardia is defined by more."""


class RhythmChange(NamedTuple):
    """A rhythm of ventricular beats that begins with this beat, or ends."""

    kind: str
    active: bool
    sample: int
    """Where that was sure."""
    begun_at: int
    """Its first beat; its last one, once it is over."""
    beats: int
    bpm: float


class VentricularRhythmState(State):
    """All memory of a `VentricularRhythm`."""

    run: list[int] = field(default_factory=list)
    """Samples of the latest beats of the run so far, `_RUN_KEPT` at most."""
    length: int = 0
    """How many beats the run has."""
    odd: int = 0
    """Beats since the last ventricular one, within a tachycardia."""
    tachycardia: bool = False
    bigeminy: bool = False
    pattern: str = ""
    """The latest beats: V, N, or ? where that is not known."""
    latest: int = 0
    """Sample of the latest beat."""
    beats: list[StretchBeat] = field(default_factory=list)
    """The latest beats: as many as a tachycardia is found in, and those before it."""
    between: int | None = None
    """The latest beat, if its QRS is unusual: part of a run if a ventricular one follows."""
    named: int = 0
    """How many beats of the run are named ventricular."""

    @property
    def is_consistent(self) -> bool:
        """Whether the counts fit the beats of the run."""
        return (
            len(self.run) == min(self.length, _RUN_KEPT)
            and all(a < b for a, b in pairwise(self.run))
            and 0 <= self.named <= self.length
            and (self.length > 0 or not self.tachycardia)
        )


class VentricularRhythm:
    """Finds couplets, runs, tachycardia and bigeminy among the beats of one stream."""

    def __init__(
        self, settings: AlarmSettings, fs_hz: float, state: VentricularRhythmState | None = None
    ) -> None:
        """Continue from ``state``, or start over.

        Raises:
            SnapshotError: the state is not consistent.
        """
        self.state = state or VentricularRhythmState()
        if not self.state.is_consistent:
            raise SnapshotError("state of a run that does not have its beats")
        self._settings = settings
        self._fs_hz = fs_hz
        self._silent = SILENT_S * fs_hz
        self._kept = max(settings.tachycardia_beats + BEFORE, ONE_FOCUS_BEATS)

    def reset(self) -> None:
        """Start over: the next beat does not follow those before."""
        state = self.state
        state.run.clear()
        state.beats.clear()
        state.pattern = ""
        state.length = state.odd = state.latest = state.named = 0
        state.between = None
        state.tachycardia = state.bigeminy = False

    def advance(self, position: int) -> list[RhythmChange]:
        """Record that no other beat comes before ``position``; return what ends."""
        if position - self.state.latest <= self._silent:
            return []  # nearly always
        changes = self._end_run(position)
        self.state.pattern = ""
        if self.state.bigeminy:
            self.state.bigeminy = False
            over = RhythmChange("bigeminy", False, position, self.state.latest, 0, np.nan)
            changes.append(over)
        return changes

    def on_beat(
        self,
        sample: int,
        rr_s: float,
        ventricular: bool | None,
        shape: QrsShape | None = None,
        *,
        doubtful: bool = False,
        in_leads: Sequence[QrsShape] = (),
        found_in: Sequence[bool] = (),
    ) -> list[RhythmChange]:
        """Take in a beat and the interval before it, NaN if not known; return what changes.

        ``ventricular`` is None where that is not known: such a beat is part of no run, but of a
        tachycardia by its ``shape``, where that is known. ``doubtful`` is one that is named
        otherwise and may yet be ventricular. ``in_leads`` are its shapes in several leads,
        ``found_in`` whether each has found a complex there.
        """
        changes, state = self.advance(sample), self.state
        if not math.isfinite(rr_s):
            changes += self._end_run(sample)
            state.pattern = ""
            state.beats.clear()
        state.latest = sample
        beat = StretchBeat(
            sample, rr_s, ventricular, shape or QrsShape(), doubtful, list(in_leads), list(found_in)
        )
        state.beats.append(beat)
        del state.beats[: -self._kept]
        if not state.tachycardia and (beats := self._tachycardia()):
            changes.append(self._begin_tachycardia(beats))
        elif self._belongs(beat):
            changes += self._grow(sample, named=bool(ventricular))
        elif state.tachycardia and state.odd < ODD_BEATS:
            state.odd += 1
        else:
            between = self._may_belong(beat)
            if state.length and (not between or state.between is not None):
                changes += self._end_run(sample)
            state.between = sample if between else None
        if state.length < RUN_BEATS and not state.tachycardia and is_run(state.beats):
            changes.append(self._begin_run())
        return changes + self._alternating(sample, ventricular)

    def _tachycardia(self) -> int:
        """Return how many of the latest beats are a tachycardia, 0 if none are."""
        fewest, beats = self._settings.tachycardia_beats, self.state.beats
        if len(beats) < fewest:
            return 0
        seconds = (beats[-1].sample - beats[-fewest].sample) / self._fs_hz
        if 60.0 * (fewest - 1) < self._settings.tachycardia_bpm * seconds:
            return 0
        return tachycardia_of(self.state.beats, fewest)

    def _begin_tachycardia(self, beats: int) -> RhythmChange:
        """Begin a tachycardia of so many of the latest beats; a run before them is part of it."""
        state = self.state
        samples = [beat.sample for beat in state.beats[-beats:]]
        before = [at for at in state.run if at < samples[0]]
        state.length += beats - (len(state.run) - len(before))
        state.run = [*before, *samples][-_RUN_KEPT:]
        state.odd, state.between, state.tachycardia = 0, None, True
        return self._found("ventricular_tachycardia", True, samples[-1], beats)

    def _begin_run(self) -> RhythmChange:
        """Begin a run of the latest beats, whatever their names."""
        state, beats = self.state, self.state.beats[-RUN_BEATS:]
        state.run = [beat.sample for beat in beats]
        state.length, state.odd, state.between = RUN_BEATS, 0, None
        state.named = sum(beat.ventricular is True for beat in beats)
        return self._found("ventricular_run", True, beats[-1].sample, RUN_BEATS)

    def _grow(self, sample: int, *, named: bool) -> list[RhythmChange]:
        state, changes = self.state, []
        between = state.between if state.run and not state.tachycardia else None
        if between is not None and not are_even(between - state.run[-1], sample - between):
            changes += self._end_run(sample)
        grown = [sample] if state.between is None else [state.between, sample]
        state.run.extend(grown)
        del state.run[:-_RUN_KEPT]
        state.length += len(grown)
        state.named += named
        state.odd, state.between = 0, None
        beats = self._settings.tachycardia_beats
        if state.tachycardia and self._bpm(beats) < self._settings.tachycardia_bpm:
            changes.append(self._found("ventricular_tachycardia", False, sample, beats))
            state.tachycardia = False
        begun = state.length - len(grown) < RUN_BEATS <= state.length
        if begun and not state.tachycardia:
            changes.append(self._found("ventricular_run", True, sample, state.length))
        return changes

    def _belongs(self, beat: StretchBeat) -> bool:
        """Return whether a beat is one of the run so far, or its first."""
        if self.state.tachycardia:
            return bool(beat.ventricular) or beat.looks_ventricular
        return is_named_ventricular(beat)

    def _may_belong(self, beat: StretchBeat) -> bool:
        """Return whether a beat that is not named is part of a run if a ventricular one follows.

        So it is if its QRS is none of this patient's own and it comes soon after a ventricular
        beat, or so soon after another one that it can be the first of the run.
        """
        within = BETWEEN_S if self.state.length else FAST_RR_S
        return beat.rr_s <= within and beat.ventricular is False and beat.is_foreign

    def _end_run(self, sample: int) -> list[RhythmChange]:
        state = self.state
        if not state.length:
            state.between = None
            return []  # nearly always
        changes = []
        if state.tachycardia:
            changes.append(self._found("ventricular_tachycardia", False, sample, state.length))
        if state.length >= RUN_BEATS:
            changes.append(self._found("ventricular_run", False, sample, state.length))
        elif state.named == 2:
            changes.append(self._found("couplet", True, sample, 2))
        state.run.clear()
        state.length = state.odd = state.named = 0
        state.between = None
        state.tachycardia = False
        return changes

    def _alternating(self, sample: int, ventricular: bool | None) -> list[RhythmChange]:
        state = self.state
        named = "?" if ventricular is None else "V" if ventricular else "N"
        state.pattern = (state.pattern + named)[-len(_CYCLES) :]
        alternating = state.pattern in _BIGEMINY
        if alternating == state.bigeminy:
            return []
        state.bigeminy = alternating
        cycles = len(_CYCLES) // 2 if alternating else 0
        return [RhythmChange("bigeminy", alternating, sample, sample, cycles, np.nan)]

    def _found(self, kind: str, active: bool, sample: int, beats: int) -> RhythmChange:
        begun_at = self.state.run[-beats] if active else self.state.run[-1]
        return RhythmChange(kind, active, sample, begun_at, self.state.length, self._bpm(beats))

    def _bpm(self, beats: int) -> float:
        """Return the rate over the latest ``beats`` of the run, 0 if it has not so many."""
        if len(self.state.run) < max(beats, 2):
            return 0.0
        return 60.0 * (beats - 1) * self._fs_hz / (self.state.run[-1] - self.state.run[-beats])
