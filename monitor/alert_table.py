"""A Parquet file with one row an alert and a typed column for each field.

Needs pyarrow (the extra ``parquet``). Times are timestamps in UTC, texts strings, tables by name
maps of floats, the latency a struct of floats; what an alert lacks is null. Written with zstd, a
row group for `_ROWS` alerts, so that a log of any length takes little memory.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.schema.alert import Latency
from pipeline.schema.public import Alert

_ROWS: Final = 10_000

_TIME: Final = pa.timestamp("ms", tz="UTC")
_FLOATS: Final = pa.map_(pa.string(), pa.float64())
_WORDS: Final = pa.map_(pa.string(), pa.string())

COLUMNS: Final = {
    "schema": pa.int32(),
    "log_id": pa.string(),
    "seq": pa.int64(),
    "stream": pa.string(),
    "kind": pa.string(),
    "category": pa.string(),
    "priority": pa.string(),
    "state": pa.string(),
    "sample": pa.int64(),
    "time_s": pa.float64(),
    "utc": _TIME,
    "score": pa.float64(),
    "threshold": pa.float64(),
    "reason": pa.string(),
    "ticks": pa.list_(pa.int32()),
    "beat_class": pa.string(),
    "bpm": pa.float64(),
    "latency_ms": pa.struct([(name, pa.float64()) for name in Latency.__struct_fields__]),
    "notice": pa.string(),
    "epoch": pa.int64(),
    "class_probabilities": _FLOATS,
    "shares": _FLOATS,
    "count": pa.int64(),
    "episode": pa.string(),
    "begin_s": pa.float64(),
    "end_s": pa.float64(),
    "values": _FLOATS,
    "event_utc": _TIME,
    "leads": _WORDS,
}
"""Type of each field of an alert, in its order."""


class AlertTable:
    """Writes alerts into a Parquet file; a context manager that completes it."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin to write into an open file.

        Raises:
            OSError: it cannot be written.
        """
        self._schema = pa.schema(list(COLUMNS.items()))
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, alert: Alert) -> None:
        """Write one row, at the latest with the end."""
        self._rows.append({name: _cell(name, getattr(alert, name)) for name in COLUMNS})
        if len(self._rows) >= _ROWS:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()

    def __enter__(self) -> "AlertTable":
        return self

    def __exit__(self, fault: type[BaseException] | None, *exception: object) -> None:
        try:
            if fault is None:
                self._write()
        finally:
            self._writer.close()


def _cell(name: str, value: Any) -> Any:
    if COLUMNS[name] == _TIME:
        return _moment(value)
    if isinstance(value, Latency):
        return {part: getattr(value, part) for part in Latency.__struct_fields__}
    return list(value.items()) if isinstance(value, Mapping) else value


def _moment(text: str) -> datetime | None:
    """Return a time; None where it is empty, or none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
