"""Gateways and workers as processes over brokers: whatever dies, each alert comes once.

The brokers are librdkafka's mock cluster on loopback, or real ones (`tests.support.kafka`). The
alerts are compared with those of one process, but for `no_data`, which depends on the moments.
"""

import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.kafka import (
    REAL,
    Brokers,
    Collected,
    Feed,
    GatewayProcess,
    WorkerProcess,
    compared,
    embedded,
    needs_real_brokers,
    reading,
    signal_of,
)

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system

STREAMS = ("a", "b", "d", "e")
SECONDS = 40
"""Of each stream; they lie in four partitions."""
SPEED = 8.0
"""Times real time: a run takes some five seconds."""

REFUSALS = ["errors 0 6 7 19 -195", "errors 1 6 7", "errors 8 15 16 27"]
"""Of messages: not leader, timed out, too few replicas, broken off; of fetches; of commits."""

Signals = dict[str, NDArray[np.float32]]
mock_only = pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")


@pytest.fixture(scope="module")
def signals(demo: NDArray[np.float32]) -> Signals:
    """Return a part of the record for each, from several places."""
    return {name: signal_of(seed, SECONDS, demo) for seed, name in enumerate(STREAMS)}


@pytest.fixture(scope="module")
def expected(signals: Signals) -> dict[str, list[tuple[object, ...]]]:
    """Return the alerts of one process."""
    return {name: compared(embedded(name, x)) for name, x in signals.items()}


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    """Return brokers with topics of the test."""
    with Brokers() as made:
        yield made


class Run:
    """A run of all streams, and how far it is."""

    def __init__(self, ingest: str, signals: Signals) -> None:
        """Begin to send."""
        self._feeds = [Feed(ingest, name, x, speed=SPEED) for name, x in signals.items()]
        self._moment = threading.Event()

    def wait_for(self, second: float) -> None:
        """Wait until every stream is sent up to a second of it."""
        while any(feed.sent < second * 360 for feed in self._feeds):
            assert all(feed.failure is None for feed in self._feeds), self._feeds
            self._moment.wait(0.02)

    def pass_a_second(self) -> None:
        """Let a second pass: streams whose broker is away cannot tell when."""
        self._moment.wait(1.0)

    def join(self) -> None:
        """Wait for the end of all."""
        for feed in self._feeds:
            feed.join()


def check(got: Collected, expected: dict[str, list[tuple[object, ...]]]) -> None:
    """Read to the end: the alerts of one process, each once."""
    got.until_over(expected)
    got.read += got.reader.read(0.3)
    for name, alerts in expected.items():
        assert compared(got.of(name)) == alerts, name


def test_whatever_dies_each_alert_comes_once(
    brokers: Brokers, signals: Signals, expected: dict[str, list[tuple[object, ...]]]
) -> None:
    """A worker is killed, another joins, the gateway is killed, a worker sleeps and wakes.

    Meanwhile brokers refuse messages, fetches and commits. A reader that goes on where it was
    before has what it lacks, and no alert again.
    """
    with WorkerProcess(brokers) as first, WorkerProcess(brokers) as second:
        gateway = GatewayProcess(brokers)
        first.wait_for(lambda lines: bool(first.owned))
        second.wait_for(lambda lines: bool(second.owned))
        run = Run(gateway.ingest, signals)
        for order in [] if REAL else REFUSALS:
            brokers.order(order)
        run.wait_for(8)
        with reading(brokers) as before:
            before.until(lambda: len(before.alerts) >= 2)
        first.end(signal.SIGKILL)
        with WorkerProcess(brokers) as third:
            run.wait_for(15)
            gateway.end(signal.SIGKILL)
            gateway = GatewayProcess(brokers, gateway.ingest)
            run.wait_for(22)
            second.send(signal.SIGSTOP)
            third.wait_owned(4)  # the group has given up the one that sleeps
            second.send(signal.SIGCONT)
            run.join()
            with reading(brokers, before.reader.positions) as got:
                got.read = before.read
                check(got, expected)
            assert third.running
        assert second.end() == 0
        gateway.end()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "asleep", "joined", "left", "gateway", "twice"])
def test_each_fault_by_itself(
    brokers: Brokers,
    signals: Signals,
    expected: dict[str, list[tuple[object, ...]]],
    fault: str,
) -> None:
    """As above, one at a time, and longer."""
    with WorkerProcess(brokers) as worker, WorkerProcess(brokers) as other:
        gateway = GatewayProcess(brokers)
        worker.wait_for(lambda lines: bool(worker.owned))
        run = Run(gateway.ingest, signals)
        run.wait_for(10)
        third: WorkerProcess | None = None
        match fault:
            case "killed":
                worker.end(signal.SIGKILL)
                other.wait_owned(4)
            case "asleep":
                worker.send(signal.SIGSTOP)
                other.wait_owned(4)
                run.wait_for(35)
                worker.send(signal.SIGCONT)
            case "left":
                assert worker.end() == 0
                other.wait_owned(4)
            case "gateway":
                gateway.end(signal.SIGKILL)
                gateway = GatewayProcess(brokers, gateway.ingest)
            case "joined" | "twice":
                third = WorkerProcess(brokers)
                third.wait_for(lambda lines: bool(third and third.owned))
        run.join()
        with reading(brokers) as got:
            check(got, expected)
        gateway.end()
        if third is not None:
            third.end()


@mock_only
@pytest.mark.slow
@pytest.mark.parametrize(
    "orders",
    [REFUSALS, ["down 1", "up 1", "down 2", "up 2"]],
    ids=["answers", "brokers"],
)
def test_a_broker_that_refuses_or_is_gone_costs_no_alert(
    brokers: Brokers,
    signals: Signals,
    expected: dict[str, list[tuple[object, ...]]],
    orders: list[str],
) -> None:
    """By itself, and longer; one broker after the other is away for a second."""
    two = {name: signals[name] for name in ("a", "b")}
    with WorkerProcess(brokers) as worker, GatewayProcess(brokers) as gateway:
        worker.wait_owned(4)
        run = Run(gateway.ingest, two)
        run.wait_for(8)
        for order in orders:
            brokers.order(order)
            run.pass_a_second()
        run.join()
        with reading(brokers) as got:
            check(got, {name: expected[name] for name in two})
        assert worker.running
        assert gateway.running


def test_a_silent_source_is_an_alarm_once_whoever_watches_it(
    brokers: Brokers, signals: Signals
) -> None:
    """The alarm outlives the worker that raised it, and ends when its source is back."""
    with WorkerProcess(brokers) as first, GatewayProcess(brokers) as gateway:
        first.wait_owned(4)
        source = Feed(gateway.ingest, "a", signals["a"][: 360 * 5], end=False)
        with reading(brokers) as got:
            got.until(lambda: any(a.kind == "no_data" for a in got.alerts))
            assert first.end() == 0
            with WorkerProcess(brokers) as second:
                second.wait_owned(4)
                source.stop()
                back = Feed(gateway.ingest, "a", signals["a"][: 360 * 10])
                back.join()
                got.until(lambda: any(a.kind == "no_data" and a.state != "on" for a in got.alerts))
    states = [alert.state for alert in got.alerts if alert.kind == "no_data"]
    assert states[0] == "on"
    assert states.count("on") == 1


@needs_real_brokers
@pytest.mark.slow
def test_real_brokers_stamp_and_keep_what_they_acknowledged(
    brokers: Brokers, signals: Signals, expected: dict[str, list[tuple[object, ...]]]
) -> None:
    """Three of Redpanda (`compose.yaml`), one of which may be stopped by hand meanwhile."""
    with WorkerProcess(brokers) as worker, GatewayProcess(brokers) as gateway:
        worker.wait_owned(4)
        run = Run(gateway.ingest, signals)
        run.join()
        with reading(brokers) as got:
            check(got, expected)
