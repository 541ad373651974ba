"""Play a recording back: its segments in order, gaps and all, as a source of samples.

A folder of a recording has segments of any number of streams. `recordings` puts those of each
stream together; `RecordingSource` plays them under the name of the stream, so that a monitor finds
the same beats and raises the same alarms about the heart and the signal. What was about the device
is not repeated: no data, its clock, lines that could not be read. The files are checked as those of
any record are (`replay.headers`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from pipeline.schema.messages import MAX_CHUNK_SAMPLES
from pipeline.signal.samples import SampleBlock
from replay.headers import RecordHeader, load_header, quoted
from replay.lead_sets.frames import piece_frames
from replay.lead_sets.reading import LeadsReader
from replay.pacing import BLOCK_S, Pacer, wait_s
from replay.recording.files import read_marks
from replay.recording.segment import QUALITY, Quality, Segment, quality_of, rate_text, read_segment
from replay.source import SourceInfo


@dataclass(frozen=True, slots=True)
class Part:
    """A segment of a recording that passed every check."""

    header: RecordHeader
    segment: Segment
    quality: Quality

    @property
    def frames(self) -> int:
        """Samples of each lead, those of gaps included."""
        return self.header.frames


class Span(NamedTuple):
    """Samples of a segment without a gap between them."""

    part: Part
    epoch: int
    """In which they are played."""
    first: int
    """The first frame, counted in the segment."""
    end: int
    """One past the last frame."""


def recordings(headers: Iterable[Path]) -> tuple[list[list[Path]], list[Path]]:
    """Return the segments among headers, those of one stream together, and the other headers.

    Segments of one stream are in the order in which they were recorded. Those of another rate, or
    with other leads, are apart.

    Raises:
        InputError: a header cannot be read, or says that it is a segment and is none.
    """
    others: list[Path] = []
    found: list[tuple[Segment, Path]] = []
    for header in headers:
        read = read_segment(header)
        if read is None:
            others.append(header)
        else:
            found.append((read[0], header))
    streams: dict[tuple[str, str, tuple[str, ...]], list[Path]] = {}
    for segment, header in sorted(found, key=lambda one: (one[0].stream, one[0].place)):
        key = segment.stream, rate_text(segment.fs_hz), segment.leads
        streams.setdefault(key, []).append(header)
    return list(streams.values()), others


def load_part(path: Path) -> Part:
    """Return the checked segment with this header.

    Raises:
        InputError: it cannot be used.
    """
    header, read = load_header(path), read_segment(path)
    if read is None:
        raise InputError(f"header {quoted(path)} is no segment of a recording any more")
    segment = read[0]
    if len(header.signals) != len(segment.leads) or any(
        (signal.format, signal.samples_per_frame, signal.skew_frames, signal.units)
        != ("16", 1, 0, "mV")
        for signal in header.signals
    ):
        raise InputError(f"header {quoted(path)} describes other signals than a recording has")
    quality = quality_of(read_marks(path.with_suffix(f".{QUALITY}")), len(segment.leads))
    return Part(header, segment, quality)


class RecordingSource:
    """The segments of one stream as a `replay.source.Source`, at any speed.

    Positions are those of the recorded stream; its first epoch here is epoch 0. ``start_s`` and
    ``duration_s`` count the signal that was recorded, without the time between segments.
    """

    def __init__(
        self,
        headers: Sequence[Path],
        *,
        leads: Sequence[int] = (),
        speed: float | None = 1.0,
        start_s: float = 0.0,
        duration_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] | None = wait_s,
        block_s: float = BLOCK_S,
    ) -> None:
        """Begin with ``leads``, by index, or all.

        Raises:
            InputError: a segment cannot be used.
            ConfigError: the recording ends before the start.
        """
        self._parts = [load_part(path) for path in headers]
        first = self._parts[0].segment
        self._indices = list(leads) or list(range(len(first.leads)))
        self._fs_hz = self._parts[0].header.frame_rate_hz
        if not start_s >= 0 or (duration_s is not None and not duration_s > 0):
            raise ConfigError(f"start {start_s:g} s: start from 0, with a duration above 0")
        total = sum(part.frames for part in self._parts)
        self._begin = round(min(start_s * self._fs_hz, total))
        length = total if duration_s is None else max(1, round(duration_s * self._fs_hz))
        self._end = min(total, self._begin + length)
        self._pacer = Pacer(self._fs_hz, speed, clock=clock, wait=wait, block_s=block_s)
        self._block = min(self._pacer.block_samples, MAX_CHUNK_SAMPLES // len(self._indices))
        self._seek = (0, 0)
        self._closed = False
        if next(self.spans(), None) is None:
            raise ConfigError(
                f"the recording of {first.stream} ends at {total / self._fs_hz:g} s of signal, "
                f"before the start at {start_s:g} s"
            )

    @property
    def info(self) -> SourceInfo:
        """Return the `SourceInfo` of the leads."""
        segment = self._parts[0].segment
        return SourceInfo(
            stream=segment.stream,
            fs_hz=self._fs_hz,
            leads=tuple(segment.leads[index] for index in self._indices),
            total_samples=self._end - self._begin,
        )

    @property
    def start(self) -> datetime:
        """When the first segment began, UTC."""
        return datetime.fromtimestamp(self._parts[0].segment.began_s, UTC)

    @property
    def first_sample(self) -> int:
        """Index of the first sample that is played, in epoch 0."""
        span = next(self.spans())
        return span.part.segment.first_sample + span.first

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the samples as they become due, with a jump where there is a gap."""
        blocks = chain.from_iterable(map(self.read, self.spans()))
        return self._pacer.paced(blocks, lambda: self._closed)

    def spans(self) -> Iterator[Span]:
        """Yield what is played of each segment between gaps, in order."""
        played = epoch = 0
        before: Part | None = None
        for part in self._parts:
            if before is not None and not _continues(before.segment, before.frames, part.segment):
                epoch += 1
            before = part
            low, high = self._begin - played, self._end - played
            played += part.frames
            if epoch < self._seek[0]:
                continue
            if epoch == self._seek[0]:
                low = max(low, self._seek[1] - part.segment.first_sample)
            at = 0
            for gap, end in [*part.quality.gaps, (part.frames, part.frames)]:
                first, last = max(at, low), min(gap, high, part.frames)
                if first < last:
                    yield Span(part, epoch, first, last)
                at = end

    def read(self, span: Span) -> Iterator[SampleBlock]:
        """Yield the samples of a span, whether they are due or not.

        Raises:
            InputError: they cannot be read.
        """
        part, epoch = span.part, span.epoch
        reader = LeadsReader(part.header, self._indices)
        step = piece_frames(part.header, self._indices)
        for begin in range(span.first, span.end, step):
            end = min(begin + step, span.end)
            samples, flags = reader.read(begin, end)[0], self._flags(part.quality, begin, end)
            if len(self._indices) == 1:
                samples, flags = samples[0], None if flags is None else flags[0]
            for at in range(0, end - begin, self._block):
                cut = slice(at, at + self._block)
                yield SampleBlock(
                    part.segment.first_sample + begin + at,
                    samples[..., cut],
                    None if flags is None else flags[..., cut],
                    epoch=epoch,
                )

    def _flags(self, quality: Quality, begin: int, end: int) -> NDArray[np.uint8] | None:
        """Return the flags of frames, uint8[leads, n]; None where none is set."""
        rows = np.zeros((len(self._indices), end - begin), dtype=np.uint8)
        for row, index in zip(rows, self._indices, strict=True):
            at, values = quality.changes(index)
            if at.size:
                row[:] = values[np.searchsorted(at, np.arange(begin, end), side="right")]
        return rows if rows.any() else None

    def seek(self, epoch: int, sample: int) -> None:
        """Make `blocks` begin at a sample of an epoch, at the earliest."""
        self._seek = (epoch, sample)

    def close(self) -> None:
        """End `blocks` at its next step; the files are only open while a piece is read."""
        self._closed = True


def _continues(before: Segment, frames: int, segment: Segment) -> bool:
    """Return whether a segment counts on where another, of so many frames, has ended."""
    same = (before.log_id, before.epoch) == (segment.log_id, segment.epoch)
    return same and segment.first_sample >= before.first_sample + frames
