"""The minutes of a recording as one array, and the variability of each five."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import dates_of
from pipeline.constants import CLASSES
from pipeline.schema.public import Trend
from pipeline.trends.minutes import MINUTE_S
from pipeline.trends.variability import PERIOD_S, Variability

_COUNTS: Final = ("beats", "beats_not_analysable", "anomalous", "pauses")
_NUMBERS: Final = (
    "signal_s", "analysable_s", "atrial_fibrillation_s", "bpm_min", "bpm_mean", "bpm_max",
    "longest_rr_s", "sdnn_ms", "rmssd_ms", "pnn50", "lf_ms2", "hf_ms2", "lf_hf",
)  # fmt: skip

_ROUNDING_S: Final = 1e-3
"""Places of minutes in a recording are in whole samples."""

FIELDS: Final = (
    ("time_s", "f8"), ("time", "M8[us]"), ("sample", "i8"),
    *((name, "i8") for name in (*_COUNTS, *CLASSES)),
    *((name, "f8") for name in _NUMBERS),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FiveMinutes:
    """Variability of five minutes; None where it cannot be computed."""

    begin_s: float
    variability: Variability | None


def five_minutes_of(minutes: Iterable[tuple[float, Trend]], duration_s: float) -> list[FiveMinutes]:
    """Return the variability of each whole five minutes, as the last minute of each states it.

    Args:
        minutes: each with where it begins, in seconds from the beginning of the signal.
        duration_s: of the signal.
    """
    found = []
    for begin_s, trend in minutes:
        end_s = begin_s + MINUTE_S
        whole = end_s + _ROUNDING_S >= PERIOD_S and end_s <= duration_s + _ROUNDING_S
        if whole and (trend.time_s + MINUTE_S) % PERIOD_S == 0:
            at = max(0.0, end_s - PERIOD_S)
            found.append(FiveMinutes(begin_s=at, variability=_variability(trend)))
    return found


def _variability(trend: Trend) -> Variability | None:
    known = (trend.sdnn_ms, trend.rmssd_ms, trend.pnn50, trend.lf_ms2, trend.hf_ms2)
    if None in known:
        return None
    sdnn_ms, rmssd_ms, pnn50, lf_ms2, hf_ms2 = (value or 0.0 for value in known)
    return Variability(
        sdnn_ms=sdnn_ms, rmssd_ms=rmssd_ms, pnn50=pnn50, lf_ms2=lf_ms2, hf_ms2=hf_ms2
    )


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
