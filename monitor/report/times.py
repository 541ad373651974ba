"""Times of a recording as people read them, and where an axis of time has its marks. Pure."""

from datetime import datetime, timedelta
from typing import Final

import numpy as np

_STEPS_S: Final = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    86400,
)


def moment(time_s: float, start: datetime | None, *, seconds: bool = True) -> str:
    """Return a moment of the recording: the time of day where its start is known.

    Otherwise hours, minutes and seconds from the first sample. ``seconds`` says whether a time of
    day has them.
    """
    if start is None:
        return length(time_s)
    at = start + timedelta(seconds=time_s)
    days = (at.date() - start.date()).days
    shown = at.strftime("%H:%M:%S" if seconds else "%H:%M")
    return shown + (f" +{days} d" if days else "")


def length(seconds: float) -> str:
    """Return a length of time as ``h:mm:ss``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def axis_marks(
    duration_s: float, start: datetime | None, most: int = 12
) -> list[tuple[float, str]]:
    """Return where an axis over a recording has marks, in seconds, and what they say."""
    step = next((one for one in _STEPS_S if duration_s / one <= most), _STEPS_S[-1])
    since_midnight = 0.0
    if start is not None:
        since_midnight = start.hour * 3600 + start.minute * 60 + start.second
    first = -since_midnight % step
    marks = []
    for at in np.arange(first, duration_s + 1e-9, step):
        text = moment(float(at), start)
        marks.append((float(at), text.partition(" ")[0] if step < 60 else text[: text.rfind(":")]))
    return marks
