"""A source's connection to the hub: chunks out, credit back, resent until they are in the log.

`IngestClient.send` blocks while the hub gives no credit, so a replay at full speed goes as fast as
the hub takes it, and nothing is dropped on the way. A live source cannot wait: its chunks queue for
`QUEUE_S` of signal, then the oldest are dropped and counted (`shed`).
Every chunk is buffered until the hub acknowledges that it is in its log. After a silence the client
asks how far the hub is and sends the rest again, so a hub that was killed, or a connection that
broke, loses nothing. The hub ignores repeats.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Self

import numpy as np

from pipeline.clients.lines import Line, OwnLine
from pipeline.errors import EndpointError
from pipeline.schema.messages import (
    NO_FLAGS,
    Accepted,
    Chunk,
    End,
    Hello,
    Refused,
    numbered,
)
from pipeline.schema.outgoing import Outgoing, Start
from pipeline.signal.samples import SampleBlock
from pipeline.transport.curve import ClientKeys

logger = logging.getLogger(__name__)

QUEUE_S: Final = 10.0
"""This much signal of a live source waits for a hub that takes nothing."""

SILENCE_S: Final = 0.5
"""After this long without an answer the client asks for it."""

BUFFER_BYTES: Final = 8 * 1024 * 1024
"""Limit of the unacknowledged chunks. Older ones are dropped, and would be lost with the hub."""

PATIENCE_S: Final = 5.0
"""After this long without a hub at the beginning, a warning is logged."""

_BUSY_S: Final = 4.0
"""Within this time the hub gives up a silent source of the same name."""

_ASK_STOP_S: Final = 0.25


class IngestClient:
    """One stream's connection to the hub's ingest socket; a context manager, one thread."""

    def __init__(
        self,
        ingest: str,
        *,
        stream: str,
        fs_hz: float,
        lead: str,
        leads: Sequence[str] = (),
        stop: Callable[[], bool],
        live: bool = False,
        resume: bool = False,
        keys: ClientKeys | None = None,
        line: Line | None = None,
    ) -> None:
        """Connect to the hub.

        Args:
            ingest: the hub's ingest address.
            stream: name on the wire.
            fs_hz: the source's own rate.
            lead: name of the lead, or of the first of several.
            leads: names of several; the samples are then float32[leads, n].
            stop: asked while waiting; once true, sending gives up.
            live: whether the source is a device, which cannot wait for the hub.
            resume: whether this source continues for one that died.
            keys: what to present to a hub that asks for keys.
            line: a connection to use, for none of its own; only what does not wait may be called.
        """
        self._ingest = ingest
        self._line = line or OwnLine(ingest, keys)
        self._stream = stream
        self._fs_hz = fs_hz
        self._lead = lead
        self._leads = list(leads)
        self._stop = stop
        self._live = live
        self._resume = resume
        self._session = uuid.uuid4().hex
        self._first_epoch: int | None = None
        """The hub's number of this source's epoch 0; None before the handshake."""
        self._number = 0
        """Number of the newest message that was sent."""
        self._written = False
        """Whether anything of this session is known to be in the log."""
        self._credit = 1
        self._queue: deque[Outgoing] = deque()
        """To be sent, in order."""
        self._buffer: deque[Outgoing] = deque()
        """Sent and not acknowledged, in order."""
        self._buffered_bytes = 0
        self._sent_to = self._answered_to = 0
        """Numbers of the newest message that was sent, and of the newest of which it is known that
        it arrived or is lost: those between have no answer, and take up credit."""
        self._asked = False
        """Whether a `Hello` has no answer yet."""
        self._busy_since = 0.0
        """Since when the hub takes another source for the one that sends; 0 while it does not."""
        self._began_at = self._answered_at = time.monotonic()
        self._again_at = 0.0
        """When a hub that refused may be asked again."""
        self._warned = False
        self._next = (0, 0)
        """Epoch and number of the sample that follows on the last one."""
        self._shed = 0
        """Samples dropped since the last message that was sent."""
        self._unreadable = 0
        """Unreadable lines that the chunks of these samples reported."""
        self.shed_samples = 0
        """Samples dropped because the hub took nothing."""

    def handshake(self) -> Start | None:
        """Ask the hub where this source begins; None if ``stop`` came before the answer.

        A stream that the hub knows begins its next epoch, unless this source resumes it. Raises as
        `begin`.
        """
        self._began_at = time.monotonic()
        while not self._stop():
            if (start := self.begin()) is not None:
                return start
            # Without a connection nothing wakes the wait: look again soon.
            self._line.wait(_ASK_STOP_S if self._asked else 0.01)
        return None

    def begin(self) -> Start | None:
        """Return where this source begins, as `handshake`; None as long as no answer is there.

        Raises:
            EndpointError: the hub refuses this stream, or another source is still sending it.
        """
        now = time.monotonic()
        for answer in self._line.answers():
            self._asked, self._warned = False, True
            self._answered_to = self._sent_to
            if isinstance(answer, Accepted):
                return self._start(answer)
            if not answer.busy or now - self._began_at > _BUSY_S:
                raise EndpointError(f"the hub refuses {self._stream}: {answer.reason}")
            self._again_at = now + SILENCE_S
        if now >= self._again_at and (not self._asked or now - self._answered_at > SILENCE_S):
            self._send_hello()
        if not self._warned and now - self._began_at > PATIENCE_S:
            self._warned = True
            logger.warning(
                "%s: nothing answers at %s yet, still waiting; does a hub take sources there?",
                self._stream, self._ingest,
            )  # fmt: skip
        return None

    def _start(self, answer: Accepted) -> Start:
        self._credit, self._answered_at = answer.credit, time.monotonic()
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

    def send(self, block: SampleBlock) -> bool:
        """Send samples; False if ``stop`` came before the hub gave credit. Raises as `offer`."""
        if self._first_epoch is None and self.handshake() is None:
            return False
        self.offer(block)
        return self._sent()

    def offer(self, block: SampleBlock) -> None:
        """Queue samples, after `begin`, and send them if there is credit.

        Raises `EndpointError` if the hub refuses this stream, or for more or fewer leads.
        """
        if (leads := block.leads) != max(1, len(self._leads)):
            raise EndpointError(f"{self._stream}: a block of {leads} leads: start it again")
        assert self._first_epoch is not None
        self._next = (self._first_epoch + block.epoch, block.end)
        self._offer(self._chunk(block))

    def report(self, unreadable: int = 0, fault: str = "") -> bool:
        """Say how a source fares, which opens its stream; returns and raises as `send`.

        Args:
            unreadable: lines or packets of the device that could not be read, since the last call.
            fault: what keeps it from sending samples, and what to do; empty for nothing.
        """
        if self._first_epoch is None and self.handshake() is None:
            return False
        assert self._first_epoch is not None
        epoch, at = self._next = max(self._next, (self._first_epoch or 0, 0))
        none = np.zeros((len(self._leads), 0) if self._leads else 0, np.float32)
        empty = SampleBlock(at, none, epoch=epoch - self._first_epoch)
        if self._queue and not self._queue[-1].number:
            waiting = self._queue[-1].content
            if isinstance(waiting, Chunk) and not waiting.n:
                # Without a hub no more than one report waits.
                self._queue.pop()
                unreadable += waiting.unreadable
        self._offer(self._chunk(empty, unreadable, fault))
        return self._sent()

    def _sent(self) -> bool:
        return not self._stop() if self._live else self._pump_until(lambda: self.has_credit)

    def _chunk(self, block: SampleBlock, unreadable: int = 0, fault: str = "") -> Chunk:
        """Return a block, the last of what is `_next`, as a chunk."""
        samples = block.samples
        return Chunk(
            stream=self._stream,
            epoch=self._next[0],
            first_sample=block.first_sample,
            fs_hz=self._fs_hz,
            samples=samples if samples.dtype == np.float32 else samples.astype(np.float32),
            flags=NO_FLAGS if block.flags is None else block.flags.astype(np.uint8),
            lead=self._lead,
            leads=self._leads,
            stamp_s=block.stamp_s,
            unreadable=unreadable,
            fault=fault,
            session=self._session,
            number=0 if self._queue else self._number + 1,  # so `_numbered` need not copy it
        )

    def _offer(self, chunk: Chunk) -> None:
        self._queue.append(Outgoing(chunk))
        self.pump()
        if self._live:
            self._shed_oldest()

    @property
    def has_credit(self) -> bool:
        """Whether all that was offered was sent."""
        return not self._queue

    @property
    def is_written(self) -> bool:
        """Whether the hub has all that was offered in its log."""
        return not (self._queue or self._buffer)

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Send the end of the stream; True once all is in the hub's log. Raises as `offer`."""
        if self._first_epoch is None and self.handshake() is None:
            return False
        self.end()
        return self.settle(timeout_s)

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that was offered is in the log; False if it is not after so long."""
        deadline = time.monotonic() + timeout_s
        self._pump_until(lambda: self.is_written or time.monotonic() >= deadline)
        return self.is_written

    def end(self) -> None:
        """Queue the end of the stream, after `begin`; the stream is over once it `is_written`."""
        epoch, next_sample = max(self._next, (self._first_epoch or 0, 0))
        end = End(stream=self._stream, epoch=epoch, next_sample=next_sample)
        self._queue.append(Outgoing(end))

    def _pump_until(self, done: Callable[[], bool]) -> bool:
        while not done():
            if self._stop():
                return False
            waiting = self._sent_to > self._answered_to or self._asked
            # Without a connection nothing wakes the wait: look again soon.
            self.pump(_ASK_STOP_S if waiting else 0.01)
        return True

    def pump(self, timeout_s: float = 0.0) -> None:
        """Receive, after waiting at most so long for something; then send what may be sent.

        Call it several times a second while something is under way. Raises as `send`.
        """
        if timeout_s:
            self._line.wait(timeout_s)
        for answer in self._line.answers():
            if isinstance(answer, Refused):
                self._on_refused(answer)
            else:
                self._on_accepted(answer)
        now, queue = time.monotonic(), self._queue
        waits = self._sent_to > self._answered_to or self._asked or not self._credit
        if (waits or self._buffer) and now - self._answered_at > SILENCE_S:
            self._send_hello()
        while queue and not self._asked and self._sent_to - self._answered_to < self._credit:
            message = queue[0]
            content = message.content if message.number else self._numbered(message.content)
            if not self._line.send(content):
                break
            message.sent(content)
            self._on_sent(queue.popleft(), now)

    def _on_sent(self, message: Outgoing, now: float) -> None:
        number = message.number
        if number > self._number:
            self._number, self._shed, self._unreadable = number, 0, 0
        if self._sent_to == self._answered_to:
            self._answered_at = now  # from now on an answer is due
            self._answered_to = number - 1
        self._sent_to = number
        self._buffer.append(message)
        self._buffered_bytes += message.held_bytes
        if self._buffered_bytes > BUFFER_BYTES:
            self._buffered_bytes -= self._buffer.popleft().held_bytes
            self._buffer[0] = self._buffer[0].after_loss()

    def _numbered(self, content: Chunk | End) -> Chunk | End:
        """Return the next message with its number, and what was dropped before it."""
        if content.number == self._number + 1 and not (self._shed or self._unreadable):
            return content
        more = content.unreadable if isinstance(content, Chunk) else 0
        facts = {"shed": self._shed, "unreadable": self._unreadable + more}
        return numbered(content, self._session, self._number + 1, **facts)

    def _send_hello(self) -> None:
        """Ask how far the hub is; where that is not possible, connect again."""
        hello = Hello(stream=self._stream, session=self._session, resume=self._resume)
        if not self._asked and self._line.send(hello):
            self._asked = True
            self._answered_at = time.monotonic()
        elif self._line.renew():
            self._asked = False

    def _on_refused(self, answer: Refused) -> None:
        """Raise `EndpointError`, unless the hub may still find out that it was mistaken.

        A hub that was put back to an older log takes the session before this one for present.
        """
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if not answer.busy or now - self._busy_since > _BUSY_S:
            raise EndpointError(f"the hub refuses {self._stream}: {answer.reason}")
        self._answered_at, self._asked = now, False

    def _on_accepted(self, answer: Accepted) -> None:
        self._answered_at, self._busy_since = time.monotonic(), 0.0
        self._credit = answer.credit
        if self._answered_to < answer.number <= self._sent_to:  # it stands for those before it
            self._answered_to = answer.number
        if answer.session == self._session:
            self._written = True
            while self._buffer and self._buffer[0].number <= answer.written:
                self._buffered_bytes -= self._buffer.popleft().held_bytes
        elif self._written and answer.known and answer.epoch >= (self._first_epoch or 0):
            raise EndpointError(f"another source has taken {self._stream} over")
        if answer.missing and not self._asked:
            self._send_hello()
        elif self._asked and not answer.number:
            # Whatever the hub does not have by now was lost on the way: send it again.
            self._asked = False
            self._answered_to = self._sent_to
            self._queue.extendleft(reversed(self._buffer))
            self._buffer.clear()
            self._buffered_bytes = 0
            written = answer.written if answer.session == self._session else 0
            if self._queue and self._queue[0].leaves_out(written):
                # It has another log, or an older copy of it: what it had acknowledged since is kept
                # nowhere, and becomes a gap.
                logger.warning("%s: the hub has lost samples it had: a gap", self._stream)
                self._queue[0] = self._queue[0].after_loss()

    def _shed_oldest(self) -> None:
        """Drop queued chunks that are older than `QUEUE_S`, so that the next ones are not late.

        Chunks to be sent again stay: they are in front of the queue, and the buffer bounds them.
        """
        first = sum(message.number > 0 for message in self._queue)
        while len(self._queue) > first:
            oldest = self._queue[first].content
            assert isinstance(oldest, Chunk)
            if self._next[1] - oldest.end <= QUEUE_S * self._fs_hz:
                return
            del self._queue[first]
            self._shed += oldest.n
            self._unreadable += oldest.unreadable
            self.shed_samples += oldest.n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._line.close()
