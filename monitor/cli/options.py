"""Options that several commands have, and what is made of them."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from monitor.dashboard.options import Palette
from monitor.log_format import VARIABLE, LogFormat, set_log_format
from monitor.run.recording import RecordFormat
from monitor.text import safe_text
from pipeline.constants import DEFAULT_PORT, STREAM_NAME
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.transport.curve import ClientKeys
    from replay.files.stated import Stated

Data = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Folder with mitdb/; $MONITOR_DATA, ./data or ../shared/data, by default."),
]
Cache = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Keep the streamed beats of each record in this folder, some 300 MB."),
]
FalseAlerts = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--false-alerts-per-hour",
        help="Alerts an hour to accept that begin with a normal beat, on patients like those of "
        "the calibration, whose rate is the default. Fewer also means fewer ectopic beats found.",
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
    list[str],
    typer.Argument(
        help="Files (EDF, CSV and more: docs/files.md), WFDB records (100, path/100.hea), a folder "
        "of them, or demo."
    ),
]
Rate = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--fs", metavar="HZ", help="Sampling rate of files that do not state it."),
]
Unit = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="mV|uV|V", help="Unit of files that do not state it."),
]
ColumnNames = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--column",
        metavar="NAME[,NAME...]",
        help="Columns of a table, or variables of a .mat, by name or by number from 0.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", help="Of a folder, take the folders below it, too.")
]
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=1,
        max=1024,
        help="Processes, each with a record at a time; by default one for each processor.",
    ),
]
Speed = Annotated[str, typer.Option(help="1, N times real time, or max.")]
Start = Annotated[float, typer.Option(help="Second of the record to start at.")]
Duration = Annotated[Optional[float], typer.Option(help="Seconds to play; all by default.")]  # noqa: UP045
Loop = Annotated[bool, typer.Option("--loop", help="Start again at the end, until stopped.")]
Lead = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="NAME[,NAME...]|all",
        help="Leads by name or index, or all that are ECG: at most 12. Default: at most three that "
        "are ECG, MLII or II first.",
    ),
]
Port = Annotated[
    int, typer.Option(help="Port of the alerts; replay and control are one and two above.")
]
Bind = Annotated[str, typer.Option(help="Address to listen on; off loopback only with --key.")]
RequireKey = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Require keys of all clients; name of our own key (monitor keys new)."),
]
Weights = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="Student (.safetensors, its .json beside it); by default the one that ships."
    ),
]
PositionFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="File that keeps the position: continue there, at first with the oldest alert."
    ),
]


def checked_stream(name: str | None) -> str | None:
    """Return the name of a stream; raise `ConfigError` for one that no stream can have."""
    if name is None or re.fullmatch(STREAM_NAME, name):
        return name
    alike = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64]
    named = f"; a file of this name is the stream {alike}" if alike else ""
    raise ConfigError(
        f"{safe_text(name)!r} is no name of a stream: 1 to 64 of A-Z a-z 0-9 . _ -{named}"
    )


def _checked_pattern(pattern: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._*?!\[\]-]{1,128}", pattern) is None:
        raise ConfigError(
            f"{safe_text(pattern)!r} is no pattern of streams: use A-Z a-z 0-9 . _ - * ?"
        )
    return pattern


OnlyStream = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(callback=checked_stream, help="Only this stream."),
]
StreamArgument = Annotated[str, typer.Argument(callback=checked_stream, help="Name of the stream.")]
StreamPattern = Annotated[
    str,
    typer.Option(
        "--stream",
        callback=_checked_pattern,
        help="Pattern (* and ?) of the streams whose beats, status and signal it passes.",
    ),
]
Endpoint = Annotated[
    str,
    typer.Option(envvar="MONITOR_ENDPOINT", help="Address of the alerts of a running monitor."),
]
FromSeq = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="First alert to show; by default only those from now on."),
]
ENDPOINT = f"tcp://127.0.0.1:{DEFAULT_PORT}"
Log = Annotated[Optional[Path], typer.Option(help="Alert log; a new one by default.")]  # noqa: UP045
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")]
Sound = Annotated[bool, typer.Option("--sound", help="Ring the terminal's bell for alarms.")]
Colours = Annotated[
    Palette,
    typer.Option(
        "--palette",
        help="Colours of the dashboard; colour-blind: of Okabe and Ito, for any colour vision. "
        "None where NO_COLOR is set.",
    ),
]
NoFlash = Annotated[bool, typer.Option("--no-flash", help="Alarms do not flash.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
Parent = Annotated[Optional[int], typer.Option(hidden=True)]  # noqa: UP045
Listeners = Annotated[Optional[str], typer.Option(hidden=True)]  # noqa: UP045
RunEnd = Annotated[Optional[int], typer.Option(hidden=True)]  # noqa: UP045


def _set_log_format(context: typer.Context, log_format: LogFormat) -> LogFormat:
    """Switch to the format while options are parsed, so that all output of the command has it."""
    words = [word for word in sys.argv[1:] if not word.startswith("-") and "://" not in word]
    set_log_format(log_format, context.info_name or "monitor", words)
    return log_format


LogLines = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar=VARIABLE,
        callback=_set_log_format,
        help="Write stderr as text (warnings only) or as json, one object a line.",
    ),
]
Metrics = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=0, max=65535, help="Serve metrics for Prometheus on this port; 0 for any free one."
    ),
]
Record = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        metavar="DIR",
        help="Record every lead of every stream into this folder, as WFDB; replay plays it back.",
    ),
]
RecordFormats = Annotated[
    Optional[RecordFormat],  # noqa: UP045
    typer.Option(
        "--record-format",
        help="edf: write each segment that has ended as EDF+, too.",
    ),
]
RecordKeep = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="LIMIT",
        help="Remove the oldest of the recording beyond an age or a size: 7d, 20GB, or 7d,20GB.",
    ),
]
MetricsStreams = Annotated[
    bool,
    typer.Option(
        "--metrics-streams",
        help="Serve bpm, state and alarms of each stream, too, under its name.",
    ),
]
PseudonymKey = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--pseudonyms",
        help="Key file (monitor keys pseudonyms FILE): streams get pseudonyms in place of their "
        "names.",
    ),
]
Key = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Name of our own key (monitor keys new), for a hub that asks for keys."),
]
ServerKey = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="The hub's public key, or its name in the folder of keys."),
]
Folder = Annotated[
    Path,
    typer.Option(
        help="Classifiers that have not seen a patient; those that the folder lacks are trained."
    ),
]

Keys = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder of keys; ~/.config/ecg-monitor/keys by default."),
]

Brokers = Annotated[
    str, typer.Option("--kafka", metavar="HOST:PORT[,...]", help="Brokers of the cluster.")
]
Prefix = Annotated[str, typer.Option(help="Names of the topics begin with it.")]
KafkaConfig = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--kafka-config",
        help="File of librdkafka settings, name=value a line: security, time limits, client.rack.",
    ),
]


def client_keys(
    key: str | None, server_key: str | None, folder: Path | None
) -> "ClientKeys | None":
    """Return the keys that the options name; None where they name none.

    Raises:
        ConfigError: only one of the two keys is given.
        KeysError: a key cannot be used.
    """
    if key is None and server_key is None:
        return None
    if key is None or server_key is None:
        raise ConfigError("--key and --server-key go together: our own key, and the hub's")
    from pipeline.transport.keystore import KeyStore, default_folder

    return KeyStore(folder or default_folder()).client(key, server_key)


def stated_of(fs: float | None, unit: str | None, column: str | None) -> "Stated":
    """Return what the options say of files that do not say it; raise `ConfigError` for nonsense."""
    from replay.files.stated import Stated

    return Stated.of(fs, unit, column)


def checked_speed(text: str) -> str:
    """Return ``text`` if it is a speed; raise `ConfigError` otherwise."""
    from replay.pacing import parse_speed

    parse_speed(text)
    return text
