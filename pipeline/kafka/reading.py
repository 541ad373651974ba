"""Reading what a partition holds: until it is read, or the brokers have not answered for long.

Whoever takes a partition over must know all of it. What cannot be read now is asked for again: to
go on without it would lose the state of every stream. Time is counted by waits that brought
nothing, each for as long as it may take at most: a process that was asleep has not waited.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.errors import EndpointError
from pipeline.kafka.brokers import ANSWER_S, reason

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

T = TypeVar("T")

_WAIT_S: Final = 0.1
_PAUSE_S: Final = 0.5
_PATIENCE_S: Final = 30.0
"""So long what the brokers do not answer is asked again."""


def retried(
    ask: Callable[[], T], stop: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
) -> T:
    """Return what ``ask`` returns, once the brokers answer it; ``clock`` is in seconds.

    Raises:
        EndpointError: they refuse it, or are silent, for half a minute, or ``stop`` is true.
    """
    from confluent_kafka import KafkaException

    left_s = _PATIENCE_S
    while left_s > 0:
        asked_at = clock()
        try:
            return ask()
        except KafkaException as error:
            why = reason(error)
        if stop():
            raise EndpointError("asked to end while a broker did not answer")
        left_s -= min(ANSWER_S, clock() - asked_at) + _PAUSE_S
        threading.Event().wait(_PAUSE_S)
    raise EndpointError(f"the brokers do not answer: {why}")


def committed(
    member: "Consumer", partitions: "list[TopicPartition]", stop: Callable[[], bool]
) -> "list[TopicPartition]":
    """Return what the group has committed of partitions, all of it; raise as `retried`."""
    from confluent_kafka import KafkaException

    def ask() -> "list[TopicPartition]":
        found = member.committed(partitions, timeout=ANSWER_S) if partitions else []
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return found

    return retried(ask, stop)


def offsets(
    reader: "Consumer", topic: str, partition: int, stop: Callable[[], bool]
) -> tuple[int, int]:
    """Return the oldest offset of a partition, and the one past its newest; raise as `retried`."""
    from confluent_kafka import TopicPartition

    one = TopicPartition(topic, partition)

    def ask() -> tuple[int, int]:
        low, high = reader.get_watermark_offsets(one, timeout=ANSWER_S)
        return low, high

    return retried(ask, stop)


def messages(
    reader: "Consumer",
    topic: str,
    partition: int,
    first: int,
    count: int,
    stop: Callable[[], bool],
) -> "Iterator[Message]":
    """Yield the messages from offset ``first`` on, ``count`` of them at most.

    Fewer, if the partition holds no more of them.

    Raises:
        EndpointError: the brokers do not give them for half a minute, or ``stop`` is true.
    """
    from confluent_kafka import TopicPartition

    _, end = offsets(reader, topic, partition, stop)
    reader.assign([TopicPartition(topic, partition, first)])
    waits, left, at = 0, count, first
    try:
        while left > 0 and at < end:
            if stop() or waits * _WAIT_S > _PATIENCE_S:
                raise EndpointError(f"the brokers do not give {topic}, partition {partition}")
            taken = [one for one in reader.consume(left, _WAIT_S) if one.error() is None]
            for message in taken:
                left, at = left - 1, (message.offset() or 0) + 1
                yield message
            waits = 0 if taken else waits + 1
    finally:
        reader.unassign()
