"""A worker that fails, or is replaced, leaves no alert behind: the next one writes the rest."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.settings import DEFAULTS
from pipeline.errors import EndpointError
from pipeline.kafka.partition import Rules
from pipeline.kafka.snapshots import newest
from pipeline.kafka.worker import Worker
from pipeline.schema.messages import Chunk, End, encode
from pipeline.schema.partition_log import encode_batch
from pipeline.scoring.protocols import ScoredBatch
from tests.support.kafka import FS, REAL, Brokers, compared, embedded, reading
from tests.support.running import CONFIG, TrivialScorer, until

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system

SECONDS = 24
RULES = Rules(live_score=CONFIG, alarms=DEFAULTS, version="1")

mock_alone = pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")


class FailingScorer(TrivialScorer):
    """Fails where there is something to score."""

    def score(
        self,
        windows: NDArray[np.float32],
        measures: NDArray[np.float32],
        second: NDArray[np.float32] | None = None,
    ) -> ScoredBatch:
        """Raise `MemoryError`."""
        raise MemoryError("no memory for the beats")


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    """Return brokers whose topics have one partition."""
    with Brokers(1) as made:
        yield made


@pytest.fixture
def x(demo: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a signal in which the heart stops for eight seconds."""
    found = demo[: SECONDS * FS].copy()
    found[8 * FS : 16 * FS] = found[8 * FS]
    return found


ASLEEP_MS = "6500" if REAL else "2500"


def worker(
    brokers: Brokers,
    scorer: TrivialScorer | None = None,
    *,
    snapshot_s: float = 60.0,
    may_sleep: bool = False,
) -> Worker:
    """Return a worker in this process, whose turns the test takes.

    A request has one message. One that ``may_sleep`` loses its partition when it takes no turn for
    some seconds; else a slow turn costs it nothing.
    """
    further = {"batch.num.messages": "1"}
    if may_sleep:
        further["max.poll.interval.ms"] = ASLEEP_MS
    cluster = replace(brokers.cluster, settings={**brokers.cluster.settings, **further})
    scorer = scorer or TrivialScorer()
    return Worker(cluster, RULES, scorer, lambda: False, snapshot_s=snapshot_s)


def write(
    brokers: Brokers, x: NDArray[np.float32], first: int = 0, last: int = SECONDS + 1
) -> None:
    """Write items of a stream to the topic of chunks, in one message: what follows is one step.

    They are its seconds, and its end after the last.
    """
    items: list[Chunk | End] = [
        Chunk(
            stream="a", first_sample=n * FS, fs_hz=float(FS), samples=x[n * FS : (n + 1) * FS],
            lead="II", session="a1", number=n + 1,
        )
        for n in range(SECONDS)
    ]  # fmt: skip
    items.append(End(stream="a", next_sample=len(x), session="a1", number=SECONDS + 1))
    producer = brokers.cluster.producer()
    batch = encode_batch([encode(one) for one in items[first:last]])
    producer.produce(brokers.topics.chunks, batch, partition=0)
    assert producer.flush(10.0) == 0


def turned(one: Worker, done: int) -> bool:
    """Take a turn; return whether so many messages of its partition are taken."""
    one.turn()
    return [owned.partition.next_offset for owned in one._owned.values()] == [done]


def check_next_worker(brokers: Brokers, x: NDArray[np.float32]) -> None:
    """Check that whoever takes the partition over has every alert be written once."""
    expected = {"a": compared(embedded("a", x))}
    assert expected["a"]
    with worker(brokers) as following, reading(brokers) as got:

        def over() -> bool:
            following.turn()
            return len(compared(got.of("a"))) >= len(expected["a"])

        got.until(over)
        assert compared(got.of("a")) == expected["a"]


def test_a_worker_that_fails_between_a_message_and_its_alerts_saves_nothing_after_it(
    brokers: Brokers, x: NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    """It gives its partitions back: a snapshot with that message would hide its alerts for good."""
    caplog.set_level("INFO", "pipeline.kafka.worker")
    write(brokers, x)

    def given_back() -> bool:
        """Return whether it was not lost: of a lost one nothing is saved anyway."""
        with worker(brokers, FailingScorer()) as failing, pytest.raises(MemoryError):
            until(lambda: turned(failing, 1))
        return "gives back partitions [0]" in caplog.text

    until(given_back)
    assert newest(brokers.cluster) == []
    check_next_worker(brokers, x)


@mock_alone
def test_no_alert_is_written_after_one_that_a_broker_refuses_for_good(
    brokers: Brokers, x: NDArray[np.float32]
) -> None:
    """As one of a topic that takes none so long: readers would take it for a repeat later on.

    Nor is a snapshot that could never be committed: a worker that ends would wait for it.
    """
    write(brokers, x)
    brokers.order("errors 0 10")
    with worker(brokers) as refused, pytest.raises(EndpointError):
        refused.run()
    assert [*brokers.cluster.values(brokers.topics.alerts)] == []
    assert [*brokers.cluster.values(brokers.topics.snapshots)] == []
    check_next_worker(brokers, x)


@mock_alone
def test_a_snapshot_is_not_committed_before_the_brokers_have_its_alerts(
    brokers: Brokers, x: NDArray[np.float32]
) -> None:
    """Its worker may die then, or one be refused: whoever continued there would write none of them.

    The broker that leads the alerts is away, and refuses the first one when it is back.
    """
    topics = brokers.topics
    for topic, leader in ((topics.chunks, 1), (topics.snapshots, 1), (topics.alerts, 3)):
        brokers.order(f"leader {topic} 0 {leader}")
    brokers.order(f"coordinator {topics.group} 1")
    with worker(brokers, snapshot_s=0.0) as refused:
        until(lambda: turned(refused, 0))
        brokers.order("down 3")
        write(brokers, x)
        until(lambda: turned(refused, 1))
        (owned,) = refused._owned.values()

        def written() -> bool:
            refused.turn()
            return owned.saving is None or owned.saving.written

        until(written)
        refused.turn()
        assert owned.saving is not None  # it is on its topic, and waits
        assert (owned.writer.delivered, newest(brokers.cluster)) == (0, [])
        brokers.order("errors 0 10")
        brokers.order("up 3")
        with pytest.raises(EndpointError):
            refused.run()
    assert [*brokers.cluster.values(topics.alerts)] == []
    assert newest(brokers.cluster) == []
    check_next_worker(brokers, x)


@pytest.mark.parametrize("asleep", [False, True], ids=["given back", "asleep"])
def test_a_partition_that_changes_its_worker_in_an_alarm_has_each_alert_once(
    brokers: Brokers, x: NDArray[np.float32], asleep: bool
) -> None:
    """Also where the former worker wakes, and goes on with what it had in hand."""
    expected = compared(embedded("a", x))
    write(brokers, x, last=13)  # the heart has stopped
    with ExitStack() as opened:
        held = opened.enter_context(ExitStack())
        former = held.enter_context(worker(brokers, may_sleep=asleep))
        got = opened.enter_context(reading(brokers))

        def raised() -> bool:
            turned(former, 1)
            return any((a.kind, a.state) == ("asystole", "on") for a in got.alerts)

        got.until(raised)
        if not asleep:
            held.close()
        following = opened.enter_context(worker(brokers))
        until(lambda: turned(following, 1))
        write(brokers, x, first=13)
        until(lambda: turned(following, 2))

        def over() -> bool:
            following.turn()
            if asleep:
                former.turn()
            taken = not (asleep and former._owned)
            return taken and len(compared(got.alerts)) >= len(expected)

        got.until(over)
        got.read += got.reader.read(0.3)
    assert compared(got.alerts) == expected


@mock_alone
def test_a_snapshot_that_a_broker_refuses_for_good_is_taken_again(brokers: Brokers) -> None:
    """Without one the next worker would read all messages again that the topic keeps."""
    producer = brokers.cluster.producer()
    producer.produce(brokers.topics.chunks, encode_batch([]), partition=0)
    assert producer.flush(10.0) == 0
    brokers.order("errors 0 10")
    with worker(brokers, snapshot_s=0.1) as one:

        def saved() -> bool:
            one.turn()
            return [found.offset for found in newest(brokers.cluster)] == [1]

        until(saved)
