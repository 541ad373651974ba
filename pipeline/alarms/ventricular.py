"""Ventricular beats, and the rhythms that several of them form.

Where a classifier names classes, a ventricular beat is one of class V. Where none does,
`VentricularShape` calls an anomalous beat ventricular whose QRS is wide for this patient.
`VentricularRhythm` counts them: couplets, runs, tachycardia, bigeminy. Pure: no clock, no I/O.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.settings import RANGES, AlarmSettings
from pipeline.schema.state import State, field

WIDER: Final = 1.2
"""Times the patient's usual width. Chosen on DS1 of the MIT-BIH records, where it finds 87 % of the
ventricular beats with a positive predictivity of 90 %; the classifier does better."""

_QRS: Final = slice(80, 230)
"""Ticks of the window in which the QRS lies, from 60 before R to 90 after it."""

_STEEP: Final = 0.15
"""The QRS is where the signal is steeper than this part of its steepest."""

_SMOOTHED: Final = 5

_USUAL_BEATS: Final = 101
_FEWEST: Final = 8
"""Usual beats without which nothing can be compared."""

RUN_BEATS: Final = 3
ODD_BEATS: Final = 2
"""Up to so many beats in a row that do not look ventricular do not end a tachycardia."""

SILENT_S: Final = 3.0
"""Without any beat for so long a run is over: what follows is another one."""

_CYCLES: Final = "VNVNVN"
"""Bigeminy: three cycles."""


def qrs_ticks(window: NDArray[np.float32]) -> int:
    """Return how many samples of a window, float32[320], are part of its QRS."""
    slopes = np.convolve(np.abs(np.diff(window[_QRS])), np.ones(_SMOOTHED), "same")
    return int(np.count_nonzero(slopes > _STEEP * slopes.max()))


class VentricularShape:
    """How wide the QRS of one patient usually is."""

    def __init__(self, usual_ticks: list[int] | None = None) -> None:
        """Begin, or continue from the widths of the latest usual beats, in samples."""
        self._usual = [] if usual_ticks is None else usual_ticks

    def is_ventricular(self, window: NDArray[np.float32], *, anomalous: bool) -> bool:
        """Take in a scored beat; return whether it looks ventricular.

        A stream that begins within a tachycardia has no usual beats: none of its beats is called
        ventricular. The rules of the waveform (`pipeline.signal.fibrillation`) and of the rate
        still hold.
        """
        ticks = qrs_ticks(window)
        if not anomalous:
            self._usual.append(ticks)
            del self._usual[:-_USUAL_BEATS]
            return False
        return len(self._usual) >= _FEWEST and ticks > WIDER * float(np.median(self._usual))


_MOST_BEATS: Final = int(RANGES["tachycardia_beats"][1])
"""Of a run, remembered one by one: no tachycardia is defined by more."""


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
    """Samples of the latest ventricular beats of the run so far, `_MOST_BEATS` at most."""
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


class VentricularRhythm:
    """Finds couplets, runs, tachycardia and bigeminy among the beats of one stream."""

    def __init__(
        self, settings: AlarmSettings, fs_hz: float, state: VentricularRhythmState | None = None
    ) -> None:
        self.state = state or VentricularRhythmState()
        self._settings = settings
        self._fs_hz = fs_hz

    def reset(self) -> None:
        """Begin anew: the next beat does not follow those before."""
        state = self.state
        state.run.clear()
        state.pattern = ""
        state.length = state.odd = state.latest = 0
        state.tachycardia = state.bigeminy = False

    def advance(self, position: int) -> Iterator[RhythmChange]:
        """Record that no other beat comes before ``position``; yield what ends."""
        if position - self.state.latest > SILENT_S * self._fs_hz:
            yield from self._end_run(position)
            self.state.pattern = ""
            if self.state.bigeminy:
                self.state.bigeminy = False
                yield RhythmChange("bigeminy", False, position, self.state.latest, 0, np.nan)

    def on_beat(self, sample: int, rr_s: float, ventricular: bool | None) -> Iterator[RhythmChange]:
        """Take in a beat and the interval before it, NaN if not known; yield what changes.

        ``ventricular`` is None where that is not known: such a beat is part of no run.
        """
        yield from self.advance(sample)
        if not np.isfinite(rr_s):
            yield from self._end_run(sample)
            self.state.pattern = ""
        self.state.latest = sample
        if ventricular:
            self.state.odd = 0
            self.state.run.append(sample)
            del self.state.run[:-_MOST_BEATS]
            self.state.length += 1
            yield from self._grown(sample)
        elif self.state.tachycardia and self.state.odd < ODD_BEATS:
            self.state.odd += 1
        else:
            yield from self._end_run(sample)
        yield from self._alternating(sample, ventricular)

    def _grown(self, sample: int) -> Iterator[RhythmChange]:
        beats = self._settings.tachycardia_beats
        fast = self._bpm(beats) >= self._settings.tachycardia_bpm
        if self.state.tachycardia and not fast:
            yield self._found("ventricular_tachycardia", False, sample, beats)
            self.state.tachycardia = False
        elif not self.state.tachycardia and fast and self.state.length >= beats:
            self.state.tachycardia = True
            yield self._found("ventricular_tachycardia", True, sample, beats)
        if self.state.length == RUN_BEATS and not self.state.tachycardia:
            yield self._found("ventricular_run", True, sample, RUN_BEATS)

    def _end_run(self, sample: int) -> Iterator[RhythmChange]:
        if self.state.tachycardia:
            yield self._found("ventricular_tachycardia", False, sample, self.state.length)
        if self.state.length >= RUN_BEATS:
            yield self._found("ventricular_run", False, sample, self.state.length)
        elif self.state.length == 2:
            yield self._found("couplet", True, sample, 2)
        self.state.run.clear()
        self.state.length = self.state.odd = 0
        self.state.tachycardia = False

    def _alternating(self, sample: int, ventricular: bool | None) -> Iterator[RhythmChange]:
        state = self.state
        state.pattern += "?" if ventricular is None else "V" if ventricular else "N"
        state.pattern = state.pattern[-len(_CYCLES) :]
        alternating = state.pattern in (_CYCLES, _CYCLES[::-1])
        if alternating and not state.bigeminy:
            state.bigeminy = True
            yield RhythmChange("bigeminy", True, sample, sample, len(_CYCLES) // 2, np.nan)
        elif state.bigeminy and not alternating:
            state.bigeminy = False
            yield RhythmChange("bigeminy", False, sample, sample, 0, np.nan)

    def _found(self, kind: str, active: bool, sample: int, beats: int) -> RhythmChange:
        begun_at = self.state.run[-beats] if active else self.state.run[-1]
        return RhythmChange(kind, active, sample, begun_at, self.state.length, self._bpm(beats))

    def _bpm(self, beats: int) -> float:
        """Return the rate over the latest ``beats`` of the run, 0 if it has not so many."""
        if len(self.state.run) < max(beats, 2):
            return 0.0
        return 60.0 * (beats - 1) * self._fs_hz / (self.state.run[-1] - self.state.run[-beats])
