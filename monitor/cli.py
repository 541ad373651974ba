"""The ``monitor`` command: parse, call one function of the packages, map errors to exit codes.

0 done, 2 bad input or refused configuration (one line on stderr), 130 interrupted, 1 a bug.
Heavy imports stand inside the commands, so that ``--help`` answers at once.
"""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from monitor.evaluate_commands import evaluate_app
from monitor.options import Alarms, Data, FalseAlerts
from monitor.train_commands import train_app
from pipeline.constants import DEFAULT_PORT, NOTICE
from pipeline.errors import ConfigError, MonitorError

app = typer.Typer(
    name="monitor",
    help=f"Streaming ECG monitor: beat-level anomalies live, explained. For {NOTICE}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Records = Annotated[
    list[str], typer.Argument(help="WFDB records (100, 100.dat, path/100.hea), a folder, or demo.")
]
Speed = Annotated[str, typer.Option(help="1, N times real time, or max.")]
Start = Annotated[float, typer.Option(help="Second of the record to start at.")]
Duration = Annotated[Optional[float], typer.Option(help="Seconds to play; all by default.")]  # noqa: UP045
Loop = Annotated[bool, typer.Option("--loop", help="Start again at the end, for ever.")]
Lead = Annotated[
    Optional[str],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Lead by name or index; MLII or II, else the first ECG lead, by default."),
]
Port = Annotated[
    int, typer.Option(help="Port of the alerts; replay and control are one and two above.")
]
Endpoint = Annotated[str, typer.Option(help="Address of the alerts of a running monitor.")]
_ENDPOINT = f"tcp://127.0.0.1:{DEFAULT_PORT}"
Log = Annotated[Optional[Path], typer.Option(help="Alert log; a new one by default.")]  # noqa: UP045
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")]
Sound = Annotated[bool, typer.Option("--sound", help="Ring the terminal's bell for alarms.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
Parent = Annotated[Optional[int], typer.Option(hidden=True)]  # noqa: UP045


def main() -> None:
    """Run the command line; the entry point of the ``monitor`` script."""
    from monitor.processes import Refused

    if sys.stdout is None:  # closed by whoever started us: the run goes on, and says nothing
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    logging.basicConfig(level=logging.WARNING, format="monitor: %(message)s")
    try:
        app(args=_fill_bare_device(sys.argv[1:]))
    except Refused as refused:
        sys.exit(refused.code)
    except MonitorError as error:
        sys.stderr.write(f"monitor: {error}\n")
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        sys.stderr.write("monitor: no space left to write to: free some, or write elsewhere\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):
            # Whoever read our output has enough: no bug, which typer's exit code 1 would say.
            _drop_output()
            sys.exit(0)
        raise


def _drop_output() -> None:
    """Send what is still buffered nowhere, lest it fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_bare_device(arguments: list[str]) -> list[str]:
    """Give a ``--device`` without a value an empty one: typer has no options of both kinds."""
    return [
        "--device=" if argument == "--device" and following[:1] in ("", "-") else argument
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
    ]


def _speed(text: str) -> str:
    from replay.pacing import parse_speed

    parse_speed(text)
    return text


def _face(plain: bool, as_json: bool, sound: bool) -> tuple[Callable[[], Any], bool]:
    """Return what makes the face of a run, and whether it is the dashboard."""
    from monitor.session import DashboardFace, JsonFace, PlainFace

    if as_json:
        return lambda: JsonFace(sys.stdout.buffer), False
    if plain or not sys.stdout.isatty():
        return lambda: PlainFace(sys.stdout), False
    return lambda: DashboardFace(sys.stdout, sound=sound), True


@app.command()
def replay(
    records: Records,
    speed: Speed = "1",
    start: Start = 0.0,
    duration: Duration = None,
    loop: Loop = False,
    lead: Lead = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    plain: Plain = False,
    sound: Sound = False,
    as_json: Json = False,
    log: Log = None,
    port: Port = DEFAULT_PORT,
) -> None:
    """Replay WFDB records through the whole system, with the dashboard."""
    from monitor.session import default_log, run
    from monitor.stages import find_leads

    find_leads(records, lead)
    arguments = [*records, "--speed", _speed(speed), "--start", str(start)]
    arguments += [] if duration is None else ["--duration", str(duration)]
    arguments += [] if lead is None else ["--lead", lead]
    arguments += ["--loop"] if loop else []
    make_face, dashboard = _face(plain, as_json, sound)
    run(
        arguments,
        port=port,
        log=log or default_log(),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        make_face=make_face,
        dashboard=dashboard,
    )


@app.command()
def live(
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="serial:/dev/ttyUSB0?fs=250&gain=200 or synthetic:?bpm=72&ectopic=0.05."),
    ] = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    plain: Plain = False,
    sound: Sound = False,
    as_json: Json = False,
    log: Log = None,
    port: Port = DEFAULT_PORT,
) -> None:
    """Monitor a device until Ctrl-C; without --device, the only one attached."""
    from monitor.session import default_log, run
    from replay.devices import only_device

    make_face, dashboard = _face(plain, as_json, sound)
    run(
        ["--device", device or only_device()],
        port=port,
        log=log or default_log(),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        make_face=make_face,
        dashboard=dashboard,
    )


@app.command()
def subscribe(
    endpoint: Endpoint = _ENDPOINT,
    from_seq: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="First alert wanted; by default, what comes from now on."),
    ] = None,
    stream: Annotated[Optional[str], typer.Option(help="Only this stream.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Print the alerts of a running monitor, every one exactly once, until Ctrl-C."""
    from monitor.watch import watch

    watch(endpoint, from_seq=from_seq, stream=stream, as_json=as_json)


@app.command()
def ack(
    episode: Annotated[
        str, typer.Argument(help="Episode of one alarm, as alerts name it; all by default.")
    ] = "",
    stream: Annotated[str, typer.Option(help="Only alarms of this stream.")] = "",
    endpoint: Endpoint = _ENDPOINT,
    as_json: Json = False,
) -> None:
    """Acknowledge the alarms that stand; those that come later still call."""
    from monitor.ask import acknowledge

    acknowledge(endpoint, stream=stream, episode=episode, as_json=as_json)


@app.command()
def silence(
    seconds: Annotated[
        float, typer.Option(min=0.0, max=180.0, help="For so long; 0 ends a pause.")
    ] = 120.0,
    endpoint: Endpoint = _ENDPOINT,
    as_json: Json = False,
) -> None:
    """Pause the sound of a running monitor, never the picture."""
    from monitor.ask import silence as pause_sound

    pause_sound(endpoint, seconds, as_json=as_json)


@app.command()
def show(
    seq: Annotated[int, typer.Argument(min=1, help="Number of the alert.")],
    endpoint: Endpoint = _ENDPOINT,
    log: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Read this log instead of asking a running monitor."),
    ] = None,
    png: Annotated[Optional[Path], typer.Option(help="Draw the signal into this file.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Show an alert with the ten seconds of signal around it."""
    from monitor.ask import show as show_alert

    show_alert(seq, endpoint=endpoint, log=log, png=png, as_json=as_json)


@app.command()
def scan(
    records: Records,
    lead: Lead = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    as_json: Json = False,
    beats: Annotated[bool, typer.Option("--beats", help="Every beat as a JSON line.")] = False,
    annotations: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write WFDB annotations (.mon) into this folder."),
    ] = None,
) -> None:
    """Scan whole records offline, as fast as the machine goes, in this process."""
    from monitor.scan import scan_records

    scan_records(
        records,
        lead=lead,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        as_json=as_json,
        beats=beats,
        annotations=annotations,
    )


@app.command()
def hub(
    port: Port = DEFAULT_PORT,
    ingest: Annotated[str, typer.Option(help="Address for sources.")] = "tcp://127.0.0.1:0",
    work: Annotated[str, typer.Option(help="Address for scorers.")] = "tcp://127.0.0.1:0",
    log: Log = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    parent: Parent = None,
) -> None:
    """Run the hub alone; prints its addresses as one JSON line when it is ready."""
    from monitor.stages import run_hub

    run_hub(
        port=port,
        ingest=ingest,
        work=work,
        log=log,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        parent=parent,
        announce=_print_event,
    )


@app.command()
def score(
    work: Annotated[str, typer.Option(help="The hub's address for scorers.")],
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Student (.safetensors, with its .json beside it); ours by default."),
    ] = None,
    parent: Parent = None,
) -> None:
    """Run a scorer alone: batches of beats through the student, anomalous ones classified."""
    from monitor.stages import run_scorer

    run_scorer(work=work, weights=weights, parent=parent, announce=_print_event)


@app.command()
def source(
    ingest: Annotated[str, typer.Option(help="The hub's address for sources.")],
    records: Annotated[Optional[list[str]], typer.Argument(help="WFDB records.")] = None,  # noqa: UP045
    device: Annotated[Optional[str], typer.Option(help="Instead of records.")] = None,  # noqa: UP045
    speed: Speed = "1",
    start: Start = 0.0,
    duration: Duration = None,
    loop: Loop = False,
    lead: Lead = None,
    parent: Parent = None,
) -> None:
    """Run sources alone: records or a device, sent to a hub."""
    from monitor.stages import run_source

    if (device is None) == (not records):
        raise ConfigError("give records or --device, one of them")
    run_source(
        records or [],
        device=device,
        ingest=ingest,
        speed=_speed(speed),
        start_s=start,
        duration_s=duration,
        loop=loop,
        lead=lead,
        parent=parent,
        announce=_print_event,
    )


app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")


@app.command()
def bench(
    data: Data = None,
    as_json: Json = False,
    json_file: Annotated[Optional[Path], typer.Option(help="Write JSON here.")] = None,  # noqa: UP045
    report: Annotated[Optional[Path], typer.Option(help="Write Markdown here.")] = None,  # noqa: UP045
) -> None:
    """Measure kernels, student, throughput, latency and memory on this machine."""
    from monitor.bench import bench as run_bench

    run_bench(data, as_json=as_json, json_file=json_file, report=report)


@app.command()
def fetch(
    database: Annotated[str, typer.Argument(help="mitdb, nstdb or vfdb.")],
    data: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Download a PhysioNet database."""
    from monitor.fetch import fetch as fetch_database

    fetch_database(database, data)


def _print_event(event: str, **facts: Any) -> None:
    """Print one JSON line for whoever started this stage."""
    print(json.dumps({"event": event, **facts}), flush=True)
