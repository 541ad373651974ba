"""Files that are decoded in a child process with limits: MATLAB, Parquet, ISHNE and more.

The child (`replay.files.decoder`) may not write a file, has 2 GiB of memory, a minute of processor
time and two minutes in all. What it says is checked like a file: counts, names, rate, and as many
samples as it announced. They lie in memory, or beyond some megabytes in a temporary file without a
name, so that a day of signal takes no memory.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import InputError
from replay.files.arrays import in_mv
from replay.files.columns import Column, chosen, named, signals_of, unit_missing
from replay.files.content import MATLAB, OTHER, PARQUET
from replay.files.pieces import Samples
from replay.files.regular import check_regular, quoted
from replay.files.stated import Stated
from replay.headers import MAX_LEAD_SAMPLES, RecordHeader
from replay.leads import MV_PER_UNIT

LONGEST_S: Final = 120.0
MOST_BYTES: Final = 4 << 30
"""Of all samples: twelve leads for a day at 1,000 Hz."""

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_LONGEST_LINE: Final = 1 << 16
_IN_MEMORY: Final = 16 << 20


class _Spool:
    """Rows of float32 in memory, or in a file without a name."""

    def __init__(self, columns: int) -> None:
        self._width = 4 * columns
        self._columns = columns
        self._data = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        """Keep the next bytes."""
        self.size += len(data)
        self._data += data
        if len(self._data) > _IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as this)
                weakref.finalize(self, self._file.close)
            self._file.write(self._data)
            self._file.flush()
            self._data.clear()

    def end(self) -> None:
        """Keep no more."""
        if self._file is not None:
            self._file.write(self._data)
            self._file.flush()
            self._data.clear()

    def read(self, column: int, first: int, last: int) -> NDArray[np.float32]:
        """Return rows [first, last) of a column."""
        begin, end = first * self._width, last * self._width
        if self._file is None:
            data = bytes(self._data[begin:end])
        else:
            data = os.pread(self._file.fileno(), end - begin, begin)
        return np.frombuffer(data, dtype="<f4").reshape(-1, self._columns)[:, column]


def open_foreign(path: Path, kind: str, stated: Stated) -> RecordHeader:
    """Return the header of a file that a child process decodes, with what reads its signals.

    Raises:
        InputError: the file cannot be used, its rate or unit is not stated, or the extra that reads
            it is not installed.
    """
    check_regular(path, "file")
    columns, fs_hz, start, spool = _decoded(path, kind, stated)
    where = f"file {quoted(path)}"
    rows = spool.size // (4 * len(columns))
    # The child has chosen variables and columns by their names; leads are chosen here.
    places = chosen(columns, stated, where) if kind == OTHER else list(range(len(columns)))
    taken = [columns[place] for place in places]
    rate_hz = stated.rate_hz(fs_hz, where, unit_missing=unit_missing(taken, stated))
    probe = np.array([spool.read(place, 0, min(rows, 4096)) for place in places], dtype=np.float64)
    signals = signals_of(taken, probe, stated, where)

    def read(index: int, first: int, last: int) -> Samples:
        scale = MV_PER_UNIT.get(signals[index].units.lower(), 1.0)
        return in_mv(spool.read(places[index], first, last).astype(np.float64), scale), None

    return RecordHeader(
        path=path,
        frame_rate_hz=rate_hz,
        frames=rows,
        signals=signals,
        start=start,
        read=read,
    )


def _decoded(
    path: Path, kind: str, stated: Stated
) -> tuple[list[Column], float | None, datetime | None, _Spool]:
    """Return what the child says of a file, checked, and its samples."""
    asked = stated.columns if kind in (MATLAB, PARQUET) else ()
    command = [
        sys.executable,
        "-P",
        "-m",
        "replay.files.decoder",
        kind,
        str(path.absolute()),
        *asked,
    ]
    environment = {name: value for name, value in os.environ.items() if name in _PASSED}
    # One thread each: their stacks would count as memory of the child.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(os.path.isabs, named)])
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment, close_fds=True,
    ) as child:  # fmt: skip
        timer = threading.Timer(LONGEST_S, child.kill)
        timer.daemon = True
        timer.start()
        try:
            assert child.stdout is not None
            return _received(path, child.stdout)
        finally:
            timer.cancel()
            child.kill()


_PASSED: Final = frozenset({"PATH", "LANG", "LC_ALL", "HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"})


def _received(
    path: Path, out: IO[bytes]
) -> tuple[list[Column], float | None, datetime | None, _Spool]:
    line = out.readline(_LONGEST_LINE)
    try:
        about = json.loads(line)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        _refuse(path, "cannot be decoded: it takes more memory or time than a recording needs")
    if "error" in about:
        _refuse(path, f"cannot be used: {_plain(about['error'], 400)}")
    columns, rows = _columns(path, about.get("columns")), about.get("rows")
    if type(rows) is not int or not 0 < rows <= MAX_LEAD_SAMPLES:
        _refuse(
            path, f"holds {_plain(rows, 20)} samples a lead; 1 to {MAX_LEAD_SAMPLES:,} are read"
        )
    wanted = 4 * rows * len(columns)
    if wanted > MOST_BYTES:
        _refuse(path, f"holds {wanted >> 30} GiB of samples; name some with --column, or split it")
    spool = _Spool(len(columns))
    while spool.size < wanted and (data := out.read(min(1 << 20, wanted - spool.size))):
        spool.add(data)
    spool.end()
    if spool.size < wanted or out.read(1):
        _refuse(path, "cannot be decoded to its end; it is damaged")
    fs_hz = about.get("fs_hz")
    if fs_hz is not None and not (isinstance(fs_hz, float) and math.isfinite(fs_hz) and fs_hz > 0):
        _refuse(path, f"states the sampling rate {_plain(fs_hz, 20)}")
    return columns, fs_hz, _date(about.get("start")), spool


def _refuse(path: Path, why: str) -> NoReturn:
    raise InputError(f"file {quoted(path)} {why}")


def _plain(value: Any, length: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value)[:length])


def _columns(path: Path, said: Any) -> list[Column]:
    if not isinstance(said, list) or not 1 <= len(said) <= MAX_LEADS_PER_RECORD:
        count = len(said) if isinstance(said, Sequence) else 0
        _refuse(path, f"holds {count} signals; 1 to {MAX_LEADS_PER_RECORD} are read: use --column")
    if not all(isinstance(one, list) and list(map(type, one)) == [str, str] for one in said):
        _refuse(path, "cannot be decoded; it is damaged")
    return [named(name, unit) for name, unit in said]


def _date(said: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
