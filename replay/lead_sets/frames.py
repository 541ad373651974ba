"""Frames of a checked record as wfdb decodes them: several signals in one pass of their file.

The only user of wfdb, which is imported on first use: that takes half a second, and a live device
does not need it.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.headers import RecordHeader, quoted

PIECE_SAMPLES: Final = 2**19
"""Samples of all signals together that are read at a time."""

_wfdb_lock = threading.Lock()


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
) -> dict[int, NDArray[np.int64]]:
    """Return the ADC values of frames [begin, end) of each signal; each file is read once.

    Raises:
        InputError: a file cannot be decoded.
    """
    values: dict[int, NDArray[np.int64]] = {}
    for file in dict.fromkeys(header.signals[index].file for index in indices):
        wanted = [index for index in indices if header.signals[index].file == file]
        decoded = _decoded(header, file, wanted, begin, end)
        values |= dict(zip(wanted, decoded, strict=True))
    return values


def _decoded(
    header: RecordHeader, file: str, wanted: list[int], begin: int, end: int
) -> list[NDArray[np.int64]]:
    """Return the ADC values of the ``wanted`` signals of one file."""
    # wfdb.rdrecord would parse the header again, by other rules than those that checked it. This
    # is the function that it calls afterwards; a test compares the result with rdrecord's.
    with wfdb_library() as wfdb:
        read_segment = wfdb.io._signal._rd_segment

    signals = [s for s in header.signals if s.file == file]
    first_of_file = next(i for i, s in enumerate(header.signals) if s.file == file)
    nothing = [0] * len(signals)
    ascending = sorted(set(wanted))  # the order in which wfdb returns them
    try:
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
    except MemoryError:
        raise
    except Exception as error:  # a decoder of untrusted bytes: any failure means bad input
        raise InputError(
            f"signal file {quoted(header.path.parent / file)} cannot be decoded "
            f"({quoted(error)}); fetch the record again"
        ) from None
    return [np.asarray(values[ascending.index(index)], dtype=np.int64) for index in wanted]
