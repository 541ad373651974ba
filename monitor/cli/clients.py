"""What is asked of a running monitor: its alerts, a dashboard, its state, ``ack`` and the like."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.key_options import Key, Keys, ServerKey, client_keys
from monitor.cli.options import ENDPOINT, Endpoint, FromSeq, Json, Parent, Sound

client_app = typer.Typer()


@client_app.command()
def subscribe(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    from_seq: FromSeq = None,
    position: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="File that keeps how far was printed: go on there, at first with the oldest alert."
        ),
    ] = None,
    stream: Annotated[Optional[str], typer.Option(help="Only this stream.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Print the alerts of a running monitor, every one exactly once, until Ctrl-C."""
    from monitor.commands.subscribe import watch as print_alerts

    shown = client_keys(key, server_key, keys)
    print_alerts(
        endpoint,
        from_seq=from_seq,
        stream=stream,
        position=position,
        as_json=as_json,
        keys=shown,
    )


@client_app.command()
def watch(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    from_seq: FromSeq = None,
    sound: Sound = False,
    parent: Parent = None,
) -> None:
    """Show a running monitor on a dashboard of your own, until Ctrl-C."""
    from monitor.commands.watch import attach

    shown = client_keys(key, server_key, keys)
    attach(endpoint, from_seq=from_seq, sound=sound, parent=parent, keys=shown)


@client_app.command()
def status(
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Say how a running monitor stands: streams, alarms, scorers, log, counters."""
    from monitor.commands.status import status as show_status

    show_status(endpoint, as_json=as_json, keys=client_keys(key, server_key, keys))


@client_app.command()
def ack(
    episode: Annotated[
        str, typer.Argument(help="Episode of one alarm, as alerts name it; all by default.")
    ] = "",
    stream: Annotated[str, typer.Option(help="Only alarms of this stream.")] = "",
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Acknowledge the alarms that stand; those that come later still call."""
    from monitor.commands.ask import acknowledge

    shown = client_keys(key, server_key, keys)
    acknowledge(endpoint, stream=stream, episode=episode, as_json=as_json, keys=shown)


@client_app.command()
def silence(
    seconds: Annotated[
        float, typer.Option(min=0.0, max=180.0, help="For so long; 0 ends a pause.")
    ] = 120.0,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Pause the sound of a running monitor, never the picture."""
    from monitor.commands.ask import silence as pause_sound

    pause_sound(endpoint, seconds, as_json=as_json, keys=client_keys(key, server_key, keys))


@client_app.command()
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
    png: Annotated[Optional[Path], typer.Option(help="Draw the signal into this file.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Show an alert with the ten seconds of signal around it."""
    from monitor.commands.ask import show as show_alert

    shown = client_keys(key, server_key, keys)
    show_alert(seq, endpoint=endpoint, log=log, png=png, as_json=as_json, keys=shown)
