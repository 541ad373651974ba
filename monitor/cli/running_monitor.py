"""Parse the commands for a running monitor: from subscribe and watch to ack, limits and show."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import (
    ENDPOINT,
    Colours,
    Endpoint,
    FromSeq,
    Json,
    Key,
    Keys,
    NoFlash,
    OnlyStream,
    Parent,
    PositionFile,
    ServerKey,
    Sound,
    StreamArgument,
    checked_stream,
    client_keys,
)
from monitor.dashboard.options import DashboardOptions, Palette

running_monitor_app = typer.Typer()


@running_monitor_app.command()
def subscribe(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    from_seq: FromSeq = None,
    position: PositionFile = None,
    stream: OnlyStream = None,
    trends: Annotated[
        bool, typer.Option("--trends", help="Print each minute in numbers as a JSON line as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the alerts of a running monitor, each exactly once, until Ctrl-C."""
    from monitor.commands.running.subscribe import print_alerts

    print_alerts(
        endpoint,
        from_seq=from_seq,
        stream=stream,
        position=position,
        as_json=as_json,
        trends=trends,
        keys=client_keys(key, server_key, keys),
    )


@running_monitor_app.command()
def watch(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    from_seq: FromSeq = None,
    sound: Sound = False,
    palette: Colours = Palette.USUAL,
    no_flash: NoFlash = False,
    recording: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="DIR",
            help="Scroll back through this folder of --record, where the monitor writes it.",
        ),
    ] = None,
    parent: Parent = None,
) -> None:
    """Show a running monitor on a dashboard in this terminal, until Ctrl-C."""
    from monitor.commands.running.watch import show_dashboard

    own_keys = client_keys(key, server_key, keys)
    options = DashboardOptions(sound, palette, flash=not no_flash)
    show_dashboard(
        endpoint,
        from_seq=from_seq,
        options=options,
        parent=parent,
        keys=own_keys,
        recording=recording,
    )


@running_monitor_app.command()
def status(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Show the state of a running monitor: streams, alarms, scorers, log, counters."""
    from monitor.commands.running.status import print_status

    print_status(endpoint, as_json=as_json, keys=client_keys(key, server_key, keys))


@running_monitor_app.command()
def ack(
    episode: Annotated[
        str, typer.Argument(help="Episode of one alarm, as in its alerts; all alarms by default.")
    ] = "",
    stream: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(callback=checked_stream, help="Only alarms of this stream."),
    ] = None,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Acknowledge all active alarms, or some; new alarms sound again."""
    from monitor.commands.running.ack import acknowledge

    own_keys = client_keys(key, server_key, keys)
    acknowledge(endpoint, stream=stream or "", episode=episode, as_json=as_json, keys=own_keys)


@running_monitor_app.command()
def limits(
    stream: StreamArgument,
    hr_low: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Alarm below this heart rate."),
    ] = None,
    hr_high: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Alarm above this heart rate."),
    ] = None,
    other: Annotated[
        list[str],
        typer.Option("--set", help="NAME=NUMBER of docs/alarms.md, as pause_s=2; repeatable."),
    ] = [],  # noqa: B006
    default: Annotated[
        bool, typer.Option("--default", help="Take back the limits of its own.")
    ] = False,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Show the alarm limits of a stream, or give it limits of its own."""
    from monitor.commands.running.limits import limits_of, set_limits

    rates = {"heart_rate_low_bpm": hr_low, "heart_rate_high_bpm": hr_high}
    chosen = {name: bpm for name, bpm in rates.items() if bpm is not None} | limits_of(other)
    own_keys = client_keys(key, server_key, keys)
    set_limits(endpoint, stream, chosen, default=default, as_json=as_json, keys=own_keys)


@running_monitor_app.command()
def silence(
    seconds: Annotated[
        float, typer.Option(min=0.0, max=180.0, help="Length of the pause; 0 ends one.")
    ] = 120.0,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Pause the sound of a running monitor; its dashboards go on showing alarms."""
    from monitor.commands.running.silence import pause_sound

    pause_sound(endpoint, seconds, as_json=as_json, keys=client_keys(key, server_key, keys))


@running_monitor_app.command()
def show(
    seq: Annotated[int, typer.Argument(min=1, help="Number of the alert.")],
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Read this log instead of asking a running monitor."),
    ] = None,
    recording: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="DIR",
            help="Take the signal from this folder of --record: it has that of every alert.",
        ),
    ] = None,
    png: Annotated[Optional[Path], typer.Option(help="Draw the signal into this file.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Show an alert with the ten seconds of signal around it."""
    from monitor.commands.running.show import show_alert

    own_keys = client_keys(key, server_key, keys)
    show_alert(
        seq,
        endpoint=endpoint,
        log=log,
        png=png,
        as_json=as_json,
        keys=own_keys,
        recording=recording,
    )
