"""How a worker takes a partition over: with all of its state, and no earlier term than before."""

import signal
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import EndpointError, SnapshotError
from pipeline.kafka.alerts import newest_term
from pipeline.kafka.snapshots import Saving, load
from pipeline.schema.partition_log import SavedPartition
from tests.support.kafka import (
    FS,
    Brokers,
    Feed,
    GatewayProcess,
    WorkerProcess,
    compared,
    embedded,
    reading,
    signal_of,
)

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    """Return brokers."""
    with Brokers(1) as made:
        yield made


def test_a_snapshot_that_cannot_be_read_now_is_not_taken_for_damaged(brokers: Brokers) -> None:
    """A worker that is asked to end meanwhile would commit an empty state in its place."""
    from confluent_kafka import TopicPartition

    cluster = brokers.cluster
    producer, reader, member = cluster.producer(), cluster.reader(), cluster.member()
    saving = Saving(producer, cluster.topics, 0, SavedPartition("1", 0, 3, 1.5, [], {}))
    producer.flush(10.0)
    assert saving.commit(member, wait=True) is None
    (committed,) = member.committed([TopicPartition(cluster.topics.chunks, 0)], timeout=10.0)

    topic = cluster.topics.snapshots
    with pytest.raises(EndpointError):
        load(reader, topic, committed, lambda: True)
    loaded = load(reader, topic, committed, lambda: False)
    assert loaded is not None
    assert loaded.offset == 3

    elsewhere = str(committed.metadata).replace("[0,", "[7,")  # such a piece there is not
    with pytest.raises(SnapshotError):
        load(reader, topic, TopicPartition("", 0, 3, elsewhere), lambda: False)
    reader.close()
    member.close()


def test_terms_never_go_back(brokers: Brokers, demo: NDArray[np.float32]) -> None:
    """A worker with other rules dies before its first snapshot, and one like those before it comes.

    Readers take alerts of an earlier term for repeats.
    """
    x = signal_of(1, 40, demo).copy()
    for second in (3, 12, 21, 30):  # the heart stops for four seconds
        x[second * FS : (second + 4) * FS] = x[second * FS]
    expected = {"a": compared(embedded("a", x))}
    with GatewayProcess(brokers) as gateway, reading(brokers) as got:
        with WorkerProcess(brokers, version="1") as first:
            first.wait_owned(1)
            feed = Feed(gateway.ingest, "a", x, speed=8.0)
            got.until(lambda: bool(got.alerts))
            assert first.end() == 0
        with WorkerProcess(brokers, version="2", snapshot_s=3_600.0) as second:
            got.until(lambda: any(one.id.term == 1 for one in got.read))
            second.end(signal.SIGKILL)
        with WorkerProcess(brokers, version="1") as third:
            feed.join()
            got.until(lambda: set(compared(got.of("a"))) >= set(expected["a"]))
            assert third.running
    assert set(compared(got.of("a"))) == set(expected["a"])
    reader = brokers.cluster.reader()
    assert newest_term(reader, brokers.topics.alerts, 0, "1", lambda: False) == (2, 2)
    reader.close()
