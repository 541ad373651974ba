"""Put chunks that arrive out of order back into order, for as long as a monitor can wait.

A chunk that begins behind a hole is held until the hole is filled, or until what is held reaches
`REORDER_S` of signal beyond it: then the hole is given up, and the segmenter declares the gap.
Whatever arrives within that time, the stream is the one that was sent. Without a hole nothing
waits. Pure in memory: no clock; the time is that of the signal.
"""

from bisect import insort
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

REORDER_S: Final = 0.5
"""So much signal may be held behind a hole."""

_MOST_HELD: Final = 64
"""Pieces held; with more the first hole is given up, so that memory is bounded."""

_HOLES_KNOWN: Final = 64


class SampleBlock(NamedTuple):
    """Consecutive samples, as a source sent them."""

    first: int
    samples: NDArray[np.float32]
    flags: NDArray[np.uint8] | None
    arrived_at: float

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.first + len(self.samples)


class ReorderBuffer:
    """What one stream holds back, in one epoch."""

    def __init__(self, fs_hz: float, first_sample: int) -> None:
        self.expected = first_sample
        """Every sample before this one was given out, or given up."""
        self._reach = round(REORDER_S * fs_hz)
        self._held: list[SampleBlock] = []
        self._holes: deque[tuple[int, int]] = deque(maxlen=_HOLES_KNOWN)

    def push(self, piece: SampleBlock) -> list[SampleBlock]:
        """Take a piece; return what can go on now, in order. Repeats go on as they are."""
        if piece.end == piece.first:
            return []
        if not self._held and piece.first <= self.expected:
            self.expected = max(self.expected, piece.end)
            return [piece]
        insort(self._held, piece, key=lambda one: one.first)
        return self._release(all_of_them=False)

    def flush(self) -> list[SampleBlock]:
        """Give up every hole; return all that is held, in order."""
        return self._release(all_of_them=True)

    def overtaken(self, piece: SampleBlock) -> int:
        """Return how many samples of ``piece`` come after later ones and are still wanted."""
        if not self._held:
            return 0
        first, end = max(piece.first, self.expected), min(piece.end, self._held[-1].first)
        known = (min(end, held.end) - max(first, held.first) for held in self._held)
        return max(0, end - first - sum(max(0, overlap) for overlap in known))

    def late(self, piece: SampleBlock) -> int:
        """Return how many samples of ``piece`` belong into holes that were given up."""
        overlaps = (min(piece.end, end) - max(piece.first, begin) for begin, end in self._holes)
        return sum(max(0, overlap) for overlap in overlaps)

    def _release(self, *, all_of_them: bool) -> list[SampleBlock]:
        released = []
        while self._held:
            hole = self._held[0].first > self.expected
            if hole and not all_of_them and not self._hopeless():
                break
            piece = self._held.pop(0)
            if hole:
                self._holes.append((self.expected, piece.first))
            self.expected = max(self.expected, piece.end)
            released.append(piece)
        return released

    def _hopeless(self) -> bool:
        """Say whether the first hole has been waited for long enough."""
        newest = max(piece.end for piece in self._held)
        return newest - self.expected > self._reach or len(self._held) > _MOST_HELD
