"""A partition of a worker, and how it is taken over from whoever had it before.

It continues from the snapshot to which the group's commit points. Where that cannot be read now, it
is asked for again; where it is damaged, or follows from other rules, the partition begins a new
*term*, whose alerts have ids of their own. A new term is committed before its first alert is
written: so whoever takes the partition over next begins no earlier term, and a worker that the
group has given up meanwhile writes nothing of it.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, EndpointError, SnapshotError
from pipeline.kafka.alerts import AlertWriter, newest_term
from pipeline.kafka.partition import Partition, Rules
from pipeline.kafka.reading import committed, offsets
from pipeline.kafka.snapshots import Saving, load
from pipeline.kafka.topics import Topics
from pipeline.schema.partition_log import Pointer, decode_pointer

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer, TopicPartition

logger = logging.getLogger(__name__)

_WAIT_S: Final = 0.1
_ATTEMPTS: Final = 60
"""So often a term that is refused is offered again, if the brokers are to blame."""


@dataclass(slots=True)
class Owned:
    """A partition of a worker."""

    partition: Partition
    answered_to: int
    """Messages before this offset were there before this worker: they were answered, or those who
    sent them ask again."""
    save_due: float
    saved_offset: int
    written_to: int
    """The alerts of all messages before this offset were handed to this:"""
    writer: AlertWriter
    saved_at: float = 0.0
    """When the newest snapshot was taken, or that of whoever had it before was read."""
    saving: Saving | None = None
    """The snapshot under way; it counts once this number of alerts is delivered:"""
    needed: int = 0

    @property
    def can_commit(self) -> bool:
        """Whether the snapshot under way is complete, and so are the alerts before it."""
        saving = self.saving
        return saving is not None and saving.written and self.writer.delivered >= self.needed

    @property
    def is_saving(self) -> bool:
        """Whether a snapshot is under way that may still become complete."""
        return self.saving is not None and not (self.saving.failure or self.can_commit)

    def commit(self, member: "Consumer", *, wait: bool = False) -> None:
        """Let the group commit the snapshot under way, if it is complete; drop it, if it failed."""
        if self.saving is not None and self.saving.failure:
            number = self.saving.partition
            logger.error("the snapshot of partition %d: %s", number, self.saving.failure)
            self.saving, self.saved_offset = None, -1
        if self.saving is not None and self.can_commit:
            if self.saving.commit(member, wait=wait) is None:
                self.saved_at = self.saving.begun_at
            self.saving = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What a worker needs to take partitions over."""

    topics: Topics
    rules: Rules
    producer: "Producer"
    reader: "Consumer"
    """In no group."""
    member: "Consumer"
    """Of the group of workers."""
    snapshot_s: float
    partitions: int
    """Of each topic."""
    new_settings: bool
    """Whether to go on where other settings were in force."""
    stop: Callable[[], bool]

    def check_all(self) -> None:
        """Raise as `check`, for any partition of the cluster."""
        check(self.member, self.topics, self.partitions, self.stop, self._refuse_other_settings)

    def _refuse_other_settings(self, number: int, pointer: Pointer) -> None:
        before, ours = pointer.rules.partition("."), self.rules.version.partition(".")
        if before[0] == ours[0] and before[2] != ours[2] and not self.new_settings:
            raise ConfigError(
                f"partition {number} was analysed with other alarm settings or models "
                f"({before[2]}, not {ours[2]}): end the workers that have them, and start all "
                "with --new-settings"
            )

    def owned(self, of_group: "TopicPartition") -> Owned | None:
        """Return a partition as its newest snapshot has it; None if the group has given us up.

        Args:
            of_group: offset and metadata that the group has committed.

        Raises:
            ConfigError: it was analysed with other settings, or was added meanwhile.
            EndpointError: the brokers do not answer for half a minute, or ``stop`` is true.
        """
        number, now = of_group.partition, time.monotonic()
        if number >= self.partitions:
            raise ConfigError(
                f"{self.topics.chunks} has got more partitions, and had {self.partitions}: streams "
                "would change theirs; create topics of another --prefix"
            )
        if (pointer := pointer_in(of_group)) is not None:
            self._refuse_other_settings(number, pointer)
        saved, lost = None, False
        try:
            saved = load(self.reader, self.topics.snapshots, of_group, self.stop)
        except SnapshotError as error:
            logger.error("partition %d begins again: %s", number, error)
            lost = True
        partition = Partition(self.rules, time.time, now, saved)
        for message in partition.lost.values():
            logger.error("partition %d: %s", number, message)
        oldest, end = offsets(self.reader, self.topics.chunks, number, self.stop)
        known = 0 if saved is None else saved.term
        if saved is None:
            version = "" if lost else self.rules.version  # what was derived, nobody can again
            known, partition.term = newest_term(
                self.reader, self.topics.alerts, number, version, self.stop
            )
            partition.next_offset = max(of_group.offset, oldest, 0)
        if partition.term != known and not self._begin_term(number, partition):
            return None
        due = now + self.snapshot_s * (0.5 + 0.5 * (number % 16) / 16)  # not all at a time
        at, alerts = partition.next_offset, self.topics.alerts
        writer = AlertWriter(self.producer, alerts, number, self.rules.version)
        return Owned(partition, end, due, at, written_to=at, writer=writer, saved_at=now)

    def save(self, number: int, owned: Owned) -> None:
        """Begin to save a partition; where that cannot be now, the snapshot before stays."""
        owned.saving = None
        owned.save_due = time.monotonic() + self.snapshot_s
        if owned.writer.failure or owned.written_to < owned.partition.next_offset:
            return  # alerts of messages before this are not written: they are the next worker's
        with contextlib.suppress(BufferError):  # taken by no broker now
            owned.saving = self._saving(number, owned.partition)
            owned.saved_offset = owned.partition.next_offset
        owned.needed = owned.writer.handed

    def _saving(self, number: int, partition: Partition) -> Saving:
        """Begin to save a partition; raise `BufferError` where the producer has no room."""
        return Saving(self.producer, self.topics, number, partition.saved(), self.partitions)

    def _begin_term(self, number: int, partition: Partition) -> bool:
        """Commit the state with a new term; return False if the group has given us up.

        Raises:
            EndpointError: the brokers refuse its snapshot or its commit, or ``stop`` is true.
        """
        from confluent_kafka import KafkaError

        gone = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID}
        gone.add(KafkaError.FENCED_INSTANCE_ID)
        why = ""
        for _ in range(_ATTEMPTS):
            try:
                saving = self._saving(number, partition)
            except BufferError:  # what waits for the brokers comes first
                why = "the producer has no room for its snapshot"
                self.producer.poll(_WAIT_S)
                continue
            while not (saving.written or saving.failure or self.stop()):
                self.producer.poll(_WAIT_S)
            if self.stop():
                raise EndpointError("asked to end while a term began")
            if saving.failure:
                why = f"its snapshot is refused: {saving.failure}"
            else:
                refusal = saving.commit(self.member, wait=True)
                if refusal is None:
                    return True
                if refusal in gone:
                    return False
                why = "the group does not take its commit"
            self.producer.poll(_WAIT_S)
        raise EndpointError(f"no new term of partition {number} can begin: {why}")


def leave(member: "Consumer", within_s: float) -> None:
    """Leave the group and close, after all partitions were given back, or after so long.

    A consumer that closes while the group rebalances leaves it first and revokes then: no commit is
    taken any more, and what the callback asks of the library may have no answer for ever
    (librdkafka, issue 4041).
    """
    try:
        member.unsubscribe()
        deadline = time.monotonic() + within_s
        member.poll(_WAIT_S)  # partitions may have been assigned that nobody knows of yet
        while member.assignment() and time.monotonic() < deadline:
            member.poll(_WAIT_S)
    finally:
        member.close()


def pointer_in(committed: "TopicPartition") -> Pointer | None:
    """Return where the snapshot of a partition lies; None where the commit does not say it."""
    try:
        return decode_pointer(committed.metadata or "") if committed.offset >= 0 else None
    except SnapshotError:
        return None


def check(
    member: "Consumer",
    topics: Topics,
    partitions: int,
    stop: Callable[[], bool] = lambda: False,
    further: Callable[[int, Pointer], None] = lambda number, pointer: None,
) -> None:
    """Check that the streams lie in the partitions that they were in before.

    Args:
        member: of the group of workers, joined or not.
        topics: their names.
        partitions: the number that each topic has now.
        stop: whether to give up.
        further: checks more of a partition's pointer.

    Raises:
        ConfigError: the topics had another number of partitions, or ``further`` raises it.
        EndpointError: the brokers do not answer for half a minute, or ``stop`` is true.
    """
    from confluent_kafka import TopicPartition

    wanted = [TopicPartition(topics.chunks, number) for number in range(partitions)]
    for one in committed(member, wanted, stop):
        pointer = pointer_in(one)
        if pointer is None:
            continue
        if pointer.partitions not in (0, partitions):
            raise ConfigError(
                f"the topics of {topics.prefix} have {partitions} partitions, and had "
                f"{pointer.partitions}: streams would change theirs; create topics of another "
                "--prefix"
            )
        further(one.partition, pointer)
