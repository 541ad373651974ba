"""The sources of a gateway: what of theirs goes to the log, and what they are answered.

A gateway knows of each stream which session sends it, the newest message that it has handed to the
broker, and the newest that the broker has. That is all it keeps, and it may lose it: whoever asks
about a stream that it does not know is answered by the worker of that stream, through the log
(`Answer`). So a gateway may be killed, or another one take its place. Pure: no sockets, no broker;
a peer is whatever its caller means by one.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from pipeline.errors import BusyError, MissingChunkError, WireError
from pipeline.kafka.partition import CREDIT
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Refused
from pipeline.schema.partition_log import Answer
from pipeline.stream.streams import FORGOTTEN_S

PeerT = TypeVar("PeerT", bound=Hashable)

QUESTION_S: Final = 30.0
"""After so long without an answer of a worker a question is forgotten; sources ask again."""


class Handed(NamedTuple):
    """A message of a source that was handed to the broker."""

    stream: str
    session: str
    number: int
    epoch: int
    end: int
    """Index one past its last sample."""
    over: bool


def handed(message: Chunk | End) -> Handed:
    """Return what of a message is remembered until the broker has it."""
    over = isinstance(message, End)
    end = message.next_sample if isinstance(message, End) else message.end
    return Handed(message.stream, message.session, message.number, message.epoch, end, over)


@dataclass(slots=True)
class _Sender(Generic[PeerT]):
    """The source that sends a stream through this gateway."""

    peer: PeerT
    session: str
    number: int
    """Of the newest message that was handed to the broker."""
    written: int
    """Of the newest message that the broker has, together with all before it."""
    seen_at: float
    known: bool = True
    """Whether its worker knew the stream before."""
    epoch: int = 0
    next_sample: int = 0


@dataclass(slots=True)
class _Question(Generic[PeerT]):
    """A source that asked, and whose worker has not answered yet."""

    peer: PeerT
    resume: bool
    since: float


class Senders(Generic[PeerT]):
    """The sources of one gateway, by stream."""

    def __init__(self, most: int) -> None:
        """Begin without any; at most ``most`` streams are taken."""
        self._most = most
        self._senders: dict[str, _Sender[PeerT]] = {}
        self._questions: dict[tuple[str, str], _Question[PeerT]] = {}

    def __len__(self) -> int:
        """Return how many streams there are."""
        return len(self._senders)

    @property
    def asking(self) -> bool:
        """Whether a source waits for the answer of a worker."""
        return bool(self._questions)

    # --- from sources ------------------------------------------------------------------------

    def on_hello(
        self,
        hello: Hello,
        peer: PeerT,
        now: float,
        is_gone: Callable[[PeerT, Accepted], bool],
    ) -> Accepted | None:
        """Return the answer to a question; None where the worker of the stream is to be asked.

        Args:
            hello: the question.
            peer: who asks.
            now: in seconds of any steady clock.
            is_gone: whether a source has no connection any more; it may be sent what it knows.

        Raises:
            BusyError: it would go on for a source whose connection is there.
            WireError: there are too many streams.
        """
        name, sender = hello.stream, self._senders.get(hello.stream)
        if sender is not None and sender.session == hello.session:
            sender.peer, sender.seen_at = peer, now
            return self._progress(name, sender)
        if sender is None and self._is_full(now):
            raise WireError(f"more than {self._most} streams: raise --max-streams")
        resumed = sender if hello.resume else None
        if resumed is not None and not is_gone(resumed.peer, self._progress(name, resumed)):
            raise BusyError(f"another source sends {name}: give this one another name")
        self._questions[name, hello.session] = _Question(peer, hello.resume, now)
        return None

    def _is_full(self, now: float) -> bool:
        """Return whether no further stream is taken; those long silent make room for others."""
        if len(self._senders) + len(self._questions) < self._most:
            return False
        self._questions = {
            key: one for key, one in self._questions.items() if now - one.since < QUESTION_S
        }
        self._senders = {
            name: one for name, one in self._senders.items() if now - one.seen_at < FORGOTTEN_S
        }
        return len(self._senders) + len(self._questions) >= self._most

    def admit(self, message: Chunk | End, peer: PeerT, now: float) -> Accepted | bool:
        """Return whether a message goes to the log, or the answer to one that is there already.

        Raises:
            MissingChunkError: the message before it did not arrive here, or nobody knows.
            BusyError: another source sends this stream through this gateway.
            WireError: there are too many streams.
        """
        name, sender = message.stream, self._senders.get(message.stream)
        if sender is None:
            # Without a number nothing can be missing, and no repeat be recognised.
            if message.number:
                raise MissingChunkError(f"{name}: its source has not asked here yet")
            if self._is_full(now):
                raise WireError(f"more than {self._most} streams: raise --max-streams")
            sender = self._senders[name] = _Sender(peer, message.session, 0, 0, now)
        elif sender.session != message.session:
            raise BusyError(f"another source sends {name}: give this one another name")
        sender.peer, sender.seen_at = peer, now
        if message.number:
            if message.number <= sender.written:
                return self._progress(name, sender, number=message.number)
            if message.number <= sender.number:
                return False  # under way to the broker
            if message.number > sender.number + 1 and not message.unkept:
                raise MissingChunkError(f"{name}: {sender.number + 1} before {message.number}")
            if message.unkept:
                sender.written = max(sender.written, message.number - 1)
            sender.number = message.number
        return True

    def missing(self, message: Chunk | End) -> Accepted:
        """Return the answer to a message that is not taken for one before it is missing."""
        sender = self._senders.get(message.stream)
        if sender is None or sender.session != message.session:
            return Accepted(
                stream=message.stream, epoch=0, next_sample=0, credit=1,
                number=message.number, missing=True, known=False,
            )  # fmt: skip
        return self._progress(message.stream, sender, number=message.number, missing=True)

    # --- from the broker, and from workers ---------------------------------------------------

    def on_written(self, one: Handed) -> tuple[PeerT, Accepted] | None:
        """Record that the broker has a message; return its answer, and who gets it."""
        sender = self._senders.get(one.stream)
        if sender is None or sender.session != one.session:
            return None
        sender.written = max(sender.written, one.number)
        sender.epoch, sender.next_sample = one.epoch, one.end
        answer = self._progress(one.stream, sender, number=one.number, over=one.over)
        if one.over:
            # Whoever sends this name next asks its worker.
            del self._senders[one.stream]
        return sender.peer, answer

    def on_answer(self, answer: Answer) -> tuple[PeerT, Accepted | Refused] | None:
        """Take the answer of a worker; return it and who gets it, or None for nobody here."""
        content = answer.accepted or answer.refused
        if content is None:
            return None
        name = content.stream
        question = self._questions.pop((name, answer.asking), None)
        if question is not None and not (isinstance(content, Accepted) and content.number):
            if isinstance(content, Accepted):
                self._senders[name] = self._new(question, answer.asking, content)
            return question.peer, content
        sender = self._senders.get(name)
        if sender is None or sender.session != answer.asking:
            return None
        if answer.accepted is not None and not answer.accepted.missing:
            return None  # to a question that was asked, and answered, more than once
        # What it sent is not taken after all: it asks again, and its worker answers.
        del self._senders[name]
        return sender.peer, content

    def _new(self, question: _Question[PeerT], asking: str, answer: Accepted) -> "_Sender[PeerT]":
        goes_on = question.resume and (answer.known or answer.over) and answer.session
        session = answer.session if goes_on else asking
        written = answer.written if session == answer.session else 0
        return _Sender(
            question.peer, session, written, written, question.since, answer.known, answer.epoch,
            answer.next_sample,
        )  # fmt: skip

    def _progress(
        self,
        name: str,
        sender: _Sender[PeerT],
        *,
        number: int = 0,
        missing: bool = False,
        over: bool = False,
    ) -> Accepted:
        under_way = sender.number - sender.written
        return Accepted(
            stream=name,
            epoch=sender.epoch,
            next_sample=sender.next_sample,
            credit=CREDIT if under_way < CREDIT else 0,
            number=number,
            session=sender.session,
            written=sender.written,
            missing=missing,
            over=over,
            known=sender.known,
        )
