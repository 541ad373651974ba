"""Sources in, the topic of chunks out: acknowledged once the broker has it on every replica.

A gateway speaks the protocol of a hub's ingest socket. What the sources send is checked, put into
one message for each partition that carries the chunks of many streams, and handed to the broker
within some milliseconds. It analyses nothing and keeps nothing that it may not lose
(`pipeline.kafka.senders`), so there may be any number of them. One thread.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from pipeline.errors import BusyError, EndpointError, MissingChunkError, WireError
from pipeline.kafka.brokers import MESSAGE_BYTES, Cluster, failures_in_a_line, is_fatal
from pipeline.kafka.figures import EVERY_S, Figure, Figures, OnFigures, ignore_figures
from pipeline.kafka.ownership import check
from pipeline.kafka.senders import Handed, Senders, handed
from pipeline.kafka.skipped import Skipped
from pipeline.kafka.topics import partition_of
from pipeline.schema.bundles import messages_from_source
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Hello,
    Refused,
    encode,
    stream_named_in,
)
from pipeline.schema.partition_log import decode_answer, encode_batch
from pipeline.transport.access_list import INGEST
from pipeline.transport.auth import Authenticator
from pipeline.transport.connections import ConnectionLimits
from pipeline.transport.sockets import Peer, Router, wait

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

logger = logging.getLogger(__name__)

LINGER_S: Final = 0.02
"""So long a chunk waits for others of its partition."""

MAX_STREAMS: Final = 4_096
"""Streams of one gateway: each has a connection."""

_MESSAGES_A_TURN: Final = 1_024
_IDLE_S: Final = 0.05
_POLL_S: Final = 0.005
"""While the broker has messages that it has not acknowledged, it is asked so often."""

_BATCH_BYTES: Final = MESSAGE_BYTES // 2
"""A message of this number of bytes waits no longer: with one more chunk it is below the limit."""


@dataclass(slots=True)
class _Batch:
    """What waits for a partition."""

    frames: list[bytes] = field(default_factory=list)
    handed: list[Handed] = field(default_factory=list)
    bytes: int = 0


class Gateway:
    """Takes sources for a cluster; a context manager."""

    def __init__(
        self,
        cluster: Cluster,
        ingest: str,
        *,
        linger_s: float = LINGER_S,
        max_streams: int = MAX_STREAMS,
        auth: Authenticator | None = None,
        on_figures: OnFigures = ignore_figures,
    ) -> None:
        """Bind the socket for sources.

        Args:
            cluster: the brokers.
            ingest: address for sources; port 0 lets the kernel choose.
            linger_s: how long chunks wait for others of their partition.
            max_streams: streams that are taken at most.
            auth: checks the key of every source; without it, every program here may connect.
            on_figures: called with what was counted, each second.

        Raises:
            ConfigError: topics are missing or were changed, a setting is refused, or the address is
                off loopback without keys.
            EndpointError: no broker answers, or the address is in use.
        """
        self._topics = cluster.topics
        self.partitions = cluster.partitions(list(cluster.topics.settings()))
        """Of each topic."""
        with contextlib.closing(cluster.member()) as member:
            check(member, cluster.topics, self.partitions)
        self._linger_s = linger_s
        self._auth = auth
        self._senders: Senders[Peer] = Senders(max_streams)
        self._batches: dict[int, _Batch] = {}
        self._flush_due = 0.0
        self._failure = ""
        self._on_figures, self._figures_due = on_figures, 0.0
        self._messages = self._bytes = 0
        self.rejected = 0
        """Messages of sources that were not taken."""
        self.skipped = Skipped(cluster.topics.answers)
        """Answers that were none."""
        self._producer = cluster.producer()
        self._answers = cluster.reader()
        self._follow_answers()
        limits = ConnectionLimits(in_all=2 * max_streams, per_key=max_streams)
        self._socket = Router(ingest, auth=auth, socket_name=INGEST, limits=limits)
        if auth is not None:
            auth.watch({INGEST: self._socket.endpoint})

    def _follow_answers(self) -> None:
        from confluent_kafka import OFFSET_END, TopicPartition

        self._answers.assign(
            [TopicPartition(self._topics.answers, p, OFFSET_END) for p in range(self.partitions)]
        )

    @property
    def endpoint(self) -> str:
        """The address for sources."""
        return self._socket.endpoint

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` returns true.

        Raises:
            EndpointError: the cluster can no longer be used by this process.
            AuthenticationError: the socket is no longer protected by its keys.
        """
        with failures_in_a_line():
            while not stop():
                self.turn()

    def turn(self) -> None:
        """Take what sources sent, hand over what is due, answer what is written."""
        if self._auth is not None:
            self._auth.check()
        wait([self._socket], self._timeout_s(time.monotonic()))
        now = time.monotonic()
        for peer, frame in self._socket.receive(_MESSAGES_A_TURN):
            self._receive(peer, frame, now)
        if self._batches and time.monotonic() >= self._flush_due:
            for number in list(self._batches):
                self._flush(number)
        self._producer.poll(0)
        self._take_answers()
        if now >= self._figures_due:
            self._figures_due = now + EVERY_S
            self._on_figures(self._figures())
        if self._failure:
            raise EndpointError(f"this gateway cannot go on: {self._failure}")

    def _timeout_s(self, now: float) -> float:
        most = _POLL_S if len(self._producer) or self._senders.asking else _IDLE_S
        return min(most, max(0.0, self._flush_due - now)) if self._batches else most

    # --- sources -----------------------------------------------------------------------------

    def _receive(self, peer: Peer, frame: bytes, now: float) -> None:
        try:
            messages = messages_from_source(frame)
        except WireError as error:
            self._refuse(peer, stream_named_in(frame), error)
            return
        for one in messages:
            self._take(peer, one, now)

    def _take(self, peer: Peer, message: Hello | Chunk | End, now: float) -> None:
        try:
            if not peer.rights.may_send(message.stream):
                raise WireError("this key may not send that stream; see monitor keys list")
            if isinstance(message, Hello):
                answer = self._senders.on_hello(message, peer, now, self._is_gone)
                if answer is None:
                    self._add(message, now)
                else:
                    self._send(peer, answer)
            else:
                self._admit(peer, message, now)
        except WireError as error:
            self._refuse(peer, message.stream, error)

    def _admit(self, peer: Peer, message: Chunk | End, now: float) -> None:
        try:
            admitted = self._senders.admit(message, peer, now)
        except MissingChunkError:
            self._send(peer, self._senders.missing(message))
            return
        if isinstance(admitted, Accepted):
            self._send(peer, admitted)
        elif admitted:
            self._add(message, now)

    def _is_gone(self, peer: Peer, known: Accepted) -> bool:
        """Return whether a source has no connection any more: libzmq says it of a message only."""
        return self._socket.offer(peer, encode(known)) is None

    def _refuse(self, peer: Peer, stream: str | None, error: WireError) -> None:
        self.rejected += 1
        if stream is not None:
            busy = isinstance(error, BusyError)
            self._send(peer, Refused(stream=stream, reason=str(error)[:300], busy=busy))

    def _send(self, peer: Peer, answer: Accepted | Refused) -> None:
        self._socket.send(peer, encode(answer))

    # --- the broker --------------------------------------------------------------------------

    def _add(self, message: Hello | Chunk | End, now: float) -> None:
        """Let an item wait for others of its partition, as it was checked, not as it came."""
        number = partition_of(message.stream, self.partitions)
        if not self._batches:
            self._flush_due = now + self._linger_s
        batch = self._batches.setdefault(number, _Batch())
        frame = encode(message)
        batch.frames.append(frame)
        batch.bytes += len(frame)
        if not isinstance(message, Hello):
            batch.handed.append(handed(message))
        if batch.bytes >= _BATCH_BYTES:
            self._flush(number)

    def _flush(self, number: int) -> None:
        batch = self._batches.pop(number)
        value = encode_batch(batch.frames)
        while not self._failure:
            try:
                self._producer.produce(
                    self._topics.chunks,
                    value,
                    partition=number,
                    on_delivery=partial(self._on_delivery, batch.handed),
                )
                return
            except BufferError:
                self._producer.poll(_IDLE_S)

    def _on_delivery(
        self, of_batch: Sequence[Handed], error: "KafkaError | None", message: "Message"
    ) -> None:
        if error is not None:
            self._failure = self._failure or error.str()
        if self._failure:  # a source forgets all up to the chunk that is acknowledged
            return
        self._messages += 1
        self._bytes += len(message)
        for one in of_batch:
            if (answer := self._senders.on_written(one)) is not None:
                self._send(*answer)

    def _take_answers(self) -> None:
        for message in self._answers.consume(_MESSAGES_A_TURN, 0.0):
            error = message.error()
            if error is not None:
                if is_fatal(error):
                    self._failure = self._failure or error.str()
                continue
            try:
                answer = decode_answer(message.value() or b"")
            except WireError as error_in_it:
                self.skipped.add(message.partition(), message.offset(), error_in_it)
                continue
            if (found := self._senders.on_answer(answer)) is not None:
                self._send(*found)

    def _figures(self) -> Figures:
        return [
            Figure("messages_total", self._messages),
            Figure("message_bytes_total", self._bytes),
            Figure("lag_messages", len(self._producer)),
            Figure("partitions", self.partitions),
            Figure("streams", len(self._senders)),
            Figure("skipped_total", self.rejected + self.skipped.count),
            Figure("time_s", time.time()),
        ]

    def close(self) -> None:
        """Hand over what waits, and disconnect; what is not acknowledged its source sends again."""
        try:
            with failures_in_a_line():
                for number in list(self._batches):
                    self._flush(number)
                self._producer.flush(2.0)
        finally:
            self._answers.close()
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
