"""What the saved state of a stream is made of: structs whose fields count by position.

Each class that remembers something keeps it in one `State`, defined beside it, and states hold
states. `encode` and `decode` write and read a whole tree of them as MessagePack. Fields are
positional: a new name for one changes no byte; a new order, another type, one more or one less
does, and then `pipeline.stream.snapshot.STATE_VERSION` must be raised.

Arrays are written with their dtype and shape. Where a type is annotated with a `Shape`, a state
holds an array of that shape and no other. Bytes are hostile until decoded: there is no pickle and
no class name among them. Pure in memory.
"""

from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import field as field

from pipeline.errors import SnapshotError

StateT = TypeVar("StateT", bound="State")

_PLAIN: Final = frozenset({bool, int, float, str, bytes})


class State(msgspec.Struct, array_like=True, forbid_unknown_fields=True, eq=False):
    """Base of all states: mutable, and written as the list of its fields."""


class Shape(tuple[int | None, ...]):
    """The shape that an array in a state must have; None is any length.

    ``Annotated[NDArray[np.float32], Shape((320,))]`` is the type of a window.
    """

    __slots__ = ()

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of ``shape`` is one of these."""
        if len(shape) != len(self):
            return False
        return all(n in (None, m) for n, m in zip(self, shape, strict=True))


def encode(version: int, state: State) -> bytes:
    """Return a state and all that it holds as bytes, behind the version of its structs."""
    return _encoder.encode((version, state))


def decode(version: int, data: bytes, kind: type[StateT]) -> StateT:
    """Return the state that `encode` wrote; its arrays are its own.

    Raises:
        SnapshotError: structs of another version were written, or the bytes are no such state.
    """
    try:
        written, body = _envelope.decode(data)
        if written != version:
            raise SnapshotError(f"state of version {written}, this program reads {version}")
        state: StateT = _decoder(kind).decode(body)
        _check(state, kind)
    except SnapshotError:
        raise
    except Exception as error:  # bytes that are none of ours fail anywhere
        raise SnapshotError(f"{len(data)} bytes are no state: {error}") from None
    return state


def _write(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _dtype_name(value.dtype), value.shape, value.tobytes()
    raise TypeError(f"{type(value).__name__} is no part of a state")


def _read(kind: Any, value: Any) -> Any:
    """Return the array that `_write` wrote; ``kind`` is ``NDArray[...]``, and names the dtype."""
    dtype = np.dtype(get_args(get_args(kind)[1])[0])
    name, shape, data = value
    if name != dtype.str:
        raise ValueError(f"array of {name!r}, not {dtype.str!r}")
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


_dtype_name: Final = cache(attrgetter("str"))  # NumPy makes a new string each time
_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_write)
_envelope: Final = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])


@cache
def _decoder(kind: type[StateT]) -> msgspec.msgpack.Decoder[StateT]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_read)


@cache
def field_types(kind: Any) -> Mapping[str, Any]:
    """Return the types of the fields of a state or named tuple, in order, shapes included."""
    hints = get_type_hints(kind, include_extras=True)
    names: tuple[str, ...] = getattr(kind, "__struct_fields__", ()) or getattr(kind, "_fields", ())
    return {name: hints[name] for name in names}


def _check(value: Any, hint: Any) -> None:
    """Raise `SnapshotError` if an array within ``value`` has not the shape of its type."""
    if value is None or hint in _PLAIN:
        return
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        for shape in args[1:]:
            if isinstance(shape, Shape) and not shape.fits(value.shape):
                raise SnapshotError(f"array of shape {value.shape}, not {tuple(shape)}")
        _check(value, args[0])
    elif origin in (Union, UnionType):
        _check(value, next(arg for arg in args if arg is not type(None)))
    elif origin is list and args[0] not in _PLAIN:
        for item in value:
            _check(item, args[0])
    elif origin is tuple and ... not in args:
        for item, inner in zip(value, args, strict=True):
            _check(item, inner)
    elif origin is dict:
        for item in value.values():
            _check(item, args[1])
    elif isinstance(value, State) or hasattr(value, "_fields"):
        for name, inner in field_types(hint).items():
            _check(getattr(value, name), inner)
