"""Find and check what a command line names: records, databases, alarm settings and log."""

import logging
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from monitor.log_format import report_line
from monitor.text import LONGEST_LINE, safe_text
from pipeline.alarms.settings import DEFAULTS, AlarmSettings, settings_of
from pipeline.errors import ConfigError, InputError
from pipeline.files import read_regular
from replay.files.recordings import Found, find_recordings, open_recording
from replay.files.stated import NOTHING, Stated
from replay.headers import RecordHeader, load_header, quoted
from replay.lead_sets.choice import lead_choices
from replay.pacing import BLOCK_S

if TYPE_CHECKING:
    from replay.recording.source import RecordingSource
    from replay.records import RecordSource

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

    header: RecordHeader
    """Checked, of a record of any format."""
    indices: tuple[int, ...]
    why: str
    """Why these, as `replay.lead_sets.choice.LeadChoices`; empty where nothing is to be said."""
    of_folder: bool = False
    """The record lies in a folder that was named: a fault of it ends nothing else."""
    segments: tuple[Path, ...] = ()
    """All segments of a recording, `header` that of the first; empty of another record."""
    stream: str = ""
    """The stream of a recording; empty of another record."""

    @property
    def file(self) -> Path:
        """The file by which people know it: of a recording one of the name of its stream."""
        path = self.header.path
        return path.with_name(f"{self.stream}{path.suffix}") if self.stream else path


class Inputs(NamedTuple):
    """What the arguments of a command line name."""

    leads: list[FoundLeads]
    skipped: list[tuple[Path, str]]
    """Files of folders that cannot be used, each with the reason."""


def find_leads(
    records: Sequence[str], lead: str | None, stated: Stated = NOTHING, *, recursive: bool = False
) -> Inputs:
    """Return header and leads of every record that the arguments name, all checked.

    ``lead`` is the option's text: a name or an index, several with commas, or ``all``. ``stated``
    is what the files do not say. Of a folder, what cannot be used is skipped.

    Raises:
        InputError: a record cannot be used, or has no such lead; a folder has none that can.
    """
    leads: list[FoundLeads] = []
    skipped: list[tuple[Path, str]] = []
    for argument in records:
        found = find_recordings(argument, recursive=recursive)
        before, first_skipped = len(leads), len(skipped)
        streams, others, bad = segments_in(found)
        skipped += bad
        for path in others:
            try:
                leads.append(leads_of(path, lead, stated, of_folder=found.folder))
            except InputError as error:
                if not found.folder:
                    raise
                skipped.append((path, str(error)))
        leads += [leads_of_recording(of_stream, lead, found.folder) for of_stream in streams]
        if len(leads) == before:
            raise InputError(f"folder {quoted(argument)}: {skipped[first_skipped][1]}")
        skipped += found.skipped
    return Inputs(leads, skipped)


def leads_of(
    path: Path, lead: str | None, stated: Stated, *, of_folder: bool = False
) -> FoundLeads:
    """Return header and leads of a record; arguments and errors as of `find_leads`."""
    from replay.records import derived_in

    header = open_recording(path, stated)
    if lead is None and stated.columns:  # who names columns wants them all
        lead = ",".join(map(str, range(len(header.signals))))
    choice = lead_choices(header, lead, derived=partial(derived_in, header))
    return FoundLeads(header, choice.indices, choice.why, of_folder)


def segments_in(found: Found) -> tuple[list[list[Path]], list[Path], list[tuple[Path, str]]]:
    """Return the segments of recordings by stream, other records, and what is neither, with why."""
    from replay.recording.source import recordings

    segments: list[Path] = []
    others: list[Path] = []
    bad: list[tuple[Path, str]] = []
    for path in found.paths:
        try:
            is_segment = path.suffix == ".hea" and bool(recordings([path])[0])
        except InputError as error:
            if not found.folder:
                raise
            bad.append((path, str(error)))
        else:
            (segments if is_segment else others).append(path)
    # A segment may lie there as EDF, too; it is one recording.
    others = [path for path in others if path.with_suffix(".hea") not in segments]
    return recordings(segments)[0], others, bad


def leads_of_recording(
    segments: list[Path], lead: str | None, of_folder: bool = False
) -> FoundLeads:
    """Return the leads of a recording in these segments; errors as of `find_leads`."""
    from replay.recording.segment import read_segment
    from replay.records import derived_in

    header, why, read = load_header(segments[0]), "", read_segment(segments[0])
    stream = read[0].stream if read else ""
    indices = tuple(range(len(header.signals)))  # those that were watched
    if lead is not None:
        choice = lead_choices(header, lead, derived=partial(derived_in, header))
        indices, why = choice.indices, choice.why
    return FoundLeads(header, indices, why, of_folder, tuple(segments), stream)


def report_skipped(skipped: Iterable[tuple[Path, str]]) -> None:
    """Write to stderr which files of a folder were not taken and why; those alike share a line."""
    for why, names in _grouped((why, path.name) for path, why in skipped):
        report_line(f"monitor: skipped {names}: {safe_text(why, LONGEST_LINE)}", logging.INFO)


def _grouped(named: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each reason with the names that it applies to, not more than a line holds."""
    groups: dict[str, list[str]] = {}
    for why, name in named:
        groups.setdefault(why, []).append(safe_text(name))
    return [
        (why, ", ".join(names[:_NAMED_RECORDS]) + _more(len(names) - _NAMED_RECORDS))
        for why, names in groups.items()
    ]


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def open_record(
    found: FoundLeads,
    *,
    speed: float | None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    loop: bool = False,
    block_s: float = BLOCK_S,
) -> "RecordSource | RecordingSource":
    """Return a record, or the recording of a stream, as a source whose `blocks` never waits.

    The arguments are those of `RecordSource`.

    Raises:
        InputError: it cannot be used.
        ConfigError: it ends before the start, or a recording is to be looped.
    """
    from replay.recording.source import RecordingSource
    from replay.records import RecordSource

    if not found.segments:
        return RecordSource(
            found.header, leads=found.indices, speed=speed, start_s=start_s, duration_s=duration_s,
            loop=loop, wait=None, block_s=block_s,
        )  # fmt: skip
    if loop:
        raise ConfigError(f"{found.header.path.name} is part of a recording, which does not loop")
    return RecordingSource(
        found.segments, leads=found.indices, speed=speed, start_s=start_s, duration_s=duration_s,
        wait=None, block_s=block_s,
    )  # fmt: skip


def report_leads(found: Iterable[FoundLeads]) -> None:
    """Write to stderr which leads of which record were taken and why, where there was a choice.

    Records of one database have the same signals: they share a line.
    """
    for why, names in _grouped((one.why, one.file.stem) for one in found if one.why):
        report_line(f"monitor: {names}: {why}", logging.INFO)


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
