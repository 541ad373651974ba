"""NumPy's .npy files: one array of real numbers, [n] or [n, leads], read piece by piece.

Nothing is unpickled and nothing is mapped into memory: the header is parsed by numpy within its
limit, the size of the file confirms it, and samples are read by position.
"""

import os
import warnings
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import InputError
from replay.files.columns import Column, chosen, signals_of, unit_missing
from replay.files.pieces import Samples
from replay.files.regular import check_regular, quoted
from replay.files.stated import Stated
from replay.headers import MAX_LEAD_SAMPLES, RecordHeader
from replay.leads import MV_PER_UNIT

_MAX_HEADER: Final = 10_000
_PROBE: Final = 4096


class _Array:
    """A checked array in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        size = check_regular(path, "array")
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                version = npy.read_magic(file)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, self._by_column, dtype = read(file, max_header_size=_MAX_HEADER)
            except Exception as error:  # of untrusted bytes: any failure means bad input
                self.refuse(f"has no header that can be read ({quoted(error)})")
            self._offset = file.tell()
        if dtype.hasobject or dtype.kind not in "fiu" or dtype.itemsize > 8:
            self.refuse(f"holds {quoted(dtype)}; real numbers are needed")
        if len(shape) not in (1, 2) or not all(0 < length < 2**53 for length in shape):
            self.refuse(f"has shape {quoted(shape)}; [n] or [n, leads] is needed")
        self.n, self.count = shape[0], 1 if len(shape) == 1 else shape[1]
        if self.count > MAX_LEADS_PER_RECORD:
            turned = "; is it the other way round?" if self.n <= MAX_LEADS_PER_RECORD else ""
            self.refuse(
                f"has {self.count:,} columns; {MAX_LEADS_PER_RECORD} at most are read{turned}"
            )
        if self.n > MAX_LEAD_SAMPLES:
            self.refuse(f"has more than {MAX_LEAD_SAMPLES:,} rows; split it")
        if size - self._offset < self.n * self.count * dtype.itemsize:
            self.refuse("is shorter than it says; it is truncated")
        self._dtype = dtype

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that names the file."""
        raise InputError(f"array {quoted(self.path)} {why}")

    def read(self, column: int, first: int, last: int) -> NDArray[np.float64]:
        """Return the numbers of rows [first, last) of a column."""
        whole = not self._by_column and self.count > 1
        at = first * self.count if whole else column * self.n + first
        length = (last - first) * (self.count if whole else 1)
        with open(self.path, "rb") as file:
            data = os.pread(
                file.fileno(),
                length * self._dtype.itemsize,
                self._offset + at * self._dtype.itemsize,
            )
        if len(data) < length * self._dtype.itemsize:
            self.refuse("became shorter while it was read")
        values = np.frombuffer(data, dtype=self._dtype)
        return np.asarray(
            values.reshape(-1, self.count)[:, column] if whole else values, dtype=np.float64
        )


def open_array(path: Path, stated: Stated) -> RecordHeader:
    """Return the header of a .npy file, with what reads its columns.

    Raises:
        InputError: the file cannot be used, or its rate or unit is not stated.
    """
    array, where = _Array(path), f"array {quoted(path)}"
    columns = [Column(f"lead {n}", "") for n in range(1, array.count + 1)]
    places = chosen(columns, stated, where)
    taken = [columns[place] for place in places]
    rate_hz = stated.rate_hz(None, where, unit_missing=unit_missing(taken, stated))
    probe = np.array([array.read(place, 0, min(array.n, _PROBE)) for place in places])
    signals = signals_of(taken, probe, stated, where)

    def read(index: int, first: int, last: int) -> Samples:
        scale = MV_PER_UNIT.get(signals[index].units.lower(), 1.0)
        return in_mv(array.read(places[index], first, last), scale), None

    return RecordHeader(
        path=path, frame_rate_hz=rate_hz, frames=array.n, signals=signals, read=read
    )


def in_mv(values: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """Return values times ``scale`` as samples; what is beyond float32 is not known."""
    with np.errstate(over="ignore", invalid="ignore"):
        samples = (values * scale).astype(np.float32)
    samples[~np.isfinite(samples)] = np.nan
    return samples
