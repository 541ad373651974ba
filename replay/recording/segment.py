"""A segment of a recording: one WFDB record, format 16, and what its header says of the stream.

A segment holds the samples of one stream, all its leads, from one sample of an epoch on. Beside the
samples lie two annotators: ``mon`` has the beats and changes of rhythm, ``quality`` says where
samples are missing (a gap), and where an electrode was off or a lead saturated. While the segment
is written its header states no length, so that any reader goes by the size of the file; the header
of one that has ended states it, and when it began.

What a reader of WFDB has no field for, comments of the header say: the stream, its log, epoch and
first sample, names of leads. Pure but for `read_segment`, for which any header is hostile.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MOST_LEADS, STEERING, STREAM_NAME
from pipeline.errors import InputError
from pipeline.schema.alert import utc_text
from pipeline.schema.messages import FLAG_LEAD_OFF, FLAG_SATURATED, LATEST_UTC_S
from replay.annotations import Mark
from replay.files.regular import quoted, read_small
from replay.headers import MAX_HEADER_BYTES

SAMPLES: Final = ".dat"
BEATS: Final = "mon"
"""Annotator of beats and rhythms, the same as of a scan."""
QUALITY: Final = "quality"
"""Annotator of gaps and of unusable samples."""

EDF: Final = ".edf"
"""Extension of a segment that is written as EDF, too."""

INVALID: Final = -(2**15)
"""What format 16 has where no value is known."""

HIGHEST: Final = 2**15 - 1

GAINS: Final = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
"""Units a mV: to the microvolt up to 32 mV, and coarser where a lead is beyond. A multiple of the
200 of most databases, so their values come back as they were."""

_TITLE: Final = "# ecg-monitor recording 1"
_FACTS: Final = "# ecg-monitor facts "
_LONGEST_STEM: Final = 40
_POSITION_END: Final = 2**52

_GAP = re.compile(r"gap of (\d{1,10}) samples")
_FLAGS = re.compile(r"signal (\d{1,2}): (usable|lead off|saturated|lead off, saturated)")
_FLAG_WORDS: Final = {
    0: "usable",
    FLAG_LEAD_OFF: "lead off",
    FLAG_SATURATED: "saturated",
    FLAG_LEAD_OFF | FLAG_SATURATED: "lead off, saturated",
}
_FLAGS_OF: Final = {word: flags for flags, word in _FLAG_WORDS.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}-\d{8}T\d{6}Z(-\d{1,6})?")
"""Of the files of a segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is known of a segment from its beginning on."""

    name: str
    """Of its files, without extension."""
    stream: str
    log_id: str
    """Of the log in which the stream was, by which a hub that continues it knows its segment."""
    epoch: int
    first_sample: int
    """Index of its first sample in the stream."""
    fs_hz: float
    leads: tuple[str, ...]
    """Names as the stream has them; that of a single lead may be empty."""
    gains: tuple[float, ...]
    """Units a mV, of each lead."""
    began_s: float
    """When its first samples were written, seconds since 1970."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all leads."""
        return 2 * len(self.leads)

    @property
    def place(self) -> tuple[float, int, int]:
        """Where it stands among the segments of its stream."""
        return self.began_s, self.epoch, self.first_sample

    @property
    def day(self) -> str:
        """The day on which it began, UTC."""
        return utc_text(self.began_s)[:10]


def rate_text(fs_hz: float) -> str:
    """Return a rate as headers have it."""
    return f"{fs_hz:.12g}"


def name_stem(stream: str) -> str:
    """Return the beginning of the names of a stream's files: its name, where that is one for files.

    Another one is cut or changed, and has a part of its SHA-256, for two names may become one.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", stream)[:_LONGEST_STEM]
    if plain == stream:
        return plain
    return f"{plain[: _LONGEST_STEM - 9]}-{hashlib.sha256(stream.encode()).hexdigest()[:8]}"


def segment_name(stream: str, began_s: float, number: int) -> str:
    """Return the name of a segment, with a number from the second of one second on."""
    stamp = datetime.fromtimestamp(began_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{name_stem(stream)}-{stamp}" + (f"-{number}" if number > 1 else "")


def is_segment_name(name: str) -> bool:
    """Return whether files of this name, without extension, may be those of a segment."""
    return _NAME.fullmatch(name) is not None


def header_text(segment: Segment, frames: int | None = None) -> str:
    """Return the header of a segment; of one that has ended with its length in ``frames``."""
    began = datetime.fromtimestamp(segment.began_s, UTC)
    record = f"{segment.name} {len(segment.leads)} {rate_text(segment.fs_hz)}"
    if frames is not None:
        at = began.isoformat(sep=" ", timespec="milliseconds")[11:23]
        record += f" {frames} {at} {began:%d/%m/%Y}"
    signals = [
        f"{segment.name}{SAMPLES} 16 {gain:g}(0)/mV 16 0 0 0 0 {lead}".rstrip()
        for lead, gain in zip(segment.leads, segment.gains, strict=True)
    ]
    facts = {
        "stream": segment.stream,
        "log_id": segment.log_id,
        "epoch": segment.epoch,
        "first_sample": segment.first_sample,
        "leads": list(segment.leads),
        "began": utc_text(segment.began_s),
    }
    return "\n".join([record, *signals, _TITLE, _FACTS + json.dumps(facts), ""])


def read_segment(header: Path) -> tuple[Segment, int | None] | None:
    """Return the segment with this header, and its length where it has ended; None for another.

    What the header says of samples is not checked here: `replay.headers.load_header` does so.

    Raises:
        InputError: the header cannot be read, or says that it is a segment and is none.
    """
    lines = read_small(header, "header", MAX_HEADER_BYTES).decode("utf-8", "replace").splitlines()
    if _TITLE not in lines:
        return None
    try:
        facts = next(line for line in lines if line.startswith(_FACTS)).removeprefix(_FACTS)
        return _segment(header.stem, lines, json.loads(facts))
    except (StopIteration, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise InputError(
            f"header {quoted(header)} is none of a recording ({quoted(error)}); remove its "
            "comments to read it as any record"
        ) from None


def _segment(name: str, lines: list[str], facts: dict[str, Any]) -> tuple[Segment, int | None]:
    """Return the segment that a header describes; raise one of several errors for nonsense."""
    record, *others = (line for line in lines if line and not line.startswith("#"))
    words, leads = record.split(), facts["leads"]
    began_s = datetime.fromisoformat(facts["began"]).timestamp()
    texts = [facts["stream"], facts["log_id"], *leads]
    numbers = (facts["epoch"], facts["first_sample"])
    sound = (
        is_segment_name(name)
        and 1 <= len(leads) <= MOST_LEADS
        and int(words[1]) == len(leads) == len(others) == len(set(leads))
        and re.fullmatch(STREAM_NAME, facts["stream"]) is not None
        and not any(re.search(f"[{STEERING}]", text) or len(text) > 64 for text in texts)
        and all(type(number) is int and 0 <= number < _POSITION_END for number in numbers)
        and 0 <= began_s <= LATEST_UTC_S
    )
    if not sound:
        raise ValueError("facts that no stream has")
    gains = tuple(float(line.split()[2].partition("(")[0]) for line in others)
    if not all(gain in GAINS for gain in gains):
        raise ValueError("a gain that no segment has")
    segment = Segment(
        name=name,
        stream=facts["stream"],
        log_id=facts["log_id"],
        epoch=facts["epoch"],
        first_sample=facts["first_sample"],
        fs_hz=float(words[2]),
        leads=tuple(leads),
        gains=gains,
        began_s=began_s,
    )
    return segment, int(words[3]) if len(words) > 3 else None


# --- samples -----------------------------------------------------------------------------------


def fitting_gains(samples: NDArray[np.float32]) -> tuple[float, ...]:
    """Return for each lead, float32[leads, n] in mV, the finest gain at which its values fit."""
    known = np.where(np.isfinite(samples), np.abs(samples), 0.0)
    highest = known.max(axis=1, initial=0.0).tolist()
    return tuple(
        next((gain for gain in GAINS if most * gain <= HIGHEST), GAINS[-1]) for most in highest
    )


def beyond_range(samples: NDArray[np.float32], gains: tuple[float, ...]) -> bool:
    """Return whether most values of a lead, float32[leads, n] in mV, do not fit its gain."""
    beyond = np.abs(samples) * np.array(gains)[:, np.newaxis] > HIGHEST
    return bool((2 * beyond.sum(axis=1) > samples.shape[1]).any())


def digitised(samples: NDArray[np.float32], gains: tuple[float, ...]) -> bytes:
    """Return samples, float32[leads, n] in mV, as frames of format 16.

    What is beyond the range is at its end; what is unknown is `INVALID`.
    """
    scaled = samples.T * np.array(gains)
    known = np.isfinite(scaled)
    values = np.clip(np.rint(np.where(known, scaled, 0.0)), -HIGHEST, HIGHEST)
    return np.where(known, values, INVALID).astype("<i2").tobytes()


def gap_bytes(segment: Segment, frames: int) -> bytes:
    """Return so many frames without a value."""
    return np.full(frames * len(segment.leads), INVALID, dtype="<i2").tobytes()


# --- the annotator of gaps and unusable samples ------------------------------------------------


def gap_mark(at: int, frames: int) -> Mark:
    """Return the annotation of a gap."""
    return Mark(at, '"', f"gap of {frames} samples")


def flag_marks(
    at: int, flags: NDArray[np.uint8] | None, n: int, before: NDArray[np.uint8]
) -> list[Mark]:
    """Return the annotations where the flags of a lead change; update ``before``.

    Args:
        at: position of the first sample.
        flags: uint8[leads, n]; None for none.
        n: samples of each lead.
        before: uint8[leads], the flags of the sample before.
    """
    if flags is None and not before.any():
        return []
    rows = np.zeros((before.size, n), dtype=np.uint8) if flags is None else flags & 3
    marks = []
    for lead, row in enumerate(rows):
        for change in np.flatnonzero(np.diff(row, prepend=before[lead])).tolist():
            word = _FLAG_WORDS[int(row[change])]
            marks.append(Mark(at + change, "~", f"signal {lead}: {word}"))
    before[:] = rows[:, -1]
    return sorted(marks, key=lambda mark: mark.sample)


@dataclass(frozen=True, slots=True)
class Quality:
    """What the annotator of gaps and unusable samples says of a segment."""

    gaps: list[tuple[int, int]]
    """First frame and end of each gap, ascending."""
    flags: list[tuple[int, int, int]]
    """(first frame, lead, flags) of each change of flags, ascending."""

    def changes(self, lead: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return where the flags of a lead change, int64[n], and to what, uint8[n + 1].

        The first of these values is 0: what the flags are before the first change.
        """
        of_lead = [(at, value) for at, which, value in self.flags if which == lead]
        at = np.array([at for at, _ in of_lead], dtype=np.int64)
        return at, np.array([0, *(value for _, value in of_lead)], dtype=np.uint8)


def quality_of(marks: list[Mark], leads: int) -> Quality:
    """Return what the annotations of gaps and unusable samples say; others count for nothing."""
    lengths, flags = dict[int, int](), []
    for mark in sorted(marks, key=lambda mark: mark.sample):
        if gap := _GAP.fullmatch(mark.text):
            lengths[mark.sample] = int(gap[1])  # the last one, where a write had failed
        elif (change := _FLAGS.fullmatch(mark.text)) and int(change[1]) < leads:
            flags.append((mark.sample, int(change[1]), _FLAGS_OF[change[2]]))
    gaps: list[tuple[int, int]] = []
    for at, length in lengths.items():
        if not gaps or at >= gaps[-1][1]:
            gaps.append((at, at + length))
    return Quality(gaps, flags)


def flags_at_end(marks: list[Mark], leads: int) -> NDArray[np.uint8]:
    """Return the flags of the newest sample of each lead, uint8[leads]."""
    flags = np.zeros(leads, dtype=np.uint8)
    for _, lead, value in quality_of(marks, leads).flags:
        flags[lead] = value
    return flags
