"""The whole pipeline in one process, without sockets: scans, evaluation, and the oracle of tests.

Runs the same `Stream` as the hub, so it gives the same alerts for the same samples.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.live_score import LiveScoreConfig
from pipeline.public import Alert, BeatNote
from pipeline.scoring import Scorer
from pipeline.stream import Beat, Counters, Stream, Taken

BATCH: Final = 64


def _no_clock() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became known at one point of the stream; alerts carry no place in a log."""

    alerts: list[Alert]
    beats: list[BeatNote]


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
        clock: Callable[[], float] = _no_clock,
    ) -> None:
        self._scorer = scorer
        self._stream = Stream(name, fs_hz, config, clock, first_sample=first_sample)
        self._waiting: list[Beat] = []

    @property
    def counters(self) -> Counters:
        """Return what went through so far."""
        return self._stream.counters

    def run(
        self, blocks: Iterable[tuple[int, NDArray[np.float32], NDArray[np.uint8] | None]]
    ) -> Iterator[Outcome]:
        """Take blocks of (first sample, float32[n] mV, flags) to the end; yield what they tell."""
        for first_sample, samples, flags in blocks:
            taken = self._stream.take(
                samples, first_sample=first_sample, arrived_at=0.0, flags=flags
            )
            yield self._absorb(taken, least=BATCH)
        yield self._absorb(self._stream.finish(), least=1)

    def _absorb(self, taken: Taken, *, least: int) -> Outcome:
        self._waiting += taken.windows
        while len(self._waiting) >= least:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            scored = self._scorer.score(np.stack([beat.window for beat in batch]))
            for row, beat in enumerate(batch):
                self._stream.scored(beat.id, float(scored.scores[row]), scored.residuals[row], 0.0)
        told = self._stream.drain()
        alerts = taken.alerts + [alert for one in told for alert in one.alerts]
        return Outcome(alerts, [one.note for one in told])
