"""Hearts of real patients that pause: a line that is still is neither motion nor noise."""

import numpy as np

from pipeline.signal.quality import Reason
from pipeline.signal.samples import in_blocks
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import read_beats
from replay.records import read_lead
from tests.support.databases import database
from tests.support.running import CONFIG, TrivialScorer


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


def test_a_heart_that_stands_still_after_a_shock_is_an_asystole() -> None:
    """Of what was found in the fibrillation before it, no size of a QRS complex is known."""
    info, samples = read_lead(database("vfdb") / "424", 0)
    begin_s, shock_s, end_s = 1_300, 1_369, 1_382
    part = samples[round(begin_s * info.fs_hz) : round(end_s * info.fs_hz)]
    runner = EmbeddedRunner("s", info.fs_hz, TrivialScorer(), CONFIG)
    outcomes = runner.run(in_blocks(part, round(info.fs_hz)))
    alerts = [alert for outcome in outcomes for alert in outcome.alerts]

    raised = [a.time_s + begin_s for a in alerts if (a.kind, a.state) == ("asystole", "on")]
    assert [at for at in raised if shock_s < at < shock_s + 10]
