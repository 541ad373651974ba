"""Frames of a checked record: several signals in one pass of their file.

Formats 16 and 212, which nearly all records have, are decoded here; wfdb decodes the others. It is
imported on first use: that takes as long as the scan of a record.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.headers import RecordHeader, SignalHeader, quoted

PIECE_SAMPLES: Final = 2**19
"""Samples of all signals together that are read at a time."""

_wfdb_lock = threading.Lock()

Integers = NDArray[np.integer[Any]]


@contextmanager
def wfdb_library() -> Iterator[Any]:
    """Yield wfdb, imported on first use, to one thread at a time."""
    with _wfdb_lock, warnings.catch_warnings():
        # wfdb 4.3 uses what pandas 3.1 deprecates; drop this once wfdb no longer does.
        warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)
        import wfdb

        yield wfdb


def piece_frames(header: RecordHeader, indices: Sequence[int]) -> int:
    """Return how many frames are read at a time for these signals."""
    files = {header.signals[index].file for index in indices}
    per_frame = sum(s.samples_per_frame for s in header.signals if s.file in files)
    return max(1, PIECE_SAMPLES // per_frame)


def read_frames(
    header: RecordHeader, indices: Sequence[int], begin: int, end: int
) -> dict[int, Integers]:
    """Return the ADC values of frames [begin, end) of each signal; each file is read once.

    They are views of arrays of the smallest type that holds the format, or int64.

    Raises:
        InputError: a file cannot be decoded.
    """
    values: dict[int, Integers] = {}
    for file in dict.fromkeys(header.signals[index].file for index in indices):
        wanted = [index for index in indices if header.signals[index].file == file]
        try:
            values |= _decoded(header, file, wanted, begin, end)
        except MemoryError:
            raise
        except Exception as error:  # a decoder of untrusted bytes: any failure means bad input
            raise InputError(
                f"signal file {quoted(header.path.parent / file)} cannot be decoded "
                f"({quoted(error)}); fetch the record again"
            ) from None
    return values


def _decoded(
    header: RecordHeader, file: str, wanted: list[int], begin: int, end: int
) -> dict[int, Integers]:
    """Return the ADC values of the ``wanted`` signals of one file."""
    first_of_file = next(i for i, s in enumerate(header.signals) if s.file == file)
    signals = [s for s in header.signals if s.file == file]
    if signals[0].format not in ("16", "212"):  # all signals of a file have one format
        return _decoded_by_wfdb(header, signals, first_of_file, wanted, begin, end)
    per_frame = [s.samples_per_frame for s in signals]
    path, total = header.path.parent / file, sum(per_frame)
    decode = _of_16 if signals[0].format == "16" else _of_212
    samples = decode(path, signals[0].byte_offset, begin * total, end * total)
    frames = samples.reshape(end - begin, total)
    parts = np.split(frames, np.cumsum(per_frame)[:-1], axis=1)
    return {index: parts[index - first_of_file].reshape(-1) for index in wanted}


def _of_16(path: Path, offset: int, first: int, last: int) -> NDArray[np.int16]:
    """Return samples [first, last) of a file of 16-bit integers behind ``offset`` bytes."""
    return np.fromfile(path, dtype="<i2", count=last - first, offset=offset + 2 * first)


def _of_212(path: Path, offset: int, first: int, last: int) -> NDArray[np.int16]:
    """Return samples [first, last) of a file of two 12-bit integers in three bytes each.

    The second byte has the high bits of the first sample, and above them those of the second.
    """
    before = first % 2
    n = last - first + before
    groups = np.zeros((-(-n // 2), 3), dtype=np.uint8)
    read = np.fromfile(
        path, dtype=np.uint8, count=-(-3 * n // 2), offset=offset + 3 * ((first - before) // 2)
    )
    groups.reshape(-1)[: read.size] = read
    middle = groups[:, 1].astype(np.int16)
    samples = np.empty((len(groups), 2), dtype=np.int16)
    samples[:, 0] = (middle << 12) >> 4 | groups[:, 0]
    samples[:, 1] = (middle >> 4 << 12) >> 4 | groups[:, 2]
    return samples.reshape(-1)[before : min(2 * read.size // 3, n)]


def _decoded_by_wfdb(
    header: RecordHeader,
    signals: list[SignalHeader],
    first_of_file: int,
    wanted: list[int],
    begin: int,
    end: int,
) -> dict[int, Integers]:
    # wfdb.rdrecord would parse the header again, by other rules than those that checked it. This
    # is the function that it calls afterwards; a test compares the result with rdrecord's.
    with wfdb_library() as wfdb:
        read_segment = wfdb.io._signal._rd_segment
    nothing = [0] * len(signals)
    ascending = sorted(set(wanted))  # the order in which wfdb returns them
    values = read_segment(
        file_name=[s.file for s in signals],
        dir_name=str(header.path.parent.resolve()),
        pn_dir=None,
        fmt=[s.format for s in signals],
        n_sig=len(signals),
        sig_len=header.frames,
        byte_offset=[s.byte_offset for s in signals],
        samps_per_frame=[s.samples_per_frame for s in signals],
        skew=nothing,
        init_value=nothing,
        sampfrom=begin,
        sampto=end,
        channels=[index - first_of_file for index in ascending],
        ignore_skew=True,
    )
    decoded = (np.asarray(one, dtype=np.int64) for one in values)
    return dict(zip(ascending, decoded, strict=True))
