"""The alert rules: asystole on good signal only, and every stretch that cannot be analysed."""

import pytest

from pipeline.alarms import ASYSTOLE_S, WINDOW_DELAY_S, Alarms
from pipeline.public import Alert
from pipeline.quality import Reason

FS = 360.0
SILENCE = round((ASYSTOLE_S + WINDOW_DELAY_S) * FS)


def rules() -> Alarms:
    """Return the rules at the beginning of a stream."""
    return Alarms("100", FS, epoch=2, first_sample=0)


def brief(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    """Return what counts of alerts."""
    return [(alert.kind, alert.state, alert.sample) for alert in alerts]


def test_asystole_is_raised_once_4_s_after_the_last_qrs() -> None:
    """High priority, placed 4 s after the last QRS, said once, ended by the next QRS."""
    alarms = rules()
    alarms.on_qrs(1000)

    assert alarms.on_position(1000 + SILENCE) == []
    [alert] = alarms.on_position(1000 + SILENCE + 1)
    assert (alert.kind, alert.category, alert.priority) == ("asystole", "physiological", "high")
    assert alert.sample == 1000 + round(ASYSTOLE_S * FS)
    assert (alert.epoch, alert.time_s) == (2, pytest.approx(alert.sample / FS, abs=1e-4))
    assert alarms.on_position(9000) == []
    assert alarms.asystole

    assert brief(alarms.on_qrs(9000)) == [("asystole", "off", 9000)]
    assert not alarms.asystole
    assert brief(alarms.on_position(9000 + SILENCE + 1)) == [("asystole", "on", 9000 + 1440)]


def test_heart_that_never_beats_is_noticed() -> None:
    """The time counts from the first sample of the stream, too."""
    assert brief(rules().on_position(SILENCE + 1)) == [("asystole", "on", 1440)]


@pytest.mark.parametrize(
    "reason", [reason for reason in Reason if reason not in (Reason.OK, Reason.FLAT)]
)
def test_signal_that_cannot_be_analysed_is_no_asystole(reason: Reason) -> None:
    """A lost electrode is told as such; the time counts anew once the signal is back."""
    alarms = rules()
    alarms.on_qrs(1000)
    [lost] = alarms.on_quality(1500, reason)
    assert (lost.kind, lost.category, lost.reason) == ("not_analysable", "technical", reason.text)
    assert alarms.on_position(100_000) == []

    assert brief(alarms.on_quality(100_000, Reason.OK)) == [("not_analysable", "off", 100_000)]
    assert alarms.on_position(100_000 + SILENCE) == []
    assert brief(alarms.on_position(100_000 + SILENCE + 1)) == [("asystole", "on", 101_440)]


def test_flat_line_is_told_and_still_becomes_asystole() -> None:
    """A heart that stands still draws a flat line: the time goes on counting from the last QRS."""
    alarms = rules()
    alarms.on_qrs(1000)

    assert brief(alarms.on_quality(1500, Reason.FLAT)) == [("not_analysable", "on", 1500)]
    assert brief(alarms.on_position(1000 + SILENCE + 1)) == [("asystole", "on", 2440)]
    assert brief(alarms.on_quality(9000, Reason.OK)) == [("not_analysable", "off", 9000)]
    assert alarms.asystole


def test_signal_lost_during_asystole_ends_it() -> None:
    """The monitor does not go on claiming what it can no longer see."""
    alarms = rules()
    alarms.on_position(SILENCE + 1)

    assert brief(alarms.on_quality(3000, Reason.LEAD_OFF)) == [
        ("not_analysable", "on", 3000),
        ("asystole", "off", 3000),
    ]


def test_change_of_reason_is_told_and_repetition_is_not() -> None:
    """One reason ends where another begins; the same one again says nothing."""
    alarms = rules()
    alarms.on_quality(10, Reason.FLAT)

    assert alarms.on_quality(20, Reason.FLAT) == []
    changed = alarms.on_quality(30, Reason.NOISE)
    assert [(one.state, one.reason) for one in changed] == [
        ("off", Reason.FLAT.text),
        ("on", Reason.NOISE.text),
    ]


def test_late_qrs_does_not_turn_the_time_back() -> None:
    """A QRS found late, before the signal was lost, counts for nothing afterwards."""
    alarms = rules()
    alarms.on_quality(2000, Reason.NOISE)
    alarms.on_quality(4000, Reason.OK)
    alarms.on_qrs(1900)

    assert alarms.on_position(4000 + SILENCE) == []
