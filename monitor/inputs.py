"""Find and check what a command line names: records, databases, alarm settings and log."""

import logging
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from monitor.log_format import report_line
from monitor.text import safe_text
from pipeline.alarms.settings import DEFAULTS, AlarmSettings, settings_of
from pipeline.errors import ConfigError, InputError
from pipeline.files import read_regular
from replay.headers import find_records, load_header
from replay.lead_sets.choice import lead_choices
from replay.leads import stream_name

_MAX_SETTINGS_BYTES: Final = 1 << 16

_NAMED_RECORDS: Final = 3
"""So many records are named of those of which the same leads were taken."""


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    """What a hub serves to Prometheus."""

    port: int
    """0 for one that the kernel chooses."""
    streams: bool = False
    """Whether metrics of each stream are among them, with its name."""


def metrics_options(port: int | None, *, streams: bool) -> MetricsOptions | None:
    """Return what the options say; None where no metrics are served.

    Raises:
        ConfigError: metrics of streams are asked for, and no port.
    """
    if port is None:
        if streams:
            raise ConfigError("--metrics-streams adds to what --metrics PORT serves: give both")
        return None
    return MetricsOptions(port, streams)


@dataclass(frozen=True, slots=True)
class FoundLeads:
    """The leads that are taken of a record that the command line names."""

    path: Path
    """The header."""
    indices: tuple[int, ...]
    why: str
    """Why these, as `replay.lead_sets.choice.LeadChoices`; empty where nothing is to be said."""


def find_leads(records: Sequence[str], lead: str | None) -> list[FoundLeads]:
    """Return header and leads of every record that the arguments name, all checked.

    ``lead`` is the option's text: a name or an index, several with commas, or ``all``.

    Raises:
        InputError: a record cannot be used, or has no such lead.
    """
    from replay.records import derived_in

    found = []
    for argument in records:
        for path in find_records(argument):
            header = load_header(path)
            choice = lead_choices(header, lead, derived=partial(derived_in, header))
            found.append(FoundLeads(path, choice.indices, choice.why))
    return found


def report_leads(found: Iterable[FoundLeads]) -> None:
    """Write to stderr which leads of which record were taken and why, where there was a choice.

    Records of one database have the same signals: they share a line.
    """
    records: dict[str, list[str]] = {}
    for one in found:
        if one.why:
            records.setdefault(one.why, []).append(safe_text(stream_name(one.path)))
    for why, names in records.items():
        more = len(names) - _NAMED_RECORDS
        which = ", ".join(names[:_NAMED_RECORDS]) + (f" and {more} more" if more > 0 else "")
        report_line(f"monitor: {which}: {why}", logging.INFO)


def data_folder(data: Path | None) -> Path:
    """Return the folder of the databases: ``--data``, $MONITOR_DATA, ./data, or ../shared/data.

    Raises:
        InputError: none of them exists.
    """
    if data is not None:
        return data
    named = os.environ.get("MONITOR_DATA")
    for folder in ([Path(named)] if named else []) + [Path("data"), Path("..") / "shared" / "data"]:
        if folder.is_dir():
            return folder
    raise InputError("no databases found: fetch one with `monitor fetch mitdb`, or name --data")


def load_alarm_settings(path: Path | None) -> AlarmSettings:
    """Return the alarm settings in the TOML file ``path``; the defaults without one.

    Raises:
        ConfigError: the file cannot be read, is a pipe or a device, is longer than 64 KiB, is not
            TOML, or contains a setting that is refused.
    """
    if path is None:
        return DEFAULTS
    try:
        # A pipe can be read once, and a hub that is started again would find it empty.
        content = read_regular(path, _MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the alarm settings {path}: {error.strerror}") from None
    if len(content) > _MAX_SETTINGS_BYTES:  # applying half of the file would be worse than none
        raise ConfigError(f"{path} is longer than 64 KiB: write lines like asystole_s = 4")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib passes on errors of int() and the stack
        raise ConfigError(f"{path} is not TOML: {error}; write lines like asystole_s = 4") from None
    try:
        return settings_of(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def default_log() -> Path:
    """Return the path of a new log, for a run without ``--log``.

    Raises:
        ConfigError: this user has no home folder.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return state_folder("--log") / f"{stamp}-{os.getpid()}.sqlite"


def state_folder(option: str) -> Path:
    """Return the folder of logs and positions; ``option`` is what names another place.

    Raises:
        ConfigError: this user has no home folder.
    """
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise ConfigError(
            f"this user has no home folder to write to: name a file with {option}"
        ) from None
    return state / "ecg-monitor"
