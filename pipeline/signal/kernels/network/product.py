"""The product that a network consists of, written in the compiler's own language.

numba's compiler computes a matrix product at a tenth of what a processor can: it writes each sum to
memory after each addition, for it cannot know that the memory overlaps with nothing. Here the sums
of some outputs stay in registers until they are complete. A vector holds the same number of 16
beats, so no beat ever meets another one: what comes out of a lane is the same, bit for bit,
whatever the other lanes hold.
"""

from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.extending import intrinsic

LANES: Final = 16
"""Beats side by side: a vector of AVX-512, two of AVX2, four of NEON."""

OUTPUTS: Final = 8 if get_host_cpu_features().get("avx512f", False) else 4
"""Sums that are in registers at a time: as many as hide the latency of an addition and leave a
register for the input. The result is the same with any number."""

_FLOAT: Final = ir.FloatType()
_INT: Final = ir.IntType(64)
_VECTOR: Final = ir.VectorType(_FLOAT, LANES)
_FIRST_LANE: Final = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
_FUSED: Final = ("contract",)
"""A multiplication and an addition may become one instruction."""


@intrinsic
def _leaky_product(
    typing: Any, x: Any, weights: Any, inputs: Any, start: Any, leak: Any, out: Any
) -> tuple[Any, Any]:
    """Compute ``leaky(start + weights . x)`` for `OUTPUTS` outputs of `LANES` beats.

    Args:
        typing: numba's own.
        x: address of float32[inputs, LANES].
        weights: address of float32[inputs, OUTPUTS].
        inputs: at least 1.
        start: address of float32[OUTPUTS, LANES], to which the products are added.
        leak: float32, by which negative sums are multiplied: 0 to 1.
        out: address of float32[OUTPUTS, LANES], which is written.
    """
    address = types.intp
    signature = types.void(address, address, address, address, types.float32, address)
    return signature, _generate


if TYPE_CHECKING:  # numba gives the first argument itself

    def product(x: int, weights: int, inputs: int, start: int, leak: float, out: int) -> None:
        """See `_leaky_product`."""

else:
    product = _leaky_product


def _generate(context: Any, at: Any, signature: Any, arguments: Any) -> Any:
    x, weights, inputs, start, leak, out = arguments
    x, start, out = (at.inttoptr(one, _VECTOR.as_pointer()) for one in (x, start, out))
    weights = at.inttoptr(weights, _FLOAT.as_pointer())

    # 1. The sums begin with what they are added to.
    begin = [_load(at, start, ir.Constant(_INT, i)) for i in range(OUTPUTS)]
    before, loop, after = at.block, at.append_basic_block(), at.append_basic_block()
    at.branch(loop)

    # 2. Each input, times its weight for each output.
    at.position_at_end(loop)
    j = at.phi(_INT)
    sums = [at.phi(_VECTOR) for _ in range(OUTPUTS)]
    of_beats, first = _load(at, x, j), at.mul(j, ir.Constant(_INT, OUTPUTS))
    added = []
    for i in range(OUTPUTS):
        weight = at.load(at.gep(weights, [at.add(first, ir.Constant(_INT, i))]))
        both = at.fmul(of_beats, _in_all_lanes(at, weight), flags=_FUSED)
        added.append(at.fadd(both, sums[i], flags=_FUSED))
    following = at.add(j, ir.Constant(_INT, 1))
    j.add_incoming(ir.Constant(_INT, 0), before)
    j.add_incoming(following, loop)
    for i in range(OUTPUTS):
        sums[i].add_incoming(begin[i], before)
        sums[i].add_incoming(added[i], loop)
    at.cbranch(at.icmp_signed("<", following, inputs), loop, after)

    # 3. The leaky rectifier: the larger of a sum and its part.
    at.position_at_end(after)
    leaks = _in_all_lanes(at, leak)
    for i in range(OUTPUTS):
        part = at.fmul(added[i], leaks)
        larger = at.select(at.fcmp_ordered(">", added[i], part), added[i], part)
        at.store(larger, at.gep(out, [ir.Constant(_INT, i)])).align = 4
    return context.get_dummy_value()


def _load(at: Any, vectors: Any, index: Any) -> Any:
    vector = at.load(at.gep(vectors, [index]))
    vector.align = 4
    return vector


def _in_all_lanes(at: Any, value: Any) -> Any:
    one = at.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
    return at.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), _FIRST_LANE)
