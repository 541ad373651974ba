"""What a `pipeline.stream.stream.Stream` remembers. Pure in memory."""

from typing import Self

from pipeline.alarms.stream_alarms import StreamAlarmsState
from pipeline.schema.state import State
from pipeline.scoring.beat_features import BeatFeaturesState
from pipeline.signal.arrivals import ArrivalState
from pipeline.signal.filters import resampling
from pipeline.signal.reorder import ReorderState
from pipeline.signal.segmenter_state import SegmenterState
from pipeline.signal.source_clock import SourceClockState
from pipeline.stream.beat_queue import BeatQueueState
from pipeline.stream.counters import Counters
from pipeline.trends.minutes import TrendsState


class StreamState(State):
    """All memory of a `Stream`."""

    epoch: int
    counters: Counters
    reorder: ReorderState
    source_clock: SourceClockState
    segmenter: SegmenterState
    arrivals: ArrivalState
    alarms: StreamAlarmsState
    beats: BeatQueueState
    published_to: int
    """No beat before this position is still to be found."""
    features: list[BeatFeaturesState]
    """Of each lead."""
    trends: TrendsState

    @classmethod
    def fresh(cls, fs_hz: float, epoch: int, first_sample: int, leads: int = 1) -> Self:
        """Return the state before the ``first_sample`` of an epoch."""
        return cls(
            epoch=epoch,
            counters=Counters(),
            reorder=ReorderState(first_sample),
            source_clock=SourceClockState(),
            segmenter=SegmenterState.fresh(resampling(fs_hz).half, leads),
            arrivals=ArrivalState(),
            alarms=StreamAlarmsState.fresh(epoch, first_sample, leads),
            beats=BeatQueueState.fresh(leads),
            published_to=first_sample,
            features=[BeatFeaturesState.fresh() for _ in range(leads)],
            trends=TrendsState.fresh(fs_hz, epoch, first_sample),
        )
