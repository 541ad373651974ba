"""The beats of one stream between their detection and their publication.

A beat waits for its score and, where it is anomalous and the system has a classifier, for its
class. Beats get their verdict in order as far as the scores reach, so that the patient's baseline
grows the same whatever order the scores arrive in. No verdict depends on a class, so it does not
wait for one. Beats are published in order too: one waits for the class of those before it.

The clock is an argument and serves latencies only. No I/O.
"""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.rate_rules import RATE_BEATS
from pipeline.constants import RR_FEATURES
from pipeline.errors import SnapshotError
from pipeline.schema.messages import WindowId
from pipeline.schema.state import State, field
from pipeline.scoring.beat import Beat
from pipeline.scoring.beat_templates import BeatTemplatesState
from pipeline.scoring.live_score import LiveScore, LiveScoreConfig, LiveScoreState
from pipeline.scoring.patient_template import PatientTemplateState
from pipeline.scoring.rr_context import RRContext, RRContextState
from pipeline.signal.quality import Reason
from pipeline.stream.counters import Counters


class BeatQueueState(State):
    """All memory of a `BeatQueue`."""

    live: LiveScoreState
    rr_context: RRContextState | None
    """None where no class is asked for."""
    unscored: list[Beat] = field(default_factory=list)
    """Beats that wait for their score, or behind one that does, in order."""
    unpublished: list[Beat] = field(default_factory=list)
    """Beats with a verdict that wait for their class, or behind one that does, in order."""
    rr_s: list[float] = field(default_factory=list)
    """The latest `RATE_BEATS` known RR intervals."""
    anomalous: tuple[int, int] | None = None
    """(epoch, sample) of the latest anomalous beat."""

    @classmethod
    def fresh(cls, *, classify: bool) -> Self:
        """Return the state before the first beat."""
        return cls(
            LiveScoreState(BeatTemplatesState.fresh()),
            RRContextState(PatientTemplateState()) if classify else None,
        )


class BeatQueue:
    """Beats in as they are found, scores and classes in as they come, beats out in order."""

    def __init__(
        self,
        stream: str,
        config: LiveScoreConfig,
        clock: Callable[[], float],
        counters: Counters,
        state: BeatQueueState,
    ) -> None:
        """Continue from ``state``; scored and refused windows are counted in ``counters``.

        Raises:
            SnapshotError: the state holds a beat that is none of ``stream``.
        """
        self.state = state
        self._clock = clock
        self._counters = counters
        self._live = LiveScore(config, state.live)
        self._rr_context = RRContext(state.rr_context) if state.rr_context is not None else None
        beats = [*state.unpublished, *state.unscored]
        for beat in beats:
            if beat.id[0] != stream or beat.rr_context.size not in (0, RR_FEATURES):
                raise SnapshotError(f"state of a beat that is none of {stream}")
        self._waiting = {beat.id: beat for beat in beats if beat.wants_score or beat.wants_class}

    @property
    def waiting(self) -> list[Beat]:
        """The beats that want a score or a class; those that want the same in order."""
        return list(self._waiting.values())

    @property
    def all_pending(self) -> list[Beat]:
        """The beats that are not published yet, in order."""
        return [*self.state.unpublished, *self.state.unscored]

    @property
    def pending(self) -> int:
        """Beats detected but not published yet."""
        return len(self.state.unscored) + len(self.state.unpublished)

    @property
    def learning(self) -> bool:
        """Whether the patient's usual beats are still being learned."""
        return self._live.learning

    def bpm(self) -> float | None:
        """Return the heart rate over the last RR intervals, or None before the first."""
        return round(60.0 / float(np.mean(self.state.rr_s)), 1) if self.state.rr_s else None

    def push(self, beat: Beat) -> None:
        """Take in the next beat."""
        self.state.unscored.append(beat)
        if beat.wants_score:
            self._waiting[beat.id] = beat

    def scored(
        self, window_id: WindowId, score: float, residual: NDArray[np.float32], compute_s: float
    ) -> list[Beat]:
        """Bring back the score and residual, float32[320], of a window; a no-op if none waits.

        Returns:
            The beats that want a class now, in order.
        """
        beat = self._waiting.pop(window_id, None)
        if beat is None:
            return []
        beat.score = score
        beat.residual = residual
        beat.compute_s = compute_s if np.isfinite(compute_s) else 0.0
        beat.scored_at = self._clock()
        self._counters.scored_windows += 1
        return self.assign_verdicts()

    def classified(
        self, window_id: WindowId, probabilities: NDArray[np.float32], compute_s: float
    ) -> None:
        """Bring back the class probabilities, float32[4], of a beat; a no-op if none waits.

        None waits where a journal is applied under other thresholds: then other beats want a class.
        """
        beat = self._waiting.pop(window_id, None)
        if beat is None:
            return
        beat.probabilities = probabilities
        beat.class_compute_s = compute_s if np.isfinite(compute_s) else 0.0
        beat.classified_at = self._clock()

    def give_up(self, window_id: WindowId) -> list[Beat]:
        """Record that no scorer will score a window, or name its class; a no-op if none waits.

        Returns:
            The beats that want a class now, in order.
        """
        beat = self._waiting.pop(window_id, None)
        if beat is None:
            return []
        if beat.wants_score:
            beat.reason = Reason.UNSCORED
            self._counters.refused_windows += 1
        beat.class_asked_at = None
        return self.assign_verdicts()

    def assign_verdicts(self) -> list[Beat]:
        """Give beats their verdict, up to one without a score; return those that want a class."""
        state = self.state
        wanted = []
        while state.unscored and not state.unscored[0].wants_score:
            beat = state.unscored.pop(0)
            state.unpublished.append(beat)
            if np.isfinite(beat.rr_s):
                state.rr_s.append(beat.rr_s)
                del state.rr_s[:-RATE_BEATS]
            if beat.score is None:
                self._live.skip(beat.rr_s)
            else:
                beat.verdict = self._live.score(beat.window, beat.rr_s, beat.score)
                beat.bpm = self.bpm()
            anomalous = beat.verdict is not None and beat.verdict.anomalous
            if anomalous:
                state.anomalous = (beat.id[1], beat.sample)
            if self._rr_context is None:
                continue
            window = None if beat.score is None else beat.window
            if anomalous:
                beat.rr_context = self._rr_context.compare(beat.rr_s, window)
                beat.class_asked_at = self._clock()
                self._waiting[beat.id] = beat
                wanted.append(beat)
            held = beat.verdict is not None and beat.verdict.held
            self._rr_context.remember(beat.rr_s, window, held=held)
        return wanted

    def drain(self) -> list[Beat]:
        """Return the beats that can be published now, in order; stops at one that wants a class."""
        beats, ready = self.state.unpublished, 0
        while ready < len(beats) and not beats[ready].wants_class:
            ready += 1
        drained = beats[:ready]
        del beats[:ready]
        return drained
