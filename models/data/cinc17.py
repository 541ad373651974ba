"""The PhysioNet/CinC Challenge 2017: short records of one lead from a wearable, 9 to 60 s.

Each record has one label for its whole length (Clifford et al., CinC 2017). It is the name of the
folder that holds the record.
"""

from pathlib import Path
from typing import Final

from replay.headers import find_records

LABELS: Final = ("normal", "af", "other", "noisy")


def find_labelled(folder: Path, *labels: str) -> list[str]:
    """Return the records with one of ``labels`` (all, by default), as ``normal/A00002``.

    Raises:
        InputError: the folder of a label cannot be read, or holds no record.
    """
    return [
        f"{label}/{path.stem}"
        for label in labels or LABELS
        if (folder / label).is_dir()
        for path in find_records(str(folder / label))
    ]
