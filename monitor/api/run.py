"""One stream from samples to beats and alerts, scored in this process: the code of the hub.

Nobody is there to acknowledge an alarm, so none latches: each is over when its condition is, and
the next one is another episode. Otherwise the alarms are those of ``monitor scan``.
"""

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

from models.files.calibration import load_calibration
from models.inference.beat_scorer import BeatScorer, load_scorer
from monitor.api.recordings import Leads, lead_labels
from monitor.inputs import load_alarm_settings
from pipeline.alarms.settings import AlarmSettings
from pipeline.errors import MonitorError
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import StreamOutput, no_clock, published, score_beats
from pipeline.stream.stream import Stream, StreamUpdate
from pipeline.stream.warmup import compiled_before

logger = logging.getLogger(__name__)

_scorer = cache(load_scorer)


@cache
def _announce_compilation() -> None:
    """Log a warning, once, where the first samples will wait for the kernels to be compiled."""
    if not compiled_before():
        logger.warning("compiling the signal kernels, once on this machine: this takes minutes")


class StreamRun:
    """One stream; blocks in, what becomes known with each out."""

    def __init__(
        self,
        name: str,
        fs_hz: float,
        leads: Leads,
        *,
        alarms: str | Path | None = None,
        false_alerts_per_hour: float | None = None,
    ) -> None:
        """Begin before the first block, which shows how many ``leads`` there are.

        Raises:
            ValueError: the alarm settings, or the rate of false alerts, are refused.
        """
        self._name, self._fs_hz, self._leads = name, fs_hz, leads
        try:
            self._config = load_calibration(false_alerts_per_hour=false_alerts_per_hour)
            settings = load_alarm_settings(None if alarms is None else Path(alarms))
        except MonitorError as error:
            raise ValueError(str(error)) from None
        self._settings: AlarmSettings = replace(settings, latching=frozenset())
        self._scorer: BeatScorer = _scorer()
        self._stream: Stream | None = None
        _announce_compilation()

    @property
    def atrial_fibrillation(self) -> tuple[float | None, float]:
        """Its share of the time in which the rhythm was assessed, and that time in seconds."""
        return (None, 0.0) if self._stream is None else self._stream.atrial_fibrillation()

    def take(self, block: SampleBlock) -> StreamOutput:
        """Return what becomes known with a block; one ahead of those before declares a gap.

        Raises:
            ValueError: it has other leads than the one before, or than there are names.
        """
        if self._stream is None:
            self._stream = Stream(
                self._name, self._fs_hz, self._config, no_clock,
                leads=lead_labels(self._leads, block.leads),
                epoch=block.epoch, first_sample=block.first_sample, settings=self._settings,
            )  # fmt: skip
        if block.epoch <= self._stream.epoch:
            return self._scored(self._stream, self._stream.take(block))
        before = self._scored(
            self._stream, self._stream.begin_epoch(block.epoch, block.first_sample)
        )
        now = self._scored(self._stream, self._stream.take(block))
        return StreamOutput(
            before.alerts + now.alerts, before.reports + now.reports, before.trends + now.trends
        )

    def finish(self) -> StreamOutput:
        """Return what becomes known with the end of the signal: the last beats, and all alarms."""
        if self._stream is None:
            return StreamOutput([], [])
        last = self._scored(self._stream, self._stream.finish())
        end = published(self._stream, self._stream.close())
        return StreamOutput(last.alerts + end.alerts, last.reports, last.trends + end.trends)

    def _scored(self, stream: Stream, taken: StreamUpdate) -> StreamOutput:
        score_beats(stream, taken.windows, self._scorer)
        return published(stream, taken.alerts)
