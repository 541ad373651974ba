"""The ``monitor`` command: parse, call one function of the packages, map errors to exit codes.

0 done, 2 bad input or refused configuration (one line on stderr), 130 interrupted, 1 a bug, or a
machine that has no memory or processes left (one line).
Heavy imports lie inside the commands, so that ``--help`` answers at once.
"""

import errno
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Optional

import typer

from monitor.cli.bench import bench_app
from monitor.cli.bridges import bridge_app
from monitor.cli.evaluate import evaluate_app
from monitor.cli.kafka import kafka_app
from monitor.cli.keys import keys_app
from monitor.cli.log import log_app
from monitor.cli.options import (
    Alarms,
    Colours,
    ColumnNames,
    Duration,
    FalseAlerts,
    Json,
    Lead,
    Log,
    LogLines,
    Loop,
    Metrics,
    MetricsStreams,
    NoFlash,
    Plain,
    Port,
    PseudonymKey,
    Rate,
    Record,
    RecordFormats,
    RecordKeep,
    Records,
    Recursive,
    Sound,
    Speed,
    Start,
    Unit,
    checked_speed,
    stated_of,
)
from monitor.cli.report import report_app
from monitor.cli.running_monitor import running_monitor_app
from monitor.cli.scan import scan_app
from monitor.cli.single_processes import single_process_app
from monitor.cli.train import train_app
from monitor.cli.usage import UsageError, report_usage
from monitor.cli.wall import wall_app
from monitor.dashboard.options import DashboardOptions, Palette
from monitor.log_format import LogFormat, report_line
from monitor.machine_faults import machine_fault
from monitor.run.recording import asked_recording
from monitor.text import LONGEST_LINE, SafeLines, safe_text
from pipeline.constants import DEFAULT_PORT, NOTICE
from pipeline.errors import MonitorError

_FOR_ALL: Final = frozenset({"train", "evaluate", "bench", "fetch", "keys"})
"""Commands whose files are documents, weights and public databases, or have modes of their own."""

_EXTRAS: Final = {
    "bleak": "ble",
    "brainflow": "brainflow",
    "confluent_kafka": "kafka",
    "matplotlib": "plot",
    "paho": "mqtt",
    "pyarrow": "parquet",
    "pylsl": "lsl",
    "pytorch_optimizer": "train",
    "sklearn": "train",
    "starlette": "wall",
    "torch": "train",
    "uvicorn": "wall",
    "websockets": "wall",
}
"""The extra that brings each library that a plain installation lacks."""

app = typer.Typer(
    name="monitor",
    help=f"Streaming ECG monitor: finds anomalous beats live and explains them. For {NOTICE}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; the entry point of the ``monitor`` script."""
    from monitor.run.processes import Refused

    _hold_standard_descriptors()
    if sys.stdout is None:  # closed by the parent: run on without output
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may lack characters that we write; nothing ends because of that.
        sys.stdout.reconfigure(errors="replace")
    handler = logging.StreamHandler()
    handler.setFormatter(SafeLines("monitor: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        with _closed_files(sys.argv[1:2]):
            arguments = _fill_bare_device(sys.argv[1:])
            code = app(args=arguments, prog_name="monitor", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except UsageError as error:
        sys.exit(report_usage(error))
    except Refused as refused:
        sys.exit(refused.code)
    except MonitorError as error:
        report_line(f"monitor: {safe_text(str(error), LONGEST_LINE)}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        extra = f"pip install 'ecg-monitor[{_EXTRAS[library]}]'"
        report_line(f"monitor: this command needs {library}, which is not installed: {extra}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as exit_:
        if isinstance(exit_.__context__, BrokenPipeError):
            # The reader of our output closed it. typer's exit code 1 would stand for a bug.
            _drop_output()
            sys.exit(0)
        raise
    except Exception as error:
        _exit_for_the_machine(error)
        raise


def _hold_standard_descriptors() -> None:
    """Open what the parent closed of 0, 1 and 2, or a socket or a log would get its number.

    A child process has something else there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)


def _exit_for_the_machine(error: Exception) -> None:
    """Exit with a line if the machine is to blame: 2 for a full disk, 1 for what may pass."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _drop_output()
        report_line("monitor: no space left to write to: free some, or write elsewhere")
        sys.exit(2)
    if line := machine_fault(error):
        report_line(f"monitor: {line}")
        sys.exit(1)


@contextmanager
def _closed_files(command: list[str]) -> Iterator[None]:
    """Create all files and folders of a command for their owner alone, whatever the umask.

    Logs, exports, pictures and annotations are about patients. What `_FOR_ALL` writes is not.
    """
    before = os.umask(0o077)
    os.umask(before if _FOR_ALL.issuperset(command) else before | 0o077)
    try:
        yield
    finally:
        os.umask(before)


def _drop_output() -> None:
    """Discard what is still buffered, or flushing it at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_bare_device(arguments: list[str]) -> list[str]:
    """Give a ``--device`` without a value an empty one: typer has no optional values."""
    filled: list[str] = []
    for argument, following in zip(arguments, [*arguments, "--"][1:], strict=True):
        bare = not following or (following[0] == "-" and not re.match(r"-(\?|$)", following))
        if argument == "--device" and bare:
            filled.append("--device=")
        elif argument or filled[-1:] != ["--device="]:  # an empty value, as of an unset variable
            filled.append(argument)
    return filled


def _print_version(asked: bool) -> None:
    if asked:
        import monitor

        typer.echo(f"ecg-monitor {monitor.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Hold the options of the program itself, before the command."""


@app.command()
def replay(
    records: Records,
    speed: Speed = "1",
    start: Start = 0.0,
    duration: Duration = None,
    loop: Loop = False,
    lead: Lead = None,
    fs: Rate = None,
    unit: Unit = None,
    column: ColumnNames = None,
    recursive: Recursive = False,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    plain: Plain = False,
    sound: Sound = False,
    palette: Colours = Palette.USUAL,
    no_flash: NoFlash = False,
    as_json: Json = False,
    log: Log = None,
    port: Port = DEFAULT_PORT,
    metrics: Metrics = None,
    metrics_streams: MetricsStreams = False,
    pseudonyms: PseudonymKey = None,
    record: Record = None,
    record_format: RecordFormats = None,
    record_keep: RecordKeep = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Replay recordings through the whole system, with the dashboard."""
    from monitor.commands.replay import replay_records
    from monitor.inputs import metrics_options

    replay_records(
        records,
        speed=checked_speed(speed),
        start_s=start,
        duration_s=duration,
        loop=loop,
        lead=lead,
        port=port,
        log=log,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        metrics=metrics_options(metrics, streams=metrics_streams),
        pseudonyms=pseudonyms,
        recording=asked_recording(record, record_format, record_keep),
        plain=plain,
        look=DashboardOptions(sound, palette, flash=not no_flash),
        as_json=as_json,
        stated=stated_of(fs, unit, column),
        recursive=recursive,
    )


@app.command()
def live(
    device: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="URI",
            help="Its address, such as /dev/ttyUSB0?fs=250, lsl:?name=, ble:polar-h10 or "
            "synthetic: (docs/devices.md); several times for several.",
        ),
    ] = None,
    lead: Lead = None,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    plain: Plain = False,
    sound: Sound = False,
    palette: Colours = Palette.USUAL,
    no_flash: NoFlash = False,
    as_json: Json = False,
    log: Log = None,
    port: Port = DEFAULT_PORT,
    metrics: Metrics = None,
    metrics_streams: MetricsStreams = False,
    pseudonyms: PseudonymKey = None,
    record: Record = None,
    record_format: RecordFormats = None,
    record_keep: RecordKeep = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Monitor devices until Ctrl-C; a bare --device takes the only one, or lists them."""
    from monitor.commands.live import monitor_devices
    from monitor.inputs import metrics_options

    monitor_devices(
        device or [],
        lead=lead,
        port=port,
        log=log,
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        metrics=metrics_options(metrics, streams=metrics_streams),
        pseudonyms=pseudonyms,
        recording=asked_recording(record, record_format, record_keep),
        plain=plain,
        look=DashboardOptions(sound, palette, flash=not no_flash),
        as_json=as_json,
    )


app.add_typer(running_monitor_app)
app.add_typer(wall_app)


app.add_typer(scan_app)
app.add_typer(report_app)
app.add_typer(single_process_app)
app.add_typer(kafka_app)
app.add_typer(bridge_app, name="bridge")
app.add_typer(log_app, name="log")
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(keys_app, name="keys")
app.add_typer(bench_app)


@app.command()
def doctor(
    port: Annotated[
        int, typer.Option(min=1, max=65533, help="First of the three ports to check.")
    ] = DEFAULT_PORT,
    as_json: Json = False,
) -> None:
    """Check the installation and the machine, and advise on what is wrong."""
    from monitor.commands.doctor import print_findings

    if not print_findings(port, as_json=as_json):
        raise typer.Exit(2)


@app.command()
def fetch(
    database: Annotated[str, typer.Argument(help="mitdb, nstdb or vfdb.")],
    data: Annotated[Path, typer.Option(help="Folder for its folder.")] = Path("data"),
) -> None:
    """Download a PhysioNet database."""
    from monitor.commands.fetch import fetch as fetch_database

    fetch_database(database, data)
