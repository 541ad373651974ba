"""Sums of decision trees over many beats. Compiled; nothing is allocated.

No beat walks a tree, for the turns of a walk cannot be predicted. All questions of a tree are asked
instead, of 16 beats in one step. An answer rules out the leaves on one side of its node, and the
first leaf that is left is the one to which the walk leads.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from pipeline.signal.kernels.network.lanes import (
    INT,
    INTS,
    LANES,
    address,
    everywhere,
    load,
    plain,
    store,
    written,
)
from pipeline.signal.kernels.network.probabilities import take_highest_off
from pipeline.signal.kernels.sections import copy, jit

MOST_LEAVES: Final = 32
"""Of a tree: each is a bit of a number."""


def _write_questions(
    typingctx: Any, x: Any, feature: Any, threshold: Any, left: Any, begin: Any, end: Any, bits: Any
) -> Any:
    """Write to ``bits`` which leaves of a tree are left to each of 16 beats."""

    def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        x, feature, threshold, left, begin, end, bits = plain(context, b, signature, arguments)
        before, ask = b.block, b.append_basic_block("ask")
        loop, after = b.append_basic_block("nodes"), b.append_basic_block("left")
        b.branch(ask)
        b.position_at_end(ask)
        node, kept = b.phi(INT), b.phi(INTS)
        b.cbranch(b.icmp_signed("<", node, end), loop, after)

        b.position_at_end(loop)
        row = b.mul(b.load(address(b, feature, node)), INT(LANES))
        limit = everywhere(b, b.load(address(b, threshold, node)))
        others = everywhere(b, b.load(address(b, left, node)), INTS)
        goes_left = b.fcmp_ordered("<=", load(b, address(b, x, row)), limit)
        kept_after = b.select(goes_left, kept, b.and_(kept, others))
        node_after = b.add(node, INT(1))
        b.branch(ask)

        for phi, first, later in (node, begin, node_after), (kept, INTS([-1] * LANES), kept_after):
            phi.add_incoming(first, before)
            phi.add_incoming(later, loop)
        b.position_at_end(after)
        store(b, kept, bits)
        return context.get_dummy_value()

    i = types.int64
    return types.void(x, feature, threshold, left, i, i, bits), codegen


def _write_lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the place of the lowest bit of an int32 that is set."""

    def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.cttz(arguments[0], ir.IntType(1)(1))

    return types.int32(types.int32), codegen


_ask: Final = written(_write_questions)
_lowest_bit: Final = written(_write_lowest_bit)


@jit
def add_leaves(
    measures: NDArray[np.float32],
    baseline: NDArray[np.float64],
    ends: NDArray[np.int64],
    feature: NDArray[np.int64],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    values: NDArray[np.float32],
    x: NDArray[np.float32],
    bits: NDArray[np.int32],
    out: NDArray[np.float64],
) -> None:
    """Write the logits of each beat: baselines and the leaves that it comes to, tree after tree.

    Args:
        measures: float32[n, k], finite.
        baseline: of each class.
        ends: where the nodes of each tree end, and those of the next begin; tree t is one of class
            t modulo the number of classes.
        feature: of each node the number below k that it asks for.
        threshold: a beat goes left where its number is at most this.
        left: all bits but those of the leaves on the left; the leftmost leaf is the lowest bit.
        values: float32[trees, leaves], from left to right.
        x: float32[k, LANES], room for the measures of as many beats side by side.
        bits: int32[LANES], room for their leaves.
        out: float64[n, classes], the highest of each beat taken off.
    """
    classes = out.shape[1]
    for first in range(0, out.shape[0], LANES):
        beats = min(LANES, out.shape[0] - first)
        for beat in range(beats):
            copy(baseline, out[first + beat])
            for k in range(x.shape[0]):
                x[k, beat] = measures[first + beat, k]
        begin = 0
        for tree in range(ends.size):
            _ask(x, feature, threshold, left, begin, ends[tree], bits)
            begin = ends[tree]
            for beat in range(beats):
                out[first + beat, tree % classes] += values[tree, _lowest_bit(bits[beat])]
        for beat in range(beats):
            take_highest_off(out[first + beat])
