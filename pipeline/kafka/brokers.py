"""The clients of a cluster: the only module that makes one.

Producers are idempotent and never give up: what a broker has not acknowledged waits, in order,
until it does or the process ends. Consumers commit nothing by themselves. Further settings of
librdkafka (security, time limits) come from a file of ``name=value`` lines.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ConfigError, EndpointError
from pipeline.files import read_regular
from pipeline.kafka.topics import Topics

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

logger = logging.getLogger(__name__)

ANSWER_S: Final = 10.0
"""A broker that has not answered after so long is not there."""

_PAUSE_S: Final = 0.2
"""Between two questions to brokers that could not answer the first one."""

MESSAGE_BYTES: Final = 900_000
"""Longest message: below the megabyte that brokers take by default."""

_OF_GROUPS: Final = frozenset(
    {
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "group.instance.id",
        "client.rack",
    }
)
"""Settings that concern the members of a group alone."""

_OURS: Final = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "acks",
        "request.required.acks",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.timeout.ms",
        "delivery.timeout.ms",
        "message.send.max.retries",
        "retries",
        "queuing.strategy",
        "transactional.id",
        "partition.assignment.strategy",
        "auto.offset.reset",
        "isolation.level",
        "partitioner",
        # When and where positions are committed, by older names.
        "auto.commit.enable",
        "offset.store.method",
        # What is delivered is counted, and nothing else is reported of it.
        "delivery.report.only.error",
        "enabled_events",
        # Snapshots that a broker refuses are taken again; with this their producer would end.
        "enable.gapless.guarantee",
        # A snapshot is handed over at once, in its largest pieces.
        "message.max.bytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.kbytes",
        # Every alert would wait so long, and those after it as well.
        "linger.ms",
        "queue.buffering.max.ms",
        # The end of a partition would come as a message that is none.
        "enable.partition.eof",
        # Brokers within this process, which forget everything with it.
        "test.mock.num.brokers",
    }
)
"""Settings that the promises of the delivery rest on."""

_SETTING: Final = re.compile(r"([a-z][a-z0-9_.]*)\s*=\s*(.*)")

_MOST_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the brokers are, and how to talk to them.

    Raises `ConfigError` where the client is not installed: before anything that takes time.
    """

    brokers: str
    """``host:port``, several with commas."""
    topics: Topics = field(default_factory=Topics)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of librdkafka, besides ours."""

    def __post_init__(self) -> None:
        """Find the client library."""
        _library()

    def producer(self) -> "Producer":
        """Return a producer that delivers in order and waits for every replica.

        Raises:
            ConfigError: a setting is refused, or the client is not installed.
        """
        from_library = _library()
        ours = {
            "enable.idempotence": True,
            "acks": "all",
            # With several under way, a request that is refused comes again after the ones behind
            # it: a broker that takes those first drops it as a repeat, and says it has it.
            "max.in.flight.requests.per.connection": 1,
            "message.timeout.ms": 0,
            "linger.ms": 0,
            "message.max.bytes": 2 * MESSAGE_BYTES,
        }
        producer: Producer = self._made(from_library.Producer, ours, of_groups=False)
        return producer

    def reader(self) -> "Consumer":
        """Return a consumer that is in no group, for partitions that are named.

        Raises and returns as `producer`.
        """
        ours = {"group.id": f"{self.topics.prefix}.readers"}
        consumer: Consumer = self._made(_library().Consumer, ours | _READS, of_groups=False)
        return consumer

    def member(self) -> "Consumer":
        """Return a member of the group of workers.

        Raises and returns as `producer`.
        """
        ours = {
            "group.id": self.topics.group,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 2_000,
        }
        consumer: Consumer = self._made(_library().Consumer, ours | _READS, of_groups=True)
        return consumer

    def _made(
        self, kind: Callable[..., Any], ours: Mapping[str, object], *, of_groups: bool
    ) -> Any:
        others = {k: v for k, v in self.settings.items() if of_groups or k not in _OF_GROUPS}
        # Of each broken connection it would write a line, and connect again.
        every = {"bootstrap.servers": self.brokers, "log_level": 2, "error_cb": _on_error}
        settings = every | dict(ours) | others
        try:
            return kind(settings, logger=logger)
        except Exception as error:
            raise ConfigError(f"the Kafka client refuses its settings: {reason(error)}") from None

    def partitions(self, names: Sequence[str]) -> int:
        """Return how many partitions each of the topics ``names`` has.

        Raises:
            EndpointError: no broker answers.
            ConfigError: a topic is missing, or has another number of partitions than the others.
        """
        counts = self._counts()
        missing = [name for name in names if name not in counts]
        if missing:
            raise ConfigError(
                f"the cluster has no topic {missing[0]}: create all of them with "
                f"monitor gateway --partitions N"
            )
        found = {counts[name] for name in names}
        if len(found) > 1:
            raise ConfigError(
                f"topics of {self.topics.prefix} differ in their partitions: {counts}"
            )
        return found.pop()

    def create_topics(self, partitions: int, replicas: int) -> None:
        """Create those of the topics that the cluster lacks; others may do so at the same time.

        Raises:
            EndpointError: no broker answers.
            ConfigError: a broker refuses one, or the cluster has one with another number.
        """
        _library()
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        there = self._counts()
        for name in self.topics.settings():
            if there.get(name, partitions) != partitions:
                raise ConfigError(
                    f"the topic {name} has {there[name]} partitions, not {partitions}: leave out "
                    "--partitions, or use another --prefix"
                )
        # What is acknowledged is on a majority, also where one broker is away.
        majority = {"min.insync.replicas": str(max(1, replicas - 1))}
        wanted = [
            NewTopic(name, partitions, replicas, config=majority | of_topic)
            for name, of_topic in self.topics.settings().items()
            if name not in there
        ]
        if not wanted:
            return
        admin = self._made(AdminClient, {}, of_groups=False)
        for name, done in admin.create_topics(wanted).items():
            try:
                done.result(ANSWER_S)
            except Exception as error:
                if "TOPIC_ALREADY_EXISTS" in str(error):
                    continue  # another gateway has begun at the same time
                raise ConfigError(f"cannot create the topic {name}: {reason(error)}") from None
        deadline = time.monotonic() + ANSWER_S  # a broker may not know them at once
        while not set(self.topics.settings()) <= set(self._counts()):
            if time.monotonic() > deadline:
                raise EndpointError(f"the topics of {self.topics.prefix} do not appear")
            threading.Event().wait(_PAUSE_S)

    def values(self, topic: str) -> Iterator[bytes]:
        """Yield the values of all messages that a topic holds now, partition by partition.

        Raises:
            EndpointError: no broker answers.
            ConfigError: the topic is missing, or the client is not installed.
        """
        count, reader = self.partitions([topic]), self.reader()
        from confluent_kafka import TopicPartition

        try:
            for number in range(count):
                one = TopicPartition(topic, number)
                low, high = reader.get_watermark_offsets(one, timeout=ANSWER_S)
                reader.assign([TopicPartition(topic, number, low)])
                while low < high:
                    for message in reader.consume(min(1_000, high - low), ANSWER_S):
                        low += 1
                        yield message.value() or b""
        finally:
            reader.close()

    def _counts(self) -> dict[str, int]:
        """Return the partitions of each topic; ask again where the brokers do not know for now."""
        _library()
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import AdminClient

        admin = self._made(AdminClient, {}, of_groups=False)
        ours, deadline = set(self.topics.settings()), time.monotonic() + ANSWER_S
        while True:
            try:
                known = admin.list_topics(timeout=ANSWER_S).topics
                for name in ours & set(known):
                    error = known[name].error
                    if error is not None and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise KafkaException(error)
            except KafkaException as error:
                if time.monotonic() < deadline:
                    threading.Event().wait(_PAUSE_S)
                    continue
                raise EndpointError(
                    f"no Kafka broker answers at {self.brokers[:200]}: {reason(error)}"
                ) from None
            return {name: len(one.partitions) for name, one in known.items() if not one.error}


_READS: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 2 * MESSAGE_BYTES,
}


def _library() -> Any:
    """Return the client library; raise `ConfigError` where it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigError(
            "the Kafka client is not installed: pip install 'ecg-monitor[kafka]'"
        ) from None
    return confluent_kafka


def _on_error(error: "KafkaError") -> None:
    if error.name() not in ("_TRANSPORT", "_RESOLVE"):  # it connects again
        logger.warning("%s", error.str())


def reason(error: BaseException) -> str:
    """Return what is wrong, in a line."""
    first = error.args[0] if error.args else error
    text = first.str() if hasattr(first, "str") else str(first)
    return " ".join((text or type(error).__name__).split())[:200]


@contextlib.contextmanager
def failures_in_a_line() -> Iterator[None]:
    """Raise `EndpointError` for what the client library raises."""
    from confluent_kafka import KafkaException

    try:
        yield
    except KafkaException as error:
        raise EndpointError(f"the cluster cannot be used: {reason(error)}") from None


def is_fatal(error: "KafkaError | None") -> bool:
    """Return whether a client can do no more."""
    return error is not None and bool(error.fatal())


def load_settings(path: Path | None) -> dict[str, str]:
    """Return the settings of librdkafka in a file of ``name=value`` lines; none without a file.

    Raises:
        ConfigError: the file cannot be read, it is open to others, it holds something else, or a
            setting on which the delivery rests.
    """
    if path is None:
        return {}
    try:
        body = read_regular(path, _MOST_BYTES + 1)
        if path.stat().st_mode & 0o077 and os.name == "posix":
            raise ConfigError(f"{path} is open to others, and may hold a password: chmod 600 it")
    except OSError as error:
        raise ConfigError(f"cannot read the settings {path}: {error.strerror}") from None
    if len(body) > _MOST_BYTES:
        raise ConfigError(f"{path} is longer than 64 KiB: write lines like sasl.username=NAME")
    found: dict[str, str] = {}
    for number, line in enumerate(body.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _SETTING.fullmatch(line.strip())
        if match is None:
            raise ConfigError(f"{path}, line {number}: write name=value")
        if match[1] in _OURS:
            raise ConfigError(f"{path}, line {number}: {match[1]} is not for you to set")
        found[match[1]] = match[2]
    return found
