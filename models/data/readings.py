"""Stretches of fibrillation that a person read by eye, for records without annotations (CUDB).

``readings.json`` names records; each has ``vf``, the stretches of ventricular fibrillation or
flutter, and ``u``, those that the reader could not decide, as pairs of seconds.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

from models.data.rhythms import Stretch
from pipeline.errors import InputError
from replay.files.regular import read_small
from replay.headers import quoted

READINGS: Final = "readings.json"
_NOTE: Final = "_"
"""Key of a remark for people."""

_MAX_BYTES: Final = 1 << 20


class Reading(NamedTuple):
    """What was read in a record."""

    record: str
    fibrillation: list[Stretch]
    unclear: list[Stretch]
    """Neither for nor against an alarm."""


def read_readings(folder: Path) -> list[Reading]:
    """Return the readings of the records of a folder, in the order of the file.

    Raises:
        InputError: there is no ``readings.json``, or it is none.
    """
    file = folder / READINGS
    try:
        found = json.loads(read_small(file, "readings", _MAX_BYTES))
        return [
            Reading(name, _stretches("VF", one["vf"]), _stretches("unclear", one["u"]))
            for name, one in found.items()
            if name != _NOTE
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{quoted(file)} holds no readings ({quoted(error)}): a record has 'vf' and 'u', "
            "lists of [first second, last second]"
        ) from None


def _stretches(name: str, pairs: list[list[float]]) -> list[Stretch]:
    stretches = [Stretch(name, float(begin_s), float(end_s)) for begin_s, end_s in pairs]
    if any(not 0 <= one.begin_s <= one.end_s for one in stretches):
        raise ValueError(f"a stretch of {name} ends before it begins")
    return stretches
