"""Read any WFDB annotator of a record as arrays, by the rules of WFDB's own library.

`read_annotations` reads as ``getann`` of the C library does, because an annotator under test may
write a bad file. Annotations out of order stay in the order of the file, and positions beyond the
record stay as they are. A code without a name becomes ``[42]``. Of a file without its end mark, all
but the last annotation count. `read_beats` and `read_flutter` are for references: they refuse a
file that is out of order, marks samples outside the record, or is truncated. A last beat that the
end of the signal cuts is not outside: see `BEYOND_END_S`. wfdb-python is not
used: on bad files it raises its own errors or reads something else, it lets a file rename its
codes, and it parses the header a second time by other rules.

Format: annot(5) of the WFDB Applications Guide (Moody), MIT format. Positions count samples
from 0. A file of `MAX_ANNOTATION_BYTES` takes some 2 s and 400 MiB, whatever it holds.
"""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.files.regular import read_small
from replay.headers import (
    header_lines,
    header_path,
    load_header,
    quoted,
    record_line,
)
from replay.leads import choose_lead

BEAT_SYMBOLS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Annotation symbols that mark a beat (WFDB ``isqrs``)."""

FLUTTER_SYMBOLS: Final = frozenset("[]")

MAX_ANNOTATION_BYTES: Final = 4 * 1024 * 1024
"""Two million beats, which are three weeks."""

LATEST_SAMPLE: Final = 2**62
"""Larger positions are refused, so that sums and differences of two fit into int64."""

BEYOND_END_S: Final = 0.15
"""A reference may mark a beat this long after the end of the signal, which cuts the beat in two. It
counts as a beat at the last sample: within 150 ms a comparison takes both for the same (EC57)."""

_SKIP, _NUM, _SUBTYPE, _CHANNEL, _AUX = 59, 60, 61, 62, 63
_NOTE: Final = 22
_RHYTHM: Final = 28
END_MARK: Final = bytes(2)

SYMBOLS: Final[tuple[str, ...]] = (
    *(" ", "N", "L", "R", "a", "V", "F", "J", "A", "S"),
    *("E", "j", "/", "Q", "~", "[15]", "|", "[17]", "s", "T"),
    *("*", "D", '"', "=", "p", "B", "^", "t", "+", "u"),
    *("?", "!", "[", "]", "e", "n", "@", "x", "f", "("),
    *(")", "r"),
    *(f"[{code}]" for code in range(42, 64)),
)
"""Symbol of every annotation code (``ecgstr``), even if a file renames it."""

_RESOLUTION = re.compile(r"## time resolution: +(\d{1,9}(?:\.\d{0,12})?)")


class Mark(NamedTuple):
    """One annotation of a file that is written."""

    sample: int
    symbol: str
    """One of `SYMBOLS`, but not the first: it stands for the end."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """The annotations of one annotator of a record, in the order of its file.

    Fields have the names of ``wfdb.Annotation``, which can replace it.
    """

    sample: NDArray[np.int64]
    """Positions, int64[n]: samples at ``fs`` from the beginning of the record."""
    symbol: list[str]
    """n of `SYMBOLS`."""
    subtype: NDArray[np.int64]
    """int64[n], -128 to 127; 0 if the file has none."""
    aux_note: list[str]
    """n texts, empty if the file has none; one byte is one character."""
    fs: float
    """Samples a second, Hz."""


def record_extent(record: str | Path) -> tuple[float, int | None]:
    """Return frames a second, and the number of frames if the header states it.

    The signals need not exist. Raises `InputError` for a missing or malformed header.
    """
    path = header_path(record)
    about = record_line(path, header_lines(path)[0])
    rate_hz, frames = about.rate_hz, about.frames
    return rate_hz, frames


def annotation_file(record: str | Path, annotator: str) -> Path:
    """Return the file of ``annotator`` beside the header of ``record``; it need not exist.

    Raises `InputError` for a record without a header and for an invalid annotator name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,16}", annotator):
        raise InputError(f"annotator {quoted(annotator)} is none: letters, digits and '_' only")
    return header_path(record).with_suffix(f".{annotator}")


def read_annotations(
    record: str | Path, annotator: str, *, fs_hz: float | None = None
) -> Annotations:
    """Return all annotations of ``annotator``, positions in samples at ``fs_hz``.

    Without ``fs_hz`` they count the record's frames. A file that states its own time resolution
    is converted and rounded to the nearest sample, halves up; one that does not counts frames.
    The signals of the record need not exist. Raises `InputError` if the file is missing or its
    positions are out of any range.
    """
    frame_rate_hz, _ = record_extent(record)
    file = annotation_file(record, annotator)
    data = read_small(file, "annotation file", MAX_ANNOTATION_BYTES)
    return _annotations(file, data, frame_rate_hz, frame_rate_hz if fs_hz is None else fs_hz)


def read_beats(
    record: str | Path, annotator: str = "atr", lead: str | int | None = None
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the annotated beats of a record: positions as int64[n], ascending, and symbols.

    Positions count samples of the lead that `replay.records.read_lead` would return, and lie within
    it: one up to `BEYOND_END_S` after its end is moved to the last sample. Raises `InputError` for
    a file that is truncated, out of order, or marks samples outside the record.
    """
    return _marks(record, annotator, lead, BEAT_SYMBOLS)


def read_flutter(
    record: str | Path, annotator: str = "atr", lead: str | int | None = None
) -> list[tuple[int, int]]:
    """Return first and last sample of each episode of ventricular flutter: marks ``[`` and ``]``.

    One without an end lasts to the end of the record. Arguments and errors as for `read_beats`.
    """
    samples, symbols = _marks(record, annotator, lead, FLUTTER_SYMBOLS)
    episodes: list[tuple[int, int]] = []
    for sample, symbol in zip(samples.tolist(), symbols, strict=True):
        if symbol == "[":
            episodes.append((sample, np.iinfo(np.int64).max))
        elif episodes:
            episodes[-1] = (episodes[-1][0], min(episodes[-1][1], sample))
    return episodes


def _marks(
    record: str | Path, annotator: str, lead: str | int | None, wanted: Container[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return position and symbol of the wanted annotations of a well-formed file."""
    header = load_header(record)
    index = choose_lead(header, lead)
    fs_hz = header.lead_rate_hz(index)
    file = annotation_file(record, annotator)
    data = read_small(file, "annotation file", MAX_ANNOTATION_BYTES)
    if len(data) % 2 or data[-2:] != END_MARK:
        raise InputError(f"annotation file {quoted(file)} is cut; fetch the record again")
    found = _annotations(file, data, header.frame_rate_hz, fs_hz)
    chosen = [i for i, symbol in enumerate(found.symbol) if symbol in wanted]
    samples = found.sample[chosen]
    end = header.frames * header.signals[index].samples_per_frame
    latest = end + round(BEYOND_END_S * fs_hz)
    if samples.size and (samples[0] < 0 or samples.max() > latest or (np.diff(samples) < 0).any()):
        raise InputError(
            f"annotation file {quoted(file)} marks things out of order or outside the record: "
            f"before sample 0 or more than {BEYOND_END_S:g} s after its {end:,} samples"
        )
    return np.minimum(samples, end - 1), [found.symbol[i] for i in chosen]


def _annotations(file: Path, data: bytes, frame_rate_hz: float, fs_hz: float) -> Annotations:
    """Return the annotations in the bytes of ``file``, positions in samples at ``fs_hz``."""
    found = list(_decode(data))
    scale = fs_hz / (_resolution_hz(found) or frame_rate_hz)
    ticks = np.array([tick for tick, *_ in found], dtype=np.float64)
    exact = ticks * scale
    if exact.size and not np.abs(exact).max() < LATEST_SAMPLE:
        raise InputError(f"annotation file {quoted(file)} marks samples that no record has")
    below = np.floor(exact)
    return Annotations(
        sample=(below + (exact - below >= 0.5)).astype(np.int64),
        symbol=[SYMBOLS[code] for _, code, _, _ in found],
        subtype=np.array([subtype for _, _, subtype, _ in found], dtype=np.int64),
        aux_note=[aux for *_, aux in found],
        fs=fs_hz,
    )


def _resolution_hz(found: list[tuple[int, int, int, str]]) -> float | None:
    """Return the ticks a second that a file states in its notes at time 0, None if it does not."""
    stated = None
    for tick, code, subtype, aux in found:
        if tick != 0 or code != _NOTE or subtype != 0:
            break
        if match := _RESOLUTION.match(aux):
            stated = float(match[1]) or None
    return stated


def _decode(data: bytes) -> Iterator[tuple[int, int, int, str]]:
    """Yield time in ticks, code, subtype and text of each annotation.

    An annotation is complete when the word after it has been read, which may be the end mark.
    Therefore the last annotation of a file without a mark is lost, as in the C library.
    """
    words = np.frombuffer(data, dtype="<u2", count=len(data) // 2).tolist()
    tick = at = 0
    while at + 2 < len(words) and words[at] >> 10 == _SKIP:
        tick, at = tick + _interval(words[at + 1], words[at + 2]), at + 3
    while at < len(words) and words[at] != 0:
        tick += words[at] & 0x3FF
        of, code, subtype, aux = tick, words[at] >> 10, 0, ""
        at += 1
        while at < len(words) and words[at] >> 10 >= _SKIP:
            field, value = words[at] >> 10, words[at] & 0xFF
            at += 1
            if field == _SKIP:
                if at + 1 < len(words):
                    tick += _interval(words[at], words[at + 1])
                at += 2
            elif field == _SUBTYPE:
                subtype = value - 256 if value > 127 else value
            elif field == _AUX:
                aux = data[2 * at : 2 * at + value].decode("latin-1")
                at += (value + 1) // 2
        if at < len(words):
            yield of, code, subtype, aux


class Tail(NamedTuple):
    """The end of an annotation file, from which it is continued."""

    bytes: int
    """Of its annotations, without the end mark."""
    last: int
    """Sample of the last one, 0 without any."""
    last_beat: int
    """Sample of the last one that is no change of rhythm, -1 without any."""
    rhythm: str
    """Text of the last change of rhythm; empty without any."""


def tail_of(data: bytes) -> Tail | None:
    """Return the end of the bytes of a file; None where there is no end mark: it is torn.

    A file of a day is looked through in a millisecond, for most of its annotations are one word.
    """
    words = np.frombuffer(data, dtype="<u2", count=len(data) // 2)
    ends, longer = (np.flatnonzero(what).tolist() for what in (words == 0, words >= _SKIP << 10))
    tick, last_beat, rhythm, at = 0, -1, "", 0
    for place in [*longer, words.size]:
        if place < at:
            continue  # within a text, or the number of a SKIP
        plain = words[at:place]
        end = next((end for end in ends if at <= end < place), None) if ends else None
        if end is not None:
            plain = plain[: end - at]
        ticks = tick + np.cumsum(plain & 0x3FF, dtype=np.int64)
        beats = np.flatnonzero(plain >> 10 != _RHYTHM)
        last_beat = int(ticks[beats[-1]]) if beats.size else last_beat
        tick = int(ticks[-1]) if ticks.size else tick
        if end is not None:
            return Tail(2 * end, tick, last_beat, rhythm)
        if place == words.size:
            return None
        field, value = int(words[place]) >> 10, int(words[place]) & 0xFF
        at = place + 1
        if field == _SKIP and at + 1 < words.size:
            tick += _interval(int(words[at]), int(words[at + 1]))
            at += 2
        elif field == _AUX:
            if plain.size and plain[-1] >> 10 == _RHYTHM:
                rhythm = data[2 * at : 2 * at + value].decode("latin-1")
            at += (value + 1) // 2
        ends = [end for end in ends if end >= at]
    return None


def _interval(high: int, low: int) -> int:
    """Return the signed 32-bit interval of a SKIP, whose high half comes first."""
    value = high << 16 | low
    return value - 2**32 if value >= 2**31 else value


def note_bytes(notes: Iterable[tuple[int, str]]) -> bytes:
    """Return an annotation file of notes: sample and text each, in the order of the samples.

    Samples count from 0 at the record's own rate. A text is cut at 255 bytes of Latin-1.
    """
    marks = [Mark(sample, SYMBOLS[_NOTE], text) for sample, text in sorted(notes)]
    return annotation_bytes(marks) + END_MARK


def annotation_bytes(marks: Iterable[Mark], before: int = 0) -> bytes:
    """Return annotations as bytes, without the end mark, to follow on one at sample ``before``.

    Samples count from 0 at the record's own rate. A text is cut at 255 bytes of Latin-1.
    """
    data = bytearray()
    for sample, symbol, text in marks:
        interval, before = sample - before, sample
        while not 0 <= interval <= 0x3FF:
            step = max(-(2**31), min(interval, 2**31 - 1))
            for word in (_SKIP << 10, step >> 16 & 0xFFFF, step & 0xFFFF):
                data += word.to_bytes(2, "little")
            interval -= step
        data += (SYMBOLS.index(symbol) << 10 | interval).to_bytes(2, "little")
        if text:
            aux = text.encode("latin-1", "replace")[:255]
            data += (_AUX << 10 | len(aux)).to_bytes(2, "little")
            data += aux + bytes(len(aux) % 2)
    return bytes(data)


def marks_in(data: bytes) -> list[Mark]:
    """Return the annotations in the bytes of a file, samples as they are counted there.

    One that is torn at the end is not among them.
    """
    return [Mark(tick, SYMBOLS[code], aux) for tick, code, _, aux in _decode(data)]
