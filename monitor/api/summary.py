"""What a whole recording comes to, in numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import BeatTable
from monitor.api.events import Alarm, Rhythm
from pipeline.constants import CLASSES
from pipeline.signal.samples import SampleBlock
from pipeline.trends.rates import rates_of

PLAUSIBLE_QRS_MV: Final = (0.05, 10.0)
"""A QRS complex of a lead has 0.2 to 5 mV: less than a quarter of that, or twice as much, is
a wrong gain or unit, not a heart."""

_PIECE_S: Final = 0.2
"""So long a piece of signal holds a QRS complex, and little of the baseline's wander."""

_PIECES: Final = 10
"""In this number of pieces, two seconds, there is a beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts and shares of one recording."""

    name: str
    start: datetime | None
    duration_s: float
    fs_hz: float
    leads: tuple[str, ...]
    analysable_share: float
    """Of the duration, in which beats can be analysed: 0 to 1."""
    bpm_min: float | None
    """The lowest heart rate over eight intervals in a row; None with fewer intervals, as the
    next two."""
    bpm_mean: float | None
    """The average heart rate over all intervals."""
    bpm_max: float | None
    """The highest heart rate over eight intervals in a row."""
    beats: int
    classes: dict[str, int]
    """Beats of each class; those that cannot be analysed have none."""
    not_analysable: int
    """Beats that cannot be analysed."""
    anomalous: int
    atrial_fibrillation_share: float | None
    """Of the time in ``rhythm_s``; None where none could be assessed."""
    rhythm_s: float
    """Time in which atrial fibrillation could be assessed."""
    alarms: dict[str, int]
    """Alarms of each kind."""
    notes: list[str] = field(default_factory=list)
    """What a person should know: leads that were chosen, an amplitude that no heart has."""

    def to_dict(self) -> dict[str, Any]:
        """Return the same as a dictionary."""
        return asdict(self)


def summary_of(
    *,
    name: str,
    start: datetime | None,
    duration_s: float,
    fs_hz: float,
    leads: tuple[str, ...],
    beats: BeatTable,
    alarms: Sequence[Alarm],
    rhythms: Iterable[Rhythm],
    atrial_fibrillation: tuple[float | None, float],
    notes: Sequence[str],
) -> Summary:
    """Return the summary of a recording, given all that was found in it."""
    low, mean, high = rates_of(beats["rr_s"])
    share, rhythm_s = atrial_fibrillation
    return Summary(
        name=name,
        start=start,
        duration_s=round(duration_s, 3),
        fs_hz=fs_hz,
        leads=leads,
        analysable_share=_analysable(duration_s, rhythms, one_lead=len(leads) == 1),
        bpm_min=low,
        bpm_mean=mean,
        bpm_max=high,
        beats=len(beats),
        classes={name: int(np.sum(beats["beat_class"] == name)) for name in CLASSES},
        not_analysable=int(np.sum(~beats["analysable"])),
        anomalous=int(np.sum(beats["anomalous"])),
        atrial_fibrillation_share=share,
        rhythm_s=rhythm_s,
        alarms=dict(Counter(alarm.kind for alarm in alarms)),
        notes=list(notes),
    )


def _analysable(duration_s: float, rhythms: Iterable[Rhythm], *, one_lead: bool) -> float:
    """Return the share of the time in which beats can be analysed.

    Of several leads one electrode may be off: the others go on.
    """
    kinds = {"not_analysable", "lead_off"} if one_lead else {"not_analysable"}
    lost_s, until = 0.0, 0.0
    for one in sorted(rhythms, key=lambda stretch: stretch.begin_s):
        if one.kind in kinds:
            lost_s += max(0.0, one.end_s - max(one.begin_s, until))
            until = max(until, one.end_s)
    return round(min(1.0, max(0.0, 1.0 - lost_s / duration_s)), 4)


class AmplitudeNote:
    """Looks whether the complexes of a signal are as high as a heart makes them."""

    def __init__(self, fs_hz: float) -> None:
        self._piece = max(2, round(_PIECE_S * fs_hz))
        self._spans: list[NDArray[np.float32]] = []

    def look_at(self, block: SampleBlock) -> None:
        """Take in the first lead of a block."""
        samples = np.atleast_2d(block.samples)[0]
        pieces = len(samples) // self._piece
        if pieces:
            cut = samples[: pieces * self._piece].reshape(pieces, self._piece)
            self._spans.append(np.max(cut, axis=1) - np.min(cut, axis=1))

    @property
    def text(self) -> str:
        """What is wrong with the amplitude, as a question; empty for nothing."""
        spans = np.concatenate([*self._spans, np.zeros(0, dtype=np.float32)])
        groups = len(spans) // _PIECES
        highest = spans[: groups * _PIECES].reshape(groups, _PIECES).max(axis=1)
        highest = highest[np.isfinite(highest) & (highest > 0)]
        if not len(highest):
            return ""
        qrs_mv, (low, high) = float(np.median(highest)), PLAUSIBLE_QRS_MV
        if qrs_mv > high:
            return f"QRS of {qrs_mv:.3g} mV: is the gain 20, not 200, or is the signal in µV?"
        if qrs_mv < low:
            return f"QRS of {qrs_mv:.2g} mV: is the gain 2000, not 200, or is the signal in V?"
        return ""
