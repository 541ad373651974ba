"""A bridge serves the alerts of a cluster as a hub does: subscribers notice no difference."""

import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.client import Subscriber, ask, endpoint_above
from pipeline.log.reader import LogReader
from pipeline.schema.public import Alert, BeatNote, Public, SignalStrip, Status
from pipeline.schema.requests import Acknowledge, State
from tests.support.kafka import (
    Brokers,
    Command,
    Feed,
    GatewayProcess,
    WorkerProcess,
    compared,
    embedded,
    signal_of,
)
from tests.support.ports import free_ports
from tests.support.running import until

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system


def bridge_of(brokers: Brokers, log: Path, port: int) -> Command:
    """Start a bridge as the command does, and wait until it listens."""
    return Command(["bridge", "kafka", "--log", str(log), "--port", str(port)], brokers)


def test_subscribers_of_a_bridge_have_each_alert_once(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Numbered without a hole over a bridge that was killed; an acknowledgement comes back."""
    x = {"a": signal_of(1, 24, demo), "flat": np.zeros(12 * 360, np.float32)}
    expected = {name: compared(embedded(name, one)) for name, one in x.items()}
    port, log = free_ports(), tmp_path / "log.sqlite"
    alerts = f"tcp://127.0.0.1:{port}"
    received: list[Public] = []
    with Brokers() as brokers, WorkerProcess(brokers, screens=True) as worker:
        gateway = GatewayProcess(brokers)
        bridge = bridge_of(brokers, log, port)
        topics = ["beat/", "status/", "signal/"]
        worker.wait_owned(4)
        with Subscriber(alerts, from_seq=1, topics=topics) as subscriber:
            feeds = [
                Feed(gateway.ingest, "a", x["a"], speed=8.0),
                Feed(gateway.ingest, "flat", x["flat"], end=False),
            ]

            def has(kind: type[Public], **facts: object) -> bool:
                received.extend(subscriber.receive(0.05))
                return any(
                    isinstance(one, kind) and all(getattr(one, n) == v for n, v in facts.items())
                    for one in received
                )

            until(lambda: has(Alert, stream="flat", state="on"))
            until(lambda: has(BeatNote, stream="a") and has(SignalStrip, stream="a"))
            until(lambda: has(Status, stream="a"))
            bridge.end(signal.SIGKILL)
            feeds[0].join()
            bridge = bridge_of(brokers, log, port)
            reply = ask(endpoint_above(alerts, 2), Acknowledge(stream="flat"))
            assert {one.state for one in reply.alerts} == {"ack"}
            until(lambda: has(Alert, stream="flat", state="ack"))
            until(lambda: len(compared(of("a", received))) >= len(expected["a"]))
            until(lambda: shown(endpoint_above(alerts, 2)) == {"a", "flat"})
            feeds[1].stop()
        bridge.end()
        gateway.end()
    assert compared(of("a", received)) == expected["a"]
    numbers = [one.seq for one in received if isinstance(one, Alert)]
    assert numbers == list(range(1, len(numbers) + 1))
    with LogReader(log) as reader:
        assert [one.seq for one in reader.read(1, 10_000)][: len(numbers)] == numbers


def shown(control: str) -> set[str]:
    """Return the streams whose status a bridge knows."""
    return {one.stream for one in ask(control, State()).statuses}


def of(stream: str, received: list[Public]) -> list[Alert]:
    """Return the alerts of a stream."""
    return [one for one in received if isinstance(one, Alert) and one.stream == stream]


def test_a_log_of_something_else_is_refused(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """One that a hub wrote, or of other topics: its numbers mean something else."""
    from pipeline.errors import ConfigError
    from pipeline.kafka.bridge import Bridge, BridgeConfig
    from pipeline.log.store import AlertLog

    at = dict.fromkeys(("alerts", "replay", "control"), "tcp://127.0.0.1:0")
    (alert, *_) = embedded("a", signal_of(1, 20, demo))
    with Brokers() as brokers, AlertLog(tmp_path / "log.sqlite") as log:
        log.append([alert])
        with pytest.raises(ConfigError, match="log of something else"):
            Bridge(brokers.cluster, log, BridgeConfig(endpoints=at))
