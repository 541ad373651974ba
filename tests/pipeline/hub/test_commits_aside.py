"""A thread writes a commit of many live streams, and the hub goes on reading.

Whatever it reads meanwhile, and whatever else happens, nothing is acknowledged, answered or
published before the transaction that holds it is durable.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.client import Subscriber
from pipeline.hub import outbox
from pipeline.hub.gathering import GATHER_S
from pipeline.log.links import read_published
from pipeline.log.store import AlertLog
from pipeline.log.verify import verify
from pipeline.schema.messages import Hello, encode
from pipeline.schema.public import Alert, Unrecorded, encode_json
from pipeline.schema.requests import ReplayRequest, State
from pipeline.transport.sockets import Dealer
from tests.pipeline.hub.test_many_streams import NAMES, SHORT, Ward, short
from tests.support.chaos import History, HubProcess, eventually_dead, feed_stream, oracle, scorer_of
from tests.support.held_disk import HeldDisk
from tests.support.hub_by_hand import hub_by_hand
from tests.support.logs import alert
from tests.support.running import thread, until

pytestmark = pytest.mark.system


class Held(Ward):
    """Many live streams that have begun, and a subscriber, on a hub whose disk a test holds."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self.send(*(short(name, 1) for name in NAMES))
        until(lambda: self.turn() or self.all_written(1))
        until(lambda: self.turn() or not self.committing)
        self.disk = HeldDisk(self.one.hub._log)
        ends = self.one.hub.endpoints
        self.subscriber = Subscriber(ends["alerts"], ends["replay"], from_seq=1)
        self.received: list[object] = []
        until(lambda: self.listen() or self.subscriber.heartbeats > 0)

    @property
    def committing(self) -> bool:
        """Whether a commit is under way."""
        return self.one.hub._outbox.committing

    def listen(self) -> None:
        """Let a moment pass, and take what is published."""
        self.turn()
        self.received += self.subscriber.receive(0.002)

    def all_written(self, number: int) -> bool:
        """Return whether so much of every stream is acknowledged."""
        return all(self.written(name) == number for name in NAMES)

    def send_all(self, number: int) -> None:
        """Send a chunk of every stream, and let the hub take them."""
        before = self.taken
        self.send(*(short(name, number) for name in NAMES))
        self.one.later_s += GATHER_S
        until(lambda: self.turn() or self.taken > before)

    @property
    def taken(self) -> int:
        """How far the streams have come, at least."""
        sessions = self.one.hub._streams.sessions
        return min(sessions[name].stream.next_sample for name in NAMES)

    def begin_commit(self, number: int, *alerts: Alert) -> None:
        """Send a chunk of every stream, raise alerts, and wait until their COMMIT waits."""
        self.disk.hold()
        self.one.hub._outbox.add_alerts(alerts)
        self.send_all(number)
        until(lambda: self.turn() or self.disk.reached.is_set())
        assert self.committing

    def alerts(self) -> list[tuple[int, int]]:
        """Return number and position of the recorded alerts that were published."""
        return [(one.seq, one.sample) for one in self.received if type(one) is not Unrecorded
                and isinstance(one, Alert)]  # fmt: skip


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a commit be held for however many turns a slow machine needs."""
    monkeypatch.setattr(outbox, "_PATIENCE_S", 1e6)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """Many streams whose commits a test may hold."""
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        ward = Held(one)
        try:
            yield ward
        finally:
            ward.disk.release()
            ward.subscriber.close()


def test_the_hub_goes_on_reading_and_tells_nobody_before_the_commit_is_durable(held: Held) -> None:
    """What came meanwhile is in the next commit; alerts keep their order and their numbers."""
    held.begin_commit(2, alert(7))
    operator, reader = held.one.connect("control"), held.one.connect("replay")
    until(lambda: held.turn() or operator.send(encode_json(State())))
    until(lambda: held.turn() or reader.send(encode_json(ReplayRequest(from_seq=1))))
    held.one.hub._outbox.add_alerts([alert(8)])
    held.send_all(3)
    for _ in range(20):
        held.listen()

    assert held.taken == 3 * SHORT
    assert held.committing
    assert held.all_written(1)
    assert held.alerts() == []
    assert held.one.hub._log.last_seq == 0
    assert not [*operator.receive(), *reader.receive()]

    held.disk.release()
    until(lambda: held.listen() or (held.all_written(3) and len(held.alerts()) == 2))
    assert held.alerts() == [(1, 7), (2, 8)]
    _answered(held, operator)
    _answered(held, reader)
    assert len(held.disk.threads) == 1
    assert threading.get_ident() not in held.disk.threads


def _answered(held: Held, client: Dealer) -> None:
    until(lambda: bool(held.turn() or list(client.receive())))


def test_a_commit_that_ends_wakes_the_hub(held: Held) -> None:
    """Nothing else happens: it is told long before the next heartbeat."""
    held.begin_commit(2)
    turns = 0
    threading.Timer(0.05, held.disk.release).start()
    while held.committing:
        held.one.hub.turn()  # its clock stands still
        turns += 1
    assert turns < 20
    until(lambda: held.turn() or held.all_written(2))


def test_a_commit_that_fails_in_the_thread_leaves_everything_pending(held: Held) -> None:
    """Alerts come as not recorded; a second later all of it is written, each once, in order."""
    held.begin_commit(2, alert(7))
    held.one.hub._outbox.add_alerts([alert(8)])
    held.send_all(3)
    held.disk.failing = True
    held.disk.release()
    outbox = held.one.hub._outbox
    until(lambda: held.listen() or bool(outbox.unwritable))
    assert "disk I/O error" in outbox.unwritable
    until(lambda: held.listen() or sum(isinstance(one, Unrecorded) for one in held.received) >= 2)
    assert held.alerts() == []
    assert held.all_written(1)
    assert held.one.hub._log.last_seq == 0

    held.disk.failing = False
    held.one.later_s += 1.0
    until(lambda: held.listen() or len(held.alerts()) >= 2)
    assert held.alerts()[:2] == [(1, 7), (2, 8)]
    assert outbox.unwritable == ""
    question = encode(Hello(stream=NAMES[0], session="a"))
    until(lambda: bool(held.turn() or held.source.send(question)))
    until(lambda: held.turn() or held.written(NAMES[0]) == 3)


def test_a_hub_that_is_killed_with_a_commit_under_way_continues_where_its_log_ends(
    tmp_path: Path,
) -> None:
    """The commit before a failed one is the last: sources send what came after it again."""
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        held = Held(one)
        held.begin_commit(2, alert(7))
        held.send_all(3)
        held.disk.failing = True
        held.disk.release()
        held.subscriber.close()
    with hub_by_hand(tmp_path / "log") as one:
        sessions = one.hub._streams.sessions
        assert {sessions[name].stream.next_sample for name in NAMES} == {SHORT}
        assert 7 not in [a.sample for a in one.hub._log.read(1, 10)]


def test_a_hub_that_ends_in_order_waits_for_the_commit_under_way(tmp_path: Path) -> None:
    """Its log holds what was under way and what came since."""
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        held = Held(one)
        held.begin_commit(2, alert(7))
        one.hub._outbox.add_alerts([alert(8)])
        held.send_all(3)
        held.subscriber.close()
        threading.Timer(0.05, held.disk.release).start()
        one.closed()
    assert verify(tmp_path / "log").damage == []
    with AlertLog(tmp_path / "log") as log:
        assert [a.sample for a in read_published(log, 1, 10)][:2] == [7, 8]
        assert set(log.snapshots()) == set(NAMES)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hub_that_dies_in_the_thread_loses_and_repeats_nothing(
    tmp_path: Path, demo: NDArray[np.float32], when: str
) -> None:
    """Before its COMMIT or after it, of which nobody was told."""
    signal = demo[: 30 * 360]
    expected = {"a": oracle("a", signal)}
    hub = HubProcess(tmp_path / "log")
    hub.start()
    try:
        history = History(hub)
        hub.kill()
        hub.restart(f"aside:{when}:6")
        with (
            scorer_of(hub),
            history.subscriber,
            thread(lambda stop: feed_stream(hub, "a", signal, step=97, stop=stop)),
        ):
            eventually_dead(hub)
            hub.restart()
            history.until_ended(["a"])
        history.check(expected)
    finally:
        hub.kill()


def test_a_disk_that_takes_too_long_stops_the_hub_and_silences_no_source(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks misses its heartbeat; sources without an answer could not send meanwhile."""
    held.begin_commit(2)
    monkeypatch.setattr(outbox, "_PATIENCE_S", 1.0)
    held.one.later_s += 1.0
    stopped = threading.Thread(target=held.turn)
    stopped.start()
    stopped.join(0.3)
    assert stopped.is_alive()

    held.one.later_s += 4.0
    held.disk.release()
    stopped.join()
    until(lambda: held.listen() or held.all_written(2))
    for _ in range(5):
        held.one.later_s += 0.1
        held.listen()
    assert [one.kind for one in held.received if isinstance(one, Alert)] == []
