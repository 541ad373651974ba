"""The alarms that want the score of a beat: anomalous beats, and ventricular ones in a row.

`BeatAlarms` is told every beat in order, when it is told to the world: it waits for the scores of
those before. An alarm of anomalous beats begins with the first and ends when none has come for
`pipeline.alarms.kinds.EPISODE_S`; a patient whose every second beat is ectopic is one alarm, not
a thousand (alarm fatigue: Drew et al., PLoS ONE 9, 2014). Who wants each beat finds it under
``beat/``.

By the positions of the beats: no clock, no I/O, the same whatever the chunks and the order of
the scores.
"""

from pipeline.alarms.life import AlarmLife
from pipeline.alarms.settings import AlarmSettings
from pipeline.beat import Beat
from pipeline.public import Alert


class BeatAlarms:
    """The rules of one stream that go by scored beats, and the alarms they raised."""

    def __init__(self, stream: str, fs_hz: float, settings: AlarmSettings, *, epoch: int) -> None:
        self.life = AlarmLife(stream, fs_hz, settings, epoch)
        self._latest = 0
        """Sample of the latest beat."""

    def on_beat(self, beat: Beat) -> list[Alert]:
        """Take note of a beat that is told now."""
        told = []
        epoch = beat.id[1]
        if epoch != self.life.epoch:
            told += self.finish("new epoch")
            self.life.epoch = epoch
        self._latest = beat.sample
        told += self.life.advance(beat.sample)
        return told + self._on_anomaly(beat)

    def finish(self, why: str) -> list[Alert]:
        """End what is there: nothing more will be known of it."""
        return self.life.end_all(why, self._latest)

    def _on_anomaly(self, beat: Beat) -> list[Alert]:
        verdict = beat.verdict
        if verdict is None or not verdict.anomalous:
            return []
        begun = self.life.begin(
            "anomalous_beat",
            beat.sample,
            verdict.reason,
            score=round(verdict.score, 4),
            threshold=round(verdict.threshold, 4),
            shares=beat.shares,
            ticks=beat.ticks,
            beat_class=beat.beat_class,
            class_probabilities=beat.class_probabilities,
            bpm=beat.bpm,
        )
        return begun + self.life.end("anomalous_beat", beat.sample, "over")
