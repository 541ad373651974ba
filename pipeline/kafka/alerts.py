"""Alerts on their topic: each with an id, written in order, and a reader that yields each once.

A worker that continues from a snapshot writes the alerts after it once more, and so does one that
was asleep while another one took its place. Each time they have the same id: the term of the
partition, the offset of the message on ``chunks`` that they follow from, and their place among
those of it. Within a partition the ids of first writings ascend; what does not is a repeat. So a
reader remembers one id for each partition.
"""

import contextlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from pipeline.errors import ConfigError, EndpointError, WireError
from pipeline.kafka.brokers import Cluster, is_fatal
from pipeline.kafka.reading import messages, offsets
from pipeline.kafka.skipped import Skipped
from pipeline.schema.public import Alert, decode_alert

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

ID: Final = "id"
"""Name of the header with the id,"""

RULES: Final = "rules"
"""and of that with the version of the rules that the alert follows from."""

_ID: Final = re.compile(rb"(\d{1,18})-(\d{1,18})-(\d{1,18})")


class AlertId(NamedTuple):
    """The id of an alert within its partition."""

    term: int
    offset: int
    place: int

    def __str__(self) -> str:
        """Return it as the header has it."""
        return f"{self.term}-{self.offset}-{self.place}"


NO_ID: Final = AlertId(0, -1, 0)
"""Before the first alert."""


@dataclass(frozen=True, slots=True)
class ReadAlert:
    """An alert as it was read."""

    partition: int
    id: AlertId
    alert: Alert


class PartitionPosition(NamedTuple):
    """How far a reader has read a partition of alerts."""

    next_offset: int
    """On the topic of alerts."""
    newest: AlertId


Positions = Mapping[int, PartitionPosition]
"""By partition; one that is not there is read from its beginning."""


def positions_text(positions: Positions) -> str:
    """Return positions as JSON."""
    return json.dumps({str(p): [one.next_offset, *one.newest] for p, one in positions.items()})


def positions_of(text: str | bytes) -> dict[int, PartitionPosition]:
    """Return the positions that `positions_text` wrote; raise `ValueError` for anything else."""
    try:
        return {int(p): _position(*numbers) for p, numbers in json.loads(text).items()}
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"no positions: {error}") from None


def _position(next_offset: object, *newest: object) -> PartitionPosition:
    for number in (next_offset, *newest):
        if type(number) is not int or not -1 <= number < 2**63:
            raise ValueError(f"no position: {number!r}")
    if next_offset == -1:
        raise ValueError("no position before the first alert")
    return PartitionPosition(next_offset, AlertId(*newest))  # type: ignore[arg-type]


def alert_in(message: "Message") -> ReadAlert:
    """Return the alert in a message; raise `WireError` where it is none of ours."""
    id_, alert = alert_of(headers_of(message).get(ID), message.value() or b"")
    partition = message.partition()
    assert partition is not None
    return ReadAlert(partition, id_, alert)


def alert_of(name: object, value: bytes) -> tuple[AlertId, Alert]:
    """Return the id in a header and the alert in a message's value.

    Raises:
        WireError: one of them is none of ours.
    """
    match = _ID.fullmatch(name) if isinstance(name, bytes) else None
    if match is None:
        raise WireError("an alert without its id")
    term, offset, place = (int(one) for one in match.groups())
    return AlertId(term, offset, place), decode_alert(value)


def headers_of(message: "Message") -> dict[str, object]:
    """Return the headers of a message by name; none where a name is no text.

    The client library raises `SystemError` for a name that is not UTF-8.
    """
    try:
        return dict(message.headers() or [])
    except (SystemError, UnicodeDecodeError):
        return {}


def newest_term(
    reader: "Consumer", topic: str, partition: int, version: str, stop: Callable[[], bool]
) -> tuple[int, int]:
    """Return the newest term of a partition, and the one for a worker that finds no snapshot.

    The same one, if its alerts follow from the same rules: what such a worker derives again are
    repeats. Else the next one.

    Args:
        reader: a consumer that is in no group.
        topic: of alerts.
        partition: its number.
        version: of the worker's rules.
        stop: whether to give up.

    Raises:
        EndpointError: the brokers do not give the alerts for half a minute, or ``stop`` is true.
    """
    low, high = offsets(reader, topic, partition, stop)
    found: list[tuple[int, bool]] = []
    for message in messages(reader, topic, partition, max(low, high - _TAIL), _TAIL, stop):
        with contextlib.suppress(WireError):
            term = alert_in(message).id.term
            found.append((term, headers_of(message).get(RULES) == version.encode()))
    term, same = max(found, default=(0, True))
    return term, term if same else term + 1


_TAIL: Final = 100
"""Alerts that are read to find the newest: a worker that was asleep may have written last."""


class AlertWriter:
    """Writes the alerts of a partition in order, each once the brokers have the one before it.

    Of two that are under way a broker may refuse the first for good, and take the second: whoever
    writes the first one again then writes what readers take for a repeat. One thread.
    """

    def __init__(self, producer: "Producer", topic: str, partition: int, rules: str) -> None:
        """Begin; ``rules`` is the version that the alerts follow from."""
        self._producer, self._topic, self._partition = producer, topic, partition
        self._rules = rules.encode()
        self._waiting: deque[tuple[AlertId, str, bytes]] = deque()
        self._under_way = False
        self.handed = 0
        """Alerts that it was given,"""
        self.delivered = 0
        """and those of them that the brokers have: the first ones."""
        self.failure = ""
        """Why one was refused; nothing is written any more."""

    @property
    def is_behind(self) -> bool:
        """Whether some wait."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether there are too many that wait."""
        return len(self._waiting) >= _MOST_WAITING

    def write(self, id_: AlertId, stream: str, value: bytes) -> None:
        """Take an alert, as JSON, of a stream."""
        self._waiting.append((id_, stream, value))
        self.handed += 1
        self.go_on()

    def go_on(self) -> None:
        """Hand the next alert to the producer, if it is its turn and there is room."""
        if self._under_way or self.failure or not self._waiting:
            return
        id_, stream, value = self._waiting[0]
        with contextlib.suppress(BufferError):
            self._producer.produce(
                self._topic,
                value,
                partition=self._partition,
                key=stream,
                headers=[(ID, str(id_).encode()), (RULES, self._rules)],
                on_delivery=self._on_delivery,
            )
            self._under_way = True
            self._waiting.popleft()

    def _on_delivery(self, error: "KafkaError | None", message: "Message") -> None:
        self._under_way = False
        if error is not None:
            self.failure = self.failure or error.str()
            return
        self.delivered += 1
        self.go_on()


_MOST_WAITING: Final = 10_000


class AlertReader:
    """Reads all partitions of alerts, each alert once; a context manager, one thread."""

    def __init__(
        self, cluster: Cluster, positions: Positions | None = None, *, from_now: bool = False
    ) -> None:
        """Begin where ``positions`` are; else at the beginning, or with what comes from now on.

        Raises:
            ConfigError: the topic is missing, a setting is refused, or the positions are those of
                another topic.
            EndpointError: no broker answers.
        """
        topic = cluster.topics.alerts
        count = cluster.partitions([topic])  # says what to do where the library is missing
        from confluent_kafka import TopicPartition

        self._positions = dict(positions or {})
        if unknown := sorted(p for p in self._positions if not 0 <= p < count):
            raise ConfigError(f"{topic} has no partition {unknown[0]}: another cluster's position")
        self.skipped = Skipped(topic)
        """Messages that were no alerts of ours."""
        self.messages = self.bytes = 0
        """What was read, repeats included."""
        self.removed = 0
        """Messages that the cluster had removed before they were read."""
        self._topic = topic
        self._reader = cluster.reader()
        starts = []
        self._begin: dict[int, int] = {}
        """Alerts before this offset are read only to know repeats of them."""
        for partition in range(count):
            known = self._positions.get(partition)
            if known is not None:
                self._check(topic, partition, known)
            at = 0 if known is None else known.next_offset
            if known is None and from_now:
                low, end = offsets(self._reader, topic, partition, lambda: False)
                at, self._begin[partition] = max(low, end - _TAIL), end
            starts.append(TopicPartition(topic, partition, at))
        self._reader.assign(starts)

    def _check(self, topic: str, partition: int, known: PartitionPosition) -> None:
        """Refuse a position behind the end: with it, new alerts would pass for old ones."""
        _, end = offsets(self._reader, topic, partition, lambda: False)
        if known.next_offset > end:
            self._reader.close()
            raise ConfigError(
                f"partition {partition} of {topic} has {end} alerts, the position is behind "
                f"{known.next_offset}: another cluster's, or its topics were made again"
            )

    @property
    def positions(self) -> dict[int, PartitionPosition]:
        """The positions after everything that was yielded."""
        return dict(self._positions)

    @property
    def lag(self) -> int:
        """Messages that are there and were not read yet, as far as is known."""
        from confluent_kafka import TopicPartition

        found = 0
        for partition, at in self._positions.items():
            one = TopicPartition(self._topic, partition)
            known = self._reader.get_watermark_offsets(one, cached=True)
            found += 0 if known is None else max(0, known[1] - at.next_offset)
        return found

    def read(self, timeout_s: float, most: int = 1_000) -> Iterator[ReadAlert]:
        """Yield what has come, after waiting at most ``timeout_s`` for something.

        Raises:
            EndpointError: the cluster can no longer be used by this process.
        """
        for message in self._reader.consume(most, timeout_s):
            partition, offset = message.partition(), message.offset()
            if is_fatal(message.error()):
                raise EndpointError(f"alerts can no longer be read: {message.error()}")
            if message.error() is not None or partition is None or offset is None:
                continue
            self.messages, self.bytes = self.messages + 1, self.bytes + len(message)
            before = self._positions.get(partition)
            newest = NO_ID if before is None else before.newest
            if before is not None:
                self.removed += max(0, offset - before.next_offset)
            try:
                read = alert_in(message)
            except WireError as error:
                self.skipped.add(partition, offset, error)
                self._positions[partition] = PartitionPosition(offset + 1, newest)
                continue
            news = read.id > newest and offset >= self._begin.get(partition, 0)
            self._positions[partition] = PartitionPosition(offset + 1, max(newest, read.id))
            if news:
                yield read

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
