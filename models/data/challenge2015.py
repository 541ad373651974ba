"""The alarms of the PhysioNet/CinC Challenge 2015: of what each is, and whether it was true.

In every record a bedside monitor alarmed five minutes after the beginning (Clifford et al., CinC
2015). The file ``ALARMS`` has a line for each: record, kind, 1 for a true alarm or 0 for a false
one.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.errors import InputError
from replay.files.regular import read_small
from replay.headers import quoted

ALARM_AT_S: Final = 300.0

ALARM_KINDS: Final = (
    "Asystole",
    "Bradycardia",
    "Tachycardia",
    "Ventricular_Flutter_Fib",
    "Ventricular_Tachycardia",
)

_MAX_LIST_BYTES: Final = 1 << 20


class Case(NamedTuple):
    """A line of ``ALARMS``."""

    record: str
    kind: str
    """One of `ALARM_KINDS`."""
    true: bool


def read_cases(folder: Path) -> list[Case]:
    """Return the alarms of a folder of the challenge.

    Raises:
        InputError: there is no ``ALARMS``, or a line of it is not an alarm.
    """
    file = folder / "ALARMS"
    cases = []
    for line in read_small(file, "list of alarms", _MAX_LIST_BYTES).decode("latin-1").split("\n"):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        known = len(fields) == 3 and fields[1] in ALARM_KINDS and fields[2] in ("0", "1")
        if not known or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", fields[0]):
            raise InputError(f"{quoted(file)}: {quoted(line)} is no alarm: record,kind,0 or 1")
        cases.append(Case(fields[0], fields[1], fields[2] == "1"))
    return cases
