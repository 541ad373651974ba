"""Parse ``monitor hub``, ``score`` and ``source``: the processes of a monitor, one at a time."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import (
    Alarms,
    Bind,
    ColumnNames,
    Duration,
    FalseAlerts,
    Key,
    Keys,
    Lead,
    Listeners,
    Log,
    LogLines,
    Loop,
    Metrics,
    MetricsStreams,
    Parent,
    Port,
    PseudonymKey,
    Rate,
    Record,
    RecordFormats,
    RecordKeep,
    Recursive,
    RequireKey,
    RunEnd,
    ServerKey,
    Speed,
    Start,
    Unit,
    Weights,
    checked_speed,
    client_keys,
    stated_of,
)
from monitor.log_format import LogFormat
from monitor.run.recording import asked_recording
from pipeline.constants import DEFAULT_PORT, MAX_STREAMS
from pipeline.errors import ConfigError

single_process_app = typer.Typer()


@single_process_app.command()
def hub(
    port: Port = DEFAULT_PORT,
    bind: Bind = "127.0.0.1",
    key: RequireKey = None,
    keys: Keys = None,
    ingest: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Address for sources; by default any port, with --key three above --port."
        ),
    ] = None,
    work: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Address for scorers; by default any port, with --key four above --port."
        ),
    ] = None,
    log: Log = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    resume: Annotated[
        bool, typer.Option(help="Continue the streams where the log ends, or start them over.")
    ] = True,
    max_streams: Annotated[
        int,
        typer.Option(
            min=1,
            max=100_000,
            help="Streams at a time; above 256 it may use 2 MiB more for each (docs/scale.md).",
        ),
    ] = MAX_STREAMS,
    keep_days: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Remove alerts from the log after this many days; never by default."),
    ] = None,
    keep_mb: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Keep this many MB of alerts and strips, the newest; all by default."),
    ] = None,
    metrics: Metrics = None,
    record: Record = None,
    record_format: RecordFormats = None,
    record_keep: RecordKeep = None,
    metrics_streams: MetricsStreams = False,
    log_format: LogLines = LogFormat.TEXT,
    listeners: Listeners = None,
    run_end: RunEnd = None,
    parent: Parent = None,
) -> None:
    """Run a hub alone; when ready it prints its addresses as one JSON line."""
    from monitor.inputs import metrics_options
    from monitor.stages.hub import run_hub

    run_hub(
        port=port,
        bind=bind,
        key=key,
        keys=keys,
        ingest=ingest,
        work=work,
        log=log,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        resume=resume,
        max_streams=max_streams,
        keep_days=keep_days,
        keep_mb=keep_mb,
        metrics=metrics_options(metrics, streams=metrics_streams),
        recording=asked_recording(record, record_format, record_keep),
        listeners=listeners,
        run_end=run_end,
        parent=parent,
    )


@single_process_app.command()
def score(
    work: Annotated[str, typer.Option(help="The hub's address for scorers.")],
    weights: Weights = None,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Run a scorer alone: it scores batches of beats and names their classes."""
    from monitor.stages.score import run_scorer

    run_scorer(
        work=work,
        weights=weights,
        keys=client_keys(key, server_key, keys),
        parent=parent,
    )


@single_process_app.command()
def source(
    ingest: Annotated[str, typer.Option(help="Address of the hub, or of a gateway, for sources.")],
    records: Annotated[Optional[list[str]], typer.Argument(help="Files, or demo.")] = None,  # noqa: UP045
    device: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="URI",
            help="Address of a device, instead of records; several times for several.",
        ),
    ] = None,
    speed: Speed = "1",
    start: Start = 0.0,
    duration: Duration = None,
    loop: Loop = False,
    chunk: Annotated[
        float,
        typer.Option(
            min=5,
            max=1000,
            help="Milliseconds in a chunk of a record; a device sends what it gives at once.",
        ),
    ] = 20,
    lead: Lead = None,
    fs: Rate = None,
    unit: Unit = None,
    column: ColumnNames = None,
    recursive: Recursive = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue where an earlier source of these streams stopped."),
    ] = False,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    pseudonyms: PseudonymKey = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Run a source alone: it sends records or a device to a hub or a gateway."""
    from monitor.stages.source import run_source

    if (not device) == (not records):
        raise ConfigError("give records or --device, one of them")
    run_source(
        records or [],
        devices=device or [],
        ingest=ingest,
        speed=checked_speed(speed),
        start_s=start,
        duration_s=duration,
        loop=loop,
        chunk_ms=chunk,
        lead=lead,
        resume=resume,
        keys=client_keys(key, server_key, keys),
        pseudonyms=pseudonyms,
        parent=parent,
        stated=stated_of(fs, unit, column),
        recursive=recursive,
    )


@single_process_app.command(hidden=True)
def write_edf(header: Annotated[Path, typer.Argument(help="Of a segment of a recording.")]) -> None:
    """Write a segment of a recording as EDF+, beside its other files; the hub runs this."""
    from replay.recording.edf import write_edf as write

    write(header)
