"""The files of one segment while it is written, and a folder of segments.

A write appends what is new at a place that is known, and never repeats: what a killed process or a
full disk left half written is written over, or cut off when the segment is next opened. After
every write the segment can be read, whatever comes then. Files are for their owner alone, and no
link is followed. Not thread-safe: one writer for each segment.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.errors import InputError
from pipeline.files import create_new, replace_file
from replay.annotations import (
    END_MARK,
    MAX_ANNOTATION_BYTES,
    Mark,
    Tail,
    annotation_bytes,
    marks_in,
    tail_of,
)
from replay.files.regular import read_small
from replay.recording.segment import (
    BEATS,
    EDF,
    QUALITY,
    SAMPLES,
    Segment,
    header_text,
    is_segment_name,
    read_segment,
)

ANNOTATORS: Final = (BEATS, QUALITY)

_SUFFIXES: Final = (".hea", SAMPLES, f".{BEATS}", f".{QUALITY}", EDF)
_FILE_MODE: Final = 0o600


def _write_at(path: Path, offset: int, data: bytes) -> None:
    """Write into a file that is there, from ``offset`` on; raise `OSError` if that fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _write_all(descriptor, offset, data)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, offset)  # no reader takes a part for the whole
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def try_to_write(folder: Path) -> None:
    """Raise `OSError` if no file can be written in a folder."""
    replace_file(folder / ".recording-test", b"\n", _FILE_MODE)
    (folder / ".recording-test").unlink()


class AnnotationFile:
    """An annotator of a segment that is being written."""

    def __init__(self, path: Path) -> None:
        """Begin; `continued` goes on with what is there, and the first `append` creates a file."""
        self._path = path
        self.bytes = 0
        """Of it, without the end mark."""
        self._last = 0

    def continued(self) -> Tail:
        """Go on with the file that is there, without what is torn at its end; return its end.

        Raises:
            OSError: it cannot be written.
            InputError: it cannot be read.
        """
        data = _annotations_of(self._path)
        tail = tail_of(data)
        if tail is None:
            whole = annotation_bytes(marks_in(data)) + END_MARK
            replace_file(self._path, whole, _FILE_MODE)
            tail = tail_of(whole)
            assert tail is not None
        self.bytes, self._last = tail.bytes, tail.last
        return tail

    def create(self) -> None:
        """Create an empty file."""
        os.close(create_new(self._path, _FILE_MODE))
        _write_at(self._path, 0, END_MARK)

    def append(self, marks: Sequence[Mark]) -> None:
        """Append annotations, in this order; raise `OSError` where that is not possible."""
        if not marks:
            return
        data = annotation_bytes(marks, self._last)
        _write_at(self._path, self.bytes, data + END_MARK)
        self.bytes, self._last = self.bytes + len(data), marks[-1].sample


def read_marks(path: Path) -> list[Mark]:
    """Return the annotations of a file; none where there is no file.

    Raises:
        InputError: it is no regular file, cannot be read, or is too long.
    """
    return marks_in(_annotations_of(path))


def _annotations_of(path: Path) -> bytes:
    if not os.path.lexists(path):
        return b""
    return read_small(path, "annotation file", MAX_ANNOTATION_BYTES)


def path_of(folder: Path, segment: Segment, suffix: str) -> Path:
    """Return a file of a segment."""
    return folder / f"{segment.name}{suffix}"


def create_samples(folder: Path, segment: Segment, data: bytes) -> None:
    """Create the file of a segment's samples, with the first of them.

    Raises:
        FileExistsError: the name is taken.
        OSError: it cannot be created, or not all of it written; then there is none.
    """
    path = path_of(folder, segment, SAMPLES)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _FILE_MODE)
    try:
        _write_all(descriptor, 0, data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def append_samples(folder: Path, segment: Segment, frames: int, data: bytes) -> None:
    """Write samples behind the first ``frames``; raise `OSError` where that is not possible."""
    _write_at(path_of(folder, segment, SAMPLES), frames * segment.frame_bytes, data)


def begin_header(folder: Path, segment: Segment) -> None:
    """Write the header of a segment that is being written, or replace that of one that had ended.

    It is there at once, and survives a power cut after `sync_header`, for which nobody waits.

    Raises:
        OSError: it cannot be written.
    """
    path = path_of(folder, segment, ".hea")
    beside = path.with_name(f".{path.name}.new")
    with open(create_new(beside, _FILE_MODE), "wb") as file:
        file.write(header_text(segment).encode())
    beside.replace(path)


def sync_header(folder: Path, segment: Segment) -> None:
    """Let the header of a segment survive a power cut; raise `OSError` if that is not possible."""
    for path, kind in ((path_of(folder, segment, ".hea"), os.O_NOFOLLOW), (folder, os.O_DIRECTORY)):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | kind)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def whole_frames(folder: Path, segment: Segment) -> int:
    """Cut off what is torn at the end of a segment's samples; return how many frames there are.

    Raises:
        OSError: the file is not there, or cannot be written.
    """
    path = path_of(folder, segment, SAMPLES)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        frames = size // segment.frame_bytes
        if size > frames * segment.frame_bytes:
            os.ftruncate(descriptor, frames * segment.frame_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return frames


def finish(folder: Path, segment: Segment) -> None:
    """End a segment: nothing is torn, its annotations are in order, its header states its length.

    Raises:
        OSError: a file cannot be written.
        InputError: one cannot be read.
    """
    frames = whole_frames(folder, segment)
    for annotator in ANNOTATORS:
        path = path_of(folder, segment, f".{annotator}")
        marks = [mark for mark in read_marks(path) if mark.sample < frames]
        in_order = sorted(marks, key=lambda mark: mark.sample)
        replace_file(path, annotation_bytes(in_order) + END_MARK, _FILE_MODE)
    header = header_text(segment, frames).encode()
    replace_file(path_of(folder, segment, ".hea"), header, _FILE_MODE)


class Found(NamedTuple):
    """A segment of a folder."""

    segment: Segment
    ended: bool


def segments_in(folder: Path) -> Iterator[Found]:
    """Yield the segments of a folder, in no order; what is none of ours is left out."""
    for header in folder.glob("*.hea"):
        if is_segment_name(header.stem):
            with suppress(InputError):
                found = read_segment(header)
                if found is not None and found[0].name == header.stem:
                    yield Found(found[0], found[1] is not None)


class Stored(NamedTuple):
    """The files of one segment: how much they are, and when they were last written."""

    name: str
    bytes: int
    written_s: float


def stored_in(folder: Path) -> list[Stored]:
    """Return what the folder holds of segments, the one that was written first first.

    Raises:
        OSError: the folder cannot be read.
    """
    found: dict[str, tuple[int, float]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, dot, suffix = entry.name.partition(".")
            if dot + suffix in _SUFFIXES and is_segment_name(name):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    size, at = found.get(name, (0, 0.0))
                    found[name] = (size + status.st_size, max(at, status.st_mtime))
    stored = [Stored(name, size, at) for name, (size, at) in found.items()]
    return sorted(stored, key=lambda one: one.written_s)


def remove(folder: Path, name: str) -> None:
    """Remove a segment, its header first: what has none is no record.

    Raises:
        OSError: a file cannot be removed.
    """
    for suffix in _SUFFIXES:
        (folder / (name + suffix)).unlink(missing_ok=True)
