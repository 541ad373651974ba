"""Whatever the topics hold, nobody ends or stalls: it is counted, said in a line and skipped."""

import contextlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.run.processes import child_command
from pipeline.client import Subscriber
from pipeline.errors import ConfigError, MonitorError
from pipeline.kafka.alerts import (
    AlertId,
    AlertReader,
    PartitionPosition,
    positions_of,
    positions_text,
)
from pipeline.kafka.skipped import Skipped
from pipeline.schema.public import Alert
from tests.nightly.cluster_targets import TARGETS
from tests.nightly.mutation import mutated
from tests.support.kafka import (
    REAL,
    Brokers,
    Command,
    Feed,
    GatewayProcess,
    Process,
    WorkerProcess,
    compared,
    embedded,
    signal_of,
)
from tests.support.ports import free_ports
from tests.support.running import until


@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_nearly_right_is_taken_or_refused(kind: str, seed: int) -> None:
    """With one of our errors; and whoever read it goes on."""
    chance = random.Random(seed)
    target = TARGETS[kind](Path(), chance)
    data, read = chance.choice(target.seeds)
    with contextlib.suppress(MonitorError):
        read(mutated(data, chance))
    assert read(data) or kind == "chunks of a cluster"


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(max_size=3) | st.integers(0, 9).map(str),
        st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=3), max_size=6),
        max_size=2,
    )
)
def test_positions_are_numbers_of_offsets(content: dict[str, list[object]]) -> None:
    """Anything else is refused: a negative one would mean another place to the client library."""
    try:
        found = positions_of(json.dumps(content))
    except ValueError:
        return
    assert all(0 <= one.next_offset < 2**63 for one in found.values())
    assert positions_of(positions_text(found)) == found


def test_what_is_skipped_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """One line in ten seconds, with their number and the reason of the last one."""
    now = 0.0
    skipped = Skipped("ecg.alerts", lambda: now)
    for at in range(100):
        now = at / 9
        skipped.add(3, at, "no\nalert")
    assert skipped.count == 100
    assert caplog.messages == [
        "ecg.alerts, partition 3, offset 0: 1 skipped: no alert",
        "ecg.alerts, partition 3, offset 90: 90 skipped: no alert",
    ]


@pytest.mark.system
def test_a_position_behind_the_end_is_refused() -> None:
    """With it, what comes would pass for old."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    with Brokers(1) as brokers, pytest.raises(ConfigError, match="another cluster"):
        AlertReader(brokers.cluster, {0: PartitionPosition(9, AlertId(0, 1, 0))})


@pytest.mark.system
@pytest.mark.skipif(bool(REAL), reason="the mock cluster writes the message that no client does")
def test_hostile_messages_on_every_topic_change_no_alert(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Worker, gateway, bridge and `monitor alerts` go on, and end as they are asked to."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    x, port = signal_of(1, 24, demo), free_ports()
    expected, received = compared(embedded("a", x)), list[Alert]()
    with (
        Brokers(1) as brokers,
        WorkerProcess(brokers, screens=True) as worker,
        GatewayProcess(brokers) as gateway,
        Command(
            ["bridge", "kafka", "--log", str(tmp_path / "log"), "--port", str(port)], brokers
        ) as bridge,
        alerts_of(brokers, tmp_path / "position") as printed,
        Subscriber(f"tcp://127.0.0.1:{port}", from_seq=1) as subscriber,
    ):
        worker.wait_owned(1)
        write_hostile(brokers, random.Random(5))
        Feed(gateway.ingest, "a", x).join()

        def done() -> bool:
            received.extend(m for m in subscriber.receive(0.1) if isinstance(m, Alert))
            return min(len(received), len(printed.lines)) >= len(expected)

        until(done)
        processes = (worker, gateway, bridge, printed)
        until(lambda: all(any("skipped:" in e for e in one.errors) for one in processes))
        assert [one.end() for one in processes] == [0, 0, 0, 0]
    assert compared(received) == expected
    assert sorted(json.loads(line)["episode"] for line in printed.lines) == sorted(
        one.episode for one in received
    )


def alerts_of(brokers: Brokers, position: Path) -> Process:
    """Start `monitor alerts`, from the oldest alert on."""
    words = ["alerts", "--kafka", brokers.addresses, "--prefix", brokers.topics.prefix]
    command, environment = child_command([*words, "--json", "--position", str(position)])
    return Process(command, environment)


def write_hostile(brokers: Brokers, chance: random.Random) -> None:
    """Write bytes of any kind to all topics, and what the right kind of them looks like nearly."""
    producer = brokers.cluster.producer()
    seeds = [seed for make in TARGETS.values() for seed, _ in make(Path(), chance).seeds]
    for topic in brokers.topics.settings():
        for _ in range(40):
            value = mutated(chance.choice(seeds), chance) if chance.random() < 0.7 else None
            producer.produce(
                topic, value if value is not None else chance.randbytes(chance.randrange(90)),
                key=chance.randbytes(4), partition=0, headers={"id": chance.randbytes(5)},
            )  # fmt: skip
        brokers.order(f"header {topic}")
    assert producer.flush(30.0) == 0
