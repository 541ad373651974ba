"""Pauses of a real patient: a line that is still is neither motion nor noise."""

from pipeline.signal.quality import Reason
from pipeline.signal.samples import in_blocks
from pipeline.signal.segmenter import Segmenter
from replay.records import read_lead
from tests.support.databases import database


def test_a_pause_is_no_motion() -> None:
    """With one steep beat in four seconds most slopes are not flat beside the steepest."""
    info, samples = read_lead(database("mitdb") / "232", 0)
    segmenter = Segmenter(info.fs_hz)
    changes = [
        change
        for block in in_blocks(samples, round(10 * info.fs_hz))
        for change in segmenter.push(block).quality
    ]
    assert Reason.MOTION not in {change.reason for change in changes}
