"""`monitor scan`: whole records offline, as fast as the machine can."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from monitor.alert_lines import record_line
from monitor.api.amplitude import report_amplitudes
from monitor.inputs import (
    find_leads,
    load_alarm_settings,
    open_record,
    report_leads,
    report_skipped,
)
from monitor.run.summary import ScanSummary, summary_json, summary_lines
from monitor.run.workers import in_order, prepare_kernels, records_progress
from pipeline.errors import InputError
from pipeline.schema.public import Alert, BeatNote, encode_json
from pipeline.stream.counters import Counters
from pipeline.stream.embedded import EmbeddedRunner, StreamOutput
from pipeline.transport.pseudonyms import Pseudonyms
from replay.files.stated import NOTHING, Stated
from replay.player import stream_infos
from replay.recording.rhythms import CHANGE, rhythm_changes
from replay.recording.source import RecordingSource
from replay.records import write_beats
from replay.source import Source, SourceInfo

ANNOTATOR: Final = "mon"
"""Extension of the annotations: N, S, V or F, the class of the beat; Q where it cannot be analysed;
``+`` where the rhythm changes."""


@dataclass(frozen=True, slots=True)
class _Scanned:
    """What a scan of one record gave."""

    lines: list[str]
    """As they are printed."""
    notes: list[BeatNote]
    """Of its beats, and"""
    alerts: list[Alert]
    """its alerts, where they are to be written."""
    counters: Counters
    fault: str = ""
    """Why it was not read to its end, where that ends nothing else."""


def scan_records(
    records: Sequence[str],
    *,
    lead: str | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    pseudonyms: Path | None,
    as_json: bool,
    beats: bool,
    trends: bool = False,
    annotations: Path | None,
    jobs: int = 1,
    stated: Stated = NOTHING,
    recursive: bool = False,
) -> None:
    """Scan every record and print alerts (or beats, or trends), then a summary.

    With several ``jobs`` as many processes scan a record each; the output is that of one.
    ``stated`` is what files do not say themselves; ``recursive`` looks into folders below folders.
    A record of a folder that cannot be read to its end is said, and ends nothing else.

    Raises:
        InputError: a record cannot be used, or the folder for annotations does not exist.
        ConfigError: the live score was not calibrated for this rate of false alerts, or the alarm
            settings are refused.
        KeysError: the key of the pseudonyms cannot be used.
        MonitorError: one of the processes died.
    """
    found, skipped = find_leads(records, lead, stated, recursive=recursive)
    settings = load_alarm_settings(alarms)
    if annotations is not None and not annotations.is_dir():
        raise InputError(f"no folder {str(annotations)!r} to write annotations into: create it")
    renamed = None if pseudonyms is None else Pseudonyms.load(pseudonyms)
    sources = [open_record(one, speed=None) for one in found]
    report_leads(found)
    report_skipped(skipped)
    report_amplitudes(found)
    config = load_calibration(false_alerts_per_hour=false_alerts_per_hour)
    scorer = cache(load_scorer)
    began = time.monotonic()
    infos = stream_infos(sources, renamed)
    several = min(jobs, len(sources)) > 1
    prepare_kernels(min(jobs, len(sources)))

    def scan(n: int) -> _Scanned:
        """Scan a record; if nothing else is scanned meanwhile, print each line once it is known."""
        info = infos[n]
        source = sources[n]
        first = source.first_sample if isinstance(source, RecordingSource) else 0
        runner = EmbeddedRunner(
            info.stream, info.fs_hz, scorer(), config, first_sample=first, leads=info.leads,
            settings=settings,
        )  # fmt: skip
        lines: list[str] = []
        notes: list[BeatNote] = []
        alerts: list[Alert] = []
        fault = ""
        try:
            for output in _outputs(runner, source):
                lines += _lines(output, as_json=as_json, beats=beats, trends=trends)
                if not several:
                    _print(lines)
                    lines.clear()
                if annotations is not None:
                    notes += output.notes
                    alerts += output.alerts
        except InputError as error:
            if not found[n].of_folder:
                raise
            fault = str(error)
        return _Scanned(lines, notes, alerts, runner.counters, fault)

    total = _Total(began, skipped)
    # The processes first: the progress bar is a thread, which they would not have.
    with in_order(scan, range(len(sources)), jobs) as results, records_progress() as progress:
        task = progress.add_task("records", total=len(sources))
        for one, info, scanned in zip(found, infos, results, strict=True):
            _print(scanned.lines)
            if scanned.fault:
                report_skipped([(one.header.path, scanned.fault)])
                total.skipped[str(one.header.path)] = scanned.fault
            if annotations is not None:
                _write_annotations(annotations, info, scanned)
            total.add(info, scanned.counters)
            progress.advance(task)
    _print_summary(total.summary(), as_json=as_json or beats or trends)


class _Total:
    """The sums over the records, since a time of the monotonic clock."""

    def __init__(self, began: float, skipped: Sequence[tuple[Path, str]]) -> None:
        self._began = began
        self.skipped = {str(path): why for path, why in skipped}
        self._kinds = Counter[str]()
        self._counts = Counter[str]()
        self._leads: dict[str, str] = {}

    def add(self, info: SourceInfo, counters: Counters) -> None:
        """Add what one record gave."""
        self._leads[info.stream] = ", ".join(info.leads)
        self._kinds.update(counters.alerts_by_kind)
        self._counts["beats"] += counters.beats
        self._counts["beats_not_analysable"] += counters.beats_not_analysable
        self._counts["samples_ms"] += round(1e3 * counters.samples / info.fs_hz)

    def summary(self) -> ScanSummary:
        """Return the summary as of now."""
        return ScanSummary(
            duration_s=self._counts["samples_ms"] / 1e3,
            wall_s=round(time.monotonic() - self._began, 3),
            beats=self._counts["beats"],
            beats_not_analysable=self._counts["beats_not_analysable"],
            alerts=dict(self._kinds),
            streams=list(self._leads),
            leads=self._leads,
            skipped=self.skipped,
        )


def _print_summary(summary: ScanSummary, *, as_json: bool) -> None:
    _print([summary_json(summary)] if as_json else summary_lines(summary))
    sys.stdout.flush()


def _outputs(runner: EmbeddedRunner, source: Source) -> Iterator[StreamOutput]:
    return runner.run(block for block in source.blocks() if block is not None)


def _lines(output: StreamOutput, *, as_json: bool, beats: bool, trends: bool) -> list[str]:
    if beats or trends:
        shown = [*(output.notes if beats else ()), *(output.trends if trends else ())]
        return [encode_json(one).decode() for one in shown]
    if as_json:
        return [encode_json(alert).decode() for alert in output.alerts]
    return [record_line(alert) for alert in output.alerts]


def _print(lines: Sequence[str]) -> None:
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")


def _write_annotations(folder: Path, info: SourceInfo, scanned: _Scanned) -> None:
    """Write the beats of a record, and the rhythms, each before the beat with which it begins."""
    first = scanned.notes[0].sample if scanned.notes else None
    changes = rhythm_changes(scanned.alerts, info.fs_hz, first)
    marks = [(sample, CHANGE, name) for sample, name in changes]
    marks += [(note.sample, note.beat_class or "Q", "") for note in scanned.notes]
    marks.sort(key=lambda mark: mark[0])
    samples = np.array([sample for sample, _, _ in marks], dtype=np.int64)
    symbols, texts = [mark[1] for mark in marks], [mark[2] for mark in marks]
    write_beats(folder, info.stream, ANNOTATOR, samples, symbols, info.fs_hz, texts=texts)
