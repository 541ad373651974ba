"""Short chunks of many live streams, put together before they are taken.

What a chunk costs hardly depends on its length. So where many streams are live, chunks of a stream
that have arrived together become one, which lets a hub catch up that is behind. Those of a fiftieth
of a second wait here for the next ones, the longer the more streams there are (`gather_s`). They go
at once where the window of a beat is complete with them: its score is no later for it. What waits
is neither in the log nor acknowledged; a hub that dies gets it again. Nothing waits in a hub of few
streams, nor a chunk that is long, begins a stream, or does not follow exactly on the one before.

Pure: no sockets, no clock. Units: seconds of the hub's clock, samples of the source.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.columns import ChunkRows, Kind
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

_NO_NUMBER: Final = -1
"""No row has it."""


class Gathered:
    """Chunks of one stream, each the continuation of the one before, as one.

    What it has of each is its samples alone: their numbers follow on each other, and where one ends
    is kept only where the next one arrived at another time.
    """

    __slots__ = (
        "_arrivals", "_ends", "_fault", "_flags", "_number", "_shed", "_stamp_s", "_unkept",
        "_unreadable", "arrived_at", "end", "enough_at", "epoch", "first_sample", "kind",
        "next_row", "pieces", "sender", "session", "since", "stream",
    )  # fmt: skip

    def __init__(
        self,
        stream: str,
        session: str,
        kind: Kind,
        *,
        epoch: int,
        number: int,
        first_sample: int,
        since: float,
        sender: Sender = NOBODY,
    ) -> None:
        """Begin, without a chunk yet, what is to arrive from ``since`` on."""
        self.stream = stream
        self.session = session
        self.kind = kind
        self.epoch = epoch
        self.since = self.arrived_at = since
        """When the first one arrived, and the last one."""
        self.enough_at = 0.0
        """Where it ends once it waits for nothing that has not arrived."""
        self.sender = sender
        """Of all of them."""
        self.pieces: list[NDArray[np.float32]] = []
        """The samples of each chunk."""
        self.end = self.first_sample = first_sample
        """Where the last one ends, and the first one begins."""
        self.next_row = number
        """Number of the chunk that may follow as a row; that of none where none may."""
        self._number = number
        self._ends: list[int] = []
        self._arrivals: list[float] = []
        self._flags: dict[int, NDArray[np.uint8]] | None = None
        """Of those that have any, by place."""
        self._unkept, self._shed, self._unreadable = False, 0, 0
        self._stamp_s: float | None = None
        self._fault = ""

    @classmethod
    def beginning(cls, first: Chunk, since: float, sender: Sender = NOBODY) -> "Gathered":
        """Return what begins with a chunk that arrived at ``since``."""
        gathered = cls(
            first.stream, first.session, Kind(first.fs_hz, first.lead, first.leads),
            epoch=first.epoch, number=first.number, first_sample=first.first_sample, since=since,
            sender=sender,
        )  # fmt: skip
        gathered._unkept, gathered._shed = first.unkept, first.shed
        gathered.add(first, since)
        return gathered

    def add(self, chunk: Chunk, at: float) -> None:
        """Add the chunk that follows, which arrived at a time."""
        self._unreadable += chunk.unreadable
        self._stamp_s, self._fault = chunk.stamp_s, chunk.fault
        if at != self.arrived_at:
            self.arrives(at)
        self.add_row(chunk.samples, chunk.n, chunk.flags if chunk.flags.size else None)
        if chunk.fault or chunk.stamp_s is not None:
            self.next_row = _NO_NUMBER
        else:
            self.next_row = chunk.number + 1

    def arrives(self, at: float) -> None:
        """Note that the chunk that follows arrived at a time, another than the last one did."""
        self._ends.append(self.end)
        self._arrivals.append(self.arrived_at)
        self.arrived_at = at

    def add_row(
        self, samples: NDArray[np.float32], n: int, flags: NDArray[np.uint8] | None
    ) -> None:
        """Add the chunk that follows, of ``n`` samples of each lead, with nothing to say beside."""
        if flags is not None:
            self._flags = self._flags or {}
            self._flags[len(self.pieces)] = flags
        self.pieces.append(samples)
        self.end += n
        self.next_row += 1

    @property
    def number(self) -> int:
        """Number of the last one."""
        return self._number + len(self.pieces) - 1

    @property
    def numbers(self) -> range:
        """The number of each."""
        return range(self._number, self._number + len(self.pieces))

    @property
    def lengths(self) -> list[int]:
        """How many samples of each lead each of them has."""
        if self.kind.leads:
            return [samples.shape[-1] for samples in self.pieces]
        return [*map(len, self.pieces)]

    @property
    def parts(self) -> tuple[list[int], list[float]]:
        """Return where those end that arrived before the last ones, and when they arrived."""
        return self._ends, self._arrivals

    def continued_by(self, chunk: Chunk) -> bool:
        """Return whether ``chunk`` is of the same source and begins where the last one ended."""
        return (
            chunk.number == self.number + 1
            and chunk.first_sample == self.end
            and chunk.epoch == self.epoch
            and chunk.session == self.session
            and chunk.fs_hz == self.kind.fs_hz
            and chunk.leads == self.kind.leads
            and chunk.fault == self._fault
            and not (chunk.shed or chunk.unkept)
        )

    @property
    def seconds(self) -> float:
        """How long they are together."""
        return (self.end - self.first_sample) / self.kind.fs_hz

    def as_one(self) -> Chunk:
        """Return them as one chunk: what the first lost, and the number of the last."""
        pieces, kind = self.pieces, self.kind
        return Chunk(
            stream=self.stream,
            session=self.session,
            epoch=self.epoch,
            number=self.number,
            first_sample=self.first_sample,
            fs_hz=kind.fs_hz,
            lead=kind.lead,
            leads=kind.leads,
            samples=pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1),
            flags=NO_FLAGS if self._flags is None else self._flags_as_one(self._flags),
            stamp_s=self._stamp_s,
            unkept=self._unkept,
            shed=self._shed,
            unreadable=self._unreadable,
            fault=self._fault,
        )

    def _flags_as_one(self, flags: dict[int, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        none = (np.zeros(piece.shape, np.uint8) for piece in self.pieces)
        return np.concatenate([flags.get(n, its) for n, its in enumerate(none)], axis=-1)


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
        if session is None or not self.longest_s or chunk.session != session.state.source_session:
            return False
        facts = chunk.epoch, chunk.number, chunk.first_sample, chunk.n
        return _goes_on(session, *facts, chunk.fs_hz, chunk.leads)

    def begin(self, gathered: Gathered, session: StreamSession) -> None:
        """Let the first chunk of a stream wait, of which none has waited."""
        due_at = session.stream.beat_due_at
        enough_at = gathered.first_sample + self.longest_s * gathered.kind.fs_hz
        gathered.enough_at = min(enough_at, due_at + 1) if due_at > 0 else enough_at
        self._waiting[gathered.stream] = gathered
        self.added(gathered)

    def add_rows(
        self,
        chunks: ChunkRows,
        sender: Sender,
        now: float,
        sessions: Mapping[str, StreamSession],
        take: Callable[[str], object],
    ) -> Iterator[tuple[int, Gathered | None]]:
        """Let the rows of a frame wait that follow what waits of their streams.

        Args:
            chunks: the frame.
            sender: over which connection it came.
            now: when.
            sessions: the streams.
            take: takes, at once, all that waits of a stream.

        Yields:
            The number of each other row, and what `begin` may let wait of it, if it may wait. Those
            behind are looked at only then: they may follow it.
        """
        waiting, kinds, may_send = self._waiting, chunks.kinds, sender.peer.rights.may_send
        facts = zip(chunks.streams, chunks.sessions, *chunks.columns, chunks.samples, strict=True)
        for row, (
            stream, source_session, epoch, number, first_sample, n, kind, flagged, samples,
        ) in enumerate(facts):  # fmt: skip
            gathered = waiting.get(stream)
            if (
                gathered is None
                or number != gathered.next_row
                or first_sample != gathered.end
                or epoch != gathered.epoch
                or source_session != gathered.session
                or kinds[kind] != gathered.kind
                # The same object stands for the same connection, with the rights that it had.
                or (gathered.sender is not sender and gathered.sender != sender)
                or not (gathered.sender is sender or may_send(stream))
            ):
                begun = None
                if gathered is None and self.longest_s and may_send(stream):
                    begun = _begun(
                        stream, source_session, epoch, number, first_sample, n, kinds[kind],
                        sessions.get(stream), now, sender,
                    )  # fmt: skip
                    if begun is not None:
                        begun.add_row(samples, n, chunks.flags[row] if flagged else None)
                yield row, begun
                continue
            if now != gathered.arrived_at:
                gathered.arrives(now)
            if flagged:
                gathered.add_row(samples, n, chunks.flags[row])
            else:  # as `add_row`, in half the time
                gathered.pieces.append(samples)
                gathered.end += n
                gathered.next_row += 1
            if (
                gathered.end >= gathered.enough_at or len(gathered.pieces) >= ENOUGH_CHUNKS
            ) and self.added(gathered):
                take(stream)

    def added(self, gathered: Gathered) -> bool:
        """Note what was added to what waits of a stream; return whether to take all at once."""
        chunks = len(gathered.pieces)
        if gathered.end >= gathered.enough_at or chunks >= ENOUGH_CHUNKS:
            self._enough[gathered.stream] = None
        return gathered.seconds >= MOST_S or chunks >= MOST_S / SHORT_S

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


def _begun(
    stream: str,
    source_session: str,
    epoch: int,
    number: int,
    first_sample: int,
    n: int,
    kind: Kind,
    session: StreamSession | None,
    now: float,
    sender: Sender,
) -> Gathered | None:
    """Return what begins, still empty, with a row that may wait; None of any other."""
    if session is None or source_session != session.state.source_session:
        return None
    if not _goes_on(session, epoch, number, first_sample, n, kind.fs_hz, kind.leads):
        return None
    return Gathered(
        stream, source_session, kind, epoch=epoch, number=number, first_sample=first_sample,
        since=now, sender=sender,
    )  # fmt: skip


def _goes_on(
    session: StreamSession,
    epoch: int,
    number: int,
    first_sample: int,
    n: int,
    fs_hz: float,
    leads: list[str],
) -> bool:
    """Return whether a chunk of the source of a stream follows on the last one, and is not long."""
    state, stream = session.state, session.stream
    return (
        number == state.number + 1
        and first_sample == stream.next_sample
        and epoch == stream.epoch
        and 0 < n < MOST_S * fs_hz
        and fs_hz == stream.fs_hz
        and leads == state.leads
        and not state.ending
    )
