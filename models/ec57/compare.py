"""Compare an annotator, or the streaming detector, with the reference over a folder of records.

`choose_records` says which records have what is needed, `compare_records` reads or detects,
compares with `bxb` and `rxr`, and ends with the gross and the average line of `sumstats`.

Annotation files are compared at the records' frame rate, as ``bxb`` does, and need no signals.
The detector runs on the first lead at its own rate, as in a live stream, and names no classes:
all its beats are N.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Score
from models.ec57.bxb import LABELS, BeatComparison, compare_beats
from models.ec57.rxr import RunComparison, compare_runs
from models.ec57.sumstats import Summary, sum_beats, sum_runs
from pipeline.errors import InputError
from pipeline.signal.segmenter import detect_record
from replay.annotations import Annotations, annotation_file, read_annotations, record_extent
from replay.headers import find_records, header_path, quoted
from replay.records import read_lead, write_beats

DETECTOR: Final = "det"
"""Annotator name of what the detector finds."""


def choose_records(
    folder: Path, reference: str, test: str | None, names: Sequence[str] | None
) -> list[Path]:
    """Return the headers of the records to compare, all files checked to be there.

    Without ``names`` these are all records of the folder that both annotators know; ``test``
    None means that only the reference is needed. Raises `InputError` if a record lacks something
    or there is none.
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


@dataclass(slots=True)
class _Tally:
    """What the last lines need of every record."""

    beats: list[BeatComparison] = field(default_factory=list)
    runs: list[RunComparison] = field(default_factory=list)
    squares_ms: float = 0.0


def compare_records(
    records: Sequence[Path],
    reference: str,
    test: str | None,
    *,
    annotations: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each record (``kind`` record), then the gross and average lines.

    Sensitivities and predictivities are in %, None where nothing could be counted. With ``test``
    None the detector is compared, and what it finds is written into the folder ``annotations``
    as annotator `DETECTOR`. Raises `InputError` for a record that cannot be used.
    """
    tally = _Tally()
    for record in records:
        on_step(f"record {record.stem}")
        true, found, length = _annotators(record, reference, test, annotations)
        try:
            beats = compare_beats(true, found, true.fs, length)
            runs = compare_runs(true, found, true.fs, length)
        except ValueError as error:
            raise InputError(
                f"record {quoted(record)} cannot be compared: {error}; leave it out with --records"
            ) from None
        offset_ms, errors_ms = _positions(beats)
        tally.beats.append(beats)
        tally.runs.append(runs)
        tally.squares_ms += float(np.square(errors_ms).sum())
        yield {
            "kind": "record",
            "record": record.stem,
            "reference": reference,
            "test": test or DETECTOR,
            "fs_hz": true.fs,
            **_figures(beats, runs),
            "position_offset_ms": offset_ms,
            "rms_position_error_ms": _rms(float(np.square(errors_ms).sum()), errors_ms.size),
        }
    yield from _last_lines(tally)


def _annotators(
    record: Path, reference: str, test: str | None, annotations: Path | None
) -> tuple[Annotations, Annotations, int | None]:
    """Return both annotators of a record at one rate, and its length in samples if known."""
    if test is not None:
        true, found = (read_annotations(record, annotator) for annotator in (reference, test))
        return true, found, record_extent(record)[1]
    info, samples = read_lead(record, 0)
    peaks = detect_record(samples, info.fs_hz)
    found = Annotations(
        sample=peaks,
        symbol=["N"] * peaks.size,
        subtype=np.zeros(peaks.size, dtype=np.int64),
        aux_note=[""] * peaks.size,
        fs=info.fs_hz,
    )
    if annotations is not None:
        write_beats(annotations, record.stem, DETECTOR, found.sample, found.symbol, found.fs)
    return read_annotations(record, reference, fs_hz=info.fs_hz), found, samples.size


def _positions(beats: BeatComparison) -> tuple[float | None, NDArray[np.float64]]:
    """Return how late the matched beats are on average, ms, and what each deviates from that."""
    late_ms = np.diff(beats.matched, axis=1)[:, 0] * (1000.0 / beats.fs_hz)
    if not late_ms.size:
        return None, late_ms
    offset_ms = float(late_ms.mean())
    return offset_ms, late_ms - offset_ms


def _rms(squares: float, n: int) -> float | None:
    return math.sqrt(squares / n) if n else None


def _figures(beats: BeatComparison, runs: RunComparison) -> dict[str, Any]:
    """Return what one comparison says, ready for JSON."""
    return {
        "matrix": {
            true: {found.lower(): int(count) for found, count in zip(LABELS, row, strict=True)}
            for true, row in zip(LABELS, beats.matrix, strict=True)
        },
        "qrs": _score(beats.qrs),
        "veb": {
            **_score(beats.veb),
            "tn": beats.veb_negatives,
            "false_positive_rate": beats.veb_false_positive_rate,
        },
        "sveb": _score(beats.sveb),
        "rms_rr_error_ms": beats.rms_rr_error_ms,
        "shutdown_s": beats.shutdown_s,
        "couplets": _score(runs.couplets),
        "short_runs": _score(runs.short_runs),
        "long_runs": _score(runs.long_runs),
        "run_sensitivity": runs.sensitivity.tolist(),
        "run_predictivity": runs.predictivity.tolist(),
    }


def _score(score: Score) -> dict[str, float | None]:
    return {
        **score._asdict(),
        "sensitivity": score.sensitivity,
        "positive_predictivity": score.positive_predictivity,
    }


def _last_lines(tally: _Tally) -> Iterator[dict[str, Any]]:
    """Yield the gross line and the average line."""
    beats, runs = sum_beats(tally.beats), sum_runs(tally.runs)
    matched = sum(len(one.matched) for one in tally.beats)
    summaries: tuple[Summary, Summary] = (beats, runs)
    yield {
        "kind": "gross",
        "records": len(tally.beats),
        **{name: _score(score) for each in summaries for name, score in each.gross.items()},
        "shutdown_s": sum(one.shutdown_s for one in tally.beats),
        "rms_position_error_ms": _rms(tally.squares_ms, matched),
    }
    yield {
        "kind": "average",
        "records": len(tally.beats),
        **{
            name: {"sensitivity": sensitivity, "positive_predictivity": predictivity}
            for each in summaries
            for name, (sensitivity, predictivity) in each.average.items()
        },
        "rms_rr_error_ms": beats.average_rms_rr_error_ms,
    }
