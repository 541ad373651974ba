"""One stream on its way into its segments: what waits to be written, and where it goes.

`Track.add` and `mark` collect; `Track.write` appends all of it to the files. Samples are known by
epoch and index: what is written already is not written again, however often it comes, so a hub that
continues from its log repeats nothing. A new segment begins with the stream, an epoch, a day (UTC),
after a gap of more than `LONGEST_GAP_S`, and where a lead leaves its range. A shorter gap is filled
with invalid samples. Not thread-safe. Units: mV, samples of the source.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.alert import utc_text
from pipeline.signal.samples import SampleBlock
from replay.annotations import MAX_ANNOTATION_BYTES, Mark
from replay.headers import MAX_LEAD_SAMPLES
from replay.recording import files
from replay.recording.housekeeping import Housekeeping
from replay.recording.rhythms import CHANGE
from replay.recording.segment import (
    BEATS,
    QUALITY,
    Segment,
    beyond_range,
    digitised,
    fitting_gains,
    flag_marks,
    flags_at_end,
    gap_bytes,
    gap_mark,
    rate_text,
    segment_name,
)

LONGEST_GAP_S: Final = 10.0
"""A longer one is not filled: a new segment begins after it."""

_LATE_BEATS_S: Final = 60.0
"""A segment ends this long after the next one has begun: beats wait for their scores."""

_MOST_NAMES: Final = 1_000
"""That are tried for a segment."""

SEGMENTS_AT_ONCE: Final = 500
_SEGMENT_EVERY_S: Final = 10.0
"""New segments of a stream that are begun at once, and seconds to each further one: positions that
a source makes up must not fill the folder with files."""


class TooManySegmentsError(Exception):
    """A new segment would begin too soon after so many others."""


class Position(NamedTuple):
    """A place in a stream."""

    epoch: int
    sample: int


@dataclass(slots=True)
class _Run:
    """Samples of a stream without a gap between them."""

    epoch: int
    first: int
    samples: NDArray[np.float32]
    """float32[leads, n], mV."""
    flags: NDArray[np.uint8] | None
    """uint8[leads, n]; None for none."""

    @property
    def n(self) -> int:
        return int(self.samples.shape[1])


@dataclass(slots=True)
class _Open:
    """A segment that is being written."""

    segment: Segment
    beats: files.AnnotationFile
    quality: files.AnnotationFile
    frames: int = 0
    last_beat: int = -1
    rhythm: str = ""
    """The last one that is annotated."""
    flags: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1, dtype=np.uint8))
    """uint8[leads], of the newest sample."""

    @property
    def end(self) -> int:
        """Index in the stream one past the newest sample."""
        return self.segment.first_sample + self.frames


class Track:
    """The recording of one stream in a folder."""

    def __init__(
        self,
        folder: Path,
        stream: str,
        fs_hz: float,
        leads: tuple[str, ...],
        log_id: str,
        utc: Callable[[], float],
        housekeeping: Housekeeping,
    ) -> None:
        """Begin; ``housekeeping`` takes care of segments that begin and end."""
        self._folder = folder
        self.stream = stream
        self._fs_hz = fs_hz
        self._leads = leads
        self._log_id = log_id
        self._utc = utc
        self._housekeeping = housekeeping
        self._blocks: list[SampleBlock] = []
        self.bytes = 0
        """Of samples that wait."""
        self._marks: list[tuple[Position, str, str]] = []
        self._open: list[_Open] = []
        """The segments that are being written; the earlier ones wait for their last beats."""
        self._allowed = float(SEGMENTS_AT_ONCE)
        self._allowed_at = utc()
        self._named = (0, 0)
        """The second in which the last segment began, and its number among those."""
        self.rhythm = ""
        """The rhythm now; empty until the first beat."""
        self.written_at = 0.0
        """When its user wrote it last."""

    @property
    def fs_hz(self) -> float:
        """The rate of the stream."""
        return self._fs_hz

    @property
    def names(self) -> list[str]:
        """The segments that are being written."""
        return [one.segment.name for one in self._open]

    # --- in ------------------------------------------------------------------------------------

    def add(self, block: SampleBlock) -> None:
        """Take in samples that follow on those before, with or without a gap."""
        self._blocks.append(block)
        self.bytes += block.samples.nbytes

    def mark(self, epoch: int, sample: int, symbol: str, text: str = "") -> None:
        """Take in an annotation of samples that were taken in before."""
        self._marks.append((Position(epoch, sample), symbol, text))

    def drop(self) -> int:
        """Forget what waits; return how many samples of each lead that were."""
        lost = sum(block.n for block in self._blocks)
        self._blocks, self._marks, self.bytes = [], [], 0
        return lost

    # --- out -----------------------------------------------------------------------------------

    def write(self) -> int:
        """Write what waits; return how many samples of each lead are not recorded.

        Raises:
            OSError: it cannot be written; it still waits.
        """
        lost = 0
        for run in _runs(self._blocks):
            try:
                self._write_run(run)
            except TooManySegmentsError:
                lost += run.n
        self._write_marks()
        self._blocks, self.bytes = [], 0
        if len(self._open) > 1 and self._open[-1].frames > _LATE_BEATS_S * self._fs_hz:
            self._finish(self._open[:-1])
        return lost

    def end(self) -> int:
        """Write what waits, and end the segments; the rest as of `write`."""
        lost = self.write()
        self._finish(list(self._open))
        return lost

    def _finish(self, ended: Iterable[_Open]) -> None:
        for one in ended:
            self._open.remove(one)
            self._housekeeping.end(one.segment)

    def _write_run(self, run: _Run) -> None:
        current = self._open[-1] if self._open else None
        if current is not None:
            known = Position(current.segment.epoch, current.end)
            if run.epoch < known.epoch:
                return
            if run.epoch == known.epoch and run.first < known.sample:
                run = _behind(run, known.sample)
                if not run.n:
                    return
        if current is None or not self._fits(current, run):
            self._begin(run)
            return
        gap = run.first - current.end
        marks = [gap_mark(current.frames, gap)] if gap else []
        flags = current.flags.copy()
        marks += flag_marks(current.frames + gap, run.flags, run.n, flags)
        data = gap_bytes(current.segment, gap) if gap else b""
        data += digitised(run.samples, current.segment.gains)
        try:
            current.quality.append(marks)  # first: a gap that is not noted would be a signal
            files.append_samples(self._folder, current.segment, current.frames, data)
        except FileNotFoundError:
            self._open.clear()  # somebody removed it: the next attempt begins another one
            raise
        current.frames, current.flags = current.frames + gap + run.n, flags

    def _fits(self, current: _Open, run: _Run) -> bool:
        segment = current.segment
        return (
            run.epoch == segment.epoch
            and run.first - current.end <= LONGEST_GAP_S * self._fs_hz
            and segment.day == utc_text(self._utc())[:10]
            and 4 * current.frames < MAX_LEAD_SAMPLES
            and 2 * max(current.beats.bytes, current.quality.bytes) < MAX_ANNOTATION_BYTES
            and not beyond_range(run.samples, segment.gains)
        )

    def _begin(self, run: _Run) -> None:
        """Begin a segment with these samples."""
        now_s = self._utc()
        earned = max(0.0, now_s - self._allowed_at) / _SEGMENT_EVERY_S
        self._allowed = min(float(SEGMENTS_AT_ONCE), self._allowed + earned)
        self._allowed_at = now_s
        if self._allowed < 1:
            raise TooManySegmentsError
        gains = fitting_gains(run.samples)
        data = digitised(run.samples, gains)
        segment = self._created(run, gains, now_s, data)
        self._allowed -= 1
        begun = _Open(segment, *self._annotators(segment), frames=run.n)
        begun.flags = np.zeros(len(self._leads), dtype=np.uint8)
        begun.rhythm = self._rhythm_before(Position(run.epoch, run.first))
        try:
            begun.beats.create()
            begun.quality.create()
            begun.quality.append(flag_marks(0, run.flags, run.n, begun.flags))
            if begun.rhythm:
                begun.beats.append([Mark(0, CHANGE, begun.rhythm)])
            files.begin_header(self._folder, segment)
        except OSError:
            files.remove(self._folder, segment.name)
            raise
        self._housekeeping.begin(segment)
        self._open.append(begun)

    def _annotators(self, segment: Segment) -> tuple[files.AnnotationFile, files.AnnotationFile]:
        """Return the files of beats, and of gaps and unusable samples."""
        beats, quality = (
            files.path_of(self._folder, segment, f".{one}") for one in (BEATS, QUALITY)
        )
        return files.AnnotationFile(beats), files.AnnotationFile(quality)

    def _rhythm_before(self, position: Position) -> str:
        """Return the rhythm at a position behind all segments; empty where none is known yet."""
        rhythm = self._open[-1].rhythm if self._open else ""
        changes = (text for at, symbol, text in self._marks if symbol == CHANGE and at < position)
        return next(iter(reversed(list(changes))), rhythm)

    def _created(self, run: _Run, gains: tuple[float, ...], began_s: float, data: bytes) -> Segment:
        second = int(began_s)
        first = self._named[1] + 1 if self._named[0] == second else 1
        for number in range(first, first + _MOST_NAMES):
            segment = Segment(
                name=segment_name(self.stream, began_s, number),
                stream=self.stream,
                log_id=self._log_id,
                epoch=run.epoch,
                first_sample=run.first,
                fs_hz=self._fs_hz,
                leads=self._leads,
                gains=gains,
                began_s=began_s,
            )
            try:
                files.create_samples(self._folder, segment, data)
            except FileExistsError:
                continue
            self._named = second, number
            return segment
        raise TooManySegmentsError

    def _write_marks(self) -> None:
        """Write the annotations that wait, each into the segment of its samples."""
        wanted: dict[int, list[Mark]] = {}
        for position, symbol, text in self._marks:
            at = self._segment_of(position)
            if at is None:
                continue
            sample = position.sample - self._open[at].segment.first_sample
            if symbol == CHANGE:  # one that began in an earlier segment is there from the first on
                sample = max(0, sample)
            wanted.setdefault(at, []).append(Mark(sample, symbol, text))
        for at, marks in wanted.items():
            one = self._open[at]
            last, rhythm, fresh = one.last_beat, one.rhythm, []
            for mark in marks:
                if mark.symbol == CHANGE:
                    if mark.text == rhythm:
                        continue
                    rhythm = mark.text
                elif last < mark.sample < one.frames:
                    last = mark.sample
                else:
                    continue  # known already, or of samples that were lost
                fresh.append(mark)
            one.beats.append(fresh)
            one.last_beat, one.rhythm = last, rhythm
        self._marks = []

    def _segment_of(self, position: Position) -> int | None:
        """Return the number of the segment that a position is in; None where there is none."""
        for at in range(len(self._open) - 1, -1, -1):
            segment = self._open[at].segment
            if segment.epoch == position.epoch and (
                segment.first_sample <= position.sample or at == 0
            ):
                return at
        return None

    # --- a hub that continues ------------------------------------------------------------------

    def continue_with(self, segment: Segment) -> None:
        """Go on with a segment that an earlier hub wrote.

        Raises:
            OSError: its files cannot be written.
            InputError: they cannot be read.
        """
        if segment.leads != self._leads or rate_text(segment.fs_hz) != rate_text(self._fs_hz):
            return
        frames = files.whole_frames(self._folder, segment)
        beats, quality = self._annotators(segment)
        tail = beats.continued()
        quality.continued()
        one = _Open(segment, beats, quality, frames)
        one.last_beat, one.rhythm = tail.last_beat, tail.rhythm
        marks = files.read_marks(files.path_of(self._folder, segment, f".{QUALITY}"))
        one.flags = flags_at_end(marks, len(segment.leads))
        files.begin_header(self._folder, segment)
        self._housekeeping.begin(segment)
        self._open, self.rhythm = [one], one.rhythm


def _runs(blocks: list[SampleBlock]) -> list[_Run]:
    """Return blocks as runs without a gap; what a block repeats of the one before is left out."""
    groups: list[list[SampleBlock]] = []
    for block in blocks:
        last = groups[-1][-1] if groups else None
        if last is not None and (last.epoch, last.end) == (block.epoch, block.first_sample):
            groups[-1].append(block)
        elif block.n:
            groups.append([block])
    return [_joined(group) for group in groups]


def _joined(blocks: list[SampleBlock]) -> _Run:
    samples = np.concatenate([block.samples for block in blocks], axis=-1)
    flags = None
    if any(block.flags is not None for block in blocks):
        rows = [
            np.zeros(block.samples.shape, dtype=np.uint8) if block.flags is None else block.flags
            for block in blocks
        ]
        flags = np.atleast_2d(np.concatenate(rows, axis=-1))
    return _Run(blocks[0].epoch, blocks[0].first_sample, np.atleast_2d(samples), flags)


def _behind(run: _Run, sample: int) -> _Run:
    """Return what of a run is behind an index of the stream."""
    cut = min(run.n, sample - run.first)
    flags = None if run.flags is None else run.flags[:, cut:]
    return _Run(run.epoch, run.first + cut, run.samples[:, cut:], flags)
