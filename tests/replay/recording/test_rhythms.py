"""Rhythms as WFDB annotates them, by the alarms of a stream."""

from typing import Any

from pipeline.alarms.kinds import KINDS
from pipeline.schema.alert import episode_of
from pipeline.schema.public import Alert
from replay.recording.rhythms import RHYTHMS, Rhythm, rhythm_changes


def alert(kind: str, state: str, sample: int, **facts: Any) -> Alert:
    """Return an alert of a stream of 100 Hz."""
    episode = episode_of(kind, 0, sample) if state == "on" else "another"
    fields: dict[str, Any] = {"episode": episode, "priority": "high", "reason": "", **facts}
    return Alert(
        stream="s", kind=kind, category="physiological", state=state, sample=sample,
        time_s=sample / 100, **fields,
    )  # fmt: skip


def test_every_kind_of_rhythm_is_a_kind_of_alarm() -> None:
    """No rhythm is named after an alarm that does not exist."""
    assert set(RHYTHMS) <= set(KINDS)


def test_a_rhythm_begins_where_its_condition_began_not_where_the_rule_was_sure() -> None:
    """Fibrillation is sure after a minute, and began a minute before; it ends where it ended."""
    alerts = [
        alert("atrial_fibrillation", "on", 9_000, begin_s=30.0),
        alert("atrial_fibrillation", "off", 20_000, end_s=200.0),
    ]

    changes = rhythm_changes(alerts, 100.0, 80)

    assert changes == [(80, "(N"), (3_000, "(AFIB"), (20_000, "(N")]


def test_the_gravest_of_several_rhythms_counts() -> None:
    """A tachycardia within atrial fibrillation is (VT, and then it is (AFIB again."""
    alerts = [
        alert("atrial_fibrillation", "on", 9_000, begin_s=30.0),
        alert("ventricular_tachycardia", "on", 10_000, begin_s=99.0),
        alert("ventricular_tachycardia", "ack", 10_100),
        alert("ventricular_tachycardia", "off", 10_500),
        alert("couplet", "on", 10_600, begin_s=105.0),
    ]

    assert rhythm_changes(alerts, 100.0, None) == [
        (3_000, "(AFIB"), (9_900, "(VT"), (10_500, "(AFIB")
    ]  # fmt: skip


def test_one_that_follows_on_another_at_once_makes_one_change() -> None:
    """Where a run becomes a tachycardia, nothing else is between."""
    alerts = [
        alert("ventricular_run", "on", 500, begin_s=4.0),
        alert("ventricular_run", "off", 800),
        alert("ventricular_fibrillation", "on", 800, begin_s=8.0),
    ]

    changes = rhythm_changes(alerts, 100.0, 10)

    assert changes == [(10, "(N"), (400, "(VT"), (800, "(VFL")]


def test_a_latched_alarm_is_no_rhythm_any_more() -> None:
    """Its condition is over, though nobody has acknowledged it."""
    rhythm = Rhythm()
    rhythm.take(alert("ventricular_tachycardia", "on", 100))
    assert rhythm.name == "(VT"

    rhythm.take(alert("ventricular_tachycardia", "latched", 300))

    assert rhythm.name == "(N"
