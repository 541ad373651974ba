"""The records of the MIT-BIH Arrhythmia Database, divided into training and test patients.

The database: Moody & Mark 2001; Goldberger et al. 2000. DS1 trains and DS2 tests, as de Chazal,
O'Dwyer & Reilly divide it (IEEE Trans. Biomed. Eng. 51, 2004). All their records come from
different patients but 201 (DS1) and 202 (DS2), which come from one man.
"""

from pathlib import Path
from typing import Final

from pipeline.errors import InputError

DATABASE: Final = "mitdb"

# All 48 but the paced 102, 104, 107 and 217, which ANSI/AAMI EC57 leaves out.
# fmt: off
RECORDS: Final = tuple(map(str, (
    100, 101, 103, 105, 106, 108, 109, 111, 112, 113, 114, 115, 116, 117, 118, 119, 121, 122, 123,
    124, 200, 201, 202, 203, 205, 207, 208, 209, 210, 212, 213, 214, 215, 219, 220, 221, 222, 223,
    228, 230, 231, 232, 233, 234,
)))
DS1: Final = tuple(map(str, (
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215,
    220, 223, 230,
)))
DS2: Final = tuple(map(str, (
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231,
    232, 233, 234,
)))
# fmt: on

# Every other record in the order of DS1; the division looks at nothing about the records.
DS1A: Final = DS1[0::2]
DS1B: Final = DS1[1::2]


def database_folder(data: Path) -> Path:
    """Return the folder that holds the records: ``data`` itself or its ``mitdb/``.

    Raises:
        InputError: neither holds all 44 records with annotations; names the missing ones.
    """
    folder = data / DATABASE if (data / DATABASE).is_dir() else data
    missing = [
        name
        for name in RECORDS
        if not all(
            (folder / f"{name}.{extension}").is_file() for extension in ("hea", "dat", "atr")
        )
    ]
    if missing:
        named = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(RECORDS)} records with annotations ({named}): "
            f"fetch them with `monitor fetch {DATABASE}` or name their folder with --data"
        )
    return folder
