"""Alarms against a reference: what counts as found, how late, and for how long."""

import pytest

from models.data.rhythms import Stretch
from models.evaluation.alarms.spans import AlarmSpan, agree, delay_s, spans_of
from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.state_machine import AlarmStateMachine

FS = 100.0


def span(begin_s: float, sure_s: float, end_s: float) -> AlarmSpan:
    """Return an alarm."""
    return AlarmSpan("ventricular_fibrillation", begin_s, sure_s, end_s, "")


def test_spans_follow_the_condition_not_the_acknowledgement() -> None:
    """From its beginning to its end; what returns while latched is a span of its own."""
    alarms = AlarmStateMachine("s", FS, DEFAULTS)
    alerts = alarms.begin("asystole", 1000, "no QRS", begun_at=600)
    alerts += alarms.acknowledge(1100)
    alerts += alarms.end("asystole", 1500, "QRS")
    alerts += alarms.begin("asystole", 3000, "no QRS", begun_at=2600)
    alerts += alarms.end("asystole", 3200, "QRS")
    alerts += alarms.begin("asystole", 4000, "no QRS", begun_at=3600)
    spans = spans_of(alerts, ("asystole",), 60.0)
    assert [(s.begin_s, s.sure_s, s.end_s) for s in spans] == [
        (6.0, 10.0, 15.0),
        (26.0, 30.0, 32.0),
        (40.0, 40.0, 60.0),
    ]


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        (span(20, 24, 40), 4.0),
        (span(10, 14, 40), 0.0),
        (span(22, 29.9, 31), 9.9),
        (span(22, 31, 33), None),
        (span(5, 9, 19.9), None),
    ],
)
def test_delay_counts_from_the_onset(alarm: AlarmSpan, expected: float | None) -> None:
    """On when it begins: none; ten seconds after the onset even a short episode may be alarmed."""
    late = delay_s([alarm], Stretch("VF", 20.0, 23.0))
    assert late == (None if expected is None else pytest.approx(expected))


def test_agreement_counts_episodes_and_seconds() -> None:
    """Two episodes, one found; two alarms, one about something."""
    reference = [Stretch("VF", 10.0, 30.0), Stretch("VF", 100.0, 110.0)]
    got = agree([([span(12, 16, 32), span(50, 54, 60)], reference)])
    assert (got.episodes, got.found, got.alarms) == (2, 1, 2)
    assert got.episode_sensitivity == got.episode_positive_predictivity == 50.0
    assert got.duration_sensitivity == pytest.approx(60.0)
    assert got.duration_positive_predictivity == pytest.approx(60.0)
    assert got.time_to_alarm_worst_s == 6.0
    assert got.on_at_onset == 0


def test_an_alarm_that_was_on_already_is_counted() -> None:
    """It finds the episode at once, and may be about something else."""
    reference = [Stretch("VF", 10.0, 30.0), Stretch("VF", 100.0, 110.0)]
    got = agree([([span(2, 6, 11), span(98, 103, 112)], reference)])
    assert (got.found_within_10_s, got.on_at_onset) == (2, 1)
    assert (got.time_to_alarm_median_s, got.time_to_alarm_p90_s) == (1.5, 2.7)


def test_nothing_counted_is_no_figure() -> None:
    """A share of nothing is not 0 and not 100."""
    got = agree([([], [])])
    assert got.episode_sensitivity is None
    assert got.time_to_alarm_median_s is None
