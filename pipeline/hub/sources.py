"""The ingest socket: what sources send is admitted or refused, and answered after the commit.

What is refused is counted, and its source gets the reason; what comes without credit is counted and
gets no answer. The name of a source's session is what lets it change its stream, so no other source
learns it: only one that goes on for a source whose connection is gone, or that has fallen silent.
Whatever arrives is hostile until decoded. Not thread-safe: runs in the hub's loop.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pipeline.errors import BusyError, MissingChunkError, WireError
from pipeline.hub.admission import Admission, NoCreditError
from pipeline.hub.counters import HubCounters
from pipeline.hub.gathering import NOBODY, Gathered, Gathering, Sender, gather_s
from pipeline.hub.journal import Journal
from pipeline.schema.bundles import Bundle, decode_from_source, encode_answers
from pipeline.schema.columns import ChunkRows
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Event,
    Hello,
    Opened,
    Refused,
    encode,
    stream_named_in,
)
from pipeline.schema.public import Alert
from pipeline.stream.session import NOT_BEGUN, StreamSession
from pipeline.stream.streams import Streams
from pipeline.transport.senders import Senders
from pipeline.transport.sockets import Peer, Router

_MESSAGES_A_TURN: Final = 64
"""That are read, or four times as many as there are streams, where that is more."""

_BEGUN_A_TURN: Final = 16
"""Streams that begin: each takes a millisecond."""

_KEPT_S: Final = 10.0
"""For so long a source that is connected may be silent until another may begin its stream."""

_LATE_S: Final = 0.5
"""A source that waits longer for an answer may have no credit to send more: it is not silent."""

_UNREAD_S: Final = 10.0
"""A hub that has not read all that came for so long takes for silent who may not be."""


class _Unanswered(NamedTuple):
    """A message of a source that waits for its `Accepted`."""

    peer: Peer
    stream: str
    session: str
    waits_from: float
    """When it arrived or, of one that waited for the next, when it had waited enough."""
    number: int
    """0 for a question."""
    bundled: bool
    """Whether it came in a frame for many streams, and is answered in one."""
    missing: bool = False
    """Whether it was not taken, for one before it has not arrived."""
    asks: bool = False
    """Whether it is a question."""
    resume: bool = False
    """Whether it is that of a source that goes on for another."""
    taken: int = 0
    """Credit that is given back with the answer."""


class Sources:
    """The sources on the ingest ``socket`` of a hub."""

    def __init__(
        self,
        socket: Router,
        streams: Streams,
        journal: Journal,
        admission: Admission,
        *,
        apply: Callable[[Event, float], object],
        hand_over: Callable[[str], list[Alert]],
        counters: HubCounters,
    ) -> None:
        """Begin.

        Args:
            socket: where messages arrive.
            streams: what they are about.
            journal: says how far each stream is in the log.
            admission: says which streams are taken.
            apply: applies an event that arrived at a time.
            hand_over: returns, once, the alarms retained from earlier streams of a name.
            counters: count what is not taken.
        """
        self._socket = socket
        self._streams = streams
        self._journal = journal
        self._admission = admission
        self._apply = apply
        self._hand_over = hand_over
        self._counters = counters
        self._gathering = Gathering()
        self._last_sender = NOBODY
        """Of a frame for many streams."""
        self._rest: deque[tuple[Peer, Hello | Chunk | End, bool]] = deque()
        """Messages of a frame for many streams that are still to be taken."""
        self._left = self._begun = 0
        """Messages that this turn may still take, and streams that have begun in it."""
        self._unanswered: list[_Unanswered] = []
        self._senders = Senders(socket)
        self._all_read_at = float("-inf")
        """When nothing more was left to be read,"""
        self._unread_since: float | None = None
        """and when something was for the first time since."""

    def receive(self, now: float) -> None:
        """Take in what has arrived."""
        self._gathering.longest_s = gather_s(self._admission.open_streams)
        most = max(_MESSAGES_A_TURN, 4 * len(self._streams.sessions))
        self._left, self._begun = most, 0
        for peer, message, bundled in self._arrived(most, now):
            if message is not None:
                self._take(peer, message, now, bundled=bundled)
            self._left -= 1
            if self._left <= 0 or self._begun >= _BEGUN_A_TURN:
                break
        else:
            self._all_read_at, self._unread_since = now, None
        if self._all_read_at < now and self._unread_since is None:
            self._unread_since = now
        for name in self._gathering.due(now):
            self._take_gathered(name)

    def _arrived(
        self, most: int, now: float
    ) -> Iterator[tuple[Peer, Hello | Chunk | End | None, bool]]:
        """Yield what has arrived, of up to ``most`` frames, and whether in a frame of many.

        None stands for what is no message, or was taken. What is not comes with the next call.
        """
        while self._rest:
            yield self._rest.popleft()
        for peer, frame in self._socket.receive(most):
            try:
                message = decode_from_source(frame)
            except WireError as error:
                self._refuse(peer, stream_named_in(frame), error, now)
                yield peer, None, False
                continue
            if isinstance(message, ChunkRows):
                self._gather_rows(peer, message, now)
                yield peer, None, True
            elif isinstance(message, Bundle):
                self._rest.extend((peer, one, True) for one in message.messages)
            else:
                yield peer, message, False
                continue
            while self._rest:
                yield self._rest.popleft()

    @property
    def has_rest(self) -> bool:
        """Whether something was not taken yet, or not even read, for there was too much."""
        return bool(self._rest) or self._unread_since is not None

    def all_read_until(self, now: float) -> float:
        """Return until when it is known which sources sent something; later it may wait unread."""
        since = self._unread_since
        gave_up = since is not None and now - since > _UNREAD_S
        return now if gave_up else self._all_read_at

    def next_deadline(self) -> float | None:
        """Return when `receive` should be called at the latest, or None if nothing waits."""
        return self._gathering.next_deadline()

    def _take(self, peer: Peer, message: Hello | Chunk | End, now: float, *, bundled: bool) -> None:
        """Take one message, or refuse it."""
        missing, taken = False, 0
        try:
            if isinstance(message, Chunk) and self._gathers(peer, message, now, bundled=bundled):
                return
            self._take_gathered(message.stream)
            taken = self._admit(peer, message, now)
        except NoCreditError:
            self._uncredited(message.stream, message.session, now)
            return
        except MissingChunkError:
            missing = True
        except WireError as error:
            self._refuse(peer, message.stream, error, now)
            return
        asks, resume = isinstance(message, Hello), isinstance(message, Hello) and message.resume
        number = 0 if isinstance(message, Hello) else message.number
        facts = peer, message.stream, message.session, now, number, bundled, missing, asks, resume
        self._unanswered.append(_Unanswered(*facts, taken=taken))

    def _gather_rows(self, peer: Peer, chunks: ChunkRows, now: float) -> None:
        """Let chunks wait as `_gathers` does, without a message for those that simply go on."""
        sessions, last = self._streams.sessions, self._last_sender.peer
        if peer != last or peer.user != last.user or peer.rights is not last.rights:
            self._last_sender = Sender(peer, True)
        self._left -= len(chunks.streams)
        for row, begun in self._gathering.add_rows(
            chunks, self._last_sender, now, sessions, self._take_gathered
        ):
            if begun is not None and not self._rest:
                try:
                    self._begin(begun, sessions[begun.stream], now)
                except NoCreditError:
                    self._uncredited(begun.stream, begun.session, now)
                continue
            self._left += 1  # it is still to be taken, after what came before it
            try:
                self._rest.append((peer, chunks.chunk(row), True))
            except WireError as error:
                self._refuse(peer, None, error, now)

    def _gathers(self, peer: Peer, chunk: Chunk, now: float, *, bundled: bool) -> bool:
        """Let a chunk wait for the next of its stream, if it may; raise as `_admit` does."""
        name = chunk.stream
        if not peer.rights.may_send(name):
            return False
        gathered = self._gathering.of(name)
        if gathered is None:
            session = self._streams.sessions.get(name)
            if session is None or not self._gathering.begins(chunk, session):
                return False
            self._begin(Gathered.beginning(chunk, now, Sender(peer, bundled)), session, now)
            return True
        if gathered.sender != (peer, bundled) or not gathered.continued_by(chunk):
            return False
        gathered.add(chunk, now)
        if self._gathering.added(gathered):
            self._take_gathered(name)
        return True

    def _begin(self, begun: Gathered, session: StreamSession, now: float) -> None:
        """Let the first chunk wait of a stream, of which none has; raise `NoCreditError`."""
        self._admission.require_credit(begun.stream, now)
        self._senders.remember(begun.stream, begun.sender.peer, self._streams.sessions)
        self._gathering.begin(begun, session)

    def _take_gathered(self, name: str) -> None:
        """Take the chunks of a stream that wait for more, where there are any."""
        if (gathered := self._gathering.take(name)) is None:
            return
        chunk, (peer, bundled) = gathered.as_one(), gathered.sender
        ends, arrivals = gathered.parts
        if ends:
            self._streams.sessions[name].have_arrived(ends, arrivals)
        self._apply(chunk, gathered.arrived_at)
        waits_from = gathered.arrived_at + self._gathering.longest_s
        taken = self._admission.on_taken(name, chunk.fs_hz, gathered.lengths)
        if bundled:  # one answer stands for all
            facts = peer, name, chunk.session, waits_from, chunk.number, True
            self._unanswered.append(_Unanswered(*facts, taken=sum(taken)))
        else:
            self._unanswered += [
                _Unanswered(peer, name, chunk.session, waits_from, number, False, taken=one)
                for number, one in zip(gathered.numbers, taken, strict=True)
            ]

    def _refuse(self, peer: Peer, stream: str | None, error: WireError, now: float) -> None:
        """Count what is not taken and, where it names its stream, tell its source why."""
        self._counters.reject(error, now)
        if stream is not None:
            busy = isinstance(error, BusyError)
            refused = Refused(stream=stream, reason=str(error)[:300], busy=busy)
            self._socket.send(peer, encode(refused))

    def _admit(self, peer: Peer, message: Hello | Chunk | End, now: float) -> int:
        """Apply what a source sends, and return the credit that it takes.

        Raises `WireError` or `NoCreditError` if it is not taken.
        """
        name = message.stream
        if not peer.rights.may_send(name):
            raise WireError("this key may not send that stream; see monitor keys list")
        resumes = isinstance(message, Hello) and message.resume
        if not isinstance(message, End) and self._is_taken(name, message.session, now, resumes):
            raise BusyError(f"another source sends {name}: give this one another name")
        if isinstance(message, Hello):
            session = self._streams.sessions.get(name)
            if session is not None and message.session == session.state.source_session:
                self._senders.remember(name, peer, self._streams.sessions)
                if not self._admission.credit(name):
                    self._waits(name, message.session, now)
            return 0
        if not self._streams.is_news(message, now):
            return 0
        self._admission.require_credit(name, now)
        if name not in self._streams.sessions:
            # The one that gives way to it must be none whose source is back: its chunks may wait.
            for waiting in self._gathering.streams:
                self._take_gathered(waiting)
        taken = 0
        for event in self._streams.admit(message, now, self._hand_over):
            self._apply(event, now)
            self._begun += isinstance(event, Opened)
            if isinstance(event, Chunk):
                taken += self._admission.on_taken(name, event.fs_hz, [event.n])[0]
                self._senders.remember(name, peer, self._streams.sessions)
        return taken

    def _uncredited(self, name: str, source_session: str, now: float) -> None:
        """Count a chunk that came without credit: it will be sent again, once an answer has any."""
        self._counters.on_uncredited(self._streams.sessions.get(name))
        self._waits(name, source_session, now)

    def _waits(self, name: str, source_session: str, now: float) -> None:
        """Record that the source of a message waits for credit."""
        session = self._streams.sessions.get(name)
        if session is not None and source_session == session.state.source_session:
            session.waited_at = now

    def _is_taken(self, name: str, source_session: str, now: float, resumes: bool) -> bool:
        """Return whether another source has a stream, and keeps it.

        One that sends keeps it, unless its connection is gone and another ``resumes`` its work. One
        that is connected keeps it for longer: if the hub was held up, all sources look silent.
        """
        if self._streams.busy(name, source_session, now) and not resumes:
            return True
        kept = self._streams.busy(name, source_session, now, silent_s=_KEPT_S)
        return kept and not self._senders.is_gone(name, now, lambda: encode(self._progress(name)))

    def __len__(self) -> int:
        """Return how many messages wait for their answer."""
        return len(self._unanswered)

    def answer(self, now: float, count: int) -> None:
        """Say what is in the log by now to the first ``count``, but to those that are to wait."""
        held, known = [], self._streams.sessions
        together: dict[Peer, dict[tuple[str, bool, bool], _Unanswered]] = {}
        for one in self._unanswered[:count]:
            name = one.stream
            if not (one.asks or one.missing):
                if self._admission.holds(name, now):
                    held.append(one)
                    continue
                if one.taken:
                    self._admission.on_answered(name, one.taken)
                if now - one.waits_from >= _LATE_S and (session := known.get(name)) is not None:
                    session.waited_at = now
            if one.bundled:  # the last answer of a kind stands for those before it
                together.setdefault(one.peer, {})[name, one.asks, one.missing] = one
            else:
                self._socket.send(one.peer, encode(self._answer(one)))
        self._unanswered[:count] = held
        for peer, of_peer in together.items():
            for frame in encode_answers([self._answer(one) for one in of_peer.values()]):
                self._socket.send(peer, frame)

    def _answer(self, one: _Unanswered) -> Accepted:
        return self._progress(
            one.stream, one.session, resume=one.resume, number=one.number, missing=one.missing
        )

    def _progress(
        self,
        name: str,
        asking: str | None = None,
        *,
        resume: bool = False,
        number: int = 0,
        missing: bool = False,
    ) -> Accepted:
        """Return how far a stream is in the log.

        Args:
            name: of the stream.
            asking: session of the source that is answered; None for the one that sent last.
            resume: whether it goes on for that one, and so learns the name of its session.
            number: of the message that is answered; 0 for a question.
            missing: whether it was not taken, for one before it has not arrived.
        """
        progress = self._journal.progress(name) or NOT_BEGUN
        session = self._streams.sessions.get(name)
        own = resume or asking in (None, progress.source_session)
        return Accepted(
            stream=name,
            epoch=progress.epoch,
            next_sample=progress.next_sample,
            credit=self._admission.credit(name),
            number=number,
            session=progress.source_session if own else "",
            written=progress.number if own else 0,
            missing=missing,
            # The session may be ahead of the log.
            known=progress is not NOT_BEGUN
            and session is not None
            and not (progress.over and session.ended),
            over=progress.over,
            session_epoch=progress.source_epoch,
        )
