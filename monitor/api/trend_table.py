"""The minutes of a recording as one array."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import dates_of
from pipeline.constants import CLASSES
from pipeline.schema.public import Trend

_COUNTS: Final = ("beats", "beats_not_analysable", "anomalous", "pauses")
_NUMBERS: Final = (
    "signal_s", "analysable_s", "atrial_fibrillation_s", "bpm_min", "bpm_mean", "bpm_max",
    "longest_rr_s", "sdnn_ms", "rmssd_ms", "pnn50", "lf_ms2", "hf_ms2", "lf_hf",
)  # fmt: skip

FIELDS: Final = (
    ("time_s", "f8"), ("time", "M8[us]"), ("sample", "i8"),
    *((name, "i8") for name in (*_COUNTS, *CLASSES)),
    *((name, "f8") for name in _NUMBERS),
)  # fmt: skip


def trend_table(
    trends: Sequence[Trend],
    start: datetime | None,
    offsets: Sequence[int] = (0,),
    fs_hz: float = 1.0,
) -> NDArray[Any]:
    """Return the trends of a signal that began at ``start`` as a structured array.

    ``offsets`` are what is added to the positions of each epoch, at a rate of ``fs_hz``.

    The fields are those of `Trend`, in another order; ``time`` is when the minute began, NaT where
    no start is known; ``N``, ``S``, ``V`` and ``F`` count the beats of each class. What is not
    known is NaN.
    """
    table = np.zeros(len(trends), dtype=list(FIELDS))
    for name in ("time_s", "sample", *_COUNTS):
        table[name] = [getattr(trend, name) for trend in trends]
    if any(offsets):
        added = np.array(offsets)[[trend.epoch for trend in trends]]
        table["sample"] += added
        table["time_s"] = np.round(table["time_s"] + added / fs_hz, 4)
    for name in _NUMBERS:
        values = [getattr(trend, name) for trend in trends]
        table[name] = [np.nan if value is None else value for value in values]
    for name in CLASSES:
        table[name] = [trend.classes.get(name, 0) for trend in trends]
    table["time"] = dates_of(table["time_s"], start)
    return table
