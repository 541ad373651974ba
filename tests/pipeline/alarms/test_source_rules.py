"""The alarms about how a source sends: a wrong rate with its number, and lines that are none."""

import pytest

from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.source_rules import UNREADABLE_S, SourceRules, SourceRulesState
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.schema.public import Alert

FS = 250.0
LIMIT = 25
"""One in a hundred of the lines of ten seconds."""


def rules() -> SourceRules:
    """Return the rules at the beginning of a stream."""
    return SourceRules(AlarmStateMachine("bed", FS, DEFAULTS), FS, SourceRulesState())


def brief(alerts: list[Alert]) -> list[tuple[str, str, str]]:
    """Return what counts of alerts."""
    return [(alert.kind, alert.priority, alert.state) for alert in alerts]


@pytest.mark.parametrize(
    ("rate_off", "reason"),
    [
        (
            1.0,
            "500.0 samples a second come, not 250: rates are wrong; set 500 Hz, as fs= or in its "
            "program",
        ),
        (
            -0.5,
            "125.0 samples a second come, not 250: rates are wrong; set 125 Hz, as fs= or in its "
            "program",
        ),
        (-0.9, "25.0 samples a second come, not 250: rates are wrong"),
    ],
)
def test_a_wrong_rate_is_one_alarm_with_the_measured_rate(rate_off: float, reason: str) -> None:
    """And with the rate to start with, where the monitor takes such a one."""
    source = rules()
    [alert] = source.on_stamp(2500, None, rate_off)
    assert (alert.kind, alert.reason) == ("wrong_rate", reason)
    assert source.on_stamp(2600, None, rate_off) == []
    assert brief(source.on_stamp(9000, None, 0.0)) == [("wrong_rate", "medium", "off")]


def test_a_rate_that_lacks_lines_is_no_rate_to_start_with() -> None:
    """It is wrong because they cannot be read, not because the device has another one."""
    source = rules()
    source.on_unreadable(1000, 100)
    [alert] = source.on_stamp(2500, None, -0.05)
    assert alert.reason == "237.5 samples a second come, not 250: rates are wrong"


def test_few_lines_that_cannot_be_read_are_no_alarm() -> None:
    """A torn line now and then, or what a device prints when it starts."""
    source = rules()
    assert source.on_unreadable(0, LIMIT) == []
    for second in range(11, 100):
        assert source.on_unreadable(round(second * FS), 2) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_more_than_one_line_in_a_hundred_is_an_alarm_until_they_can_be_read(at_once: bool) -> None:
    """Each may be a sample that is missing, and the rates are wrong by as much."""
    source = rules()
    reports = [LIMIT + 1] if at_once else [1] * (LIMIT + 1)
    alerts = [alert for lines in reports for alert in source.on_unreadable(1000, lines)]
    assert brief(alerts) == [("unreadable_lines", "medium", "on")]
    assert f"{LIMIT + 1} lines in 10 s" in alerts[0].reason
    assert source.on_unreadable(1000 + round(UNREADABLE_S * FS), 0) == []
    over = source.on_unreadable(1001 + round(UNREADABLE_S * FS), 0)
    assert brief(over) == [("unreadable_lines", "medium", "off")]


def test_a_share_about_the_limit_is_one_alarm_and_not_many() -> None:
    """It ends at half of the limit."""
    source = rules()
    alerts = [
        alert
        for second in range(200)
        for alert in source.on_unreadable(round(second * FS), 2 + second % 2)
    ]
    assert brief(alerts) == [("unreadable_lines", "medium", "on")]


def test_reports_take_no_memory() -> None:
    """However many come in ten seconds, none is lost."""
    source = rules()
    for sample in range(1000):
        source.on_unreadable(sample, 1)
    assert len(source.state.unreadable) <= 64
    assert sum(lines for _, lines in source.state.unreadable) == 1000
