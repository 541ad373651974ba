"""Pauses of a real patient: a line that is still is neither motion nor noise."""

import numpy as np

from pipeline.signal.quality import Reason
from pipeline.signal.samples import in_blocks
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats
from replay.records import read_lead
from tests.support.databases import database


def test_a_pause_is_no_motion() -> None:
    """With one steep beat in four seconds most slopes are not flat beside the steepest."""
    record = database("mitdb") / "232"
    info, samples = read_lead(record, 0)
    segmenter = Segmenter(info.fs_hz)
    moving_from = [
        change.sample
        for block in in_blocks(samples, round(10 * info.fs_hz))
        for change in segmenter.push(block).quality
        if change.reason is Reason.MOTION
    ]
    beats, _ = read_beats(record, lead=0)
    pauses = np.flatnonzero(np.diff(beats) > 2.5 * info.fs_hz)

    assert len(pauses) > 30
    for begin, end in zip(beats[pauses], beats[pauses + 1], strict=True):
        assert not [at for at in moving_from if begin <= at <= end + 2 * info.fs_hz]
