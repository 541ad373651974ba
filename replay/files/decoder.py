"""A program that decodes one file of others and writes what it holds to its standard output.

``python -m replay.files.decoder KIND PATH COLUMN...`` is started by `replay.files.foreign` for each
file. It limits itself before it looks at the file: memory, processor time, no written file, no
further process. It prints one line of JSON (`columns`, `fs_hz`, `rows`, `start`, or `error`), then
rows of float32, little-endian. Whoever reads that believes none of it.

The only user of pyarrow and ecgdatakit.
"""

import json
import resource
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MEMORY_BYTES: Final = 2 << 30
CPU_S: Final = 60
_ROWS: Final = 1 << 16
_RATES: Final = frozenset(
    {"fs", "sfreq", "srate", "rate", "sampling_rate", "samplerate", "sample_rate", "frequency"}
)
_TIMES: Final = frozenset({"time", "t", "timestamp", "datetime", "seconds", "time_s"})
_SHORTEST: Final = 100
"""A variable of fewer numbers is no signal."""


class Held(NamedTuple):
    """What a file holds."""

    columns: list[tuple[str, str]]
    """Name and unit of each, the unit empty where it is not stated."""
    fs_hz: float | None
    rows: int
    start: str | None
    blocks: Iterable[NDArray[Any]]
    """Its rows, [n, columns] each."""


class UnreadableError(Exception):
    """The file cannot be used; the text says why."""


def main() -> None:
    """Decode the file that the arguments name."""
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    warnings.simplefilter("ignore")
    kind, path, *columns = sys.argv[1:]
    out = sys.stdout.buffer
    try:
        held = {"MATLAB": matlab, "Parquet": parquet, "other": other}[kind](path, columns)
        about = {
            "columns": held.columns,
            "fs_hz": held.fs_hz,
            "rows": held.rows,
            "start": held.start,
        }
        out.write(json.dumps(about).encode() + b"\n")
        for block in held.blocks:
            with np.errstate(over="ignore", invalid="ignore"):
                out.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
    except MemoryError:
        _fail(f"it needs more than {MEMORY_BYTES >> 30} GiB of memory")
    except ImportError as error:
        extra = "parquet" if kind == "Parquet" else "formats"
        _fail(f"{error.name or 'a library'} is not installed: pip install 'ecg-monitor[{extra}]'")
    except UnreadableError as error:
        _fail(str(error))
    except Exception as error:  # a decoder of untrusted bytes: any failure means bad input
        _fail(f"it cannot be decoded ({type(error).__name__}: {error})")
    out.flush()


def _fail(why: str) -> None:
    sys.stdout.buffer.write(json.dumps({"error": why[:400]}).encode() + b"\n")
    sys.stdout.buffer.flush()
    sys.exit(3)


def matlab(path: str, columns: Sequence[str]) -> Held:
    """Return the variables that are asked for, or the only one that may be a signal."""
    from scipy import io

    about = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
    numeric = {
        name: shape
        for name, (shape, kind) in about.items()
        if kind in ("double", "single") or kind.lstrip("u").startswith("int")
    }
    for name in columns:
        if name not in numeric:
            raise UnreadableError(f"it has no variable of numbers {name!r}; it has {_list(about)}")
    signals = [name for name, shape in numeric.items() if max(shape, default=0) >= _SHORTEST]
    if not columns and len(signals) != 1:
        raise UnreadableError(f"it has {_list(about)}; name the signals with --column")
    names = list(columns) or signals
    rate = next((n for n, s in numeric.items() if n.lower() in _RATES and np.prod(s) == 1), None)
    found = io.loadmat(path, variable_names=[*names, *([rate] if rate else [])])
    parts, labels = [], []
    for name in names:
        values = np.asarray(found[name])
        if values.ndim != 2:
            raise UnreadableError(f"its variable {name!r} has shape {values.shape}")
        values = values if values.shape[0] >= values.shape[1] else values.T
        parts.append(values)
        several = values.shape[1] > 1
        labels += [f"{name} {n}" if several else name for n in range(1, values.shape[1] + 1)]
    if len({len(part) for part in parts}) > 1:
        raise UnreadableError(
            "its variables have different lengths; name those of one with --column"
        )
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    fs_hz = float(found[rate].ravel()[0]) if rate else None
    return Held([(label, "") for label in labels], fs_hz, len(joined), None, _cut(joined))


def _list(about: Iterable[str]) -> str:
    return ", ".join(repr(name[:64]) for name in list(about)[:16]) or "no variable"


def parquet(path: str, columns: Sequence[str]) -> Held:
    """Return the columns that are asked for, or all of numbers."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    pa.set_cpu_count(1)
    file = pq.ParquetFile(path, pre_buffer=False)
    schema = file.schema_arrow
    numeric = [
        field.name
        for field in schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    times = [
        field.name
        for field in schema
        if pa.types.is_timestamp(field.type) or field.name.lower() in _TIMES
    ]
    for name in columns:
        if name not in numeric:
            raise UnreadableError(
                f"it has no column of numbers {name!r}; it has {_list(schema.names)}"
            )
    names = list(columns) or [name for name in numeric if name not in times]
    if not names:
        raise UnreadableError(f"it has no column of numbers; it has {_list(schema.names)}")
    rows = file.metadata.num_rows
    fs_hz, start = _times(file, times[0]) if times and rows > 2 else (None, None)

    def blocks() -> Iterator[NDArray[Any]]:
        for batch in file.iter_batches(batch_size=_ROWS, columns=names, use_threads=False):
            yield np.stack([_floats(batch.column(name)) for name in names], axis=1)

    return Held([(name, "") for name in names], fs_hz, rows, start, blocks())


def _floats(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _times(file: Any, name: str) -> tuple[float | None, str | None]:
    """Return the rate that a column of times in seconds, or of dates, shows, and the first date."""
    import pyarrow as pa

    column = file.read(columns=[name], use_threads=False).column(0)
    scale, start = 1.0, None
    if pa.types.is_timestamp(column.type):
        scale = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[column.type.unit]
        start = str(column[0].as_py())[:40]
        column = column.cast(pa.int64())
    times = np.concatenate([_floats(chunk) for chunk in column.chunks])
    times = (times - times[0]) * scale
    period = float(times[-1]) / (len(times) - 1)
    if not period > 0 or np.abs(times - period * np.arange(len(times))).max() > 0.5 * period:
        return None, start
    rate_hz = 1.0 / period
    # Times are rounded: the true rate is mostly a whole number.
    return float(round(rate_hz)) if abs(
        rate_hz - round(rate_hz)
    ) < 1e-4 * rate_hz else rate_hz, start


def other(path: str, columns: Sequence[str]) -> Held:
    """Return the leads of an ECG by ecgdatakit: ISHNE, SCP-ECG, HL7 aECG, DICOM, MUSE."""
    from ecgdatakit.parsing.parser import FileParser

    record = FileParser.parse(path, units="mV")
    leads = [lead for lead in record.leads if len(lead.samples)]
    if not leads:
        raise UnreadableError("it holds no lead")
    if len({len(lead.samples) for lead in leads}) > 1:
        raise UnreadableError("its leads have different lengths")
    if len({float(lead.sampling_rate) for lead in leads}) > 1:
        raise UnreadableError("its leads have different sampling rates")
    named = [(lead.label, "raw" if lead.is_raw else lead.units) for lead in leads]
    date = record.recording.date
    return Held(
        named,
        float(leads[0].sampling_rate),
        len(leads[0].samples),
        None if date is None else date.isoformat(),
        _side_by_side([lead.samples for lead in leads]),
    )


def _cut(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for at in range(0, len(values), _ROWS):
        yield values[at : at + _ROWS]


def _side_by_side(leads: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for at in range(0, len(leads[0]), _ROWS):
        yield np.stack([lead[at : at + _ROWS] for lead in leads], axis=1)


if __name__ == "__main__":
    main()
