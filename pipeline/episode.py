"""The alarm of anomalous beats: one for each episode of them, not one for each beat.

An episode begins with an anomalous beat, which raises the alert, and ends when none has come for
`EPISODE_S`; its end says how many there were. Who wants each beat finds it under ``beat/``. A
patient whose every second beat is ectopic is one alert, not a thousand (alarm fatigue: Drew et
al., PLoS ONE 9, 2014).

Decided in the order of the beats as they are told, by their positions: no clock, no I/O, the same
whatever the chunks and the order of the scores.
"""

from typing import Final

from pipeline.beat import Beat
from pipeline.public import Alert

EPISODE_S: Final = 10.0
"""Without an anomalous beat for so long an episode has ended: the 10 s that a strip shows, and
within which monitors have to announce what happened (ANSI/AAMI EC13)."""


class Episode:
    """What is remembered of the current episode of one stream, if there is one."""

    def __init__(self, stream: str, fs_hz: float) -> None:
        self._stream = stream
        self._fs_hz = fs_hz
        self._epoch = 0
        self._latest = 0
        """Sample of the latest anomalous beat."""
        self._count = 0
        """Anomalous beats so far; 0 between two episodes."""

    def on_beat(self, beat: Beat) -> list[Alert]:
        """Take note of a beat that is told now; return the end of an episode and a new one."""
        alerts = []
        later = beat.sample - self._latest > EPISODE_S * self._fs_hz
        if self._count and (later or beat.id[1] != self._epoch):
            alerts += self.end(f"no anomalous beat for {EPISODE_S:g} s" if later else "new epoch")
        if beat.verdict is None or not beat.verdict.anomalous:
            return alerts
        if not self._count:
            alerts.append(self._alert_of(beat))
        self._epoch, self._latest = beat.id[1], beat.sample
        self._count += 1
        return alerts

    def end(self, why: str) -> list[Alert]:
        """End the episode, if there is one; its place is the last anomalous beat."""
        if not self._count:
            return []
        count, self._count = self._count, 0
        beats = "1 anomalous beat" if count == 1 else f"{count} anomalous beats"
        return [
            Alert(
                stream=self._stream,
                epoch=self._epoch,
                kind="anomalous_beat",
                category="physiological",
                priority="low",
                state="off",
                sample=self._latest,
                time_s=round(self._latest / self._fs_hz, 4),
                reason=f"{beats}, {why}",
                count=count,
            )
        ]

    def _alert_of(self, beat: Beat) -> Alert:
        verdict = beat.verdict
        assert verdict is not None
        return Alert(
            stream=self._stream,
            epoch=beat.id[1],
            kind="anomalous_beat",
            category="physiological",
            priority="low",
            sample=beat.sample,
            time_s=round(beat.sample / self._fs_hz, 4),
            reason=verdict.reason,
            score=round(verdict.score, 4),
            threshold=round(verdict.threshold, 4),
            shares=beat.shares,
            ticks=beat.ticks,
            beat_class=beat.beat_class,
            class_probabilities=beat.class_probabilities,
            bpm=beat.bpm,
        )
