"""The beats that a segment completes, as they begin their way through the stream. Pure."""

from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.constants import MEASURES
from pipeline.scoring.beat import Beat
from pipeline.signal.quality import Reason
from pipeline.signal.segment import Segment

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
    numbers = (
        segment.r_samples, segment.samples, segment.ready_samples, segment.rr_s, segment.reasons,
        segment.leads,
    )  # fmt: skip
    rows = zip(*(of_all.tolist() for of_all in numbers), segment.windows, strict=True)
    for r, sample, ready, rr_s, reason, lead, window in rows:
        last = sample + after_r
        last_arrived = arrived(last)
        beat = Beat(
            (*source, r), sample, rr_s, window, _NOT_MEASURED, _REASONS[reason],
            arrived(sample), last_arrived, arrived(ready) if ready > last else last_arrived,
            cut_at, lead,
        )  # fmt: skip
        beats.append(beat)
    if len(segment.windows_of) > 1:
        for b, beat in enumerate(beats):
            beat.in_leads = np.ascontiguousarray(segment.windows_of[:, b])
            beat.reasons_in = [_REASONS[one] for one in segment.reasons_of[:, b].tolist()]
    return beats
