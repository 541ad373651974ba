"""Options that commands of several files have in common."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.log_format import VARIABLE, LogFormat, begin
from pipeline.constants import DEFAULT_PORT

Data = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Folder with mitdb/; $MONITOR_DATA, ./data or ../shared/data, by default."),
]
FalseAlerts = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--false-alerts-per-hour",
        help="Alerts an hour on normal single beats to accept, expected on patients like those of "
        "the calibration: fewer also means that fewer ectopic beats are told. Its own by default.",
    ),
]
Alarms = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="TOML file of alarm settings (docs/alarms.md); the defaults without it."),
]
Student = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="A student.json; the one that ships by default."),
]
Records = Annotated[
    list[str], typer.Argument(help="WFDB records (100, 100.dat, path/100.hea), a folder, or demo.")
]
Speed = Annotated[str, typer.Option(help="1, N times real time, or max.")]
Start = Annotated[float, typer.Option(help="Second of the record to start at.")]
Duration = Annotated[Optional[float], typer.Option(help="Seconds to play; all by default.")]  # noqa: UP045
Loop = Annotated[bool, typer.Option("--loop", help="Start again at the end, for ever.")]
Lead = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Lead by name or index; MLII or II, else the first ECG lead, by default."),
]
Port = Annotated[
    int, typer.Option(help="Port of the alerts; replay and control are one and two above.")
]
Endpoint = Annotated[str, typer.Option(help="Address of the alerts of a running monitor.")]
FromSeq = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="First alert wanted; by default, what comes from now on."),
]
ENDPOINT = f"tcp://127.0.0.1:{DEFAULT_PORT}"
Log = Annotated[Optional[Path], typer.Option(help="Alert log; a new one by default.")]  # noqa: UP045
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")]
Sound = Annotated[bool, typer.Option("--sound", help="Ring the terminal's bell for alarms.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
Parent = Annotated[Optional[int], typer.Option(hidden=True)]  # noqa: UP045


def _begin_log(context: typer.Context, log_format: LogFormat) -> LogFormat:
    """Choose the format at once, so that whatever the command says is in it."""
    words = [word for word in sys.argv[1:] if not word.startswith("-") and "://" not in word]
    begin(log_format, context.info_name or "monitor", words)
    return log_format


LogLines = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar=VARIABLE,
        callback=_begin_log,
        help="stderr as text (warnings only) or as json, one object a line.",
    ),
]
Metrics = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=0, max=65535, help="Serve metrics for Prometheus on this port; 0 for any free one."
    ),
]


def checked_speed(text: str) -> str:
    """Return ``text`` if it is a speed; raise `ConfigError` otherwise."""
    from replay.pacing import parse_speed

    parse_speed(text)
    return text
