"""Read the leads of a checked record in mV, piece by piece, one alone or several side by side.

Leads of one record may have different rates. Those of a lower rate are brought to the highest one
among those that are read, by a polyphase filter; the result does not depend on the pieces. WFDB's
"invalid" value becomes NaN. Units: mV, samples, frames.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_SATURATED
from pipeline.signal.samples import side_by_side
from replay.headers import RecordHeader
from replay.lead_sets.frames import Integers, read_frames
from replay.leads import MV_PER_UNIT
from replay.signal_formats import FORMATS

SATURATED_RUN: Final = 5
"""This many consecutive samples at a rail are saturation; fewer may be a peak."""

_REACH: Final = 24
"""Samples of the lower rate around a place that decide what is resampled there: the filter of
`scipy.signal.resample_poly` reaches 10, and what stands in for an unknown sample lies within 10."""


class Lead(Protocol):
    """One lead of a record."""

    @property
    def total(self) -> int:
        """Samples of the lead."""
        ...

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return samples [first, last) in mV and their flags, None where none is set."""
        ...


Frames = Callable[[int, int], Integers]
"""Returns the ADC values of one signal in frames [begin, end)."""


def lead_reader(header: RecordHeader, index: int) -> Lead:
    """Return what reads stretches of signal ``index`` of a checked record."""
    return LeadReader(header, index) if header.read is None else OtherLead(header, index)


class OtherLead:
    """Reads stretches of a lead of a record that has a reader of its own (`replay.files`)."""

    def __init__(self, header: RecordHeader, index: int) -> None:
        self._header = header
        self._index = index

    @property
    def total(self) -> int:
        """Samples of the lead."""
        return self._header.frames * self._header.signals[self._index].samples_per_frame

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return samples [first, last) in mV and their flags, None where none is set."""
        assert self._header.read is not None
        return self._header.read(self._index, first, last)


class LeadReader:
    """Reads stretches of one lead of a checked WFDB record. Not thread-safe."""

    def __init__(self, header: RecordHeader, index: int, frames: Frames | None = None) -> None:
        """Read signal ``index``, from its file unless ``frames`` are given."""
        self._header = header
        self._index = index
        self._read_frames = frames or self._from_file
        signal = header.signals[index]
        self._scale = MV_PER_UNIT.get(signal.units.lower(), 1.0) / signal.gain
        bits = FORMATS[signal.format].bits
        self._invalid = -(2 ** (bits - 1))
        self._format_rails = (self._invalid + 1, 2 ** (bits - 1) - 1)
        self._rails: tuple[int, int] | None = None
        if 0 < signal.adc_bits < bits or (signal.adc_bits == bits and signal.adc_zero):
            low = signal.adc_zero - 2 ** (signal.adc_bits - 1)
            high = low + 2**signal.adc_bits - 1
            # A physical zero outside the converter's range shows that the fields do not describe
            # these samples (nst writes such headers).
            if low < signal.baseline < high:
                self._rails = (low, high)

    @property
    def total(self) -> int:
        """Samples of the lead."""
        return self._header.frames * self._header.signals[self._index].samples_per_frame

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return samples [first, last) in mV and their flags, None where none is set.

        A sample is saturated if it is one of `SATURATED_RUN` or more in a row at the same rail,
        of the converter or of the format. The result does not depend on the division into reads,
        unless the header's converter range is wrong: the first sample beyond it disables it.
        """
        begin, end = self._with_margin(first, last)
        digital, known = self._digital(begin, end)
        inner = slice(first - begin, last - begin)
        baseline = self._header.signals[self._index].baseline
        samples = ((digital[inner] - float(baseline)) * self._scale).astype(np.float32)
        known &= digital != self._invalid
        samples[~known[inner]] = np.nan
        seen = digital if known.all() else digital[known]
        if not seen.size:
            return samples, None
        low, high = int(seen.min()), int(seen.max())
        if self._rails is not None and (low < self._rails[0] or high > self._rails[1]):
            self._rails = None
        rails = {*self._format_rails, *(self._rails or ())}
        at_rail = np.zeros(digital.size, dtype=bool)
        for rail in rails.intersection((low, high)):  # nothing lies beyond a rail
            at_rail |= in_long_run((digital == rail) & known)
        flags = np.where(at_rail[inner], np.uint8(FLAG_SATURATED), np.uint8(0))
        return samples, flags if flags.any() else None

    def frames_of(self, first: int, last: int) -> tuple[int, int]:
        """Return the frames [begin, end) of the file that hold samples [first, last)."""
        return self._stored_in(*self._with_margin(first, last))

    def _with_margin(self, first: int, last: int) -> tuple[int, int]:
        margin = SATURATED_RUN - 1
        return max(0, first - margin), min(self.total, last + margin)

    def _stored_in(self, first: int, last: int) -> tuple[int, int]:
        """Return the frames [begin, end) that store samples [first, last)."""
        # Skew: the file stores the sample of frame i in frame i + skew; the last ones are missing.
        signal, frames = self._header.signals[self._index], self._header.frames
        per_frame, skew = signal.samples_per_frame, signal.skew_frames
        return min(first // per_frame + skew, frames), min(-(-last // per_frame) + skew, frames)

    def _digital(self, first: int, last: int) -> tuple[Integers, NDArray[np.bool_]]:
        """Return ADC values of samples [first, last), and which of them the file holds."""
        per_frame = self._header.signals[self._index].samples_per_frame
        first_frame, last_frame = first // per_frame, -(-last // per_frame)
        begin, end = self._stored_in(first, last)
        read = self._read_frames(begin, end) if begin < end else np.empty(0, dtype=np.int16)
        values = np.zeros((last_frame - first_frame) * per_frame, dtype=read.dtype)
        known = np.zeros(values.size, dtype=bool)
        values[: read.size], known[: read.size] = read, True
        inner = slice(first - first_frame * per_frame, last - first_frame * per_frame)
        return values[inner], known[inner]

    def _from_file(self, begin: int, end: int) -> Integers:
        return read_frames(self._header, [self._index], begin, end)[self._index]


class LeadsReader:
    """Reads stretches of several leads of a checked record. Not thread-safe."""

    def __init__(self, header: RecordHeader, indices: Sequence[int]) -> None:
        self._header = header
        self._indices = list(indices)
        self._per_frame = max(header.signals[index].samples_per_frame for index in indices)
        stored = header.read is None
        self._stored = [LeadReader(header, i, self._frames_of(i)) for i in indices if stored]
        self._leads: Sequence[Lead] = self._stored or [OtherLead(header, i) for i in indices]
        self._begin = 0
        """The frame from which on `_values` are."""
        self._values: dict[int, Integers] = {}

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return samples [first, last) of the highest rate as [leads, n] in mV, and their flags.

        As `LeadReader.read` does of one lead. Each file is read once.
        """
        spans = [self._span(lead, first, last) for lead in self._leads]
        if self._stored:
            frames = [lead.frames_of(*span) for lead, span in zip(self._stored, spans, strict=True)]
            self._begin = min(begin for begin, _ in frames)
            end = max(end for _, end in frames)
            if self._begin < end:
                self._values = read_frames(self._header, self._indices, self._begin, end)
        parts = [
            self._at_highest_rate(lead, *lead.read(*span), span[0], first, last)
            for lead, span in zip(self._leads, spans, strict=True)
        ]
        samples = side_by_side([samples for samples, _ in parts])
        if all(flags is None for _, flags in parts):
            return samples, None
        none = np.zeros(last - first, dtype=np.uint8)
        return samples, np.stack([none if flags is None else flags for _, flags in parts])

    def _frames_of(self, index: int) -> Frames:
        per_frame = self._header.signals[index].samples_per_frame

        def frames(begin: int, end: int) -> Integers:
            inside = slice((begin - self._begin) * per_frame, (end - self._begin) * per_frame)
            return self._values[index][inside]

        return frames

    def _ratio(self, lead: Lead) -> tuple[int, int]:
        """Return (up, down): ``up`` samples of the highest rate last as long as ``down`` of it."""
        ratio = self._per_frame * self._header.frames, lead.total
        common = math.gcd(*ratio)
        return ratio[0] // common, ratio[1] // common

    def _span(self, lead: Lead, first: int, last: int) -> tuple[int, int]:
        """Return the samples of a lead that decide what [first, last) of the highest rate are."""
        up, down = self._ratio(lead)
        if up == down:
            return first, last
        begin = first * down // up - _REACH
        end = -(-last * down // up) + _REACH
        return max(0, begin), min(lead.total, end)

    def _at_highest_rate(
        self,
        lead: Lead,
        samples: NDArray[np.float32],
        flags: NDArray[np.uint8] | None,
        begin: int,
        first: int,
        last: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return what was read of a lead from ``begin`` on as [first, last) of the highest rate."""
        up, down = self._ratio(lead)
        if up == down:
            return samples, flags
        nearest = (np.arange(first, last) * down + up // 2) // up - begin
        nearest = np.minimum(nearest, samples.size - 1)
        resampled = _resampled(samples, begin, up, down, first, last)
        resampled[np.isnan(samples)[nearest]] = np.nan
        return resampled, None if flags is None else flags[nearest]


def _resampled(
    samples: NDArray[np.float32], begin: int, up: int, down: int, first: int, last: int
) -> NDArray[np.float32]:
    """Return [first, last) at ``up / down`` times the rate of ``samples``, the first at ``begin``.

    Beyond its ends, and where it is unknown, a signal is held at its nearest known value.
    """
    from scipy import signal

    known = np.flatnonzero(~np.isnan(samples))
    if not known.size:
        return np.full(last - first, np.nan, dtype=np.float32)
    # 1. A whole number of periods of the two rates before the first one that is wanted.
    origin = (first * down // up - _REACH) // down * down
    end = -(-last * down // up) + _REACH
    at = np.clip(np.arange(origin, end) - begin, 0, samples.size - 1)
    after = np.minimum(np.searchsorted(known, at), known.size - 1)
    before = np.maximum(after - 1, 0)
    later = np.abs(known[after] - at) < np.abs(known[before] - at)
    held = samples[known[np.where(later, after, before)]].astype(np.float64)
    # 2. The filter, and of its output what is wanted.
    output = signal.resample_poly(held, up, down)
    offset = first - origin * up // down
    return np.asarray(output[offset : offset + last - first], dtype=np.float32)


def in_long_run(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which elements belong to a run of at least `SATURATED_RUN` True elements."""
    if not mask.any():
        return mask
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    kept = np.zeros(mask.size, dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        kept[start:end] = end - start >= SATURATED_RUN
    return kept
