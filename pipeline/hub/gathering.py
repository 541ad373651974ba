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

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.columns import ChunkRows, as_one
from pipeline.schema.messages import NO_FLAGS, Chunk
from pipeline.stream.session import StreamSession
from pipeline.transport.sockets import Peer

MANY: Final = 16
"""Streams that are live: in a hub of fewer, nothing waits."""

GATHER_S: Final = 0.2
"""No chunk waits for longer where `MANY` streams are live."""

LONGEST_GATHER_S: Final = 0.5
"""No chunk waits for longer, however many streams are live: a beat is found before its window is
complete, or soon after."""

_GATHER_A_STREAM_S: Final = 0.001

MOST_S: Final = 2.0
"""Signal that is taken at once; a longer chunk is taken alone."""

SHORT_S: Final = MOST_S / 32
"""Longest short chunk: a source of these has credit for `MOST_S` of signal."""

ENOUGH_CHUNKS: Final = 24
"""Once this many chunks of a stream wait, they are taken."""


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

    __slots__ = (
        "_first", "_flags", "_last", "_unreadable", "arrivals", "due_at", "ends", "numbers",
        "pieces", "plain", "sender", "since",
    )  # fmt: skip

    def __init__(
        self, first: Chunk, since: float, due_at: int = 0, sender: Sender = NOBODY
    ) -> None:
        """Begin with a chunk that arrived at ``since``."""
        self.since = since
        self.due_at = due_at
        """Position whose sample completes the window of a beat; 0 for none."""
        self.sender = sender
        """Of all of them."""
        self._first = first
        self._flags: dict[int, NDArray[np.uint8]] = {}
        """Of those that have any, by place."""
        self._unreadable = 0
        self.pieces: list[NDArray[np.float32]] = []
        """The samples of each chunk."""
        self.numbers: list[int] = []
        """The number of each chunk."""
        self.arrivals: list[float] = []
        """When each chunk arrived."""
        self.ends: list[int] = []
        """Where each chunk ends."""
        self.add(first, since)

    def add(self, chunk: Chunk, at: float) -> None:
        """Add the chunk that follows, which arrived at a time."""
        if chunk.flags.size:
            self._flags[len(self.pieces)] = chunk.flags
        self._unreadable += chunk.unreadable
        self._last = chunk
        self.plain = not chunk.fault and chunk.stamp_s is None
        """Whether the next one may simply go on."""
        self.pieces.append(chunk.samples)
        self.numbers.append(chunk.number)
        self.arrivals.append(at)
        self.ends.append(chunk.end)

    def add_row(self, chunks: ChunkRows, row: int, at: float) -> bool:
        """Add what follows, if a row of a frame does; return whether it was added."""
        epoch, number, first_sample, n, kind, flagged = chunks.rows[row]
        last = self._last
        if (
            number != self.numbers[-1] + 1
            or first_sample != self.ends[-1]
            or epoch != last.epoch
            or chunks.sessions[row] != last.session
            or not self.plain
        ):
            return False
        of_all = chunks.kinds[kind]
        if of_all.fs_hz != last.fs_hz or of_all.leads != last.leads:
            return False
        if flagged:
            self._flags[len(self.pieces)] = chunks.flags[row]
        self.pieces.append(chunks.samples[row])
        self.numbers.append(number)
        self.arrivals.append(at)
        self.ends.append(first_sample + n)
        return True

    @property
    def parts(self) -> tuple[list[int], list[float]]:
        """Return where all chunks but the last end, and when they arrived."""
        return self.ends[:-1], self.arrivals[:-1]

    def continued_by(self, chunk: Chunk) -> bool:
        """Return whether ``chunk`` is of the same source and begins where the last one ended."""
        last = self._last
        return (
            chunk.number == self.numbers[-1] + 1
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
        return (self.ends[-1] - self._first.first_sample) / self._first.fs_hz

    def as_one(self) -> Chunk:
        """Return them as one chunk, which has the number of the last."""
        first, pieces = self._first, self.pieces
        if len(pieces) == 1:
            return first
        flags = NO_FLAGS
        if self._flags:
            none = (np.zeros(piece.shape, np.uint8) for piece in pieces)
            parts = [self._flags.get(place, its) for place, its in enumerate(none)]
            flags = np.concatenate(parts, axis=-1)
        return as_one(
            first,
            self._last,
            number=self.numbers[-1],
            samples=np.concatenate(pieces, axis=-1),
            flags=flags,
            unreadable=self._unreadable,
        )


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

    def begin(self, chunk: Chunk, session: StreamSession, now: float, sender: Sender) -> Gathered:
        """Let ``chunk`` wait, of a stream of which none has waited; return what waits of it."""
        stream = session.stream
        gathered = Gathered(chunk, now, stream.beat_due_at, sender)
        self._waiting[stream.name] = gathered
        return gathered

    def added(self, stream: str, gathered: Gathered) -> bool:
        """Note what was added to what waits of a stream; return whether to take all at once."""
        seconds, chunks = gathered.seconds, len(gathered.pieces)
        if (
            seconds >= self.longest_s
            or chunks >= ENOUGH_CHUNKS
            or 0 < gathered.due_at < gathered.ends[-1]
        ):
            self._enough[stream] = None
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
