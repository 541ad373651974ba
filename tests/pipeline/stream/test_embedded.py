"""The whole pipeline in one process: the oracle of the others."""

import numpy as np
import pytest

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import BATCH, EmbeddedRunner, StreamOutput
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG, TrivialScorer

SIGNAL = SyntheticPatient(PatientConfig(ectopic=0.1, seed=3)).generate(120 * 360)


def outcomes(step: int) -> tuple[EmbeddedRunner, list[StreamOutput]]:
    """Run the synthetic patient in blocks of ``step`` samples."""
    runner = EmbeddedRunner("p", 360.0, TrivialScorer(), CONFIG)
    blocks = (
        SampleBlock(a, SIGNAL.samples[a : a + step], SIGNAL.flags[a : a + step])
        for a in range(0, SIGNAL.samples.size, step)
    )
    return runner, list(runner.run(blocks))


@pytest.mark.parametrize("step", [7200, 97])
def test_every_beat_is_published_once_and_in_order(step: int) -> None:
    """One note a beat, whatever the batch is filled with; the counters agree."""
    runner, results = outcomes(step)
    notes = [note for outcome in results for note in outcome.notes]
    samples = [note.sample for note in notes]

    assert samples == sorted(set(samples))
    assert len(notes) == runner.counters.beats > BATCH
    assert runner.counters.samples == SIGNAL.samples.size
    assert abs(len(notes) - SIGNAL.beats.size) <= 3
    assert sum(note.anomalous for note in notes) == runner.counters.anomalous


def test_blocks_change_nothing() -> None:
    """The same alerts, classes included and without latencies, for any length of block."""
    alerts = []
    for step in (SIGNAL.samples.size, 1000, 97):
        _, results = outcomes(step)
        alerts.append(sorted((a for outcome in results for a in outcome.alerts), key=repr))
    assert alerts[0]
    assert alerts[0] == alerts[1] == alerts[2]
    assert all(alert.latency_ms.total == 0 for alert in alerts[0])
    kinds = outcomes(1000)[0].counters.alerts_by_kind
    assert sum(kinds.values()) == sum(alert.state == "on" for alert in alerts[0])


def test_every_analysable_beat_is_scored_and_named_in_one_request() -> None:
    """A window goes to the scorer once; what cannot be analysed has neither score nor class."""
    scorer = TrivialScorer()
    runner = EmbeddedRunner("p", 360.0, scorer, CONFIG)
    flags = SIGNAL.flags.copy()
    flags[3600:7200] |= FLAG_LEAD_OFF
    blocks = [SampleBlock(0, SIGNAL.samples, flags=flags)]
    notes = [note for one in runner.run(blocks) for note in one.notes]

    assert scorer.windows == sum(note.analysable for note in notes) == runner.counters.windows
    assert {note.analysable for note in notes} == {True, False}
    for note in notes:
        assert (note.beat_class is None) == (not note.analysable)
        assert (note.class_probabilities is None) == (not note.analysable)
    assert {note.beat_class for note in notes if not note.anomalous} > {None, "N"}


def test_nothing_in_nothing_out() -> None:
    """A source without a sample is no error."""
    runner = EmbeddedRunner("p", 360.0, TrivialScorer(), CONFIG)
    results = list(runner.run([SampleBlock(0, np.empty(0, np.float32))]))

    assert [one for outcome in results for one in (*outcome.alerts, *outcome.notes)] == []
