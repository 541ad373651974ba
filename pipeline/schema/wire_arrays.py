"""Arrays in messages: little-endian bytes on the wire, read-only arrays of checked shape in memory.

Pure in memory: no sockets, no clock.
"""

from functools import cache
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES
from pipeline.errors import WireError

Float32Array = NDArray[np.float32]
Uint8Array = NDArray[np.uint8]
_FLOAT32: Final = np.dtype("<f4")
_UINT8: Final = np.dtype(np.uint8)
_WIRE_TYPES: Final[dict[str, np.dtype[Any]]] = {_FLOAT32.char: _FLOAT32, _UINT8.char: _UINT8}

_SUM_TOLERANCE: Final = 1e-3
"""Rounding of float32 takes a sum of probabilities no further from 1."""


def from_array(value: Any) -> memoryview:
    """Return the bytes of an array, row after row; no copy of one that lies like that."""
    array: NDArray[Any] = np.ascontiguousarray(value, dtype=_WIRE_TYPES[value.dtype.char])
    return array.data


def to_array(kind: Any, value: Any) -> NDArray[Any]:
    """Return the array of one dimension in ``value``, of ``kind``; it shares the memory."""
    if not isinstance(value, bytes):
        raise TypeError("an array travels as bytes")
    return np.frombuffer(value, dtype=_wire_type(kind))


@cache
def _wire_type(kind: Any) -> np.dtype[Any]:
    """Return the type of the elements of an array of ``kind``.

    ``kind`` is asked for it: from NumPy 2.5 on ``NDArray`` is an alias, and what msgspec makes of
    it does not equal it.
    """
    while inner := get_args(kind):  # the last one is the element's
        kind = inner[-1]
    return _FLOAT32 if kind is np.float32 else _UINT8


def lead_rows(values: NDArray[Any], leads: list[str]) -> NDArray[Any]:
    """Return ``values``, lead after lead, as [leads, n]; it shares the memory.

    Raises:
        WireError: these are not the names of several leads, or not of as many samples each.
    """
    if len(set(leads)) < max(2, len(leads)):
        raise WireError(f"{len(leads)} leads with {len(set(leads))} different names")
    if values.size % len(leads):
        raise WireError(f"{values.size} samples of {len(leads)} leads")
    return values.reshape(len(leads), values.size // len(leads))


def finite_rows(values: Float32Array, rows: int, columns: int, what: str) -> Float32Array:
    """Return ``values`` as float32[rows, columns]; raise `WireError` where that cannot be."""
    if values.size != rows * columns:
        raise WireError(f"{what} of {rows} beats has {values.nbytes} bytes")
    if not np.isfinite(values).all():
        raise WireError(f"{what} holds a value that is not finite")
    return values.reshape(rows, columns)


def probability_rows(values: Float32Array, beats: int) -> Float32Array:
    """Return ``values`` as float32[beats, 4], each row the probabilities of `CLASSES`.

    Raises:
        WireError: they are none.
    """
    rows = finite_rows(values, beats, len(CLASSES), "probabilities")
    if (rows < 0).any() or not (np.abs(rows.sum(axis=1) - 1.0) <= _SUM_TOLERANCE).all():
        raise WireError("score reply holds values that are no probabilities")
    return rows
