"""Compare an annotator, or the streaming detector, with the reference over a folder of records.

`choose_records` returns the records that have what is needed. `compare_records` reads or detects,
compares by `bxb` and `rxr`, and ends with the gross and the average line of `sumstats`.

Annotation files are compared at the records' frame rate, as ``bxb`` does, and need no signals.
The detector runs on the first lead, or on those that are asked for, at their own rate, as in a live
stream. It names no classes: all its beats are N.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Score
from models.ec57.bxb import LABELS, BeatComparison, compare_beats
from models.ec57.detector import as_annotator, detect_beats
from models.ec57.rxr import RunComparison, compare_runs
from models.ec57.sumstats import Average, Beats, Runs, sum_beats, sum_runs
from models.measure.result_json import INLINE
from pipeline.errors import InputError
from replay.annotations import Annotations, annotation_file, read_annotations, record_extent
from replay.headers import find_records, header_path, quoted
from replay.lead_sets.asked import AskedLeads, count_leads, read_asked
from replay.records import write_beats

DETECTOR: Final = "det"
"""Annotator name of what the detector finds."""


def choose_records(
    folder: Path, reference: str, test: str | None, names: Sequence[str] | None
) -> list[Path]:
    """Return the headers of the records to compare; all their files exist.

    Without ``names`` these are all records of the folder that have both annotators; with ``test``
    None only the reference is needed.

    Raises:
        InputError: a record lacks something, or there is none.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {quoted(folder)}: give the one that holds the records")
    annotators = [reference] if test is None else [reference, test]
    wanted = " and ".join(quoted(annotator) for annotator in annotators)
    if names is not None:
        records = [header_path(folder / name) for name in names]
        for record in records:
            for annotator in annotators:
                if not annotation_file(record, annotator).is_file():
                    raise InputError(
                        f"record {quoted(record.stem)} has no annotator {quoted(annotator)}: "
                        f"no file {quoted(annotation_file(record, annotator))}"
                    )
    else:
        records = [
            record
            for record in find_records(str(folder))
            if all(annotation_file(record, annotator).is_file() for annotator in annotators)
        ]
    if not records:
        raise InputError(f"no record in {quoted(folder)} has an annotator {wanted}")
    return records


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLine:
    """The comparison of one record."""

    kind: Literal["record"] = "record"
    record: str
    reference: str
    test: str
    leads: list[str]
    """In which the detector looked; none where annotators are compared."""
    fs_hz: float
    matrix: dict[str, dict[str, int]]
    """Pairs of beats: label of the reference, then, in lower case, that of the test."""
    beats: Beats[Score] = field(metadata=INLINE)
    rms_rr_error_ms: float | None
    shutdown_s: int
    runs: Runs[Score] = field(metadata=INLINE)
    run_sensitivity: list[list[int]]
    run_predictivity: list[list[int]]
    position_offset_ms: float | None
    """How late the matched beats of the test are, on average."""
    rms_position_error_ms: float | None
    """The mean offset is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrossLine:
    """All records, every beat and run weighed alike."""

    kind: Literal["gross"] = "gross"
    records: int
    leads: dict[str, int]
    """As `replay.lead_sets.asked.count_leads`."""
    beats: Beats[Score] = field(metadata=INLINE)
    runs: Runs[Score] = field(metadata=INLINE)
    shutdown_s: int
    rms_position_error_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageLine:
    """All records, every record weighed alike."""

    kind: Literal["average"] = "average"
    records: int
    beats: Beats[Average] = field(metadata=INLINE)
    runs: Runs[Average] = field(metadata=INLINE)
    rms_rr_error_ms: float | None


Line: TypeAlias = RecordLine | GrossLine | AverageLine


@dataclass(slots=True)
class _Tally:
    """What the gross and the average line need of every record."""

    beats: list[BeatComparison] = field(default_factory=list)
    runs: list[RunComparison] = field(default_factory=list)
    leads: list[list[str]] = field(default_factory=list)
    squares_ms: float = 0.0


def compare_records(
    records: Sequence[Path],
    reference: str,
    test: str | None,
    *,
    leads: AskedLeads = 0,
    annotations: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Iterator[Line]:
    """Yield a line for each record, then the gross and the average line.

    Args:
        records: headers, as `choose_records` returns them.
        reference: name of the annotator that is right.
        test: name of the annotator to compare; None compares the detector.
        leads: on which the detector runs.
        annotations: folder into which the detector's beats are written, as annotator `DETECTOR`.
        on_step: called before each record.

    Raises:
        InputError: a record cannot be used.
    """
    tally = _Tally()
    for record in records:
        on_step(f"record {record.stem}")
        true, found, length, names = _annotators(record, reference, test, leads, annotations)
        try:
            beats = compare_beats(true, found, true.fs, length)
            runs = compare_runs(true, found, true.fs, length)
        except ValueError as error:
            raise InputError(
                f"record {quoted(record)} cannot be compared: {error}; leave it out with --records"
            ) from None
        offset_ms, errors_ms = _positions(beats)
        squares_ms = float(np.square(errors_ms).sum())
        tally.beats.append(beats)
        tally.runs.append(runs)
        tally.leads += [names] if names else []
        tally.squares_ms += squares_ms
        yield RecordLine(
            record=record.stem,
            reference=reference,
            test=test or DETECTOR,
            leads=names,
            fs_hz=true.fs,
            matrix=_matrix(beats),
            beats=Beats(qrs=beats.qrs, veb=beats.veb, sveb=beats.sveb),
            rms_rr_error_ms=beats.rms_rr_error_ms,
            shutdown_s=beats.shutdown_s,
            runs=Runs(couplets=runs.couplets, short_runs=runs.short_runs, long_runs=runs.long_runs),
            run_sensitivity=runs.sensitivity.tolist(),
            run_predictivity=runs.predictivity.tolist(),
            position_offset_ms=offset_ms,
            rms_position_error_ms=_rms(squares_ms, errors_ms.size),
        )
    yield from _last_lines(tally)


def _annotators(
    record: Path, reference: str, test: str | None, leads: AskedLeads, annotations: Path | None
) -> tuple[Annotations, Annotations, int | None, list[str]]:
    """Return both annotators of a record at one rate, its length in samples if known, its leads."""
    if test is not None:
        true, found = (read_annotations(record, annotator) for annotator in (reference, test))
        return true, found, record_extent(record)[1], []
    info, samples = read_asked(record, leads)
    found = as_annotator(detect_beats(samples, info.fs_hz), info.fs_hz)
    if annotations is not None:
        write_beats(annotations, record.stem, DETECTOR, found.sample, found.symbol, found.fs)
    true = read_annotations(record, reference, fs_hz=info.fs_hz)
    return true, found, samples.shape[-1], list(info.leads)


def _positions(beats: BeatComparison) -> tuple[float | None, NDArray[np.float64]]:
    """Return how late the matched beats are on average, ms, and what each deviates from that."""
    late_ms = np.diff(beats.matched, axis=1)[:, 0] * (1000.0 / beats.fs_hz)
    if not late_ms.size:
        return None, late_ms
    offset_ms = float(late_ms.mean())
    return offset_ms, late_ms - offset_ms


def _rms(squares: float, n: int) -> float | None:
    return math.sqrt(squares / n) if n else None


def _matrix(beats: BeatComparison) -> dict[str, dict[str, int]]:
    return {
        true: {found.lower(): int(count) for found, count in zip(LABELS, row, strict=True)}
        for true, row in zip(LABELS, beats.matrix, strict=True)
    }


def _last_lines(tally: _Tally) -> Iterator[GrossLine | AverageLine]:
    beats, runs = sum_beats(tally.beats), sum_runs(tally.runs)
    matched = sum(len(one.matched) for one in tally.beats)
    yield GrossLine(
        records=len(tally.beats),
        leads=count_leads(tally.leads),
        beats=beats.gross,
        runs=runs.gross,
        shutdown_s=sum(one.shutdown_s for one in tally.beats),
        rms_position_error_ms=_rms(tally.squares_ms, matched),
    )
    yield AverageLine(
        records=len(tally.beats),
        beats=beats.average,
        runs=runs.average,
        rms_rr_error_ms=beats.average_rms_rr_error_ms,
    )
