"""What a segment completes: its changes, and its beats as they begin their way. Pure."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MEASURES
from pipeline.scoring.beat import Beat
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.beat_measures import with_evidence
from pipeline.scoring.lead_measures import measure_beats
from pipeline.signal.quality import QualityChange, Reason
from pipeline.signal.segment import FastRhythmChange, FibrillationChange, Segment

Change = QualityChange | FibrillationChange | FastRhythmChange

_OK: Final = int(Reason.OK)
_REASONS: Final = tuple(Reason)

_NOT_MEASURED: Final = np.zeros(MEASURES, dtype=np.float32)
"""Until all beats of a segment are measured, in one call."""


def beats_of(
    segment: Segment,
    source: tuple[str, int],
    after_r: int,
    arrived: Callable[[int], float],
    cut_at: float,
) -> list[Beat]:
    """Return the beats of a segment, in order, without their measures.

    Args:
        segment: of one lead or several.
        source: the name of the stream, and the epoch.
        after_r: so many source samples behind its R peak a window ends.
        arrived: says when a sample arrived.
        cut_at: when the windows were cut.
    """
    beats = []
    rows = zip(
        segment.r_samples.tolist(), segment.samples.tolist(), segment.ready_samples.tolist(),
        segment.rr_s.tolist(), segment.reasons.tolist(), segment.leads.tolist(), segment.windows,
        strict=True,
    )  # fmt: skip
    name, epoch = source
    for r, sample, ready, rr_s, reason, lead, window in rows:
        last = sample + after_r
        last_arrived = arrived(last)
        beat = Beat(
            (name, epoch, r), sample, rr_s, window, _NOT_MEASURED, _REASONS[reason],
            arrived(sample), last_arrived, arrived(ready) if ready > last else last_arrived,
            cut_at, lead,
        )  # fmt: skip
        beats.append(beat)
    if len(segment.windows_of) > 1:
        for b, beat in enumerate(beats):
            beat.in_leads = np.ascontiguousarray(segment.windows_of[:, b])
            beat.reasons_in = [_REASONS[one] for one in segment.reasons_of[:, b].tolist()]
    return beats


def measure(
    beats: Sequence[Beat],
    features: Sequence[BeatFeatures],
    segment: Segment,
    evidence: NDArray[np.float64],
) -> None:
    """Give a segment's beats their measures, and learn from them.

    Args:
        beats: those of `beats_of`.
        features: of each lead.
        segment: of as many leads.
        evidence: float64[b], as `measure_beats` takes it.
    """
    if len(features) == 1:
        (alone,) = features
        of_beats = alone.measure(segment.rr_s, segment.windows, segment.reasons == _OK)
        for beat, measures in zip(beats, with_evidence(of_beats, evidence), strict=True):
            beat.measures = measures
        return
    measured = measure_beats(
        features, segment.rr_s, segment.windows_of, segment.reasons_of == _OK, segment.leads,
        evidence,
    )  # fmt: skip
    rows = zip(beats, *measured[:2], measured.second_leads.tolist(), strict=True)
    for beat, measures, second, lead in rows:
        beat.measures = measures
        if lead >= 0:
            beat.second, beat.second_lead = second, lead


def in_order(segment: Segment) -> deque[Change]:
    """Return what changes in a segment, in order of time; nearly always nothing."""
    if not (segment.quality or segment.fibrillation or segment.fast_rhythm):
        return deque()
    changes: list[Change] = [*segment.quality, *segment.fibrillation, *segment.fast_rhythm]
    return deque(sorted(changes, key=lambda change: change.sample))
