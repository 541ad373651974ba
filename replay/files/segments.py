"""WFDB records of several segments, of fixed and of variable layout, as one record.

Each segment passes the checks of `replay.headers` by itself. A null segment (``~``) is a gap, and
so is a segment that lacks a signal. Grammar: header(5) of the WFDB Applications Guide.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import InputError
from replay.files.pieces import Piece, Samples, read_pieces
from replay.files.regular import quoted
from replay.headers import (
    MAX_FRAME_SAMPLES,
    MAX_LEAD_SAMPLES,
    RecordHeader,
    RecordLine,
    SignalHeader,
    header_lines,
    load_header,
    record_line,
)
from replay.lead_sets.reading import LeadReader
from replay.leads import MV_PER_UNIT, lead_names

MAX_SEGMENTS: Final = 4096

_SEGMENT = re.compile(r"(?P<name>~|[A-Za-z0-9_-]{1,64})\s+(?P<frames>\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment that holds signals, and where it begins."""

    begin: int
    header: RecordHeader

    @property
    def end(self) -> int:
        """One past its last frame."""
        return self.begin + self.header.frames


def segment_names(path: Path) -> list[str]:
    """Return the names of the segments of a header, none where it has none or cannot be read."""
    try:
        lines = header_lines(path)
        if record_line(path, lines[0]).segments is None:
            return []
    except InputError:
        return []
    return [line.split()[0] for line in lines[1 : 1 + MAX_SEGMENTS]]


def load_segments(path: Path, about: RecordLine, lines: Sequence[str]) -> RecordHeader:
    """Return the header of a record of several segments, of which ``lines`` describe each.

    Raises:
        InputError: a segment cannot be used, or does not fit the others.
    """
    entries = _entries(path, about, lines)
    variable = entries[0][1] == 0
    segments, at = [], 0
    loaded: dict[str, RecordHeader] = {}
    for name, frames in entries[1:] if variable else entries:
        if name != "~" and frames:
            if name not in loaded:
                loaded[name] = _load(path, name, frames, about.rate_hz)
            segments.append(_Segment(at, loaded[name]))
            if loaded[name].frames != frames:
                _refuse(path, f"gives {quoted(name)} two lengths")
        at += frames
    if about.frames is not None and about.frames != at:
        _refuse(path, f"declares {about.frames:,} samples and segments of {at:,}")
    if not segments:
        _refuse(path, "has no segment that holds a signal")
    signals, pieces = _joined(path, segments, by_name=variable)
    per_frame = [signal.samples_per_frame for signal in signals]
    if at * max(per_frame) > MAX_LEAD_SAMPLES or sum(per_frame) > MAX_FRAME_SAMPLES:
        _refuse(path, f"declares more than {MAX_LEAD_SAMPLES:,} samples a lead; split the record")

    def read(index: int, first: int, last: int) -> Samples:
        return read_pieces(pieces[index], first, last)

    return RecordHeader(
        path=path,
        frame_rate_hz=about.rate_hz,
        frames=at,
        signals=signals,
        start=about.start,
        read=read,
    )


def _refuse(path: Path, why: str) -> NoReturn:
    raise InputError(f"header {quoted(path)} of several segments {why}")


def _entries(path: Path, about: RecordLine, lines: Sequence[str]) -> list[tuple[str, int]]:
    """Return name and frames of each segment; the first one of a variable layout has none."""
    count = about.segments or 0
    if not 1 <= count <= MAX_SEGMENTS:
        _refuse(path, f"declares {count} of them; 1 to {MAX_SEGMENTS:,} are read")
    if len(lines) < count:
        _refuse(path, f"declares {count} segments but lists {len(lines)}")
    entries = []
    for line in lines[:count]:
        match = _SEGMENT.fullmatch(line)
        if match is None:
            _refuse(path, f"lists {quoted(line)}, which is no segment: write its name and samples")
        if match["name"] in (about.name, path.stem):
            _refuse(path, f"names itself ({quoted(path.stem)}) as one of its segments")
        entries.append((match["name"], int(match["frames"])))
    return entries


def _load(path: Path, name: str, frames: int, rate_hz: float) -> RecordHeader:
    """Return the checked header of one segment."""
    own = path.parent / f"{name}.hea"
    try:
        if record_line(own, header_lines(own)[0]).segments is not None:
            raise InputError("it has several segments itself")
        header = load_header(own)
    except InputError as error:
        _refuse(path, f"has one, {quoted(name)}, that cannot be read: {error}")
    if abs(header.frame_rate_hz - rate_hz) > 1e-9 * rate_hz:
        _refuse(
            path,
            f"is of {rate_hz:g} Hz, but its segment {quoted(name)} of {header.frame_rate_hz:g}",
        )
    if header.frames != frames:
        _refuse(
            path,
            f"gives {quoted(name)} {frames:,} samples, but that has {header.frames:,}; "
            "fetch the record again",
        )
    return header


def _joined(
    path: Path, segments: Sequence[_Segment], *, by_name: bool
) -> tuple[tuple[SignalHeader, ...], list[list[Piece]]]:
    """Return the signals of the whole record and the pieces of each.

    Signals of a variable layout are the same where their names are, of a fixed one by their order.
    """
    places: dict[str | int, int] = {}
    signals: list[SignalHeader] = []
    pieces: list[list[Piece]] = []
    for segment in segments:
        names = lead_names(segment.header)
        for index, signal in enumerate(segment.header.signals):
            key = names[index] if by_name else index
            if key not in places:
                places[key] = len(signals)
                signals.append(replace(signal, skew_frames=0, name=names[index]))
                pieces.append([])
            joined = signals[places[key]]
            if joined.samples_per_frame != signal.samples_per_frame:
                _refuse(path, f"have {quoted(signal.name)} at different rates")
            if _kind(joined) == _kind(signal):
                per_frame = signal.samples_per_frame
                read = partial(_read, LeadReader(segment.header, index))
                pieces[places[key]].append(
                    Piece(segment.begin * per_frame, segment.end * per_frame, read)
                )
    if len(signals) > MAX_LEADS_PER_RECORD:
        _refuse(path, f"have {len(signals)} signals; 1 to {MAX_LEADS_PER_RECORD} are read")
    return tuple(signals), pieces


def _kind(signal: SignalHeader) -> str:
    """Return ``V`` for voltage of any unit, and other units as they are: only those are one."""
    units = signal.units.lower()
    return "V" if units in MV_PER_UNIT else units


def _read(reader: LeadReader, first: int, last: int) -> Samples:
    return reader.read(first, last)
