"""Parse ``monitor log verify``, ``export`` and ``forget``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Json
from pipeline.errors import ConfigError

log_app = typer.Typer(
    help="Check and export alert logs, also while a monitor writes them; remove a stream from one."
)

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
        typer.Option(
            "--json", help="Write one JSON object a line into this file (docs/subscribing.md)."
        ),
    ] = None,
    parquet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Write a table with typed columns (docs/outlets.md); needs the extra parquet."
        ),
    ] = None,
    wfdb: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write WFDB annotations, STREAM.alarm each, into this folder."),
    ] = None,
    trends: Annotated[
        bool, typer.Option("--trends", help="Write each minute in numbers instead of alerts.")
    ] = False,
) -> None:
    """Write all alerts of a log, or all trends, into files that other programs read."""
    from monitor.commands.log import export_log, export_trends

    tables = csv is not None or json_lines is not None
    if trends:
        if wfdb is not None or parquet is not None or not tables:
            raise ConfigError("trends are written with --csv FILE or --json FILE")
        export_trends(log, csv_file=csv, json_lines=json_lines)
        return
    if not tables and wfdb is None and parquet is None:
        raise ConfigError(
            "nothing to write: give --csv FILE, --json FILE, --parquet FILE or --wfdb FOLDER"
        )
    export_log(log, csv_file=csv, json_lines=json_lines, wfdb=wfdb, parquet=parquet)


@log_app.command()
def forget(
    log: LogFile,
    stream: Annotated[str, typer.Argument(help="Name of the stream, or its pseudonym.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Remove all that a log holds of a stream; no monitor may have the log open."""
    from monitor.commands.log import forget_stream

    forget_stream(log, stream, yes=yes, as_json=as_json)
