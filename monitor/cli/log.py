"""Parse ``monitor log verify`` and ``monitor log export``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Json
from pipeline.errors import ConfigError

log_app = typer.Typer(help="Check and export alert logs, also while a monitor writes them.")

LogFile = Annotated[Path, typer.Argument(help="The alert log, as --log or the summary names it.")]


@log_app.command()
def verify(log: LogFile, as_json: Json = False) -> None:
    """Check every row, the chain of the alerts, and the file; exit 2 if anything is damaged."""
    from monitor.commands.log import verify_log

    verify_log(log, as_json=as_json)


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
    from monitor.commands.log import export_log

    if csv is None and json_lines is None and wfdb is None:
        raise ConfigError("nothing to write: give --csv FILE, --json FILE or --wfdb FOLDER")
    export_log(log, csv_file=csv, json_lines=json_lines, wfdb=wfdb)
