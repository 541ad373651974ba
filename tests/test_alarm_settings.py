"""Alarm settings: what they may be, and what a person is told who asks for something else."""

import pytest

from pipeline.alarms.kinds import LETHAL, NEVER_OFF
from pipeline.alarms.settings import AlarmSettings, settings_of
from pipeline.errors import ConfigError


def test_empty_table_is_the_defaults() -> None:
    """What a file does not name stays as it is."""
    assert settings_of({}) == AlarmSettings()
    assert settings_of({"asystole_s": 5}).asystole_s == 5
    chosen = settings_of({"off": ["couplet"], "latching": ["asystole"]})
    assert (chosen.off, chosen.latching) == (frozenset({"couplet"}), frozenset({"asystole"}))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"asystole": 4}, "no alarm setting is called asystole"),
        ({"asystole_s": 11}, "a number of 3 to 10"),
        ({"asystole_s": 2.9}, "a number of 3 to 10"),
        ({"asystole_s": "4"}, "a number of 3 to 10"),
        ({"asystole_s": True}, "a number of 3 to 10"),
        ({"asystole_s": float("nan")}, "a number of 3 to 10"),
        ({"tachycardia_beats": 5.5}, "a whole number of 3 to 99"),
        ({"off": "couplet"}, "a list of names of alarms"),
        ({"off": ["couplets"]}, "no alarm is called couplets"),
        ({"heart_rate_low_bpm": 120, "heart_rate_high_bpm": 110}, "must be lower"),
        ({"extreme_bradycardia_bpm": 60}, "must not be above heart_rate_low_bpm"),
        ({"extreme_tachycardia_bpm": 110}, "must not be above extreme_tachycardia_bpm"),
        ({"asystole_s": 3, "pause_s": 3}, "pause_s must be shorter"),
    ],
)
def test_what_is_refused_says_what_would_be_taken(table: dict[str, object], told: str) -> None:
    """Name, value and the range."""
    with pytest.raises(ConfigError, match=told):
        settings_of(table)


@pytest.mark.parametrize("kind", sorted(NEVER_OFF))
def test_stopped_heart_cannot_be_switched_off(kind: str) -> None:
    """Whatever a file says."""
    assert kind in LETHAL
    with pytest.raises(ConfigError, match=f"{kind} cannot be switched off"):
        settings_of({"off": ["couplet", kind]})
