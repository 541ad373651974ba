"""What a push to `pipeline.signal.segmenter.Segmenter` completes, and how windows are cut for it.

Pure in memory. Units: mV, seconds, sample indices.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.signal.kernels import windows
from pipeline.signal.kernels.sampling import FLAG_FILLED
from pipeline.signal.quality import LeadChange, QualityChange

FLAT_WINDOW_MV: Final = 0.02
"""A window that spans less is no beat: it becomes zeros instead of amplified noise."""


_AXES: Final = {"windows_of": 1, "reasons_of": 1}
"""Of beats, in arrays that have another first."""


class FibrillationChange(NamedTuple):
    """Ventricular fibrillation or flutter begins or ends; see `pipeline.signal.fibrillation`."""

    sample: int
    """Where that was sure, in the source's own rate."""
    active: bool
    begun_at: int
    """Where the condition began, or ended."""
    hz: float
    mv: float
    lead: int = 0
    """Whose waveform it is, by number."""


class FastRhythmChange(NamedTuple):
    """A rhythm too fast for single beats begins or ends; see `pipeline.signal.fast_rhythm`."""

    sample: int
    """Where that was sure, in the source's own rate."""
    active: bool
    begun_at: int
    """Where the rhythm began, or ended."""
    bpm: float
    sure: bool = True
    """Whether there is such a rhythm, or may be; the one ends with the beginning of the other."""


class BeatArrays(NamedTuple):
    """The arrays of beats of a `Segment`, which says what they hold."""

    r_samples: NDArray[np.int64]
    samples: NDArray[np.int64]
    ready_samples: NDArray[np.int64]
    rr_s: NDArray[np.float64]
    windows: NDArray[np.float32]
    spans_mv: NDArray[np.float32]
    reasons: NDArray[np.uint8]
    leads: NDArray[np.uint8]
    windows_of: NDArray[np.float32]
    reasons_of: NDArray[np.uint8]


@dataclass(slots=True)
class Segment:
    """What one push completed; the arrays of beats are parallel, in order of time."""

    r_samples: NDArray[np.int64]
    """int64[b]: R peak in the 360 Hz stream, counted like the source's samples (source position
    * 360 / fs); strictly increasing over all pushes of an epoch: the window's id."""
    samples: NDArray[np.int64]
    """int64[b]: the same peak in the source's own rate, every filter's delay taken off."""
    ready_samples: NDArray[np.int64]
    """int64[b]: the last source sample that was needed to complete the window."""
    rr_s: NDArray[np.float64]
    """float64[b]: interval to the previous beat; NaN for the first, across a gap, and where
    the stream was not analysable at or between the two."""
    windows: NDArray[np.float32]
    """float32[b, 320], scaled to [-1, 1]; zeros where incomplete or flat."""
    spans_mv: NDArray[np.float32]
    """float32[b]: peak-to-peak amplitude of the window; 0 where incomplete."""
    reasons: NDArray[np.uint8]
    """uint8[b] of `pipeline.signal.quality.Reason`; 0 is analysable."""
    leads: NDArray[np.uint8]
    """uint8[b]: the lead in which each is seen, by number, and of which ``windows`` and ``reasons``
    are."""
    windows_of: NDArray[np.float32]
    """float32[leads, b, 320]: the windows in every lead."""
    reasons_of: NDArray[np.uint8]
    """uint8[leads, b]: why each window cannot be analysed, as ``reasons``."""
    quality: list[QualityChange]
    """Changes of the stream's state, in order. A stream begins with `Reason.OK`."""
    fibrillation: list[FibrillationChange]
    """Beginnings and ends of ventricular fibrillation or flutter, in order; of each of several
    leads by itself, whatever the others show."""
    strips: NDArray[np.float32]
    """float32[leads, m]: new band-passed samples at 360 Hz, NaN where masked; for pictures. Of a
    push that declares a long gap only what follows the gap."""
    strip_first: int
    """Position of the strips' first sample in the 360 Hz stream."""
    gap_samples: int = 0
    """Source samples found missing in this push."""
    duplicate_samples: int = 0
    """Source samples that were known already and dropped."""
    fast_rhythm: list[FastRhythmChange] = field(default_factory=list)
    """Beginnings and ends of rhythms too fast for single beats, in order."""
    lead_quality: list[LeadChange] = field(default_factory=list)
    """Changes of the state of each lead, in order; this and what follows is empty for one lead."""
    complexes: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), np.int64))
    """int64[c, 3]: lead, R peak and the sample that confirmed it, of all that each lead's detector
    found, whether the leads agreed on a beat or not; source samples, lead by lead in order."""
    usual: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), np.int64))
    """int64[u, 3]: lead, R peak and the sample from which it is known, of complexes like the usual
    ones of their lead; source samples, in the order in which they are known."""

    def followed_by(self, after: "Segment") -> "Segment":
        """Return what was completed before a gap, this one, and ``after`` it as one segment."""
        both = joined([self, after], self.strips.shape[1] + after.strips.shape[1])
        both.strips, both.strip_first = after.strips, after.strip_first
        return both


def joined(pushes: Iterable[Segment], most: int) -> Segment:
    """Return what pushes one right after the other completed, as one segment.

    Their strips, together of at most so many samples, are put in place one by one, so that the next
    push gets the memory of the last: new memory would take as long as a filter.
    """
    parts: list[Segment] = []
    strips, end = np.empty((0, 0), dtype=np.float32), 0
    for part in pushes:
        if not parts:
            strips = np.empty((len(part.strips), most), dtype=np.float32)
        begin, end = end, end + part.strips.shape[1]
        strips[:, begin:end] = part.strips
        part.strips = strips[:, begin:end]
        parts.append(part)
    # Those of one lead are its own windows once more: they need no second copy.
    several = len(strips) > 1
    names = BeatArrays._fields if several else BeatArrays._fields[: -len(_AXES)]
    beats = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=_AXES.get(name, 0))
        for name in names
    }
    if not several:
        beats["windows_of"] = beats["windows"][np.newaxis]
        beats["reasons_of"] = beats["reasons"][np.newaxis]
    return Segment(
        **beats,
        quality=[change for part in parts for change in part.quality],
        fibrillation=[change for part in parts for change in part.fibrillation],
        strips=strips[:, :end],
        strip_first=parts[0].strip_first,
        gap_samples=sum(part.gap_samples for part in parts),
        duplicate_samples=sum(part.duplicate_samples for part in parts),
        fast_rhythm=[change for part in parts for change in part.fast_rhythm],
        lead_quality=[change for part in parts for change in part.lead_quality],
        complexes=np.concatenate([part.complexes for part in parts]),
        usual=np.concatenate([part.usual for part in parts]),
    )


def no_beats(leads: int) -> BeatArrays:
    """Return the arrays of no beat in so many leads."""
    return BeatArrays(
        r_samples=np.empty(0, np.int64),
        samples=np.empty(0, np.int64),
        ready_samples=np.empty(0, np.int64),
        rr_s=np.empty(0, np.float64),
        windows=np.empty((0, WINDOW_SAMPLES), np.float32),
        spans_mv=np.empty(0, np.float32),
        reasons=np.empty(0, np.uint8),
        leads=np.empty(0, np.uint8),
        windows_of=np.empty((leads, 0, WINDOW_SAMPLES), np.float32),
        reasons_of=np.empty((leads, 0), np.uint8),
    )


class Views(NamedTuple):
    """The windows of beats, each in the lead where it is seen, and all of them in every lead.

    The fields are those of a `Segment`.
    """

    windows: NDArray[np.float32]
    spans_mv: NDArray[np.float32]
    reasons: NDArray[np.uint8]
    leads: NDArray[np.uint8]
    windows_of: NDArray[np.float32]
    reasons_of: NDArray[np.uint8]


def cut_leads(
    beats: NDArray[np.int64],
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    first: int,
    last: int,
) -> Views:
    """Cut the windows of beats in every lead.

    A beat whose window cannot be analysed in the chosen lead is seen in the first other lead
    where it can. A window that reaches over an end of the segment is zeros and
    `Reason.INCOMPLETE`.

    Args:
        beats: int64[b, 3 + leads], columns of `kernels.windows`, at least one.
        filtered: float32[leads, m], the filtered stream around the newest samples,
        masks: uint8[leads, m] of `Reason`, and why each sample is masked.
        first: position of the arrays' first sample, counted from the segment's start.
        last: the newest position that counts.
    """
    shape = len(filtered), len(beats)
    windows_of = np.empty((*shape, WINDOW_SAMPLES), dtype=np.float32)
    spans_of, reasons_of = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint8)
    leads = np.empty(len(beats), dtype=np.uint8)
    windows.cut_beats(
        filtered, masks, first, last, beats, WINDOW_BEFORE_R, FLAT_WINDOW_MV, windows_of, spans_of,
        reasons_of, leads,
    )  # fmt: skip
    # Of one lead, or one beat, the first lead is that of all: no copy is needed.
    at: Any = leads.item(0) if 1 in shape else (leads, np.arange(len(beats)))
    return Views(windows_of[at], spans_of[at], reasons_of[at], leads, windows_of, reasons_of)


def cut_windows(
    filtered: NDArray[np.float32], r_samples: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut [R - 140, R + 180) around every R peak of a filtered 360 Hz stretch.

    Args:
        filtered: float32[n], mV, as `filter_record` returns it.
        r_samples: int64[b]; every window must lie inside the stretch.

    Returns:
        windows float32[b, 320] scaled to [-1, 1] (zeros where flat), and spans float32[b], the
        peak-to-peak amplitude of each in mV.

    Raises:
        ValueError: a window reaches over an end of the stretch.
    """
    starts = np.array(r_samples, dtype=np.int64) - WINDOW_BEFORE_R
    if starts.size and (starts.min() < 0 or starts.max() + WINDOW_SAMPLES > filtered.size):
        raise ValueError("a window reaches over an end of the stretch")
    whole = np.empty((starts.size, WINDOW_SAMPLES), dtype=np.float32)
    spans = np.empty(starts.size, dtype=np.float32)
    windows.cut_windows(np.array(filtered, dtype=np.float32), starts, FLAT_WINDOW_MV, whole, spans)
    return whole, spans


def fill(
    last: float, gap: int, x: NDArray[np.float32], marks: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Put a line from the last value to the next one before ``x``, marked as filled."""
    line = np.full(gap, np.nan, dtype=np.float32)
    following = float(x[0])
    if np.isfinite(last) and np.isfinite(following):
        line[:] = np.linspace(last, following, gap + 2)[1:-1]
    filled = np.full(gap, FLAG_FILLED, dtype=np.uint8)
    return np.concatenate((line, x)), np.concatenate((filled, marks))
