"""The whole pipeline in one process: the oracle of the others."""

import numpy as np
import pytest

from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import BATCH, EmbeddedRunner, Outcome
from replay.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG, TrivialClassifier, TrivialScorer

SIGNAL = SyntheticPatient(PatientConfig(ectopic=0.1, seed=3)).generate(120 * 360)


def outcomes(
    step: int, classifier: TrivialClassifier | None = None
) -> tuple[EmbeddedRunner, list[Outcome]]:
    """Run the synthetic patient in blocks of ``step`` samples."""
    runner = EmbeddedRunner("p", 360.0, TrivialScorer(), CONFIG, classifier=classifier)
    blocks = (
        SampleBlock(a, SIGNAL.samples[a : a + step], SIGNAL.flags[a : a + step])
        for a in range(0, SIGNAL.samples.size, step)
    )
    return runner, list(runner.run(blocks))


@pytest.mark.parametrize("step", [7200, 97])
def test_every_beat_is_published_once_and_in_order(step: int) -> None:
    """One note a beat, whatever the batch is filled with; the counters agree."""
    runner, results = outcomes(step)
    notes = [note for outcome in results for note in outcome.beats]
    samples = [note.sample for note in notes]

    assert samples == sorted(set(samples))
    assert len(notes) == runner.counters.beats > BATCH
    assert runner.counters.samples == SIGNAL.samples.size
    assert abs(len(notes) - SIGNAL.beats.size) <= 3
    assert sum(note.anomalous for note in notes) == runner.counters.anomalous


@pytest.mark.parametrize("classify", [False, True])
def test_blocks_change_nothing(classify: bool) -> None:
    """The same alerts, classes included and without latencies, for any length of block."""
    alerts = []
    for step in (SIGNAL.samples.size, 1000, 97):
        _, results = outcomes(step, TrivialClassifier() if classify else None)
        alerts.append(sorted((a for outcome in results for a in outcome.alerts), key=repr))
    assert alerts[0]
    assert alerts[0] == alerts[1] == alerts[2]
    assert all(alert.latency_ms.total == 0 for alert in alerts[0])
    kinds = outcomes(1000)[0].counters.alerts_by_kind
    assert sum(kinds.values()) == sum(alert.state == "on" for alert in alerts[0])


def test_classifier_sees_the_anomalous_beats_alone() -> None:
    """The second stage costs what the anomalous beats cost."""
    classifier = TrivialClassifier()
    runner, results = outcomes(1000, classifier)
    classes = [note.beat_class for outcome in results for note in outcome.beats if note.anomalous]

    assert 0 < classifier.windows == runner.counters.anomalous < runner.counters.beats
    assert None not in classes
    assert len(classes) == classifier.windows


def test_nothing_in_nothing_out() -> None:
    """A source without a sample is no error."""
    runner = EmbeddedRunner("p", 360.0, TrivialScorer(), CONFIG)
    results = list(runner.run([SampleBlock(0, np.empty(0, np.float32))]))

    assert [one for outcome in results for one in (*outcome.alerts, *outcome.beats)] == []
