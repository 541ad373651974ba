"""Vectors of 16 numbers in LLVM's own language, for loops whose sums must stay in registers.

numba turns a loop over an array of sums into a load and a store of each sum at each step. What is
written with these vectors is mapped by LLVM to the registers that the processor has, one of AVX-512
for each vector or two of AVX2.

``b`` is the builder of LLVM's code: every function writes code where it stands.
"""

from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES: Final = 16

_cgutils: Any = cgutils
written: Any = intrinsic
"""Makes a kernel of a function that returns its signature, and another that writes its code."""

INT: Final = ir.IntType(64)
FLOATS: Final = ir.VectorType(ir.FloatType(), LANES)
INTS: Final = ir.VectorType(ir.IntType(32), LANES)


def plain(context: Any, b: Any, signature: Any, arguments: Any) -> list[Any]:
    """Return the arguments of an intrinsic, of arrays the addresses of their numbers."""
    return [
        context.make_array(kind)(context, b, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def address(b: Any, base: Any, at: Any, step: Any = None, times: int = 0) -> Any:
    """Return the address of number ``at + times * step``."""
    return b.gep(base, [b.add(at, b.mul(step, INT(times))) if times else at])


def load(b: Any, base: Any, vector: int = 0) -> Any:
    """Return the vector of this number that begins at an address."""
    return b.load(_pointer(b, base, vector, FLOATS), align=4)


def store(b: Any, value: Any, base: Any, vector: int = 0) -> None:
    """Write the vector of this number that begins at an address."""
    b.store(value, _pointer(b, base, vector, value.type), align=4)


def everywhere(b: Any, number: Any, kind: Any = FLOATS) -> Any:
    """Return a vector of one number."""
    undefined = kind(ir.Undefined)
    one = b.insert_element(undefined, number, ir.IntType(32)(0))
    return b.shuffle_vector(one, undefined, INTS([0] * LANES))


def fused(b: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z, rounded once."""
    kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
    function = _cgutils.get_or_insert_function(b.module, kind, f"llvm.fma.v{LANES}f32")
    return b.call(function, [x, y, z])


def bent(b: Any, value: Any, slope: Any) -> Any:
    """Return the larger of a value and the slope times it."""
    product = b.fmul(value, slope)
    return b.select(b.fcmp_ordered(">", value, product), value, product)


def _pointer(b: Any, base: Any, vector: int, kind: Any) -> Any:
    return b.bitcast(b.gep(base, [INT(vector * LANES)]), kind.as_pointer())
