"""What the description of a Lab Streaming Layer stream says of its channels, checked.

A description comes from another machine: any text may be in it. Pure.
"""

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import DeviceError
from replay.headers import quoted
from replay.leads import MV_PER_UNIT
from replay.signal_names import ECG, kind_named

_UNIT_WORDS: Final = {
    "nanovolt": "nv",
    "microvolt": "uv",
    "millivolt": "mv",
    "volt": "v",
}
_TYPES: Final = frozenset({"", "ECG", "EKG", "EXG"})
"""Types of a channel that may be an ECG."""
_LISTED: Final = 8
MOST_CHANNELS: Final = 1024


class Channel(NamedTuple):
    """One channel, as described; empty texts where the description says nothing."""

    label: str
    unit: str
    type: str


class Leads(NamedTuple):
    """The channels that are leads of an ECG."""

    names: tuple[str, ...]
    rows: tuple[int, ...]
    mv_per_unit: tuple[float, ...]


def mv_per(unit: str) -> float | None:
    """Return how many mV one of a unit is: ``microvolts``, ``uV``; None if it is no voltage."""
    plain = unit.strip().lower()
    if len(plain) > 1 and plain.endswith("s"):
        plain = plain[:-1]
    return MV_PER_UNIT.get(_UNIT_WORDS.get(plain, plain))


def checked_rate(where: str, rate_hz: float) -> float:
    """Return the rate of a stream; raise `DeviceError` where it is irregular or out of limits."""
    low, high = SAMPLING_RATE_LIMITS_HZ
    if rate_hz == 0:
        raise DeviceError(f"{where} has no regular sampling rate: it is a stream of events, no ECG")
    if not (math.isfinite(rate_hz) and low <= rate_hz <= high):
        raise DeviceError(f"{where} has {rate_hz:g} samples a second: {low:g} to {high:g} can be")
    return rate_hz


def ecg_leads(where: str, channels: Sequence[Channel], unit: str | None) -> Leads:
    """Return the channels that may be leads of an ECG, at most `MOST_LEADS`.

    ``unit`` is that of channels whose unit is not described.

    Raises:
        DeviceError: none may be an ECG, or the unit of one that may be is no voltage.
    """
    named = [(kind_named(one.label), one.type.strip().upper()) for one in channels]
    rows = [row for row, (kind, type_) in enumerate(named) if kind in (ECG, "") and type_ in _TYPES]
    if certain := [row for row in rows if ECG in named[row]]:
        rows = certain
    rows = rows[:MOST_LEADS]
    if not rows:
        raise DeviceError(f"{where} has no channel that may be an ECG: it has {_listed(channels)}")
    scales = []
    for row in rows:
        stated = channels[row].unit.strip() or (unit or "")
        scale = mv_per(stated)
        if scale is None:
            says = f"is {quoted(stated)}, no voltage" if stated else "is not described"
            raise DeviceError(
                f"{where}: the unit of channel {quoted(channels[row].label or row + 1)} {says}: "
                + ("describe it as microvolts" if stated else "say it, as in unit=uV")
            )
        scales.append(scale)
    return Leads(_unique(channels, rows), tuple(rows), tuple(scales))


def _unique(channels: Sequence[Channel], rows: Sequence[int]) -> tuple[str, ...]:
    """Return names of leads, no two alike, of the characters that the wire has."""
    names: list[str] = []
    for row in rows:
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", channels[row].label.strip())[:16]
        if not name or name in names:
            name = f"channel{row + 1}"
        while name in names:
            name = f"{name[:14]}-2"
        names.append(name)
    return tuple(names)


def _listed(channels: Sequence[Channel]) -> str:
    names = [quoted(one.label or n + 1) for n, one in enumerate(channels[:_LISTED])]
    more = len(channels) - _LISTED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
