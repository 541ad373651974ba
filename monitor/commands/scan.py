"""`monitor scan`: whole records in this process, as fast as the machine goes."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.inference.student import StudentScorer
from models.training.calibration import load_calibration
from monitor.run.alarm_file import load_alarm_settings
from monitor.run.reporters import record_line
from monitor.run.stages import find_leads, shipped_classifier
from pipeline.constants import NOTICE, SCHEMA
from pipeline.errors import InputError
from pipeline.schema.public import BeatNote, encode_json
from pipeline.stream.embedded import EmbeddedRunner, Outcome
from replay.player import stream_infos
from replay.records import RecordSource, write_beats

ANNOTATOR: Final = "mon"
"""Extension of the annotations written: N for a normal beat, Q for one unclear or anomalous."""


def scan_records(
    records: Sequence[str],
    *,
    lead: str | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    as_json: bool,
    beats: bool,
    annotations: Path | None,
) -> None:
    """Scan every record and print alerts (or beats), then a summary.

    Raises:
        InputError: a record cannot be used, or the folder for annotations is none.
        ConfigError: the rate of false alerts is none that was calibrated, or the alarm settings
            are refused.
    """
    found = find_leads(records, lead)
    settings = load_alarm_settings(alarms)
    if annotations is not None and not annotations.is_dir():
        raise InputError(f"no folder {str(annotations)!r} to write annotations into: create it")
    sources = [RecordSource(path, lead=index, speed=None) for path, index in found]
    config = load_calibration(false_alerts_per_hour=false_alerts_per_hour)
    scorer, classifier = StudentScorer.load(), shipped_classifier()
    began, kinds, totals = time.monotonic(), Counter[str](), Counter[str]()
    streams = []
    with _progress() as progress:
        task = progress.add_task("records", total=len(sources))
        for source, info in zip(sources, stream_infos(sources), strict=True):
            streams.append(info.stream)
            runner = EmbeddedRunner(
                info.stream,
                info.fs_hz,
                scorer,
                config,
                classifier=classifier,
                settings=settings,
            )
            notes = []
            for outcome in _outcomes(runner, source):
                _print(outcome, as_json=as_json, beats=beats)
                notes += outcome.beats
            if annotations is not None:
                _write(annotations, info.stream, notes, info.fs_hz)
            kinds.update(runner.counters.alerts_by_kind)
            totals["beats"] += runner.counters.beats
            totals["beats_not_analysable"] += runner.counters.beats_not_analysable
            totals["samples_ms"] += round(1e3 * runner.counters.samples / info.fs_hz)
            progress.advance(task)
    summary = {
        "schema": SCHEMA,
        "kind": "summary",
        "duration_s": totals["samples_ms"] / 1e3,
        "wall_s": round(time.monotonic() - began, 3),
        "beats": totals["beats"],
        "beats_not_analysable": totals["beats_not_analysable"],
        "alerts": dict(kinds),
        "streams": streams,
        "notice": NOTICE,
    }
    _print_summary(summary, as_json=as_json or beats)


def _progress() -> Progress:
    """Return a progress bar on stderr; it shows itself on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),  # else rich leaves an empty line behind
    )


def _outcomes(runner: EmbeddedRunner, source: RecordSource) -> Iterator[Outcome]:
    return runner.run(block for block in source.blocks() if block is not None)


def _print(outcome: Outcome, *, as_json: bool, beats: bool) -> None:
    if beats:
        lines = [encode_json(note).decode() for note in outcome.beats]
    elif as_json:
        lines = [encode_json(alert).decode() for alert in outcome.alerts]
    else:
        lines = [record_line(alert) for alert in outcome.alerts]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")


def _print_summary(summary: dict[str, Any], *, as_json: bool) -> None:
    from monitor.run.reporters import summary_lines

    text = json.dumps(summary) if as_json else "\n".join(summary_lines(summary))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _write(folder: Path, record: str, notes: list[BeatNote], fs_hz: float) -> None:
    samples = np.array([note.sample for note in notes], dtype=np.int64)
    symbols = ["N" if note.analysable and not note.anomalous else "Q" for note in notes]
    write_beats(folder, record, ANNOTATOR, samples, symbols, fs_hz)
