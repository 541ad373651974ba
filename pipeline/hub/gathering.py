"""Short chunks of many live streams, put together before they are taken.

What a chunk costs hardly depends on its length. So where many streams are live, chunks of a stream
that have arrived together become one, which lets a hub catch up that is behind. Those of a fiftieth
of a second wait here for the next ones, the longer the more streams there are (`gather_s`). They go
at once where the window of a beat is complete with them: its score is no later for it. What waits
is neither in the log nor acknowledged; a hub that dies gets it again. Nothing waits in a hub of few
streams, nor a chunk that is long, begins a stream, or does not follow exactly on the one before.

Pure: no sockets, no clock. Units: seconds of the hub's clock, samples of the source.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.schema.bundles import joined
from pipeline.schema.messages import Chunk
from pipeline.stream.session import StreamSession
from pipeline.transport.sockets import Peer

MANY: Final = 16
"""Streams that are live: in a hub of fewer, nothing waits."""

GATHER_S: Final = 0.2
"""No chunk of `MANY` streams waits for longer,"""

LONGEST_GATHER_S: Final = 0.5
"""and none of however many: a beat is found before its window is complete, or soon after."""

_GATHER_A_STREAM_S: Final = 0.001

MOST_S: Final = 2.0
"""Signal that is taken at once; a longer chunk is taken alone."""

SHORT_S: Final = MOST_S / 32
"""A source of such chunks, or shorter ones, has credit for that much signal,"""

ENOUGH_CHUNKS: Final = 24
"""and with so many that wait nothing more is waited for."""


def gather_s(streams: int) -> float:
    """Return for how long the chunks of so many live streams wait: 0 for few."""
    if streams < MANY:
        return 0.0
    return min(LONGEST_GATHER_S, max(GATHER_S, _GATHER_A_STREAM_S * streams))


class Sender(NamedTuple):
    """Over which connection chunks came."""

    peer: Peer
    bundled: bool
    """Whether in frames for many streams."""


NOBODY: Final = Sender(Peer(), False)
"""Of chunks that come from the log."""


class Gathered:
    """Chunks of one stream, each the continuation of the one before."""

    __slots__ = ("arrivals", "chunks", "due_at", "ends", "sender", "since")

    def __init__(self, since: float, due_at: int = 0, sender: Sender = NOBODY) -> None:
        self.since = since
        self.due_at = due_at
        """Position whose sample completes the window of a beat; 0 for none."""
        self.sender = sender
        """Of all of them."""
        self.chunks: list[Chunk] = []
        self.arrivals: list[float] = []
        """When each of them arrived."""
        self.ends: list[int] = []
        """Where each of them ends."""

    def add(self, chunk: Chunk, at: float) -> None:
        """Add the chunk that follows, which arrived at a time."""
        self.chunks.append(chunk)
        self.arrivals.append(at)
        self.ends.append(chunk.end)

    @property
    def parts(self) -> tuple[list[int], list[float]]:
        """Return where all chunks but the last end, and when they arrived."""
        return self.ends[:-1], self.arrivals[:-1]

    def continued_by(self, chunk: Chunk) -> bool:
        """Return whether ``chunk`` is of the same source and begins where the last one ended."""
        last = self.chunks[-1]
        return (
            chunk.number == last.number + 1
            and chunk.first_sample == self.ends[-1]
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
        first = self.chunks[0]
        return (self.ends[-1] - first.first_sample) / first.fs_hz

    def as_one(self) -> Chunk:
        """Return them as one chunk, which has the number of the last."""
        return joined(self.chunks)


class Gathering:
    """The chunks that wait, by stream."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        """For how long they wait: 0 where nothing waits, as so few streams are live."""
        self._waiting: dict[str, Gathered] = {}
        """The one that waits for longest first."""
        self._enough: dict[str, None] = {}
        """Those of them that wait for nothing that has not arrived."""

    def of(self, stream: str) -> Gathered | None:
        """Return the chunks of a stream, where any wait."""
        return self._waiting.get(stream)

    @property
    def streams(self) -> list[str]:
        """Those whose chunks wait."""
        return list(self._waiting)

    def begins(self, chunk: Chunk, session: StreamSession | None) -> bool:
        """Return whether ``chunk`` may wait for the next one: it simply goes on with its stream."""
        if not self.longest_s or session is None or not 0 < chunk.n < MOST_S * chunk.fs_hz:
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

    def begin(self, session: StreamSession, now: float, sender: Sender) -> Gathered:
        """Return the chunks of a stream, of which none has waited."""
        stream = session.stream
        self._waiting[stream.name] = gathered = Gathered(now, stream.beat_due_at, sender)
        return gathered

    def add(self, gathered: Gathered, chunk: Chunk, now: float) -> bool:
        """Let ``chunk`` wait with others; return whether all should be taken at once."""
        gathered.add(chunk, now)
        seconds, chunks = gathered.seconds, len(gathered.chunks)
        if (
            seconds >= self.longest_s
            or chunks >= ENOUGH_CHUNKS
            or 0 < gathered.due_at < gathered.ends[-1]
        ):
            self._enough[chunk.stream] = None
        return seconds >= MOST_S or chunks >= MOST_S / SHORT_S

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
        return None if first is None else first.since + self.longest_s
