"""Parse ``monitor scan``."""

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
    PseudonymKey,
    Rate,
    Records,
    Recursive,
    Unit,
    stated_of,
)

scan_app = typer.Typer()


@scan_app.command()
def scan(
    records: Records,
    lead: Lead = None,
    fs: Rate = None,
    unit: Unit = None,
    column: ColumnNames = None,
    recursive: Recursive = False,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    as_json: Json = False,
    beats: Annotated[
        bool, typer.Option("--beats", help="Print every beat as a JSON line.")
    ] = False,
    trends: Annotated[
        bool, typer.Option("--trends", help="Print each minute in numbers as a JSON line.")
    ] = False,
    annotations: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Write WFDB annotations (.mon) into this folder: the class of each beat, "
            "Q where it cannot be analysed, and changes of rhythm, such as (AFIB and (VT."
        ),
    ] = None,
    pseudonyms: PseudonymKey = None,
    jobs: Jobs = None,
) -> None:
    """Scan whole records offline, as fast as the machine can."""
    from monitor.commands.scan import scan_records
    from monitor.run.workers import processors

    scan_records(
        records,
        lead=lead,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        pseudonyms=pseudonyms,
        as_json=as_json,
        beats=beats,
        trends=trends,
        annotations=annotations,
        jobs=jobs or processors(),
        stated=stated_of(fs, unit, column),
        recursive=recursive,
    )
