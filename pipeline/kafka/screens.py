"""What screens show besides alerts: beats, status and signal, on a topic that keeps minutes.

It is more than what the sources send, so it is written only where somebody asks for it.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pipeline.kafka.partition import Partition
from pipeline.schema.public import Published, encode_json
from pipeline.stream.session import SystemState

if TYPE_CHECKING:
    from confluent_kafka import Producer

_STATUS_S: Final = 1.0
_STRIP_S: Final = 0.1

WORKING: Final = SystemState(
    scorers=1, redelivered=0, rejected_frames=0, log_behind=False, fault=""
)
"""Of a worker: it scores by itself, and what it cannot write it waits for."""


class Screens:
    """Writes to the topic ``live``; what it has no room for is dropped."""

    def __init__(self, producer: "Producer", topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._status_due = self._strip_due = 0.0

    def add(self, partition: int, messages: Iterable[tuple[str, Published]]) -> None:
        """Write messages, each under the topic of its subscribers."""
        for topic, message in messages:
            try:
                self._producer.produce(
                    self._topic, encode_json(message), key=topic, partition=partition
                )
            except BufferError:
                return

    def write(self, partitions: Mapping[int, Partition], now: float, utc_s: float) -> None:
        """Write what is due of all streams; ``utc_s`` is the present time since 1970."""
        if now >= self._strip_due:
            self._strip_due = now + _STRIP_S
            for number, partition in partitions.items():
                strips = partition.streams.take_signal()
                self.add(number, ((f"signal/{strip.stream}", strip) for strip in strips))
        if now >= self._status_due:
            self._status_due = now + _STATUS_S
            for number, partition in partitions.items():
                sessions = partition.streams.sessions.items()
                self.add(number, ((f"status/{n}", s.status(utc_s, WORKING)) for n, s in sessions))
