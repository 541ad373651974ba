"""How far many windows lie from their median, a column each, in the processor's vector registers.

Each sum is one chain of additions, in the order of the ticks, as if it were computed alone.
"""

from typing import Any, Final

from llvmlite import ir
from numba.core import types

from pipeline.signal.kernels.naming.slots import USUAL_BEATS
from pipeline.signal.kernels.network.lanes import (
    INT,
    LANES,
    address,
    everywhere,
    load,
    plain,
    written,
)

_DOUBLE: Final = ir.DoubleType()
_DOUBLES: Final = ir.VectorType(_DOUBLE, LANES)


def _add_squares(
    typingctx: Any, kept: Any, first: Any, middle: Any, begin: Any, end: Any, sums: Any,
    part: Any, other: Any,
) -> Any:  # fmt: skip
    """Add the squares of kept - middle, of `LANES` columns, to two rows of sums.

    Args:
        typingctx: of numba.
        kept: float32[ticks, USUAL_BEATS].
        first: the first of the columns.
        middle: float32[ticks].
        begin: the first of the ticks,
        end: behind the last one; there must be one.
        sums: float64[rows * USUAL_BEATS].
        part: one of the rows,
        other: another one.
    """

    def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        kept, first, middle, begin, end, sums, part, other = plain(context, b, signature, arguments)
        rows = [b.add(b.mul(row, INT(USUAL_BEATS)), first) for row in (part, other)]
        places = [b.bitcast(address(b, sums, row), _DOUBLES.as_pointer()) for row in rows]
        start = [b.load(place, align=8) for place in places]

        before, loop = b.block, b.append_basic_block("ticks")
        after = b.append_basic_block("sums")
        b.branch(loop)
        b.position_at_end(loop)
        k, *totals = b.phi(INT), b.phi(_DOUBLES), b.phi(_DOUBLES)
        values = b.fpext(load(b, address(b, kept, first, k, USUAL_BEATS)), _DOUBLES)
        centre = b.fpext(b.load(address(b, middle, k), align=4), _DOUBLE)
        apart = b.fsub(values, everywhere(b, centre, _DOUBLES))
        square = b.fmul(apart, apart)
        later = [b.add(k, INT(1)), *(b.fadd(total, square) for total in totals)]
        b.cbranch(b.icmp_signed("<", later[0], end), loop, after)
        for phi, at_first, afterwards in zip([k, *totals], [begin, *start], later, strict=True):
            phi.add_incoming(at_first, before)
            phi.add_incoming(afterwards, loop)

        b.position_at_end(after)
        for place, total in zip(places, later[1:], strict=True):
            b.store(total, place, align=8)
        return context.get_dummy_value()

    i = types.int64
    return types.void(kept, i, middle, i, i, sums, i, i), codegen


add_squares: Final = written(_add_squares)
