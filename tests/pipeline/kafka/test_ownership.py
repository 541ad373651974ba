"""How a worker takes a partition over: with all of its state, and no earlier term than before."""

import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.settings import DEFAULTS
from pipeline.errors import ConfigError, EndpointError, SnapshotError
from pipeline.kafka.alerts import newest_term
from pipeline.kafka.brokers import ANSWER_S
from pipeline.kafka.gateway import Gateway
from pipeline.kafka.ownership import Takeover
from pipeline.kafka.partition import Rules
from pipeline.kafka.reading import messages, retried
from pipeline.kafka.snapshots import Saving, load, newest
from pipeline.kafka.worker import Worker
from pipeline.schema.messages import Chunk, encode
from pipeline.schema.partition_log import SavedPartition, encode_batch
from tests.support.kafka import (
    FS,
    REAL,
    Brokers,
    Feed,
    GatewayProcess,
    WorkerProcess,
    compared,
    embedded,
    reading,
    signal_of,
)
from tests.support.running import CONFIG, TrivialScorer, until

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    """Return brokers."""
    with Brokers(1) as made:
        yield made


def test_what_no_broker_answers_is_asked_for_half_a_minute() -> None:
    """Also where each question takes ten seconds, and in a process that was asleep meanwhile."""
    from confluent_kafka import KafkaError, KafkaException

    asked: list[float] = []

    def takes(seconds: float) -> Callable[[], None]:
        def ask() -> None:
            asked.append((asked[-1] if asked else 0.0) + seconds)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

        return ask

    for seconds in (ANSWER_S, 1e6):
        asked.clear()
        with pytest.raises(EndpointError):
            retried(takes(seconds), lambda: False, clock=lambda: asked[-1] if asked else 0.0)
        assert len(asked) == 3


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


@pytest.mark.slow
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


def worker(brokers: Brokers, version: str = "1", *, new_settings: bool = False) -> Worker:
    """Return a worker in this process, whose turns the test takes."""
    rules = Rules(live_score=CONFIG, alarms=DEFAULTS, version=version)
    return Worker(brokers.cluster, rules, TrivialScorer(), lambda: False, new_settings=new_settings)


def commit(brokers: Brokers, version: str, partitions: int) -> None:
    """Commit a snapshot of partition 0, as a worker of such rules with so many partitions does."""
    cluster = brokers.cluster
    producer, member = cluster.producer(), cluster.member()
    saved = SavedPartition(version, 0, 0, 0.0, [], {})
    saving = Saving(producer, cluster.topics, 0, saved, partitions)
    producer.flush(10.0)
    assert saving.commit(member, wait=True) is None
    member.close()


def has_it(one: Worker) -> bool:
    """Take a turn; return whether it has a partition."""
    one.turn()
    return bool(one._owned)


def test_a_new_term_is_committed_before_its_first_alert(brokers: Brokers) -> None:
    """So a worker that dies then is known to have begun it."""
    commit(brokers, "1", partitions=1)
    with worker(brokers, "2") as one:
        until(lambda: has_it(one))
        assert [(saved.version, saved.term) for saved in newest(brokers.cluster)] == [("2", 1)]


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
def test_a_worker_that_cannot_save_the_term_it_begins_ends_with_the_reason(
    brokers: Brokers,
) -> None:
    """Else it would hold its partitions, and serve none: nobody else could have them."""
    commit(brokers, "1", partitions=1)
    brokers.order("errors 0" + 100 * " 10")
    why = r"no new term of partition 0 can begin: .*too large"
    with worker(brokers, "2") as refused, pytest.raises(EndpointError, match=why):
        until(lambda: has_it(refused))


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
def test_a_term_that_a_broker_refuses_once_is_offered_again(brokers: Brokers) -> None:
    """As any snapshot is."""
    commit(brokers, "1", partitions=1)
    brokers.order("errors 0 10")
    with worker(brokers, "2") as one:
        until(lambda: has_it(one))
        assert [(saved.version, saved.term) for saved in newest(brokers.cluster)] == [("2", 1)]


def test_another_number_of_partitions_is_refused(brokers: Brokers) -> None:
    """Streams would change their partition, and leave their state and their alarms behind."""
    commit(brokers, "1", partitions=2)
    with pytest.raises(ConfigError, match="1 partitions, and had 2"):
        worker(brokers)
    with pytest.raises(ConfigError, match="1 partitions, and had 2"):
        Gateway(brokers.cluster, "tcp://127.0.0.1:0")
    with pytest.raises(ConfigError, match=r"has 1 partitions, not 8: .*--partitions"):
        brokers.cluster.create_topics(8, 3)


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
@pytest.mark.parametrize("code", [3, 5, 7, 29, -195])
def test_brokers_that_do_not_know_the_topics_for_now_are_asked_again(
    brokers: Brokers, code: int
) -> None:
    """As while a leader is elected: nobody refuses to start, or takes a topic for missing."""
    brokers.order(f"errors 3 {code} {code} {code}")
    assert brokers.cluster.partitions(list(brokers.topics.settings())) == 1


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
def test_what_a_broker_refuses_for_now_is_neither_lost_nor_out_of_order(brokers: Brokers) -> None:
    """Also where further messages are ready to be sent behind it."""
    producer, reader = brokers.cluster.producer(), brokers.cluster.reader()
    sent = [str(number).encode() for number in range(60)]
    for number, value in enumerate(sent):
        if number % 20 == 0:  # before the first of a burst
            assert producer.flush(30.0) == 0
            brokers.order("errors 0 6 7")
        producer.produce(brokers.topics.alerts, value, partition=0)
        producer.poll(0.001)
    assert producer.flush(30.0) == 0
    read = messages(reader, brokers.topics.alerts, 0, 0, 1_000, lambda: False)
    assert [message.value() for message in read] == sent
    reader.close()


def test_other_settings_of_the_same_program_are_refused(brokers: Brokers) -> None:
    """Two workers with other thresholds would take turns; an upgrade of the program is none."""
    commit(brokers, "program.settings", partitions=1)
    with pytest.raises(ConfigError, match=r"other alarm settings .*--new-settings"):
        worker(brokers, "program.others")
    for version in ("program.settings", "upgraded.others"):
        worker(brokers, version).close()
    worker(brokers, "program.others", new_settings=True).close()


def test_a_message_that_came_too_early_waits_for_those_before_it(
    brokers: Brokers, demo: NDArray[np.float32]
) -> None:
    """It was fetched before its partition was given back and taken again."""
    producer, reader = brokers.cluster.producer(), brokers.cluster.reader()
    topic = brokers.topics.chunks
    with worker(brokers) as one:

        def turned(done: int) -> bool:
            one.turn()
            return [owned.partition.next_offset for owned in one._owned.values()] == [done]

        until(lambda: turned(0))
        for n in range(3):
            x = demo[n * FS : (n + 1) * FS]
            chunk = Chunk(
                stream="a", first_sample=n * FS, fs_hz=360.0, samples=x, session="a1", number=n + 1
            )
            producer.produce(topic, encode_batch([encode(chunk)]), partition=0)
        assert producer.flush(10.0) == 0
        early = list(messages(reader, topic, 0, 2, 1, lambda: False))
        one._take(early)
        until(lambda: turned(3))
        assert one._owned[0].partition.streams.sessions["a"].stream.next_sample == 3 * FS
    reader.close()


def test_a_worker_gives_back_what_it_could_not_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group had given it up meanwhile: it goes on, and another has its share."""
    take_over = Takeover.owned
    with Brokers(4) as brokers, worker(brokers) as first:
        monkeypatch.setattr(
            Takeover,
            "owned",
            lambda self, one: take_over(self, one) if one.partition == 3 else None,
        )

        def taken() -> bool:
            first.turn()
            return bool(first._owned)

        until(taken)
        assert list(first._owned) == [3]
        monkeypatch.undo()
        with worker(brokers) as second:

            def shared() -> bool:
                first.turn()
                second.turn()
                return len(second._owned) == 2

            until(shared)
            assert not set(first._owned) & set(second._owned)


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
def test_a_worker_that_ends_in_a_rebalance_saves_what_it_has(brokers: Brokers) -> None:
    """The group takes its snapshots: it leaves only once it has given its partitions back."""
    producer, topic = brokers.cluster.producer(), brokers.topics.chunks
    with worker(brokers) as one:

        def turned(done: int) -> bool:
            one.turn()
            return [owned.partition.next_offset for owned in one._owned.values()] == [done]

        until(lambda: turned(0))
        producer.produce(topic, encode_batch([]), partition=0)
        until(lambda: turned(1))
        brokers.order("errors 12 27")  # the next heartbeat says that the group rebalances
        threading.Event().wait(1.0)  # what the library does of it nobody sees who does not poll
    assert [saved.offset for saved in newest(brokers.cluster)] == [1]
