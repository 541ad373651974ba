"""What each of several leads shows by itself, in the source's own samples. Pure in memory."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.filters import Resampling
from pipeline.signal.quality import LeadChange, Reason

_NO_COMPLEXES: Final = np.empty((0, 3), dtype=np.int64)


def lead_events(
    found: Sequence[NDArray[np.int64]],
    wrong: Sequence[bool],
    were: Sequence[int],
    states: NDArray[np.uint8],
    first: int,
    origin: int,
    rate: Resampling,
) -> tuple[list[LeadChange], NDArray[np.int64]]:
    """List what each lead shows by itself, as a `pipeline.signal.segment.Segment` has it.

    Args:
        found: of each lead, int64[f, 2]: R peaks, and the samples that confirmed them; positions
            count from ``origin``.
        wrong: of each lead, whether it is in a state other than `Reason.OK` anywhere.
        were: the state of each before ``states``; empty where there is one lead: nothing is listed.
        states: uint8[leads, n], of `Reason`.
        first: position of states[:, 0] in the 360 Hz stream.
        origin: position of the segment's start in it.
        rate: of the stream.
    """
    if not were:
        return [], _NO_COMPLEXES
    quality: list[LeadChange] = []
    some_wrong = any(wrong) or any(were)
    for lead, before in enumerate(were) if some_wrong else ():
        if wrong[lead] or before:
            its = states[lead]
            at = np.flatnonzero(np.diff(its, prepend=np.uint8(before)))
            samples = rate.to_source(at + first).tolist()
            quality += [
                LeadChange(sample, lead, Reason(reason))
                for sample, reason in zip(samples, its[at].tolist(), strict=True)
            ]
    complexes = _NO_COMPLEXES
    counts = [len(its) for its in found]
    if any(counts):
        complexes = np.empty((sum(counts), 3), dtype=np.int64)
        complexes[:, 0] = np.repeat(np.arange(len(found)), counts)
        complexes[:, 1:] = rate.to_source(np.concatenate(found) + origin)
    if quality:
        quality.sort(key=lambda change: change.sample)
    return quality, complexes
