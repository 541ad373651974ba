"""Blocks of products of matrices, computed in the processor's vector registers.

Each output is one chain of fused multiplications and additions, in the order of the inputs. So it
depends on its own row alone, and is the same, bit for bit, in a block of any size.
"""

from typing import Any, Final

import llvmlite.binding as llvm
from numba.core import types

from pipeline.signal.kernels.network.lanes import (
    FLOATS,
    INT,
    LANES,
    address,
    bent,
    everywhere,
    fused,
    load,
    plain,
    store,
    written,
)

_WIDE: Final = bool(llvm.get_host_cpu_features().get("avx512f"))

ROWS: Final = 10 if _WIDE else 5
PANEL: Final = 2 * LANES if _WIDE else LANES
"""Rows and outputs of a block: as many sums as the registers hold, of which AVX-512 has 32 and AVX2
16, beside the weights and an input."""


def _block_of(rows: int, vectors: int) -> Any:
    """Return the kernel that computes ``rows`` rows and ``vectors`` vectors of outputs.

    It writes ``bend(start + x @ weights)``, where bend(v) is the larger of v and slope * v.

    Its arguments:
        work: float32[:], holds inputs and outputs. Input k of row r lies at x_at + r * x_step + k,
            vector v of its outputs at out_at + r * out_step + LANES * v.
        parameters: float32[:]. The weights lie at weights_at, [inputs, LANES] for each vector; the
            slopes, one for each output, at slope_at.
        inputs: at least 1.
        start: float32[:], where row r begins at start_at + r * start_step.
    """

    def block(
        typingctx: Any, work: Any, x_at: Any, x_step: Any, parameters: Any, weights_at: Any,
        inputs: Any, start: Any, start_at: Any, start_step: Any, slope_at: Any, out_at: Any,
        out_step: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            _write_block(b, rows, vectors, *plain(context, b, signature, arguments))
            return context.get_dummy_value()

        i = types.int64
        return types.void(work, i, i, parameters, i, i, start, i, i, i, i, i), codegen

    return written(block)


def _write_block(
    b: Any, rows: int, vectors: int,
    work: Any, x_at: Any, x_step: Any, parameters: Any, weights_at: Any, inputs: Any,
    start: Any, start_at: Any, start_step: Any, slope_at: Any, out_at: Any, out_step: Any,
) -> None:  # fmt: skip
    places = [(row, vector) for row in range(rows) for vector in range(vectors)]
    firsts = [address(b, start, start_at, start_step, row) for row in range(rows)]
    begin = [load(b, firsts[row], vector) for row, vector in places]
    xs = [address(b, work, x_at, x_step, row) for row in range(rows)]
    size = b.mul(inputs, INT(LANES))
    panels = [address(b, parameters, weights_at, size, vector) for vector in range(vectors)]

    before, loop = b.block, b.append_basic_block("inputs")
    after = b.append_basic_block("bend")
    b.branch(loop)
    b.position_at_end(loop)
    k = b.phi(INT)
    sums = [b.phi(FLOATS) for _ in places]
    sums_after = _added(b, k, xs, panels, sums)
    k_after = b.add(k, INT(1))
    b.cbranch(b.icmp_signed("<", k_after, inputs), loop, after)
    for phi, first, later in zip([k, *sums], [INT(0), *begin], [k_after, *sums_after], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)

    b.position_at_end(after)
    slopes = [load(b, address(b, parameters, slope_at), vector) for vector in range(vectors)]
    outs = [address(b, work, out_at, out_step, row) for row in range(rows)]
    for (row, vector), value in zip(places, sums_after, strict=True):
        store(b, bent(b, value, slopes[vector]), outs[row], vector)


def _added(b: Any, k: Any, xs: list[Any], panels: list[Any], sums: list[Any]) -> list[Any]:
    """Return the sums with the products of input ``k`` added, rows first."""
    of_input = b.mul(k, INT(LANES))
    weights = [load(b, address(b, panel, of_input)) for panel in panels]
    added = []
    for row, x in enumerate(xs):
        one = everywhere(b, b.load(address(b, x, k), align=4))
        own = sums[row * len(panels) : (row + 1) * len(panels)]
        added += [fused(b, one, w, s) for w, s in zip(weights, own, strict=True)]
    return added


wide_block: Final = _block_of(ROWS, PANEL // LANES)
"""`ROWS` rows of `PANEL` outputs."""
block: Final = _block_of(ROWS, 1)
"""`ROWS` rows of `LANES` outputs."""
single_row: Final = _block_of(1, 1)
"""`LANES` outputs of one row."""

TAPS: Final = 3
"""Ticks that an output of `each_channel` sees."""


def _each_channel(
    typingctx: Any, work: Any, x_at: Any, parameters: Any, weights_at: Any, bias_at: Any,
    slope_at: Any, width: Any, out_at: Any,
) -> Any:  # fmt: skip
    """Write a tick of `LANES` channels, each of which sees `TAPS` ticks of itself.

    Args:
        typingctx: of numba.
        work: float32[:], holds inputs and outputs.
        x_at: where the first channel of the first tick lies.
        parameters: float32[:].
        weights_at: where the weights of the first tick lie, one for each channel.
        bias_at: where the biases lie,
        slope_at: and the slopes.
        width: of a tick, and of the weights of a tick.
        out_at: where the outputs go.
    """

    def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        work, x, parameters, weights, bias, slope, width, out = plain(
            context, b, signature, arguments
        )
        value = load(b, address(b, parameters, bias))
        for tap in range(TAPS):
            w = load(b, address(b, parameters, weights, width, tap))
            value = fused(b, w, load(b, address(b, work, x, width, tap)), value)
        value = bent(b, value, load(b, address(b, parameters, slope)))
        store(b, value, address(b, work, out))
        return context.get_dummy_value()

    i = types.int64
    return types.void(work, i, parameters, i, i, i, i, i), codegen


each_channel: Final = written(_each_channel)
