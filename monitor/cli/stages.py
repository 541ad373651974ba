"""``monitor hub``, ``score`` and ``source``: the stages one by one."""

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from monitor.cli.key_options import Key, Keys, ServerKey, client_keys
from monitor.cli.options import (
    Alarms,
    Duration,
    FalseAlerts,
    Lead,
    Log,
    LogLines,
    Loop,
    Metrics,
    Parent,
    Port,
    Speed,
    Start,
    checked_speed,
)
from monitor.log_format import LogFormat
from pipeline.constants import DEFAULT_PORT
from pipeline.errors import ConfigError

stage_app = typer.Typer()


@stage_app.command()
def hub(
    port: Port = DEFAULT_PORT,
    bind: Annotated[
        str, typer.Option(help="Address of this machine to serve on; others only with --key.")
    ] = "127.0.0.1",
    key: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ask everybody for a key, and be this one (monitor keys new)."),
    ] = None,
    keys: Keys = None,
    ingest: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Address for sources; any port, or three above --port with --key."),
    ] = None,
    work: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Address for scorers; any port, or four above --port with --key."),
    ] = None,
    log: Log = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the streams where the log ends, or begin them anew.")
    ] = True,
    keep_days: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="Remove alerts from the log that were raised longer ago; none by default."
        ),
    ] = None,
    keep_mb: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Keep so many MB of alerts and strips, the newest; all by default."),
    ] = None,
    metrics: Metrics = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Run the hub alone; prints its addresses as one JSON line when it is ready."""
    from monitor.run.stages import run_hub

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
        keep_days=keep_days,
        keep_mb=keep_mb,
        metrics=metrics,
        parent=parent,
        announce=print_event,
    )


@stage_app.command()
def score(
    work: Annotated[str, typer.Option(help="The hub's address for scorers.")],
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Student (.safetensors, with its .json beside it); ours by default."),
    ] = None,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Run a scorer alone: batches of beats through the student, anomalous ones classified."""
    from monitor.run.stages import run_scorer

    run_scorer(
        work=work,
        weights=weights,
        keys=client_keys(key, server_key, keys),
        parent=parent,
        announce=print_event,
    )


@stage_app.command()
def source(
    ingest: Annotated[str, typer.Option(help="The hub's address for sources.")],
    records: Annotated[Optional[list[str]], typer.Argument(help="WFDB records.")] = None,  # noqa: UP045
    device: Annotated[Optional[str], typer.Option(help="Instead of records.")] = None,  # noqa: UP045
    speed: Speed = "1",
    start: Start = 0.0,
    duration: Duration = None,
    loop: Loop = False,
    lead: Lead = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a source of this name stopped.")
    ] = False,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Run sources alone: records or a device, sent to a hub."""
    from monitor.run.stages import run_source

    if (device is None) == (not records):
        raise ConfigError("give records or --device, one of them")
    run_source(
        records or [],
        device=device,
        ingest=ingest,
        speed=checked_speed(speed),
        start_s=start,
        duration_s=duration,
        loop=loop,
        lead=lead,
        resume=resume,
        keys=client_keys(key, server_key, keys),
        parent=parent,
        announce=print_event,
    )


def print_event(event: str, **facts: Any) -> None:
    """Print one JSON line for whoever started this stage."""
    print(json.dumps({"event": event, **facts}), flush=True)
