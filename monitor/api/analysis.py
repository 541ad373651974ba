"""`analyze`: a whole recording, as fast as the machine can."""

import html
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from monitor.api.beat_table import BeatBook, BeatTable
from monitor.api.events import Alarm, AlarmBook, Rhythm, rhythms_in
from monitor.api.recordings import Leads, Recording, of_array, of_file
from monitor.api.run import StreamRun
from monitor.api.summary import AmplitudeNote, Summary, summary_of
from monitor.api.trend_table import FiveMinutes, five_minutes_of, trend_table
from monitor.api.wfdb_records import WfdbRecord, of_wfdb
from pipeline.schema.public import Trend
from pipeline.stream.embedded import StreamOutput
from replay.files.recordings import LEAST_S

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


class Analysis:
    """What was found in a recording."""

    def __init__(
        self,
        recording: Recording,
        beats: BeatTable,
        alarms: list[Alarm],
        rhythms: list[Rhythm],
        summary: Summary,
        trends: "NDArray[Any]",
        five_minutes: Sequence[FiveMinutes] = (),
    ) -> None:
        self._recording = recording
        self.beats = beats
        """Every beat, see `BeatTable`."""
        self.alarms = alarms
        """Every alarm, in order of time."""
        self.rhythms = rhythms
        """Stretches of a rhythm, or of signal that cannot be analysed."""
        self.summary = summary
        """Counts and shares."""
        self.trends = trends
        """Each minute in numbers, see `trend_table`."""
        self.five_minutes = five_minutes
        """The variability of each whole five minutes."""

    def signal(self, begin_s: float, end_s: float) -> "NDArray[np.float32]":
        """Return the samples between two times, float32[leads, n], mV.

        Raises:
            ValueError: no sample lies between them.
        """
        fs_hz, n = self._recording.fs_hz, self._recording.n
        if not (begin_s < end_s and begin_s * fs_hz < n and end_s > 0):
            raise ValueError(
                f"{begin_s:g} to {end_s:g} s holds no sample: "
                f"the signal is from 0 to {self._recording.duration_s:g} s"
            )
        first = max(0, round(begin_s * fs_hz))
        return self._recording.read(first, max(first + 1, min(n, round(end_s * fs_hz))))

    def plot(self, begin_s: float, end_s: float) -> "Figure":
        """Return a figure of the signal between two times, on paper's grid of 0.2 s and 0.5 mV.

        R peaks have the class of their beat, alarms are shaded. A notebook shows the figure;
        ``figure.savefig(path)`` writes it.

        Raises:
            ImportError: matplotlib is not there: ``pip install 'ecg-monitor[plot]'``.
            ValueError: no sample lies between the times, or more than ten minutes do.
        """
        from monitor.api.plot import draw

        return draw(self, begin_s, end_s)

    def __repr__(self) -> str:
        """Return the summary in a line."""
        found, rate = self.summary, self.summary.bpm_mean
        return (
            f"<Analysis of {found.name}: {found.duration_s:g} s, {found.beats} beats"
            f"{'' if rate is None else f' at {rate:g} bpm'}, {found.anomalous} anomalous, "
            f"{len(self.alarms)} alarms>"
        )

    def _repr_html_(self) -> str:
        """Return the summary as a table, for a notebook."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name.replace('_', ' '))}</th>"
            f"<td style='text-align:left'>{html.escape(_shown(value))}</td></tr>"
            for name, value in self.summary.to_dict().items()
        )
        return f"<table>{rows}</table>"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not known" if value is None else str(value)


def analyze(
    signal: ArrayLike | str | Path | WfdbRecord,
    fs: float | None = None,
    *,
    leads: Leads = None,
    name: str | None = None,
    start: datetime | None = None,
    alarms: str | Path | None = None,
    false_alerts_per_hour: float | None = None,
    unit: str | None = None,
    columns: str | Sequence[str] | None = None,
) -> Analysis:
    """Analyse a whole recording, by the code of ``monitor scan``.

    The first call of an installation compiles the kernels, which takes minutes, once, and logs a
    warning that says so.

    Args:
        signal: float [n] or [n, leads] in mV, NaN where samples are missing; or the path of a
            file (docs/files.md), or ``demo``; or a `wfdb.Record` with its physical signal.
        fs: sampling rate in Hz of an array, or of a file that does not state it.
        leads: of an array the names of its leads; of a record those to take, by name or index, or
            ``all``; by default at most three that are ECG.
        name: of the recording; by default that of the record.
        start: when the first sample was taken, for dates; by default what the record says.
        alarms: TOML file of alarm settings (docs/alarms.md). None latches: nobody acknowledges.
        false_alerts_per_hour: alerts to accept that begin with a normal beat.
        unit: ``mV``, ``uV`` or ``V``, of a file that does not state it.
        columns: of a table, or variables of a .mat, by name, several with commas; all by default.

    Raises:
        ValueError: the signal, or a setting, cannot be used; the text says what to do.
    """
    if isinstance(signal, str | Path):
        recording = of_file(signal, fs, leads, name, start, unit, columns)
    elif unit is not None or columns is not None:
        raise ValueError("unit= and columns= are for files; an array is in mV, and of all leads")
    else:
        recording = _recording(signal, fs, leads, name, start)
    return analysis_of(recording, alarms=alarms, false_alerts_per_hour=false_alerts_per_hour)


def analysis_of(
    recording: Recording,
    *,
    alarms: str | Path | None = None,
    false_alerts_per_hour: float | None = None,
    on_progress: Callable[[float], None] = lambda time_s: None,
) -> Analysis:
    """Analyse a recording; see `analyze`. ``on_progress`` takes up to where it is analysed."""
    if recording.duration_s < LEAST_S:
        raise ValueError(
            f"{recording.name} is {recording.duration_s:.3g} s long: {LEAST_S:g} s are needed"
        )
    run = StreamRun(
        recording.name, recording.fs_hz, recording.leads,
        alarms=alarms, false_alerts_per_hour=false_alerts_per_hour,
    )  # fmt: skip
    offsets_s = [offset / recording.fs_hz for offset in recording.offsets]
    book, trends = AlarmBook(recording.start, offsets_s), list[Trend]()
    beat_book = BeatBook(recording.start, recording.offsets, recording.fs_hz)
    amplitude = AmplitudeNote(recording.fs_hz)
    for end_s, output in _outputs(run, recording, amplitude):
        beat_book.take(output.notes)
        trends += output.trends
        for alert in output.alerts:
            book.take(alert)
        on_progress(end_s)
    beats, found = beat_book.table(), book.alarms
    pauses_s = [(a / recording.fs_hz, b / recording.fs_hz) for a, b in recording.pauses]
    rhythms = rhythms_in(found, pauses_s, recording.start)
    summary = summary_of(
        name=recording.name,
        start=recording.start,
        duration_s=recording.duration_s,
        fs_hz=recording.fs_hz,
        leads=recording.leads,
        beats=beats,
        alarms=found,
        rhythms=rhythms,
        atrial_fibrillation=run.atrial_fibrillation,
        notes=[text for text in (recording.note, amplitude.text) if text],
    )
    table = trend_table(trends, recording.start, recording.offsets, recording.fs_hz)
    placed = ((trend.time_s + offsets_s[trend.epoch], trend) for trend in trends)
    five_minutes = five_minutes_of(placed, recording.duration_s)
    return Analysis(recording, beats, found, rhythms, summary, table, five_minutes)


def _outputs(
    run: StreamRun, recording: Recording, amplitude: AmplitudeNote
) -> Iterator[tuple[float, StreamOutput]]:
    """Yield up to where the recording is analysed, seconds, and what that made known."""
    for block in recording.blocks():
        amplitude.look_at(block)
        yield block.first_sample / recording.fs_hz, run.take(block)
    yield recording.duration_s, run.finish()


def _recording(
    signal: ArrayLike | WfdbRecord,
    fs: float | None,
    leads: Leads,
    name: str | None,
    start: datetime | None,
) -> Recording:
    if isinstance(signal, WfdbRecord):
        return of_wfdb(signal, fs, leads, name, start)
    if hasattr(signal, "segments"):
        raise ValueError("a record of several segments: give record.multi_to_single(physical=True)")
    return of_array(signal, fs, leads, name or "signal", start)
