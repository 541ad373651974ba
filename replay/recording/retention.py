"""How much of a recording is kept: ``--record-keep 7d`` or ``20GB``; the oldest segments go."""

import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError
from replay.recording.files import remove, stored_in

_UNITS: Final = {"h": 3600.0, "d": 86_400.0, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_LIMIT = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(h|d|MB|GB|TB)")


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits on what is kept; none by default."""

    age_s: float | None = None
    """Segments written to longer ago are removed."""
    bytes: float | None = None
    """Beyond it the segments that were written to longest ago are removed."""


KEEP_ALL: Final = Keep()


def parse_keep(text: str) -> Keep:
    """Return the limits in ``text``: an age, a size, or both with a comma.

    Raises:
        ConfigError: it is none.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        match = _LIMIT.fullmatch(part.strip())
        what = "age_s" if match and match[2] in "hd" else "bytes"
        if match is None or what in limits or not float(match[1]) > 0:
            raise ConfigError(f"keep {text!r} of the recording: write 7d, 12h, 20GB, or 7d,20GB")
        limits[what] = float(match[1]) * _UNITS[match[2]]
    return Keep(**limits)


def apply(folder: Path, keep: Keep, in_use: Container[str], now_s: float) -> int:
    """Remove what is beyond the limits, but no segment ``in_use``; return the bytes that remain.

    Raises:
        OSError: the folder cannot be read, or a file not removed.
    """
    stored = stored_in(folder)
    total = sum(one.bytes for one in stored)
    for one in stored:
        too_old = keep.age_s is not None and now_s - one.written_s > keep.age_s
        too_much = keep.bytes is not None and total > keep.bytes
        if (too_old or too_much) and one.name not in in_use:
            remove(folder, one.name)
            total -= one.bytes
    return total
