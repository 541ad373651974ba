"""``monitor log verify`` and ``monitor log export``: what a log holds, and whether it is whole."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Json
from pipeline.errors import ConfigError, LogError

log_app = typer.Typer(help="Check and export alert logs; a monitor may be writing them.")

LogFile = Annotated[Path, typer.Argument(help="The alert log, as --log or the summary names it.")]


@log_app.command()
def verify(log: LogFile, as_json: Json = False) -> None:
    """Check every row, the chain of the alerts, and the file; exit 2 if anything is damaged."""
    from monitor.text import safe_text
    from pipeline.log.verify import verify as check

    with progress("checking") as told:
        checked = check(log, told)
    if as_json:
        sys.stdout.write(json.dumps({**asdict(checked), "intact": checked.intact}) + "\n")
    else:
        for line in [*checked.damage, *checked.counts()]:
            sys.stdout.write(safe_text(line, 300) + "\n")
    if not checked.intact:
        raise LogError(f"{log} is damaged: {len(checked.damage) + checked.uncounted} findings")


@log_app.command()
def export(
    log: LogFile,
    csv: Annotated[Optional[Path], typer.Option(help="Write a table into this file.")] = None,  # noqa: UP045
    json_lines: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--json", help="Write one JSON object a line into this file."),
    ] = None,
    wfdb: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write WFDB annotations, STREAM.alarm each, into this folder."),
    ] = None,
) -> None:
    """Write all alerts of a log into files that other programs read."""
    from monitor.commands.log_export import export_log

    if csv is None and json_lines is None and wfdb is None:
        raise ConfigError("nothing to write: give --csv FILE, --json FILE or --wfdb FOLDER")
    with progress("exporting") as told:
        for line in export_log(log, csv_file=csv, json_lines=json_lines, wfdb=wfdb, told=told):
            sys.stderr.write(f"monitor: {line}\n")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how far ``what`` has come; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
