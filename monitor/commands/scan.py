"""`monitor scan`: whole records offline, in this process, as fast as the machine can."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from monitor.alert_lines import record_line
from monitor.inputs import find_leads, load_alarm_settings, report_leads
from monitor.run.summary import ScanSummary, summary_json, summary_lines
from pipeline.errors import InputError
from pipeline.schema.public import BeatNote, encode_json
from pipeline.stream.embedded import EmbeddedRunner, Outcome
from pipeline.transport.pseudonyms import Pseudonyms
from replay.player import stream_infos
from replay.records import RecordSource, write_beats

ANNOTATOR: Final = "mon"
"""Extension of the annotations: N, S, V or F, the class of the beat; Q where it cannot be
analysed."""


def scan_records(
    records: Sequence[str],
    *,
    lead: str | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    pseudonyms: Path | None,
    as_json: bool,
    beats: bool,
    annotations: Path | None,
) -> None:
    """Scan every record and print alerts (or beats), then a summary.

    Raises:
        InputError: a record cannot be used, or the folder for annotations does not exist.
        ConfigError: the live score was not calibrated for this rate of false alerts, or the alarm
            settings are refused.
        KeysError: the key of the pseudonyms cannot be used.
    """
    found = find_leads(records, lead)
    settings = load_alarm_settings(alarms)
    if annotations is not None and not annotations.is_dir():
        raise InputError(f"no folder {str(annotations)!r} to write annotations into: create it")
    renamed = None if pseudonyms is None else Pseudonyms.load(pseudonyms)
    sources = [RecordSource(one.path, leads=one.indices, speed=None) for one in found]
    report_leads(found)
    config = load_calibration(false_alerts_per_hour=false_alerts_per_hour)
    scorer = load_scorer()
    began, kinds, totals = time.monotonic(), Counter[str](), Counter[str]()
    leads = {}
    with _progress() as progress:
        task = progress.add_task("records", total=len(sources))
        for source, info in zip(sources, stream_infos(sources, renamed), strict=True):
            leads[info.stream] = ", ".join(info.leads)
            runner = EmbeddedRunner(
                info.stream,
                info.fs_hz,
                scorer,
                config,
                leads=info.leads,
                settings=settings,
            )
            notes = []
            for outcome in _outcomes(runner, source):
                _print_outcome(outcome, as_json=as_json, beats=beats)
                notes += outcome.beats
            if annotations is not None:
                _write_annotations(annotations, info.stream, notes, info.fs_hz)
            kinds.update(runner.counters.alerts_by_kind)
            totals["beats"] += runner.counters.beats
            totals["beats_not_analysable"] += runner.counters.beats_not_analysable
            totals["samples_ms"] += round(1e3 * runner.counters.samples / info.fs_hz)
            progress.advance(task)
    summary = ScanSummary(
        duration_s=totals["samples_ms"] / 1e3,
        wall_s=round(time.monotonic() - began, 3),
        beats=totals["beats"],
        beats_not_analysable=totals["beats_not_analysable"],
        alerts=dict(kinds),
        streams=list(leads),
        leads=leads,
    )
    text = summary_json(summary) if as_json or beats else "\n".join(summary_lines(summary))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _progress() -> Progress:
    """Return a progress bar on stderr, visible on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),  # or rich would print an empty line
    )


def _outcomes(runner: EmbeddedRunner, source: RecordSource) -> Iterator[Outcome]:
    return runner.run(block for block in source.blocks() if block is not None)


def _print_outcome(outcome: Outcome, *, as_json: bool, beats: bool) -> None:
    if beats:
        lines = [encode_json(note).decode() for note in outcome.beats]
    elif as_json:
        lines = [encode_json(alert).decode() for alert in outcome.alerts]
    else:
        lines = [record_line(alert) for alert in outcome.alerts]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")


def _write_annotations(folder: Path, record: str, notes: list[BeatNote], fs_hz: float) -> None:
    samples = np.array([note.sample for note in notes], dtype=np.int64)
    symbols = [note.beat_class or "Q" for note in notes]
    write_beats(folder, record, ANNOTATOR, samples, symbols, fs_hz)
