"""Parse ``monitor report``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import (
    Alarms,
    ColumnNames,
    FalseAlerts,
    Jobs,
    Json,
    Lead,
    Rate,
    Recursive,
    Unit,
    stated_of,
)
from pipeline.errors import ConfigError

report_app = typer.Typer()


@report_app.command()
def report(
    records: Annotated[
        list[str],
        typer.Argument(
            help="Files (EDF, CSV and more: docs/files.md), WFDB records, folders of them, demo, "
            "or alert logs."
        ),
    ],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="The page of one record (night.html), or a folder for the pages of several; "
            "by default NAME.html in this folder."
        ),
    ] = None,
    stream: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of a log, only this stream; by default a page for each."),
    ] = None,
    as_json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the hourly table as CSV.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print one row a record, as CSV.")
    ] = False,
    lead: Lead = None,
    fs: Rate = None,
    unit: Unit = None,
    column: ColumnNames = None,
    recursive: Recursive = False,
    alarms: Alarms = None,
    false_alerts_per_hour: FalseAlerts = None,
    jobs: Jobs = None,
) -> None:
    """Write a report of each record, or stream of a log: a page that prints as A4 sheets."""
    from monitor.commands.report import Printed, report_records
    from monitor.commands.report_log import is_log, report_logs
    from monitor.run.workers import processors

    if as_json + csv + summary > 1:
        raise ConfigError("--json, --csv and --summary print different things: give one of them")
    printed = Printed.NOTHING
    if as_json or csv or summary:
        printed = Printed.JSON if as_json else Printed.HOURS if csv else Printed.SUMMARY
    logs = [Path(name) for name in records if is_log(name)]
    if logs and len(logs) < len(records):
        raise ConfigError(f"{logs[0]} is a log, and others are records: report on them apart")
    if logs:
        if lead or fs or unit or column or alarms or false_alerts_per_hour:
            raise ConfigError("a log holds what was found: of the options of records none applies")
        report_logs(logs, out=out, printed=printed, stream=stream)
        return
    if stream is not None:
        raise ConfigError(f"--stream names a stream of a log, and {records[0]} is no log")
    report_records(
        records,
        out=out,
        printed=printed,
        lead=lead,
        alarms=alarms,
        false_alerts_per_hour=false_alerts_per_hour,
        jobs=jobs or processors(),
        stated=stated_of(fs, unit, column),
        recursive=recursive,
    )
