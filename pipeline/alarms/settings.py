"""The settings of the alarms, their ranges, and how a file of them is read.

Pure: no files are opened here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from pipeline.alarms.kinds import KINDS, LETHAL, NEVER_OFF
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """One set of alarm settings; the defaults are those of adult bedside monitors."""

    asystole_s: float = 4.0
    """No QRS for this long (Challenge 2015; bedside monitors: 3 to 10 s)."""
    pause_s: float = 2.5
    """No QRS for this long is a pause (bedside monitors: 1.5 to 3 s)."""
    extreme_bradycardia_bpm: float = 40.0
    """Below this over five beats (Challenge 2015)."""
    extreme_tachycardia_bpm: float = 140.0
    """Above this over seventeen beats (Challenge 2015)."""
    heart_rate_low_bpm: float = 50.0
    heart_rate_high_bpm: float = 120.0
    heart_rate_delay_s: float = 10.0
    """The rate must have been beyond its limit for this long; a short excursion is no alarm."""
    heart_rate_hysteresis_bpm: float = 5.0
    """Any rate must come back within its limit by this much before its alarm ends."""
    tachycardia_beats: int = 5
    """Ventricular beats in a row that are a ventricular tachycardia, at `tachycardia_bpm` or faster
    (Challenge 2015; bedside monitors: 3 to 99)."""
    tachycardia_bpm: float = 100.0
    """Least rate of a ventricular tachycardia (Challenge 2015)."""
    atrial_fibrillation_delay_s: float = 30.0
    """Atrial fibrillation must have lasted for this long (ESC guidelines: an episode has 30 s)."""
    realarm_s: float = 120.0
    """An acknowledged alarm whose condition is still there calls again after this long."""
    off: frozenset[str] = frozenset()
    """Kinds that are not raised."""
    latching: frozenset[str] = LETHAL
    """Kinds that stay active until somebody acknowledges them."""


DEFAULTS: Final = AlarmSettings()

RANGES: Final = {
    "asystole_s": (3.0, 10.0),
    "pause_s": (1.5, 3.0),
    "extreme_bradycardia_bpm": (20.0, 60.0),
    "extreme_tachycardia_bpm": (100.0, 250.0),
    "heart_rate_low_bpm": (20.0, 120.0),
    "heart_rate_high_bpm": (60.0, 250.0),
    "heart_rate_delay_s": (0.0, 60.0),
    "heart_rate_hysteresis_bpm": (0.0, 20.0),
    "tachycardia_beats": (3, 99),
    "tachycardia_bpm": (60.0, 200.0),
    "atrial_fibrillation_delay_s": (0.0, 600.0),
    "realarm_s": (30.0, 600.0),
}
"""The least and the most that each number may be set to."""


LIMITS: Final = frozenset(RANGES) - {"realarm_s"}
"""Those of them that a stream may have of its own."""


def with_limits(settings: AlarmSettings, limits: Mapping[str, float]) -> AlarmSettings:
    """Return ``settings`` with other numbers, of `LIMITS`.

    Raises:
        ConfigError: a name, a value or a combination that is refused, and what would be taken.
    """
    chosen: dict[str, Any] = {}
    for name, value in limits.items():
        if name not in LIMITS:
            raise ConfigError(f"no limit is called {name[:64]!r}: there are {_list(LIMITS)}")
        whole = isinstance(RANGES[name][0], int) and float(value).is_integer()
        chosen[name] = _number(name, int(value) if whole else value)
    changed = replace(settings, **chosen)
    _check(changed)
    return changed


def settings_of(table: Mapping[str, object]) -> AlarmSettings:
    """Return the settings in ``table``, as read from a file; what it does not name is default.

    Raises:
        ConfigError: a name, a value or a combination that is refused, and what would be taken.
    """
    known = {field.name for field in fields(AlarmSettings)}
    chosen: dict[str, object] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"no alarm setting is called {name}: there are {_list(known)}")
        if name in RANGES:
            chosen[name] = _number(name, value)
        else:
            chosen[name] = _kinds(name, value)
    settings = AlarmSettings(**chosen)  # type: ignore[arg-type]
    _check(settings)
    return settings


def _number(name: str, value: object) -> float:
    lowest, highest = RANGES[name]
    whole = isinstance(lowest, int)
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest:  # type: ignore[operator]
        kind = "whole number" if whole else "number"
        endless = isinstance(value, int) and value.bit_length() > 300  # repr may refuse it
        shown = "so long a number" if endless else repr(value)[:100]
        raise ConfigError(f"{name} = {shown} is refused: a {kind} of {lowest:g} to {highest:g}")
    return value  # type: ignore[return-value]


def _kinds(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise ConfigError(f"{name} is refused: a list of names of alarms belongs there")
    unknown = set(value) - set(KINDS)
    if unknown:
        raise ConfigError(f"{name}: no alarm is called {_list(unknown)}: there are {_list(KINDS)}")
    return frozenset(value)


def _check(settings: AlarmSettings) -> None:
    forbidden = settings.off & NEVER_OFF
    if forbidden:
        raise ConfigError(f"off: {_list(forbidden)} cannot be switched off")
    if not settings.pause_s < settings.asystole_s:
        raise ConfigError("pause_s must be shorter than asystole_s")
    if not settings.heart_rate_low_bpm < settings.heart_rate_high_bpm:
        raise ConfigError("heart_rate_low_bpm must be lower than heart_rate_high_bpm")
    if not settings.extreme_bradycardia_bpm <= settings.heart_rate_low_bpm:
        raise ConfigError("extreme_bradycardia_bpm must not be above heart_rate_low_bpm")
    if not settings.heart_rate_high_bpm <= settings.extreme_tachycardia_bpm:
        raise ConfigError("heart_rate_high_bpm must not be above extreme_tachycardia_bpm")


def _list(names: object) -> str:
    return ", ".join(sorted(names))  # type: ignore[call-overload]
