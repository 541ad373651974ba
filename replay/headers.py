"""Check an untrusted WFDB record before anything is read from it or allocated for it.

`find_records` finds the header files of a command-line argument. `load_header` parses one header
with a grammar of its own and refuses everything that could make a reader hang, leave the record's
folder or allocate more than the files hold. The signals are later read with the numbers found here,
and the text is never parsed again, so the values in use are those that were checked.

Grammar and defaults: header(5) of the WFDB Applications Guide (Moody), without difference
format 8. Records of several segments are put together by `replay.files.segments`, and files of
other formats are described by the same types (`replay.files`). Touches the file system, reads
headers only. Every refusal is an `InputError` of one line; text from a file appears in it through
`quoted`, so control characters never reach a terminal.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MAX_LEADS_PER_RECORD, SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import InputError
from replay.files.dates import wfdb_start
from replay.files.regular import check_regular, read_head, read_small
from replay.files.regular import quoted as quoted
from replay.flac import MAX_METADATA_BYTES, stream_info
from replay.signal_formats import FORMATS

DEMO_RECORD: Final = Path(__file__).parent / "demo" / "demo.hea"
"""The record that is bundled with the program; see `replay.demo`."""

MAX_HEADER_BYTES: Final = 256 * 1024
MAX_LINE_CHARACTERS: Final = 1000
MAX_LEAD_SAMPLES: Final = 2**28
"""Samples of one lead: eight days at 360 Hz, 1 GiB as float32."""
MAX_FRAME_SAMPLES: Final = 2**20
"""Samples of all leads in one frame, the smallest unit that can be read."""
GAIN_LIMITS: Final = (1e-6, 1e13)
"""ADC units per physical unit, whatever that is: from 1 unit a mV stated in nV, to 32 bits that
``wrsamp`` spread over a signal of less than 1 mV stated in V."""
DEFAULT_GAIN: Final = 200.0
DEFAULT_RATE_HZ: Final = 250.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalHeader:
    """One signal line of a header, defaults filled in."""

    file: str
    format: str
    samples_per_frame: int
    skew_frames: int
    byte_offset: int
    """Bytes before the first sample; samples for FLAC."""
    gain: float
    """ADC units per physical unit."""
    baseline: int
    """ADC value of physical zero."""
    units: str
    adc_bits: int
    """0 if the header does not state it."""
    adc_zero: int
    name: str


ReadLead: TypeAlias = Callable[
    [int, int, int], tuple[NDArray[np.float32], NDArray[np.uint8] | None]
]
"""Returns samples [first, last) of the signal ``index`` in mV, NaN where none is known, and their
flags, None where none is set. Its arguments are these three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """A header that passed every check."""

    path: Path
    """The header file, or the file of another format."""
    frame_rate_hz: float
    frames: int
    signals: tuple[SignalHeader, ...]
    start: datetime | None = None
    """When the first sample was taken, if the header says so."""
    read: ReadLead | None = None
    """Reads the signals; None for a WFDB record of one segment (`replay.lead_sets.reading`)."""

    def lead_rate_hz(self, index: int) -> float:
        """Return the sampling rate of signal ``index``: frames a second times samples a frame."""
        # Of frames of 3 s the product has an error in the last bit, and 360 Hz needs no resampling.
        return round(self.frame_rate_hz * self.signals[index].samples_per_frame, 9)


def find_records(argument: str) -> list[Path]:
    """Return the headers that ``argument`` names, in alphabetical order for a folder.

    Accepts ``demo``, a record with or without extension (``100``, ``100.dat``, ``dir/100.hea``)
    and a folder, which stands for every record in it. Raises `InputError` if there is none.
    """
    if argument == "demo":
        return [DEMO_RECORD]
    path = Path(argument)
    try:
        if path.is_dir() and not os.path.isfile(f"{path}.hea"):
            found = sorted(entry for entry in path.iterdir() if entry.suffix == ".hea")
            if not found:
                raise InputError(f"folder {quoted(argument)} holds no record: no .hea file in it")
            return found
    except (OSError, ValueError) as error:
        raise InputError(f"cannot look for records in {quoted(argument)}: {error}") from None
    return [header_path(path)]


def header_path(record: str | Path) -> Path:
    """Return the header file of ``record``, given with or without any of its extensions."""
    path = Path(record)
    try:
        candidates = [path] if path.suffix == ".hea" else []
        if path.name:
            candidates += [path.with_name(path.name + ".hea"), path.with_suffix(".hea")]
        for candidate in candidates:
            if os.path.lexists(candidate):
                return candidate
    except (OSError, ValueError):
        pass
    raise InputError(
        f"no record {quoted(record)}: there is no such file, and no {quoted(path.stem + '.hea')} "
        f"in {quoted(path.parent)}; give the path of a recording, or 'demo'"
    )


def load_header(record: str | Path) -> RecordHeader:
    """Return the checked header of ``record``; raise `InputError` and nothing else.

    Every signal file is then a regular file in the record's own folder that holds as many samples
    as declared, and every number is within its limits.
    """
    path = header_path(record)
    lines = header_lines(path)
    if any("::" in str(folder) for folder in _folders(path)):
        _refuse(path, "lies under a name with '::', which wfdb takes for an address; rename it")
    about = record_line(path, lines[0])
    count, rate_hz, frames = about.signals, about.rate_hz, about.frames
    if about.segments is not None:
        from replay.files.segments import load_segments

        return load_segments(path, about, lines[1:])
    if not 1 <= count <= MAX_LEADS_PER_RECORD:
        _refuse(path, f"declares {count} signals; 1 to {MAX_LEADS_PER_RECORD} are read")
    if len(lines) <= count:
        _refuse(path, f"declares {count} signals but describes {len(lines) - 1}")
    signals = tuple(_signal_line(path, i, line) for i, line in enumerate(lines[1 : count + 1]))
    highest_hz = SAMPLING_RATE_LIMITS_HZ[1]
    for signal in signals:
        if rate_hz * signal.samples_per_frame > highest_hz:
            _refuse(path, f"declares a sampling rate over {highest_hz:,.0f} Hz")
    if sum(signal.samples_per_frame for signal in signals) > MAX_FRAME_SAMPLES:
        _refuse(path, f"declares more than {MAX_FRAME_SAMPLES:,} samples in one frame")
    held = [_frames_held(path, group, frames) for group in _files(path, signals)]
    if frames is None and max(held) - min(held) > rate_hz:  # over a second: no padding
        lengths = f"{min(held):,} to {max(held):,} samples"
        _refuse(path, f"has leads of {lengths} and states no length; write it after the rate")
    frames = frames or min(held)
    if any(signal.skew_frames >= frames for signal in signals):
        _refuse(path, "moves a signal by more than its length (skew); nothing would be left of it")
    if frames * max(signal.samples_per_frame for signal in signals) > MAX_LEAD_SAMPLES:
        _refuse(path, f"declares more than {MAX_LEAD_SAMPLES:,} samples a lead; split the record")
    return RecordHeader(
        path=path, frame_rate_hz=rate_hz, frames=frames, signals=signals, start=about.start
    )


def _refuse(path: Path, why: str) -> NoReturn:
    raise InputError(f"header {quoted(path)} {why}")


# --- text ------------------------------------------------------------------------------------

_RECORD = re.compile(
    r"(?P<name>[A-Za-z0-9_-]{1,64})(/(?P<segments>\d{1,9}))?"
    r"\s+(?P<count>\d{1,9})"
    r"(\s+(?P<rate>[^\s/(]{1,32})(/[^\s(]{0,32})?(\([^\s)]{0,32}\))?"
    r"(\s+(?P<frames>\d{1,15})(?P<start>(\s+[\dA-Za-z:./-]{1,20}){0,2}))?)?",
    re.ASCII,
)
_SIGNAL_FORMAT = re.compile(
    r"(?P<format>\d{1,4})(x(?P<samples>\d{1,9}))?(:(?P<skew>\d{1,9}))?(\+(?P<offset>\d{1,9}))?",
    re.ASCII,
)
_GAIN = re.compile(
    r"(?P<gain>-?(?P<mantissa>\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,3})?)"
    r"(\((?P<baseline>-?\d{1,10})\))?(/(?P<units>\S{1,20}))?",
    re.ASCII,
)
_SIGNAL_FILE = re.compile(r"[A-Za-z0-9_-]{1,80}(\.[A-Za-z0-9_]{1,16})?")
_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_DECIMAL = re.compile(r"-?(\d{1,12}\.?\d{0,32}|\.\d{1,32})", re.ASCII)


def header_lines(path: Path) -> list[str]:
    """Return the lines of a header that are not comments; at least one."""
    data = read_small(path, "header", MAX_HEADER_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [line.strip(" \t") for line in re.split(r"[\r\n]+", text)]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        _refuse(path, "is empty; a WFDB header begins with 'name signals rate samples'")
    for line in lines[: MAX_LEADS_PER_RECORD + 1]:
        if len(line) > MAX_LINE_CHARACTERS or not line.replace("\t", " ").isprintable():
            _refuse(path, "is no text; a WFDB header begins with 'name signals rate samples'")
    return lines


class RecordLine(NamedTuple):
    """The first line of a header, defaults filled in."""

    name: str
    segments: int | None
    signals: int
    rate_hz: float
    """Frames a second."""
    frames: int | None
    start: datetime | None


def record_line(path: Path, line: str) -> RecordLine:
    """Return what the first line of a header states."""
    match = _RECORD.fullmatch(line)
    if match is None:
        _refuse(
            path,
            f"begins with {quoted(line)}, which is no WFDB header; "
            "one begins with 'name signals rate samples'",
        )
    segments = match["segments"]
    rate = match["rate"]
    if rate is not None and not _DECIMAL.fullmatch(rate):
        _refuse(path, f"declares the sampling rate {quoted(rate)}, which is no number")
    rate_hz = DEFAULT_RATE_HZ if rate is None else float(rate)
    if rate_hz <= 0:
        _refuse(path, f"declares a sampling rate of {rate_hz:g} Hz; it has to be above 0")
    return RecordLine(
        match["name"],
        None if segments is None else int(segments),
        int(match["count"]),
        rate_hz,
        # 0 means unknown, like a missing number: the size of the files decides.
        int(match["frames"] or 0) or None,
        wfdb_start(match["start"] or ""),
    )


def _signal_line(path: Path, index: int, line: str) -> SignalHeader:
    """Return one signal line, defaults filled in and every number within its limits."""
    fields = line.split()
    where = f"signal {index}"
    file = fields[0]
    if not _SIGNAL_FILE.fullmatch(file):
        _refuse(
            path,
            f"names the signal file {quoted(file)}; "
            "only a file in the header's own folder is read, so give a plain name",
        )
    match = _SIGNAL_FORMAT.fullmatch(fields[1]) if len(fields) > 1 else None
    if match is None or match["format"] not in FORMATS:
        given = quoted(fields[1]) if len(fields) > 1 else "none"
        _refuse(path, f"gives {where} the format {given}; known are {', '.join(FORMATS)}")
    samples_per_frame = int(match["samples"] or 1)
    if samples_per_frame < 1:
        _refuse(path, f"declares {samples_per_frame} samples per frame in {where}")
    gain, baseline, units = _gain(path, where, fields[2] if len(fields) > 2 else "0")
    # Positional integers (resolution, zero, first value, checksum, block size), all optional.
    numbers: list[int] = []
    for field in fields[3:8]:
        if not _INTEGER.fullmatch(field):
            break
        numbers.append(int(field))
    adc_bits, adc_zero = [*numbers, 0, 0][:2] if numbers else (0, 0)
    return SignalHeader(
        file=file,
        format=match["format"],
        samples_per_frame=samples_per_frame,
        skew_frames=int(match["skew"] or 0),
        byte_offset=int(match["offset"] or 0),
        gain=gain,
        baseline=adc_zero if baseline is None else baseline,
        units=units,
        adc_bits=adc_bits,
        adc_zero=adc_zero,
        name=" ".join(fields[3 + len(numbers) :])[:64] or where,
    )


def _gain(path: Path, where: str, field: str) -> tuple[float, int | None, str]:
    """Return gain, baseline if given, and units of a field like ``200(1024)/mV``."""
    match = _GAIN.fullmatch(field)
    if match is None:
        _refuse(path, f"gives {where} the gain {quoted(field)}; it reads like 200(1024)/mV")
    low, high = GAIN_LIMITS
    gain = float(match["gain"])
    if float(match["mantissa"]) == 0:
        gain = DEFAULT_GAIN  # header(5): 0 means that the signal was never calibrated
    # A negative gain is legal: the lead was recorded with reversed polarity.
    if not low <= abs(gain) <= high:
        _refuse(path, f"gives {where} the gain {quoted(field)}; {low:g} to {high:g} are read")
    baseline = match["baseline"]
    return gain, None if baseline is None else int(baseline), match["units"] or "mV"


# --- files -----------------------------------------------------------------------------------


def _files(path: Path, signals: tuple[SignalHeader, ...]) -> list[list[SignalHeader]]:
    """Return the signals of each file; those of one file are adjacent and have the same format."""
    groups: list[list[SignalHeader]] = []
    for signal in signals:
        if groups and groups[-1][0].file == signal.file:
            groups[-1].append(signal)
        else:
            groups.append([signal])
    if len({group[0].file for group in groups}) < len(groups):
        _refuse(path, "scatters the signals of one file over the header; they must stand together")
    for group in groups:
        if len({(signal.format, signal.byte_offset) for signal in group}) > 1:
            _refuse(path, f"gives the file {quoted(group[0].file)} two formats or offsets")
    return groups


def _folders(path: Path) -> set[Path]:
    """Return the folders that may hold the signals: the header's, or that of its link's target."""
    return {path.parent.resolve(), path.resolve().parent}


def _frames_held(path: Path, group: list[SignalHeader], declared: int | None) -> int:
    """Return how many frames the file of ``group`` holds; refuse fewer than declared."""
    first = group[0]
    file = path.parent / first.file
    size = check_regular(file, "signal file")
    # A link may lead from a folder of links to the data, but not out of the record's folder.
    if file.resolve().parent not in _folders(path):
        _refuse(path, f"names the signal file {quoted(first.file)}, a link out of its folder")
    if size == 0:
        raise InputError(f"signal file {quoted(file)} is empty; fetch the record again")
    form = FORMATS[first.format]
    samples_per_frame = sum(signal.samples_per_frame for signal in group)
    if form.samples_per_group == 0:
        held = _flac_frames(path, file, group)
    else:
        groups, rest = divmod(max(0, size - first.byte_offset), form.bytes_per_group)
        # The first sample of a group lies in its first two bytes (all three packed formats).
        held_samples = groups * form.samples_per_group + (form.samples_per_group > 1 and rest > 1)
        held = held_samples // samples_per_frame
    if held < (declared or 1):
        raise InputError(
            f"signal file {quoted(file)} holds {held:,} samples a lead but its header declares "
            f"{declared or 1:,}; the file is truncated, fetch the record again"
        )
    return held


def _flac_frames(path: Path, file: Path, group: list[SignalHeader]) -> int:
    """Return the number of frames of a FLAC file: as declared, but no more than it can hold."""
    head = read_head(file, "signal file", MAX_METADATA_BYTES + 2)
    info = stream_info(head, file.stat().st_size)
    if info is None:
        raise InputError(f"signal file {quoted(file)} is no FLAC file; fetch the record again")
    first = group[0]
    if info.channels != len(group) or len({signal.samples_per_frame for signal in group}) > 1:
        _refuse(path, f"does not describe the {info.channels} channels of {quoted(first.file)}")
    if info.bits > FORMATS[first.format].bits:
        _refuse(
            path, f"gives {quoted(first.file)} format {first.format}, but it is {info.bits}-bit"
        )
    held = min(info.samples, info.max_samples)
    return max(0, held - first.byte_offset) // first.samples_per_frame
