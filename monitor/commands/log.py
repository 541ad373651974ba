"""`monitor log`: check an alert log, write its alerts to files, remove a stream from it.

``verify`` and ``export`` only read the log, so a hub may write it meanwhile. An export has the
alerts that the log held when it began, as CSV, JSON lines, Parquet or WFDB annotations. Each file
appears whole or not at all. ``forget`` needs the log for itself.
"""

import csv
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress

from models.files.atomic_write import replaceable_file, write_atomically
from monitor.text import safe_text
from pipeline.errors import ConfigError, InputError, LogError
from pipeline.files import create_new
from pipeline.log.forget import StreamEraser
from pipeline.log.reader import LogReader
from pipeline.log.verify import verify
from pipeline.schema.public import Alert, Trend, encode_json
from pipeline.schema.requests import ALERTS_PER_PAGE
from replay.annotations import note_bytes

if TYPE_CHECKING:
    from monitor.alert_table import AlertTable

ANNOTATOR: Final = "alarm"
"""Not ``mon``, which `monitor scan` writes: both may lie beside a record."""

_NAMED_STREAMS: Final = 5
"""So many streams of a log are named where it holds nothing of another one."""

_LATEST_SAMPLE: Final = 2**40
"""Decades of signal. Later samples, in steps of 2**31 samples, would fill an annotation file."""


def verify_log(path: Path, *, as_json: bool) -> None:
    """Check every row, the chain of the alerts and the file; print what was found.

    Raises:
        InputError: there is no such log.
        LogError: anything is damaged, or the log cannot be read.
    """
    with log_progress("checking") as on_progress:
        checked = verify(path, on_progress)
    if as_json:
        sys.stdout.write(json.dumps({**asdict(checked), "intact": checked.intact}) + "\n")
    else:
        for line in [*checked.damage, *checked.counts()]:
            sys.stdout.write(safe_text(line, 300) + "\n")
    if not checked.intact:
        raise LogError(f"{path} is damaged: {len(checked.damage) + checked.uncounted} findings")


def forget_stream(path: Path, stream: str, *, yes: bool, as_json: bool) -> None:
    """Remove all that a log holds of a stream, and print what that was.

    Args:
        path: the log.
        stream: the name of the stream.
        yes: do not ask; without a terminal nobody can be asked.
        as_json: print one JSON object.

    Raises:
        InputError: there is no such log, or it holds nothing of the stream.
        ConfigError: nobody confirmed; nothing was removed.
        LogError: a hub has the log open, or it cannot be written.
    """
    stream = os.fsencode(stream).decode(errors="replace")  # of a terminal that is not in UTF-8
    damage = ""
    with StreamEraser(path) as log:
        found, record_seq = log.holdings(stream), 0
        if found:
            damage = _damage(path)
            _confirm(f"remove {found} of {safe_text(stream)} from {_shown(path)}{damage}", yes=yes)
            record_seq = log.forget(stream)
        log.remove_bytes()  # also what an earlier removal could not finish
        log_id, names = log.log_id, log.names()
    if not found:
        held = ", ".join(map(safe_text, names[:_NAMED_STREAMS])) or "no stream"
        more = f" and {len(names) - _NAMED_STREAMS} more" if len(names) > _NAMED_STREAMS else ""
        raise InputError(f"{path} holds nothing of {safe_text(stream)!r}; it holds {held}{more}")
    facts = {"log": str(path), "log_id": log_id, "stream": stream, **asdict(found)}
    text = (
        f"removed {found} of {safe_text(stream)} from {_shown(path)}{damage}; "
        f"alert {record_seq} records that\n"
        "exports, backups and what subscribers have received are other files: remove them there"
    )
    facts |= {"record_seq": record_seq, "was_damaged": bool(damage)}
    line = json.dumps(facts) if as_json else text
    sys.stdout.write(line + "\n")


def _damage(path: Path) -> str:
    """Return what is to be said of a damaged log: rows that are removed show no damage any more."""
    checked = verify(path)
    findings = len(checked.damage) + checked.uncounted
    return "" if checked.intact else f", which is damaged: {findings} findings of log verify"


def _shown(path: Path) -> str:
    return safe_text(str(path), 300)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked here whether to {question}: give --yes")
    sys.stderr.write(f"monitor: {question}? Nothing brings it back. [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was removed")


def export_log(
    path: Path,
    *,
    csv_file: Path | None,
    json_lines: Path | None,
    wfdb: Path | None,
    parquet: Path | None,
) -> None:
    """Write files from the log at ``path``, and a line about each to stderr.

    Arguments and errors are those of `write_exports`.
    """
    with log_progress("exporting") as on_progress:
        for line in write_exports(
            path,
            csv_file=csv_file,
            json_lines=json_lines,
            wfdb=wfdb,
            parquet=parquet,
            on_progress=on_progress,
        ):
            sys.stderr.write(f"monitor: {line}\n")


def write_exports(
    path: Path,
    *,
    csv_file: Path | None,
    json_lines: Path | None,
    wfdb: Path | None,
    parquet: Path | None = None,
    on_progress: Callable[[int, int], None],
) -> list[str]:
    """Write the files that are named; return a line about each file or folder.

    Args:
        path: the log.
        csv_file: a table to write, with a column for each field; nested fields as JSON.
        json_lines: a file to write, with the objects that subscribers receive.
        wfdb: a folder for annotations: a note at each alert, in one file for each stream, and one
            more for each restart of its sample numbers.
        parquet: a table to write, with typed columns (`monitor.alert_table`).
        on_progress: takes how many alerts are done, and of how many.

    Raises:
        InputError: there is no such log.
        ConfigError: a file cannot be written; the previous file is unchanged.
        LogError: the log is damaged, or alerts were removed from it meanwhile; nothing is written.
    """
    notes: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    alerts = 0
    read, (csv_file, json_lines, parquet) = _outputs(path, csv_file, json_lines, parquet)
    with ExitStack() as files, LogReader(path) as log:
        table = _Table(files.enter_context(_whole_file(csv_file))) if csv_file else None
        lines = files.enter_context(_whole_file(json_lines)) if json_lines else None
        typed = _typed_table(files, parquet) if parquet else None
        for alert in alerts_of(log, on_progress):
            alerts += 1
            if table is not None:
                table.add(alert)
            if typed is not None:
                typed.add(alert)
            if lines is not None:
                lines.write(encode_json(alert).decode() + "\n")
            if wfdb is not None and alert.stream and 0 <= alert.sample <= _LATEST_SAMPLE:
                text = f"{alert.kind} {alert.state} {alert.priority}"
                notes[alert.stream, alert.epoch].append((alert.sample, text))
    if wfdb is not None:
        _write_notes(wfdb, notes, read)
    lines_about = [f"{alerts} alerts in {file}" for file in (csv_file, json_lines, parquet) if file]
    if wfdb is not None:
        placed = sum(map(len, notes.values()))
        lines_about.append(f"{placed} alerts in {len(notes)} annotation files in {wfdb}")
        if placed < alerts:
            lines_about[-1] += f"; {alerts - placed} are about no signal"
    return lines_about


def _outputs(log: Path, *files: Path | None) -> tuple[list[Path], list[Path | None]]:
    """Return what no further output may replace, and the files that are to be written.

    Raises:
        ConfigError: one of them is a folder, a file of the log, or there twice.
    """
    read = [log, *(log.with_name(log.name + end) for end in ("-wal", "-shm", "-lock"))]
    outputs: list[Path | None] = []
    for file in files:
        output = None if file is None else replaceable_file(file, read=read)
        outputs.append(output)
        if output is not None:
            read.append(output)
    return read, outputs


def export_trends(path: Path, *, csv_file: Path | None, json_lines: Path | None) -> None:
    """Write the trends of the log at ``path``, and a line about each file to stderr.

    Args:
        path: the log.
        csv_file: a table to write, with a column for each field; classes as JSON.
        json_lines: a file to write, with the objects that subscribers receive.

    Raises:
        InputError: there is no such log.
        ConfigError: a file cannot be written; the previous file is unchanged.
        LogError: the log is damaged; nothing is written.
    """
    _, (csv_file, json_lines) = _outputs(path, csv_file, json_lines)
    count = newest = 0
    with ExitStack() as files, LogReader(path) as log:
        table = _Table(files.enter_context(_whole_file(csv_file)), Trend) if csv_file else None
        lines = files.enter_context(_whole_file(json_lines)) if json_lines else None
        while page := log.trends(newest):
            for newest, trend in page:  # noqa: B007
                count += 1
                if table is not None:
                    table.add(trend)
                if lines is not None:
                    lines.write(encode_json(trend).decode() + "\n")
    for file in (csv_file, json_lines):
        if file is not None:
            sys.stderr.write(f"monitor: {count} minutes in {file}\n")


def _typed_table(files: ExitStack, parquet: Path) -> "AlertTable":
    """Return the table of a Parquet file, which ``files`` completes."""
    from monitor.alert_table import AlertTable

    file = files.enter_context(_whole_file(parquet, "wb"))
    return files.enter_context(AlertTable(file))


def alerts_of(log: LogReader, on_progress: Callable[[int, int], None]) -> Iterator[Alert]:
    """Yield the alerts that a log holds now; `LogError` where one is damaged or removed meanwhile.

    ``on_progress`` takes how many are done, and of how many.
    """
    meta = log.meta()
    seq, total = meta.low_water_seq, meta.last_seq - meta.low_water_seq + 1
    while seq <= meta.last_seq:
        page = log.read(seq, min(ALERTS_PER_PAGE, meta.last_seq - seq + 1))
        for alert in page:
            if alert.seq != seq:
                break
            yield alert
            seq += 1
        else:
            on_progress(seq - meta.low_water_seq, total)
            if page:
                continue
        if log.meta().low_water_seq > seq:
            raise LogError(f"{log.path}: old alerts were removed during the export: start again")
        raise LogError(f"{log.path} lacks alert {seq}: see what `monitor log verify` says")


class _Table:
    """A CSV file with a column for each field of an alert, or of a trend."""

    def __init__(self, file: IO[str], kind: type[Alert | Trend] = Alert) -> None:
        self._writer = csv.DictWriter(file, kind.__struct_fields__, lineterminator="\n")
        self._writer.writeheader()

    def add(self, row: Alert | Trend) -> None:
        """Write one row."""
        fields = json.loads(encode_json(row))
        self._writer.writerow({name: _cell(value) for name, value in fields.items()})


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    # A spreadsheet would run such a text as a formula, and it may come from outside.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def _write_notes(
    folder: Path, notes: dict[tuple[str, int], list[tuple[int, str]]], read: list[Path]
) -> None:
    taken: set[str] = set()
    for (stream, epoch), of_stream in sorted(notes.items()):
        record = re.sub(r"[^A-Za-z0-9_-]", "_", stream) + (f"_epoch{epoch}" if epoch else "")
        # Names of streams may differ only in characters that WFDB does not allow.
        numbered = (f"{record}_{n}" for n in count(2))
        while record in taken:
            record = next(numbered)
        taken.add(record)
        file = replaceable_file(folder / f"{record}.{ANNOTATOR}", read=read)
        write_atomically(file, note_bytes(of_stream))


@contextmanager
def _whole_file(target: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Yield a file that gets the name ``target`` on success and is removed on failure."""
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with open(create_new(unfinished), mode, **text) as file:  # type: ignore[call-overload]
            yield file
        unfinished.replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; name another place") from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def log_progress(activity: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of ``activity``, on a terminal only.

    Yields a function that takes how much is done, and of how much.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(activity, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
