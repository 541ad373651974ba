"""What can be analysed as a whole, as one type: arrays and files.

Whatever cannot be used is a `ValueError` of one line that says what to do. Units: mV, Hz, seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitor.text import safe_text
from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import MonitorError
from pipeline.signal.samples import SampleBlock
from replay.files.recordings import find_recordings
from replay.files.stated import Stated
from replay.headers import RecordHeader, quoted

if TYPE_CHECKING:
    from monitor.inputs import FoundLeads

BLOCK_S: Final = 20.0
"""So much signal is analysed at a time: long enough for batches of beats, and no matter for the
result."""

Leads = str | Sequence[str] | Sequence[int] | None
"""Names or indices of leads; one text has commas between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A whole recording, of which the samples are read when they are needed."""

    name: str
    fs_hz: float
    leads: tuple[str, ...]
    n: int
    """Samples of each lead."""
    start: datetime | None
    """When the first sample was taken; None where that is not known."""
    blocks: Callable[[], Iterator[SampleBlock]]
    """Returns all samples in order."""
    read: Callable[[int, int], NDArray[np.float32]]
    """Returns float32[leads, n], mV, of the samples from the first up to the second index."""
    note: str = ""
    """Which leads were taken, and why, where there was a choice."""
    offsets: tuple[int, ...] = (0,)
    """What is added to a position in each epoch of the blocks to have the index of the sample."""
    pauses: tuple[tuple[int, int], ...] = ()
    """First index and end of each stretch between two epochs in which nothing was recorded."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n / self.fs_hz


_ARGUMENTS: Final = (
    ("--fs HZ", "fs in Hz"),
    ("--fs", "fs"),
    ("--unit", "unit"),
    ("--column", "columns"),
    ("--lead", "leads="),
)
"""Options of the command line, and what they are here."""


def checked_rate(fs: float | None) -> float:
    """Return the sampling rate in Hz; raise `ValueError` for none and for one out of range."""
    low, high = SAMPLING_RATE_LIMITS_HZ
    if fs is None:
        raise ValueError("the sampling rate of an array is not known: give it as fs=, in Hz")
    if not low <= fs <= high:
        raise ValueError(f"fs = {fs:g} Hz cannot be used: {low:g} to {high:,.0f} Hz; is it in Hz?")
    return float(fs)


def samples_of(signal: ArrayLike) -> NDArray[np.float32]:
    """Return an array [n] or [n, leads] of mV as float32[leads, n]; NaN where no value is known.

    Raises:
        ValueError: it has another shape, more than twelve leads, or holds no real numbers.
    """
    values = np.asarray(signal)
    if values.dtype.kind in "iub":
        raise ValueError(
            f"the signal is {values.dtype}, and mV are needed: (values - baseline) / gain, as float"
        )
    if values.dtype.kind != "f":
        raise ValueError(f"the signal is {values.dtype}: an array of real numbers in mV is needed")
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"the signal has shape {values.shape}: [n] or [n, leads] is needed")
    leads = 1 if values.ndim == 1 else values.shape[1]
    if leads > MOST_LEADS:
        turned = "; is it the other way round? Give signal.T" if len(values) <= MOST_LEADS else ""
        raise ValueError(
            f"the signal has {leads} leads, and {MOST_LEADS} at most are taken{turned}"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and that is no signal
        return np.array(values.reshape(len(values), leads).T, dtype=np.float32, order="C")


def lead_labels(leads: Leads, count: int) -> tuple[str, ...]:
    """Return the names of the leads of an array: those given, or numbers.

    Raises:
        ValueError: another number of names, or one twice.
    """
    if leads is None:
        return tuple(f"lead {n}" for n in range(1, count + 1))
    names = [str(name).strip() for name in (leads.split(",") if isinstance(leads, str) else leads)]
    if len(names) != count or len(set(names)) < count or (count > 1 and not all(names)):
        raise ValueError(
            f"leads = {names!r}: {count} different names are needed, one for each lead"
        )
    return tuple(names)


def check_same_rate(fs: float | None, fs_hz: float) -> None:
    """Raise `ValueError` where a rate is given that is not the record's."""
    if fs is not None and abs(fs - fs_hz) > 1e-6 * fs_hz:
        raise ValueError(f"fs = {fs:g} Hz, and the record says {fs_hz:g} Hz: leave fs out")


def asked_for(leads: Leads) -> str | None:
    """Return leads as the command line has them: names or indices with commas between."""
    if leads is None or isinstance(leads, str):
        return leads
    return ",".join(map(str, leads))


def in_memory(
    name: str,
    fs_hz: float,
    leads: tuple[str, ...],
    samples: NDArray[np.float32],
    start: datetime | None,
    *,
    flags: NDArray[np.uint8] | None = None,
    note: str = "",
) -> Recording:
    """Return the recording of samples float32[leads, n] in mV, with flags of the same shape."""
    n, step = samples.shape[1], round(BLOCK_S * fs_hz)

    def blocks() -> Iterator[SampleBlock]:
        for at in range(0, n, step):
            cut = slice(at, at + step)
            marks = None if flags is None else flags[:, cut]
            yield SampleBlock(at, np.ascontiguousarray(samples[:, cut]), marks)

    return Recording(
        name=name,
        fs_hz=fs_hz,
        leads=leads,
        n=n,
        start=start,
        blocks=blocks,
        read=lambda first, last: samples[:, first:last],
        note=note,
    )


def of_array(
    signal: ArrayLike, fs: float | None, leads: Leads, name: str, start: datetime | None
) -> Recording:
    """Return the recording in an array [n] or [n, leads] of mV; `ValueError` as `samples_of`."""
    fs_hz, samples = checked_rate(fs), samples_of(signal)
    return in_memory(name, fs_hz, lead_labels(leads, len(samples)), samples, start)


def of_file(
    path: str | Path,
    fs: float | None,
    leads: Leads,
    name: str | None,
    start: datetime | None,
    unit: str | None = None,
    columns: str | Sequence[str] | None = None,
) -> Recording:
    """Return the recording in a file, or the bundled one, which is called ``demo``.

    Raises:
        ValueError: it cannot be used, holds several records, has another rate than ``fs``, or no
            such lead.
    """
    text = columns if columns is None or isinstance(columns, str) else ",".join(columns)
    try:
        return _opened(path, Stated.of(fs, unit, text), leads, name, start)
    except MonitorError as error:
        raise ValueError(_in_python(str(error))) from None


def _in_python(text: str) -> str:
    """Return an error, or a note, with the names of arguments in place of those of options."""
    for option, argument in _ARGUMENTS:
        text = text.replace(option, argument)
    return text


def _opened(
    path: str | Path, stated: Stated, leads: Leads, name: str | None, start: datetime | None
) -> Recording:
    """Open a file: the one place that knows what reads it."""
    from monitor.inputs import leads_of, leads_of_recording, segments_in

    streams, others, bad = segments_in(find_recordings(str(path)))
    if not streams and not others:
        raise ValueError(bad[0][1])
    count, asked = len(streams) + len(others), asked_for(leads)
    if count > 1:
        raise ValueError(f"{quoted(path)} holds {count} records: analyse one at a time")
    recording = of_found(
        leads_of_recording(streams[0], asked) if streams else leads_of(others[0], asked, stated)
    )
    check_same_rate(stated.fs_hz, recording.fs_hz)
    return replace(
        recording,
        name=name or recording.name,
        start=start or recording.start,
        note=_in_python(recording.note),
    )


def of_found(found: "FoundLeads") -> Recording:
    """Return a record, or all segments of a recording, that the arguments of a command name.

    Raises:
        InputError: it cannot be read, or is a recording of more than 31 days.
    """
    if found.segments:
        return _of_recording(found)
    return of_record(found.header, found.indices, found.why)


def _of_recording(found: "FoundLeads") -> Recording:
    from replay.recording.source import RecordingSource
    from replay.recording.timeline import Timeline

    source = RecordingSource(found.segments, leads=found.indices, speed=None)
    timeline = Timeline(source)
    return Recording(
        name=source.info.stream,
        fs_hz=source.info.fs_hz,
        leads=source.info.leads,
        n=timeline.n,
        start=source.start,
        blocks=lambda: _present(source),
        read=timeline.read,
        note=found.why,
        offsets=timeline.offsets,
        pauses=tuple(timeline.pauses),
    )


def of_record(header: RecordHeader, indices: tuple[int, ...], note: str = "") -> Recording:
    """Return leads of a record that is open; ``note`` says why these."""
    from replay.records import RecordSource

    info = RecordSource(header, leads=indices, speed=None).info
    assert info.total_samples is not None

    def read(first: int, last: int) -> NDArray[np.float32]:
        part = RecordSource(
            header, leads=indices, speed=None,
            start_s=first / info.fs_hz, duration_s=(last - first) / info.fs_hz,
        )  # fmt: skip
        return np.concatenate([np.atleast_2d(block.samples) for block in _present(part)], axis=1)

    return Recording(
        name=safe_text(header.path.stem),
        fs_hz=info.fs_hz,
        leads=info.leads,
        n=info.total_samples,
        start=header.start,
        blocks=lambda: _present(RecordSource(header, leads=indices, speed=None)),
        read=read,
        note=note,
    )


def _present(source: Any) -> Iterator[SampleBlock]:
    return (block for block in source.blocks() if block is not None)
