"""Put chunks that arrive out of order back into order, for as long as a monitor can wait.

A block that begins behind a hole is held until the hole is filled, or until the held blocks reach
`REORDER_S` of signal beyond it. Then the hole is given up, and the segmenter declares the gap.
Blocks that arrive within that time give the stream that was sent. Without a hole nothing waits.
Pure in memory: no clock; time is that of the signal.
"""

from bisect import insort
from typing import Final

from pipeline.schema.state import State, field
from pipeline.signal.samples import SampleBlock

REORDER_S: Final = 0.5
"""At most this much signal is held behind a hole."""

_MOST_HELD: Final = 64
"""With more blocks held the first hole is given up, so that memory is bounded."""

_HOLES_KNOWN: Final = 64


class ReorderState(State):
    """All memory of a `ReorderBuffer`."""

    expected: int
    """Every sample before this one was given out, or given up."""
    held: list[SampleBlock] = field(default_factory=list)
    """Blocks behind a hole, in order."""
    holes: list[tuple[int, int]] = field(default_factory=list)
    """[first, end) of the latest holes that were given up."""


class ReorderBuffer:
    """The blocks that one stream holds back, in one epoch."""

    def __init__(self, fs_hz: float, state: ReorderState) -> None:
        self.state = state
        self._reach = round(REORDER_S * fs_hz)

    @property
    def expected(self) -> int:
        """Every sample before this one was given out, or given up."""
        return self.state.expected

    def push(self, block: SampleBlock) -> list[SampleBlock]:
        """Take a block; return those that can be passed on, in order. Repeats pass unchanged."""
        first, n, state = block.first_sample, block.n, self.state
        if not n:
            return []
        if not state.held and first <= state.expected:
            state.expected = max(state.expected, first + n)
            return [block]
        insort(state.held, block, key=lambda held: held.first_sample)
        return self._release(flush=False)

    def flush(self) -> list[SampleBlock]:
        """Give up every hole; return all blocks that are held, in order."""
        return self._release(flush=True)

    @property
    def disordered(self) -> bool:
        """Whether a block is held, or a hole was given up: samples may be late, or overtaken."""
        return bool(self.state.held or self.state.holes)

    def overtaken(self, block: SampleBlock) -> int:
        """Return how many samples of ``block`` come after later ones and are still wanted."""
        held = self.state.held
        if not held:
            return 0
        first = max(block.first_sample, self.state.expected)
        end = min(block.end, held[-1].first_sample)
        known = (min(end, one.end) - max(first, one.first_sample) for one in held)
        return max(0, end - first - sum(max(0, overlap) for overlap in known))

    def late(self, block: SampleBlock) -> int:
        """Return how many samples of ``block`` belong into holes that were given up."""
        if not self.state.holes:
            return 0  # nearly always
        overlaps = (
            min(block.end, end) - max(block.first_sample, begin) for begin, end in self.state.holes
        )
        return sum(max(0, overlap) for overlap in overlaps)

    def _release(self, *, flush: bool) -> list[SampleBlock]:
        state = self.state
        released = []
        while state.held:
            hole = state.held[0].first_sample > state.expected
            if hole and not flush and not self._waited_long_enough():
                break
            block = state.held.pop(0)
            if hole:
                state.holes.append((state.expected, block.first_sample))
                del state.holes[:-_HOLES_KNOWN]
            state.expected = max(state.expected, block.end)
            released.append(block)
        return released

    def _waited_long_enough(self) -> bool:
        """Return whether the first hole is to be given up."""
        held = self.state.held
        newest = max(block.end for block in held)
        return newest - self.state.expected > self._reach or len(held) > _MOST_HELD
