"""Snapshots of partitions: in pieces on their topic, found by what the group has committed.

The commit of an offset of ``chunks`` carries a `Pointer` to the snapshot that was taken there, so
state and position share one fate. The coordinator of the group takes a commit only from the member
that has the partition now, in the present generation of the group: a worker that was asleep while
another one took its place is refused, and the newer snapshot stays. Pieces without a pointer to
them mean nothing; the topic is compacted, and keeps the newest pieces of each number.
"""

import logging
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pipeline.errors import SnapshotError
from pipeline.kafka.brokers import ANSWER_S, MESSAGE_BYTES, Cluster
from pipeline.kafka.reading import messages
from pipeline.kafka.topics import Topics
from pipeline.schema.partition_log import (
    LONGEST_SNAPSHOT,
    Pointer,
    SavedPartition,
    decode_pointer,
    decode_saved,
    encode_pointer,
    encode_saved,
)

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

logger = logging.getLogger(__name__)

MOST_PIECES: Final = 4_096

_LEVEL: Final = 1
"""Of compression: a state shrinks to two thirds, and takes a tenth of a second for 100 streams."""


def pieces_of(saved: SavedPartition) -> list[bytes]:
    """Return a snapshot, compressed, in pieces that a broker takes."""
    data = zlib.compress(encode_saved(saved), _LEVEL)
    return [data[at : at + MESSAGE_BYTES] for at in range(0, len(data), MESSAGE_BYTES)]


def joined(pieces: list[bytes], pointer: Pointer) -> SavedPartition:
    """Return the snapshot in ``pieces``; raise `SnapshotError` where they are none of it."""
    data = b"".join(pieces)
    if len(pieces) != pointer.pieces or zlib.crc32(data) != pointer.crc32:
        raise SnapshotError(f"{len(pieces)} pieces of {pointer.pieces}, or of something else")
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(data, LONGEST_SNAPSHOT)
    except zlib.error as error:
        raise SnapshotError(f"a damaged snapshot: {error}") from None
    if not unpacking.eof:
        raise SnapshotError("a snapshot without its end")
    return decode_saved(body)


class Saving:
    """One snapshot on its way: its pieces, and then the commit that points to them."""

    def __init__(
        self,
        producer: "Producer",
        topics: Topics,
        partition: int,
        saved: SavedPartition,
        partitions: int = 0,
    ) -> None:
        """Hand the pieces to ``producer``; each of the topics has this number of ``partitions``."""
        self.begun_at = time.monotonic()
        self._partitions, self._rules = partitions, saved.version
        self._topics = topics
        self.partition = partition
        self._offset = saved.offset
        self._pieces = pieces_of(saved)
        self.failure = ""
        """Why the broker has refused a piece for good."""
        self._at: list[int] = []
        """Offsets of the pieces that the broker has."""
        for number, piece in enumerate(self._pieces):
            producer.produce(
                topics.snapshots,
                piece,
                key=str(number),
                partition=partition,
                on_delivery=self._on_delivery,
            )

    def _on_delivery(self, error: "KafkaError | None", message: "Message") -> None:
        offset = message.offset()
        if error is not None:
            self.failure = self.failure or error.str()
        elif offset is not None:
            self._at.append(offset)

    @property
    def written(self) -> bool:
        """Whether the broker has all pieces."""
        return len(self._at) == len(self._pieces)

    def commit(self, member: "Consumer", *, wait: bool = False) -> int | None:
        """Commit the offset with a pointer to the pieces; return the code of a refusal, or None.

        A refusal is only logged; ours has the code 0. Without ``wait`` the answer of the brokers
        comes while ``member`` is polled, and is not returned.
        """
        from confluent_kafka import KafkaException, TopicPartition

        first = min(self._at)
        if max(self._at) - first >= len(self._pieces):
            # Between them lie pieces of a worker that had the partition: the next one is alone.
            logger.warning("the snapshot of partition %d is in disorder", self.partition)
            return 0
        pointer = Pointer(
            first,
            len(self._pieces),
            zlib.crc32(b"".join(self._pieces)),
            self._partitions,
            self._rules,
        )
        text = encode_pointer(pointer)
        position = TopicPartition(self._topics.chunks, self.partition, self._offset, text)
        try:
            if wait:
                member.commit(offsets=[position], asynchronous=False)
            else:
                member.commit(offsets=[position], asynchronous=True)
        except KafkaException as error:
            # Another worker has the partition by now, or will have.
            logger.info("the snapshot of partition %d is refused: %s", self.partition, error)
            return int(error.args[0].code())
        return None


def load(
    reader: "Consumer", topic: str, committed: "TopicPartition", stop: Callable[[], bool]
) -> SavedPartition | None:
    """Return the snapshot to which the commit of a partition points; None where there is none.

    Args:
        reader: a consumer that is in no group.
        topic: of snapshots.
        committed: offset and metadata that the group has committed.
        stop: asked while waiting.

    Raises:
        SnapshotError: it is damaged, or no longer there.
        EndpointError: the brokers do not give it for half a minute, or ``stop`` is true.
    """
    if committed.offset < 0:
        return None
    pointer = decode_pointer(committed.metadata or "")
    if not 0 < pointer.pieces <= MOST_PIECES:
        raise SnapshotError(f"a snapshot of {pointer.pieces} pieces")
    read = messages(reader, topic, committed.partition, pointer.first, pointer.pieces, stop)
    pieces = [message.value() or b"" for message in read]
    saved = joined(pieces, pointer)
    if saved.offset != committed.offset:
        raise SnapshotError(f"a snapshot of offset {saved.offset}, not {committed.offset}")
    return saved


def newest(cluster: Cluster) -> list[SavedPartition]:
    """Return the newest snapshot of every partition that has one.

    Raises:
        SnapshotError: one cannot be read.
        EndpointError: no broker answers.
    """
    from confluent_kafka import TopicPartition

    topics = cluster.topics
    count = cluster.partitions([topics.chunks])
    member, reader = cluster.member(), cluster.reader()
    try:
        wanted = [TopicPartition(topics.chunks, number) for number in range(count)]
        found = [
            load(reader, topics.snapshots, committed, lambda: False)
            for committed in member.committed(wanted, timeout=ANSWER_S)
        ]
    finally:
        reader.close()
        member.close()
    return [saved for saved in found if saved is not None]
