"""Short chunks of many live streams, put together before they are taken.

What a chunk costs hardly depends on its length. So where many streams are live, chunks of a stream
that have arrived together become one, which lets a hub catch up that is behind. Those of a fiftieth
of a second wait here for the next ones, for up to `GATHER_S`. They go at once where the window of a
beat is complete with them: its score is no later for it. What waits is neither in the log nor
acknowledged; a hub that dies gets it again. Nothing waits in a hub of few streams, nor a chunk that
is long, begins a stream, or does not follow exactly on the one before.

Pure: no sockets, no clock. Units: seconds of the hub's clock, samples of the source.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pipeline.schema.bundles import joined
from pipeline.schema.messages import Chunk
from pipeline.stream.session import StreamSession

MANY: Final = 16
"""Streams that are live: in a hub of fewer, nothing waits."""

GATHER_S: Final = 0.1
"""No chunk waits for longer; where so much has arrived, nothing more is waited for."""

ENOUGH_CHUNKS: Final = 5
"""Nor where so many chunks have: a source has credit for eight."""

MOST_S: Final = 2.0
"""Signal that is taken at once; a longer chunk is taken alone."""

MOST_CHUNKS: Final = 8
"""Of a stream that are taken at once."""


@dataclass(slots=True)
class Gathered:
    """Chunks of one stream, each the continuation of the one before."""

    since: float
    due_at: int = 0
    """Position whose sample completes the window of a beat; 0 for none."""
    chunks: list[Chunk] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """When each of them arrived."""

    def add(self, chunk: Chunk, at: float) -> None:
        """Add the chunk that follows, which arrived at a time."""
        self.chunks.append(chunk)
        self.arrivals.append(at)

    @property
    def parts(self) -> tuple[list[int], list[float]]:
        """Return where all chunks but the last end, and when they arrived."""
        return [chunk.end for chunk in self.chunks[:-1]], self.arrivals[:-1]

    def continued_by(self, chunk: Chunk) -> bool:
        """Return whether ``chunk`` is of the same source and begins where the last one ended."""
        last = self.chunks[-1]
        return (
            chunk.number == last.number + 1
            and chunk.first_sample == last.first_sample + last.n
            and chunk.epoch == last.epoch
            and chunk.session == last.session
            and chunk.fs_hz == last.fs_hz
            and chunk.leads == last.leads
            and chunk.fault == last.fault
            and not (chunk.shed or chunk.unkept)
        )

    @property
    def seconds(self) -> float:
        """How long they are together."""
        last = self.chunks[-1]
        return (last.end - self.chunks[0].first_sample) / last.fs_hz

    def is_enough(self) -> bool:
        """Return whether they wait for nothing that has not arrived."""
        return (
            len(self.chunks) >= ENOUGH_CHUNKS
            or self.seconds >= GATHER_S
            or 0 < self.due_at < self.chunks[-1].end
        )

    def is_full(self) -> bool:
        """Return whether no more is put to them."""
        return len(self.chunks) >= MOST_CHUNKS or self.seconds >= MOST_S

    def as_one(self) -> Chunk:
        """Return them as one chunk, which has the number of the last."""
        return joined(self.chunks)


class Gathering:
    """The chunks that wait, by stream."""

    def __init__(self) -> None:
        self.gathers = False
        """Whether so many streams are live that chunks wait for each other."""
        self._waiting: dict[str, Gathered] = {}
        """The one that waits for longest first."""
        self._enough: dict[str, None] = {}
        """Those of them that wait for nothing that has not arrived."""

    def continues(self, chunk: Chunk) -> bool:
        """Return whether ``chunk`` follows exactly on those of its stream that wait."""
        gathered = self._waiting.get(chunk.stream)
        return gathered is not None and gathered.continued_by(chunk)

    def begins(self, chunk: Chunk, session: StreamSession | None) -> bool:
        """Return whether ``chunk`` may wait for the next one: it simply goes on with its stream."""
        if not self.gathers or session is None or not 0 < chunk.n < MOST_S * chunk.fs_hz:
            return False
        state, stream = session.state, session.stream
        return (
            chunk.session == state.source_session
            and chunk.number == state.number + 1
            and chunk.epoch == stream.epoch
            and chunk.first_sample == stream.next_sample
            and chunk.fs_hz == stream.fs_hz
            and chunk.leads == state.leads
            and not state.ending
        )

    def add(self, chunk: Chunk, session: StreamSession, now: float) -> bool:
        """Let ``chunk`` wait; return whether those of its stream should be taken at once."""
        gathered = self._waiting.get(chunk.stream)
        if gathered is None:
            gathered = Gathered(now, session.stream.beat_due_at)
            self._waiting[chunk.stream] = gathered
        gathered.add(chunk, now)
        if gathered.is_enough():
            self._enough[chunk.stream] = None
        return gathered.is_full()

    def take(self, stream: str) -> Gathered | None:
        """Take out the chunks of a stream, where any wait."""
        self._enough.pop(stream, None)
        return self._waiting.pop(stream, None)

    def due(self, now: float) -> Iterator[str]:
        """Yield, while they are taken out, the streams whose chunks wait no longer.

        Call it when all that has arrived was added.
        """
        while self._enough:
            yield next(iter(self._enough))
        while (at := self.next_deadline()) is not None and at <= now:
            yield next(iter(self._waiting))

    def next_deadline(self) -> float | None:
        """Return when chunks have waited long enough, or None where none wait."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since + GATHER_S
