"""The whole pipeline in one process, without sockets: scans, evaluation, and the oracle of tests.

Runs the same `Stream` as the hub, so it gives the same alerts for the same samples.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.schema.public import Alert, BeatNote, Trend
from pipeline.scoring.beat import Beat
from pipeline.scoring.lead_measures import second_rows
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import ScoredBatch, Scorer
from pipeline.signal.samples import SampleBlock
from pipeline.stream.beat_report import BeatReport
from pipeline.stream.counters import Counters
from pipeline.stream.stream import Stream, StreamUpdate

BATCH: Final = 64


def no_clock() -> float:
    """Return 0: nothing arrives, the samples are there."""
    return 0.0


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """What a stream published at one point; alerts carry no number of a log."""

    alerts: list[Alert]
    reports: list[BeatReport]
    """Of its beats."""
    trends: list[Trend] = field(default_factory=list)

    @property
    def notes(self) -> list[BeatNote]:
        """The note of each beat, made now: mostly nobody wants them."""
        return [report.note for report in self.reports]


def scored(beats: Sequence[Beat], scorer: Scorer) -> ScoredBatch:
    """Return the scores and classes of beats, of any streams, in one batch."""
    windows = np.array([beat.window for beat in beats])  # a third of the time of `np.stack`
    measures = np.array([beat.measures for beat in beats])
    return scorer.score(windows, measures, second_rows([beat.second for beat in beats]))


def score_beats(stream: Stream, beats: list[Beat], scorer: Scorer) -> None:
    """Score beats of ``stream`` in one batch, and bring their scores and classes back to it."""
    if not beats:
        return
    batch = scored(beats, scorer)
    for row, beat in enumerate(beats):
        score, residual = float(batch.scores[row]), batch.residuals[row]
        stream.beats.scored(beat.id, score, residual, batch.probabilities[row], 0.0)


def published(stream: Stream, alerts: list[Alert]) -> StreamOutput:
    """Return ``alerts``, followed by what ``stream`` can publish now."""
    reports = stream.drain()
    of_beats = [alert for report in reports for alert in report.alerts]
    return StreamOutput(alerts + of_beats, reports, stream.take_trends())


class EmbeddedRunner:
    """One stream, scored in this process.

    Latencies in the alerts are zero: nothing arrives, the samples are there.
    """

    def __init__(
        self,
        name: str,
        fs_hz: float,
        scorer: Scorer,
        config: LiveScoreConfig,
        *,
        first_sample: int = 0,
        leads: Sequence[str] = ("",),
        settings: AlarmSettings = DEFAULTS,
        clock: Callable[[], float] = no_clock,
    ) -> None:
        self._scorer = scorer
        self._stream = Stream(
            name,
            fs_hz,
            config,
            clock,
            first_sample=first_sample,
            leads=leads,
            settings=settings,
        )
        self._waiting: list[Beat] = []

    @property
    def counters(self) -> Counters:
        """Return the counts so far."""
        return self._stream.counters

    def run(self, blocks: Iterable[SampleBlock]) -> Iterator[StreamOutput]:
        """Take blocks to the end; yield what becomes known with each."""
        for block in blocks:
            if block.epoch > self._stream.epoch:
                begun = self._stream.begin_epoch(block.epoch, block.first_sample)
                yield self._absorb(begun, least=1)
            yield self._absorb(self._stream.take(block), least=BATCH)
        yield self._absorb(self._stream.finish(), least=1)
        yield published(self._stream, self._stream.close())

    def _absorb(self, taken: StreamUpdate, *, least: int) -> StreamOutput:
        self._waiting += taken.windows
        while len(self._waiting) >= least:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            score_beats(self._stream, batch, self._scorer)
        return published(self._stream, taken.alerts)
