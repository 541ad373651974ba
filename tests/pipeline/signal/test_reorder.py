"""Chunks out of order: no trace within half a second of signal; later ones are counted."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.signal.reorder import REORDER_S, ReorderBuffer, ReorderState
from pipeline.signal.samples import SampleBlock

FS_HZ = 100.0
REACH = round(REORDER_S * FS_HZ)


def block(first: int, end: int) -> SampleBlock:
    """Return samples that are their own positions."""
    return SampleBlock(first, np.arange(first, end, dtype=np.float32))


def values(blocks: list[SampleBlock]) -> list[int]:
    """Return the samples that the segmenter would keep of blocks, which are in order."""
    kept: list[int] = []
    for one in blocks:
        kept += [int(x) for x in one.samples if not kept or x > kept[-1]]
    return kept


@st.composite
def disordered(draw: st.DrawFn) -> tuple[int, list[SampleBlock]]:
    """Return the end of a stream and its blocks, none moved behind more than half a second."""
    n = draw(st.integers(1, 400))
    cuts = draw(st.lists(st.integers(1, n), max_size=20))
    edges = sorted({0, n, *cuts})
    blocks = [block(a, b) for a, b in pairwise(edges)]
    moved: list[tuple[float, int, SampleBlock]] = []
    for i, one in enumerate(blocks):
        # A block may be overtaken by all that ends within the reach behind its beginning.
        room = REACH - (one.end - one.first_sample)
        later = draw(st.integers(0, max(0, room)))
        moved.append((one.end + later, i, one))
        if draw(st.booleans()):
            moved.append((one.end + later + 0.5, i, one))
    # Whatever overtakes a block ends no later than its beginning plus the reach.
    return n, [one for _, _, one in sorted(moved, key=lambda entry: entry[:2])]


@given(disordered())
def test_what_comes_within_the_reach_is_as_it_was_sent(case: tuple[int, list[SampleBlock]]) -> None:
    """Cut, shuffled and repeated: the samples come out once, in order, none given up."""
    n, blocks = case
    reorder = ReorderBuffer(FS_HZ, ReorderState(0))
    out = [one for p in blocks for one in reorder.push(p)] + reorder.flush()
    assert values(out) == list(range(n))
    assert all(reorder.late(p) == 0 for p in blocks)
    assert reorder.expected == n


def test_without_a_hole_nothing_waits() -> None:
    """The block goes on at once, the very object that came."""
    reorder = ReorderBuffer(FS_HZ, ReorderState(10))
    one = block(10, 30)
    assert reorder.push(one) == [one]
    assert reorder.expected == 30


def test_hole_is_given_up_when_the_reach_is_full() -> None:
    """The held blocks go on then, and a block that comes later still is late."""
    reorder = ReorderBuffer(FS_HZ, ReorderState(0))
    reorder.push(block(0, 10))
    assert reorder.push(block(20, 10 + REACH)) == []
    assert reorder.expected == 10
    held = reorder.push(block(10 + REACH, 11 + REACH))
    assert [one.first_sample for one in held] == [20, 10 + REACH]
    assert reorder.expected == 11 + REACH
    assert reorder.late(block(5, 25)) == 10
    assert reorder.late(block(20, 40)) == 0


def test_lost_stretch_longer_than_the_reach_delays_nothing() -> None:
    """Waiting for samples that must be lost would delay the picture."""
    reorder = ReorderBuffer(FS_HZ, ReorderState(0))
    reorder.push(block(0, 10))
    assert [one.first_sample for one in reorder.push(block(500, 510))] == [500]


def test_memory_is_bounded_whatever_comes() -> None:
    """A source that repeats one block behind a hole for ever fills nothing."""
    reorder = ReorderBuffer(FS_HZ, ReorderState(0))
    reorder.push(block(0, 1))
    out = [one for _ in range(1_000) for one in reorder.push(block(5, 6))]
    assert len(out) > 900


def test_flush_gives_out_what_is_held() -> None:
    """At the end nothing will fill the hole."""
    reorder = ReorderBuffer(FS_HZ, ReorderState(0))
    reorder.push(block(3, 5))
    reorder.push(block(8, 9))
    assert [one.first_sample for one in reorder.flush()] == [3, 8]
    assert reorder.flush() == []
