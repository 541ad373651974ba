"""What a push to `pipeline.signal.segmenter.Segmenter` completes, and how windows are cut for it.

Pure in memory. Units: mV, seconds, sample indices.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_AFTER_R, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.signal.kernels import windows
from pipeline.signal.quality import QualityChange, Reason

FLAT_WINDOW_MV: Final = 0.02
"""A window that spans less is no beat: it is scaled to zeros instead of amplified noise."""


class FibrillationChange(NamedTuple):
    """Ventricular fibrillation or flutter begins or ends; see `pipeline.signal.fibrillation`."""

    sample: int
    """Where that was sure, in the source's own rate."""
    active: bool
    begun_at: int
    """Where the condition began, or ended."""
    hz: float
    mv: float


@dataclass(frozen=True, slots=True)
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
    quality: list[QualityChange]
    """Changes of the stream's state, in order. A stream begins with `Reason.OK`."""
    fibrillation: list[FibrillationChange]
    """Beginnings and ends of ventricular fibrillation or flutter, in order."""
    gap_samples: int
    """Source samples found missing in this push."""
    duplicate_samples: int
    """Source samples that were known already and dropped."""
    strip: NDArray[np.float32]
    """float32[m]: new band-passed samples at 360 Hz, NaN where masked; for pictures. Of a push
    that declares a long gap only what follows the gap."""
    strip_first: int
    """Position of ``strip[0]`` in the 360 Hz stream."""


class BeatArrays(NamedTuple):
    """The arrays of beats of a `Segment`, in its order."""

    r_samples: NDArray[np.int64]
    samples: NDArray[np.int64]
    ready_samples: NDArray[np.int64]
    rr_s: NDArray[np.float64]
    windows: NDArray[np.float32]
    spans_mv: NDArray[np.float32]
    reasons: NDArray[np.uint8]


NO_BEATS: Final = BeatArrays(
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.float64),
    np.empty((0, WINDOW_SAMPLES), np.float32),
    np.empty(0, np.float32),
    np.empty(0, np.uint8),
)


class Part(NamedTuple):
    """What one uninterrupted stretch of samples completed; see `Segment`."""

    beats: BeatArrays
    quality: list[QualityChange]
    fibrillation: list[FibrillationChange]
    strip: NDArray[np.float32]
    strip_first: int


class Stretch(NamedTuple):
    """The filtered stream around the newest samples, positions counted from its segment's start."""

    first: int
    """Position of the arrays' first sample."""
    last: int
    """The newest position that counts."""
    filtered: NDArray[np.float32]
    masks: NDArray[np.uint8]
    spells: NDArray[np.uint8]


def cut(
    r: NDArray[np.int64], stretch: Stretch
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Cut the windows around the R peaks int64[b] of a stretch.

    Returns:
        windows float32[b, 320], spans float32[b] in mV and reasons uint8[b]; a window that
        reaches over an end of the segment is zeros and `Reason.INCOMPLETE`.
    """
    complete = (r >= WINDOW_BEFORE_R) & (r + (WINDOW_AFTER_R - 1) <= stretch.last)
    inside = r[complete] - (WINDOW_BEFORE_R + stretch.first)
    whole = np.empty((inside.size, WINDOW_SAMPLES), dtype=np.float32)
    spans = np.empty(inside.size, dtype=np.float32)
    reasons = np.empty(inside.size, dtype=np.uint8)
    windows.cut_windows(stretch.filtered, inside, FLAT_WINDOW_MV, whole, spans)
    reasons[:] = Reason.OK
    if stretch.masks.any():
        windows.worst_codes(stretch.masks, inside, WINDOW_SAMPLES, reasons)
    reasons[(spans < FLAT_WINDOW_MV) & (reasons == Reason.OK)] = Reason.FLAT
    if inside.size == r.size:
        return whole, spans, reasons
    every = np.zeros((r.size, WINDOW_SAMPLES), dtype=np.float32)
    every_span = np.zeros(r.size, dtype=np.float32)
    every_reason = np.full(r.size, Reason.INCOMPLETE, dtype=np.uint8)
    every[complete], every_span[complete], every_reason[complete] = whole, spans, reasons
    return every, every_span, every_reason


def _appended(before: BeatArrays, after: BeatArrays) -> BeatArrays:
    return BeatArrays(
        np.concatenate((before.r_samples, after.r_samples)),
        np.concatenate((before.samples, after.samples)),
        np.concatenate((before.ready_samples, after.ready_samples)),
        np.concatenate((before.rr_s, after.rr_s)),
        np.concatenate((before.windows, after.windows)),
        np.concatenate((before.spans_mv, after.spans_mv)),
        np.concatenate((before.reasons, after.reasons)),
    )


def join(
    before: Part | None, between: list[QualityChange], after: Part, gap: int, duplicates: int
) -> Segment:
    """Put what came before a gap, if there was one, and after it into one segment."""
    beats, changes, fibrillation = after.beats, after.quality, after.fibrillation
    if before is not None:
        changes = [*before.quality, *between, *changes]
        fibrillation = [*before.fibrillation, *fibrillation]
        if before.beats is not NO_BEATS:
            beats = _appended(before.beats, beats)
    return Segment(
        *beats,
        quality=changes,
        fibrillation=fibrillation,
        gap_samples=gap,
        duplicate_samples=duplicates,
        strip=after.strip,
        strip_first=after.strip_first,
    )
