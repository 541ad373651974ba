"""The beats of one stream between their detection and their publication.

A beat waits for its score and its class, which come together. Beats get their verdict in order as
far as the scores reach, so that the patient's baseline grows the same whatever order the scores
arrive in, and are published at once.

The clock is an argument and serves latencies only. No I/O.
"""

import math
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.rate_rules import RATE_BEATS
from pipeline.errors import SnapshotError
from pipeline.schema.messages import WindowId
from pipeline.schema.state import State, field
from pipeline.scoring.beat import Beat
from pipeline.scoring.live_score import LiveScore, LiveScoreConfig, LiveScoreState
from pipeline.signal.quality import Reason
from pipeline.stream.counters import Counters


class BeatQueueState(State):
    """All memory of a `BeatQueue`."""

    live: list[LiveScoreState]
    """Of each lead: what is usual in one is not in another."""
    beats: list[Beat] = field(default_factory=list)
    """Beats that wait for their score, or behind one that does, in order."""
    rr_s: list[float] = field(default_factory=list)
    """The latest `RATE_BEATS` known RR intervals."""
    anomalous: tuple[int, int] | None = None
    """(epoch, sample) of the latest anomalous beat."""

    @classmethod
    def fresh(cls, leads: int = 1) -> Self:
        """Return the state before the first beat of a stream of so many leads."""
        return cls([LiveScoreState.fresh() for _ in range(leads)])


class BeatQueue:
    """Beats in as they are found, scores in as they come, beats out in order."""

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
            SnapshotError: the state holds a beat that does not belong to ``stream``, or has values
                that are not finite.
        """
        self.state = state
        self._clock = clock
        self._counters = counters
        self._live = [LiveScore(config, of_lead) for of_lead in state.live]
        leads = set(range(len(state.live)))
        for beat in state.beats:
            if beat.id[0] != stream or not {beat.lead, beat.second_lead} <= leads:
                raise SnapshotError(f"state of a beat that is none of {stream}")
            in_leads = 0 if beat.in_leads is None else len(beat.in_leads)
            if in_leads != len(beat.reasons_in) or in_leads not in (0, len(state.live)):
                raise SnapshotError("state of a beat in other leads than the stream has")
            arrays = (
                beat.window, beat.measures, beat.second, beat.residual, beat.probabilities,
                beat.in_leads,
            )  # fmt: skip
            if not all(np.isfinite(one).all() for one in arrays if one is not None):
                raise SnapshotError("state of a beat with values that are not finite")
        self._waiting = {beat.id: beat for beat in state.beats if beat.wants_score}

    @property
    def waiting(self) -> list[Beat]:
        """The beats that want a score, in order."""
        return list(self._waiting.values())

    @property
    def all_pending(self) -> list[Beat]:
        """The beats that are not published yet, in order."""
        return list(self.state.beats)

    @property
    def pending(self) -> int:
        """Beats detected but not published yet."""
        return len(self.state.beats)

    @property
    def learning(self) -> bool:
        """Whether the patient's usual beats are still being learned, in every lead."""
        return all(of_lead.learning for of_lead in self._live)

    def bpm(self) -> float | None:
        """Return the heart rate over the last RR intervals, or None before the first."""
        rr_s = self.state.rr_s
        return round(60.0 * len(rr_s) / sum(rr_s), 1) if rr_s else None

    def push(self, beats: Sequence[Beat]) -> list[Beat]:
        """Take in the next beats; return those that want a score."""
        self.state.beats.extend(beats)
        wanting = [beat for beat in beats if beat.wants_score]
        for beat in wanting:
            self._waiting[beat.id] = beat
        return wanting

    def scored(
        self,
        window_id: WindowId,
        score: float,
        residual: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        compute_s: float,
    ) -> None:
        """Bring back what a scorer says of a beat; a no-op if none of this id waits.

        Args:
            window_id: of the beat.
            score: at least 0.
            residual: float32[320].
            probabilities: float32[4], of each of `CLASSES`.
            compute_s: what the scorer took for its batch.
        """
        beat = self._waiting.pop(window_id, None)
        if beat is None:
            return
        beat.score, beat.residual, beat.probabilities = score, residual, probabilities
        beat.compute_s = compute_s if math.isfinite(compute_s) else 0.0
        beat.scored_at = self._clock()
        self._counters.scored_windows += 1

    def give_up(self, window_id: WindowId) -> None:
        """Record that no scorer will score a beat; a no-op if none of this id waits."""
        beat = self._waiting.pop(window_id, None)
        if beat is not None:
            beat.reason = Reason.UNSCORED
            self._counters.refused_windows += 1

    def drain(self) -> list[Beat]:
        """Return, with their verdicts, the beats up to the first one that wants a score."""
        beats = self.state.beats
        drained: list[Beat] = []
        for beat in beats:
            if beat.wants_score:
                break
            self._assign_verdict(beat)
            drained.append(beat)
        del beats[: len(drained)]
        return drained

    def _assign_verdict(self, beat: Beat) -> None:
        state, rr_s = self.state, beat.rr_s
        if math.isfinite(rr_s):
            state.rr_s.append(rr_s)
            del state.rr_s[:-RATE_BEATS]
        for lead, live in enumerate(self._live):
            if lead != beat.lead or beat.score is None or beat.probabilities is None:
                live.skip(rr_s)
                continue
            beat.verdict = live.score(beat.window, rr_s, beat.score, beat.probabilities)
            if beat.verdict.anomalous:
                beat.bpm = self.bpm()
                state.anomalous = (beat.id[1], beat.sample)
