"""Alarm settings: what they may be, and the error for anything else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.inputs import load_alarm_settings
from pipeline.alarms.kinds import KINDS, LETHAL, NEVER_OFF
from pipeline.alarms.settings import RANGES, AlarmSettings, settings_of
from pipeline.errors import ConfigError


def test_empty_table_is_the_defaults() -> None:
    """What a file does not name stays as it is."""
    assert settings_of({}) == AlarmSettings()
    assert settings_of({"asystole_s": 5}).asystole_s == 5
    chosen = settings_of({"off": ["couplet"], "latching": ["asystole"]})
    assert (chosen.off, chosen.latching) == (frozenset({"couplet"}), frozenset({"asystole"}))


@pytest.mark.parametrize(
    ("table", "error"),
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
def test_refusal_names_what_would_be_accepted(table: dict[str, object], error: str) -> None:
    """Name, value and the range."""
    with pytest.raises(ConfigError, match=error):
        settings_of(table)


@pytest.mark.parametrize("kind", sorted(NEVER_OFF))
def test_stopped_heart_cannot_be_switched_off(kind: str) -> None:
    """Whatever a file says."""
    assert kind in LETHAL
    with pytest.raises(ConfigError, match=f"{kind} cannot be switched off"):
        settings_of({"off": ["couplet", kind]})


def test_file_of_settings_is_read(tmp_path: Path) -> None:
    """A name and a value a line."""
    path = tmp_path / "alarms.toml"
    path.write_text('asystole_s = 5\noff = ["couplet"]\n')
    assert load_alarm_settings(path) == AlarmSettings(asystole_s=5, off=frozenset({"couplet"}))
    assert load_alarm_settings(None) == AlarmSettings()


@pytest.mark.parametrize(
    "content",
    [
        b"asystole_s = 4 5",
        b"\xff\xfe",
        b"x = " + b"[" * 60_000,
        b"x = " + b"{a=" * 20_000,
        b"a." * 5_000 + b"b = 1",
        b"asystole_s = " + b"9" * 5_000,
        b"pause_s = 0x" + b"f" * 60_000,
        b"off = [" + b"1" * 4_000 + b"]",
        b"asystole_s = 2026-11-25",
        b"#" * 70_000 + b"\nasystole_s = 99",
    ],
    ids=["syntax", "bytes", "arrays", "tables", "dots", "digits", "hex", "list", "date", "long"],
)
def test_hostile_file_is_refused_by_name_and_never_half_read(
    content: bytes, tmp_path: Path
) -> None:
    """Whatever it holds: one error that names it; settings past the end of a limit count, too."""
    path = tmp_path / "alarms.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"alarms\.toml"):
        load_alarm_settings(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
LIKELY = st.sampled_from(sorted(KINDS)) | st.text(max_size=5)


@given(
    st.dictionaries(
        st.sampled_from([*RANGES, "off", "latching"]) | st.text(max_size=5),
        VALUES | st.floats(0, 300) | st.integers(0, 300) | st.lists(LIKELY, max_size=3),
        max_size=4,
    )
)
def test_any_table_is_settings_within_their_ranges_or_refused(table: dict[str, object]) -> None:
    """No other error, and nothing in force that the ranges forbid."""
    try:
        settings = settings_of(table)
    except ConfigError:
        return
    for name, (lowest, highest) in RANGES.items():
        assert lowest <= getattr(settings, name) <= highest
    assert not settings.off & NEVER_OFF
    assert settings.off | settings.latching <= set(KINDS)
