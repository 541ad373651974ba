"""Snapshots in pieces on their topic: whole, of their offset, or none."""

import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SnapshotError
from pipeline.kafka.brokers import Cluster
from pipeline.kafka.snapshots import Saving, joined, newest, pieces_of
from pipeline.schema.partition_log import Pointer, SavedPartition, decode_pointer, encode_pointer
from tests.support.kafka import QUICK, REAL, Brokers
from tests.support.running import until


def saved(offset: int, version: str = "1") -> SavedPartition:
    """Return a snapshot without streams."""
    return SavedPartition(version, 3, offset, 1.5, [], {})


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.integers(0, 10_000))
def test_damage_is_found(at: int, bit: int, cut: int) -> None:
    """One bit, or a piece of something else, or one too few: no snapshot."""
    (piece,) = pieces_of(saved(7))
    pointer = Pointer(0, 1, zlib.crc32(piece))
    flipped = bytearray(piece)
    flipped[at % len(piece)] ^= 1 << bit

    assert joined([piece], pointer).offset == 7
    for pieces in ([bytes(flipped)], [piece[: cut % len(piece)]], [], [piece, piece]):
        with pytest.raises(SnapshotError):
            joined(pieces, pointer)


@given(st.binary(max_size=100))
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    """Also where it has the checksum that the pointer names; so is a pointer that is none."""
    for piece in (data, zlib.compress(data)):
        with pytest.raises(SnapshotError):
            joined([piece], Pointer(0, 1, zlib.crc32(piece)))
    with pytest.raises(SnapshotError):
        decode_pointer(data.decode("latin-1"))
    assert decode_pointer(encode_pointer(Pointer(1, 2, 3))) == Pointer(1, 2, 3)


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    """Return brokers."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    with Brokers() as made:
        yield made


@pytest.mark.system
def test_a_worker_that_lost_its_partition_cannot_commit(brokers: Brokers) -> None:
    """The group is a generation further: the coordinator refuses, the newer snapshot stays."""
    settings = QUICK | {"max.poll.interval.ms": "6500" if REAL else "2500"}
    cluster = Cluster(brokers=brokers.addresses, topics=brokers.topics, settings=settings)
    producer = cluster.producer()
    members = [cluster.member() for _ in range(2)]
    owned: list[set[int]] = [set(), set()]
    for member, of_member in zip(members, owned, strict=True):

        def assign(consumer, partitions, mine=of_member) -> None:  # type: ignore[no-untyped-def]
            mine |= {one.partition for one in partitions}
            consumer.incremental_assign(partitions)

        def revoke(consumer, partitions, mine=of_member) -> None:  # type: ignore[no-untyped-def]
            mine -= {one.partition for one in partitions}

        member.subscribe([cluster.topics.chunks], on_assign=assign, on_revoke=revoke)

    def save(member: int, number: int, offset: int) -> None:
        saving = Saving(producer, cluster.topics, number, saved(offset))
        producer.flush(10.0)
        assert saving.written
        saving.commit(members[member], wait=True)

    def shared() -> bool:
        for member in members:
            member.poll(0.05)
        return [*map(len, owned)] == [2, 2]

    until(shared)
    number = min(owned[0])
    save(0, number, 5)

    def taken() -> bool:  # the first one is not polled: it counts as dead
        members[1].poll(0.05)
        return number in owned[1]

    until(taken)
    save(1, number, 20)
    save(0, number, 10)
    assert [one.offset for one in newest(cluster)] == [20]
    for member in members:
        member.close()
