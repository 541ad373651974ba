"""`stream`: events of a signal that comes in chunks, as they become known."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitor.api.events import AlarmBook, Event, beat_of
from monitor.api.recordings import BLOCK_S, Leads, checked_rate, samples_of
from monitor.api.run import StreamRun
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import StreamOutput
from replay.source import Source

Chunk = NDArray[Any] | Sequence[float]
"""Float [n] or [n, leads], mV."""


class EventStream(Iterator[Event]):
    """The beats and alarms of a signal, in the order in which they become known.

    Ends when the signal does, with the alarms that are still on then. `close` ends it before.
    """

    def __init__(
        self, run: StreamRun, blocks: Iterator[SampleBlock | None], start: datetime | None
    ) -> None:
        self._run = run
        self._blocks = blocks
        self._start = start
        self._book = AlarmBook(start)
        self._ready: deque[Event] = deque()
        self._over = False

    def __next__(self) -> Event:
        """Return the next event; waits for chunks until there is one."""
        while not self._ready:
            if self._over:
                raise StopIteration
            try:
                block = next(self._blocks)
            except StopIteration:
                self._finish()
                continue
            if block is not None:
                self._keep(self._run.take(block))
        return self._ready.popleft()

    def close(self) -> list[Event]:
        """End the signal here; return what was not read yet, the ends of all alarms included."""
        if not self._over:
            self._finish()
        rest = list(self._ready)
        self._ready.clear()
        return rest

    def __enter__(self) -> Self:
        """Return the stream itself; it is closed behind the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the stream."""
        self.close()

    def _finish(self) -> None:
        self._over = True
        close = getattr(self._blocks, "close", None)
        if close is not None:  # of a generator: the source is closed with it
            close()
        self._keep(self._run.finish())

    def _keep(self, output: StreamOutput) -> None:
        self._ready.extend(beat_of(note, self._start) for note in output.notes)
        self._ready.extend(self._book.take(alert) for alert in output.alerts)


def stream(
    source: Iterable[Chunk] | Source,
    fs: float | None = None,
    *,
    leads: Leads = None,
    name: str = "signal",
    start: datetime | None = None,
    alarms: str | Path | None = None,
    false_alerts_per_hour: float | None = None,
) -> EventStream:
    """Return the events of a signal that comes in chunks.

    The same beats and alarms as `monitor.analyze` of the whole, whatever the chunks are. A beat is
    known half a second after its R peak, so that chunks of 0.1 to 1 s are short enough. An alarm is
    an event when it begins, when more is known of it, and when it is over.

    Args:
        source: chunks one after the other, each float [n] or [n, leads] in mV, NaN where samples
            are missing; or a `replay.source.Source`, such as a device, which is closed at the end.
        fs: sampling rate of the chunks in Hz; a source knows its own.
        leads: names of the leads of the chunks; by default they are numbered.
        name: of the signal.
        start: when the first sample was taken, for dates.
        alarms: TOML file of alarm settings (docs/alarms.md).
        false_alerts_per_hour: alerts to accept that begin with a normal beat.

    Raises:
        ValueError: a rate, a chunk, a name or a setting that cannot be used; of a chunk, when it is
            read.
    """
    if isinstance(source, Source):
        info = source.info
        run = StreamRun(
            info.stream, info.fs_hz, info.leads,
            alarms=alarms, false_alerts_per_hour=false_alerts_per_hour,
        )  # fmt: skip
        return EventStream(run, _of_source(source), start)
    if isinstance(source, np.ndarray):
        raise ValueError("stream() takes chunks, one after the other; analyze() takes one array")
    fs_hz = checked_rate(fs)
    run = StreamRun(name, fs_hz, leads, alarms=alarms, false_alerts_per_hour=false_alerts_per_hour)
    return EventStream(run, _of_chunks(source, fs_hz), start)


def _of_source(source: Source) -> Iterator[SampleBlock | None]:
    try:
        yield from source.blocks()
    finally:
        source.close()


def _of_chunks(chunks: Iterable[Chunk], fs_hz: float) -> Iterator[SampleBlock]:
    """Yield blocks of all samples; a long chunk is analysed piece by piece, to take less memory."""
    at, longest = 0, round(BLOCK_S * fs_hz)
    for chunk in chunks:
        if len(chunk):
            samples = samples_of(chunk)
            for first in range(0, samples.shape[1], longest):
                yield SampleBlock(at + first, samples[:, first : first + longest])
            at += samples.shape[1]
