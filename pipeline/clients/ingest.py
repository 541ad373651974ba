"""A source's way to the hub: chunks out, credit back, and what is not safe yet kept.

`IngestClient.send` blocks while the hub has given no credit, so a replay at full speed goes as fast
as the hub takes it in and nothing is dropped on the way. A live source cannot wait: its chunks
queue for `QUEUE_S` of signal, then the oldest are dropped and counted (`shed`).

Every chunk is kept until the hub says that it is in its log. After a silence the feeder asks where
the hub stands and sends again what is missing there: a hub that was killed, or a connection that
broke, costs nothing. Repeats are no-ops for the hub.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EndpointError, WireError
from pipeline.schema.messages import (
    NO_FLAGS,
    Accepted,
    Chunk,
    End,
    Hello,
    Refused,
    decode,
    encode,
    numbered,
    unkept,
)
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait

logger = logging.getLogger(__name__)

QUEUE_S: Final = 10.0
"""So much signal of a live source waits for a hub that takes nothing."""

SILENCE_S: Final = 0.5
"""An answer that is so late is asked for."""

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Chunks kept while the hub cannot write its log; older ones would be lost with the hub."""

PATIENCE_S: Final = 5.0
"""A hub that has not answered for so long at the beginning is worth a word."""

_BUSY_S: Final = 4.0
"""So long another source of the name may take to be given up by the hub."""

_ASK_STOP_S: Final = 0.25


class Start(NamedTuple):
    """Where a source begins, in its own numbering."""

    epoch: int = 0
    sample: int = 0
    over: bool = False
    """Whether the hub has it all."""


class _Message(NamedTuple):
    """A chunk or an end on its way."""

    content: Chunk | End
    number: int = 0
    """0 until it is sent."""
    frame: bytes = b""


class IngestClient:
    """One stream's connection to the hub's ingest socket; a context manager, one thread."""

    def __init__(
        self,
        ingest: str,
        *,
        stream: str,
        fs_hz: float,
        lead: str,
        stop: Callable[[], bool],
        live: bool = False,
        resume: bool = False,
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect to the hub.

        Args:
            ingest: the hub's ingest address.
            stream: name on the wire.
            fs_hz: the source's own rate.
            lead: name of the lead, for display.
            stop: asked while waiting; when it says so, sending gives up.
            live: whether the samples come whether the hub takes them or not.
            resume: whether this source goes on for one that died.
            keys: what to show a hub that asks for keys.
        """
        self._ingest = ingest
        self._keys = keys
        self._hub = Dealer(connect=ingest, keys=keys)
        self._opened_at = time.monotonic()
        self._stream = stream
        self._fs_hz = fs_hz
        self._lead = lead
        self._stop = stop
        self._live = live
        self._resume = resume
        self._session = uuid.uuid4().hex
        self._first_epoch: int | None = None
        """What the hub calls this source's epoch 0; None before it was asked."""
        self._number = 0
        """Of the newest message that was sent."""
        self._written = False
        """Whether anything of this session is known to be in the log."""
        self._credit = 1
        self._queue: deque[_Message] = deque()
        """To be sent, in order."""
        self._kept: deque[_Message] = deque()
        """Sent, and not in the hub's log as far as is known."""
        self._kept_bytes = 0
        self._unanswered: set[int] = set()
        self._asked = False
        """Whether a `Hello` has no answer yet."""
        self._heard_at = time.monotonic()
        self._next = (0, 0)
        self._shed = 0
        self.shed_samples = 0
        """Samples dropped because the hub took nothing."""

    def meet(self) -> Start | None:
        """Ask the hub where this source begins; None if told to stop before it answered.

        A stream that it knows begins its next epoch, unless this source resumes it.

        Raises:
            EndpointError: the hub refuses this stream, or another source goes on sending it.
        """
        began, warned = time.monotonic(), False
        while not self._stop():
            self._say_hello()
            answer = self._answer_to_hello()
            if isinstance(answer, Accepted):
                return self._met(answer)
            if answer is None and not warned and time.monotonic() - began > PATIENCE_S:
                warned = True
                logger.warning(
                    "%s: nothing answers at %s yet, still waiting; does a hub take sources there?",
                    self._stream, self._ingest,
                )  # fmt: skip
            if answer is not None and (not answer.busy or time.monotonic() - began > _BUSY_S):
                raise EndpointError(f"the hub refuses {self._stream}: {answer.reason}")
        return None

    def _met(self, answer: Accepted) -> Start:
        self._credit, self._heard_at = answer.credit, time.monotonic()
        known = answer.known or answer.over
        if not known or not self._resume:
            self._first_epoch = answer.epoch + 1 if answer.known else 0
            return Start()
        self._session, self._number = answer.session, answer.written
        if self._live:
            self._first_epoch = answer.epoch + 1
            return Start()
        self._first_epoch = answer.session_epoch
        return Start(answer.epoch - answer.session_epoch, answer.next_sample, answer.over)

    def _answer_to_hello(self) -> Accepted | Refused | None:
        """Return the answer to the `Hello` under way, or None where none comes in time."""
        deadline = time.monotonic() + SILENCE_S
        while (left_s := deadline - time.monotonic()) > 0 and not self._stop():
            if not self._asked:
                self._say_hello()
            # Without a connection nothing comes; wait as well for that to change.
            wait([self._hub], min(left_s, _ASK_STOP_S if self._asked else 0.01))
            for frame in self._hub.receive():
                message = _answer(frame)
                if isinstance(message, Refused):
                    wait([self._hub], min(SILENCE_S, max(0.0, deadline - time.monotonic())))
                if message is not None:
                    self._asked = False
                    self._unanswered.clear()
                    return message
        return None

    def send(
        self,
        samples: NDArray[np.float32],
        *,
        first_sample: int,
        flags: NDArray[np.uint8] | None = None,
        epoch: int = 0,
        stamp_s: float | None = None,
    ) -> bool:
        """Send samples, float32[n] in mV; False if told to stop before the hub had room.

        ``stamp_s`` is when the source's clock said that the last of them was taken.

        Raises:
            EndpointError: the hub refuses this stream.
        """
        if self._first_epoch is None and self.meet() is None:
            return False
        assert self._first_epoch is not None
        self._next = (self._first_epoch + epoch, first_sample + len(samples))
        chunk = Chunk(
            stream=self._stream,
            epoch=self._next[0],
            first_sample=first_sample,
            fs_hz=self._fs_hz,
            samples=samples.astype(np.float32),
            flags=NO_FLAGS if flags is None else flags.astype(np.uint8),
            lead=self._lead,
            stamp_s=stamp_s,
        )
        self._queue.append(_Message(chunk))
        self._pump(0.0)
        if self._live:
            self._shed_oldest()
            return not self._stop()
        return self._pump_until(lambda: not self._queue)

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Say that the stream is over; True once the hub has everything in its log.

        Raises:
            EndpointError: the hub refuses this stream.
        """
        if self._first_epoch is None and self.meet() is None:
            return False
        epoch, next_sample = self._next
        if self._next == (0, 0) and self._first_epoch:
            epoch = self._first_epoch
        end = End(stream=self._stream, epoch=epoch, next_sample=next_sample)
        self._queue.append(_Message(end))
        deadline = time.monotonic() + timeout_s
        self._pump_until(lambda: not (self._queue or self._kept) or time.monotonic() >= deadline)
        return not (self._queue or self._kept)

    def _pump_until(self, done: Callable[[], bool]) -> bool:
        while not done():
            if self._stop():
                return False
            waiting = self._unanswered or self._asked
            # Without a connection there is nothing to hear; wait as well for that to change.
            self._pump(_ASK_STOP_S if waiting else 0.01)
        return True

    def _pump(self, timeout_s: float) -> None:
        """Hear what there is, after waiting so long for something, and send what may be sent."""
        self._hear(timeout_s)
        waiting = bool(self._unanswered or self._kept or self._asked or not self._credit)
        if waiting and time.monotonic() - self._heard_at > SILENCE_S:
            self._say_hello()
        while self._queue and not self._asked and len(self._unanswered) < self._credit:
            if not self._send_first():
                return

    def _send_first(self) -> bool:
        message = self._queue[0]
        if not message.number:
            content = numbered(message.content, self._session, self._number + 1, self._shed)
            message = _Message(content, self._number + 1, encode(content))
        if not self._hub.send(message.frame):
            return False
        if message.number > self._number:
            self._number, self._shed = message.number, 0
        if not self._unanswered:
            self._heard_at = time.monotonic()  # from now on an answer is due
        self._queue.popleft()
        self._unanswered.add(message.number)
        self._kept.append(message)
        self._kept_bytes += len(message.frame)
        if self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft().frame)
            self._kept[0] = _unkept(self._kept[0])
        return True

    def _say_hello(self) -> None:
        """Ask where the hub stands; where that is not possible, connect anew.

        A socket whose hub is gone tries ever more rarely, every five seconds in the end. A new one
        tries at once, and is given `SILENCE_S` for it.
        """
        hello = Hello(stream=self._stream, session=self._session, resume=self._resume)
        if not self._asked and self._hub.send(encode(hello)):
            self._asked = True
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._opened_at > SILENCE_S:
            self._hub.close(linger_ms=0)
            self._hub = Dealer(connect=self._ingest, keys=self._keys)
            self._opened_at = time.monotonic()
            self._asked = False

    def _hear(self, timeout_s: float) -> None:
        if timeout_s:
            wait([self._hub], timeout_s)
        for frame in self._hub.receive():
            answer = _answer(frame)
            if isinstance(answer, Refused):
                raise EndpointError(f"the hub refuses {self._stream}: {answer.reason}")
            if answer is not None:
                self._on_accepted(answer)

    def _on_accepted(self, answer: Accepted) -> None:
        self._heard_at = time.monotonic()
        self._credit = answer.credit
        self._unanswered.discard(answer.number)
        if answer.session == self._session:
            self._written = True
            while self._kept and self._kept[0].number <= answer.written:
                self._kept_bytes -= len(self._kept.popleft().frame)
        elif self._written and answer.known:
            raise EndpointError(f"another source has taken {self._stream} over")
        if answer.missing and not self._asked:
            self._say_hello()
        elif self._asked and not answer.number:
            # What it does not have by now was lost on the way.
            self._asked = False
            self._unanswered.clear()
            self._queue.extendleft(reversed(self._kept))
            self._kept.clear()
            self._kept_bytes = 0
            if answer.session != self._session and self._queue and self._queue[0].number > 1:
                # The hub knows nothing of this session any more: what it had is gone here, too.
                self._queue[0] = _unkept(self._queue[0])

    def _shed_oldest(self) -> None:
        """Drop what waits for longer than `QUEUE_S`, so that what comes next is not old.

        Not what was sent before and is to be sent again: that stands in front, and is bounded.
        """
        first = sum(message.number > 0 for message in self._queue)
        while len(self._queue) > first:
            oldest = self._queue[first].content
            assert isinstance(oldest, Chunk)
            n = oldest.samples.size
            if self._next[1] - oldest.end <= QUEUE_S * self._fs_hz:
                return
            del self._queue[first]
            self._shed += n
            self.shed_samples += n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._hub.close()


def _unkept(message: _Message) -> _Message:
    content = unkept(message.content)
    return _Message(content, message.number, encode(content))


def _answer(frame: bytes) -> Accepted | Refused | None:
    try:
        message = decode(frame)
    except WireError:
        return None
    return message if isinstance(message, Accepted | Refused) else None
