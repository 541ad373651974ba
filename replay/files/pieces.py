"""A signal in pieces with gaps between them, read as one: nothing is known in a gap. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = tuple[NDArray[np.float32], NDArray[np.uint8] | None]
"""Samples in mV, float32[n], NaN where none is known, and their flags; None where none is set."""


class Piece(NamedTuple):
    """Consecutive samples of a signal."""

    begin: int
    """Position of the first sample in the whole signal."""
    end: int
    """One past the position of the last sample."""
    read: Callable[[int, int], Samples]
    """Returns samples [first, last), counted from the piece's own beginning."""


def read_pieces(pieces: Sequence[Piece], first: int, last: int) -> Samples:
    """Return samples [first, last) of a signal; its pieces ascend and do not overlap."""
    samples = np.full(last - first, np.nan, dtype=np.float32)
    flags = np.zeros(last - first, dtype=np.uint8)
    at = max(0, bisect_right(pieces, first, key=lambda piece: piece.begin) - 1)
    for piece in pieces[at:]:
        if piece.begin >= last:
            break
        begin, end = max(first, piece.begin), min(last, piece.end)
        if begin >= end:
            continue
        read, marks = piece.read(begin - piece.begin, end - piece.begin)
        inside = slice(begin - first, begin - first + len(read))
        samples[inside] = read
        if marks is not None:
            flags[inside] = marks
    return samples, flags if flags.any() else None
