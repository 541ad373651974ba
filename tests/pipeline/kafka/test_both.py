"""What speaks with a hub speaks with a cluster through `bridge kafka`, as the documents say.

Dashboard, wall, bridges to other systems and the commands for a running monitor, over one cluster:
brokers, a gateway, a worker and a bridge, each a process of its own. Where a cluster gives less
than a hub, that is said.
"""

import json
import re
import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.bridges.mqtt import MqttOutlet
from monitor.run.processes import child_command
from pipeline.client import Subscriber, ask, endpoint_above
from pipeline.kafka.alerts import ID, AlertId
from pipeline.kafka.bridge import Bridge as KafkaBridge
from pipeline.kafka.bridge import BridgeConfig
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, encode_json
from pipeline.schema.requests import State
from tests.monitor.cli.test_app import exit_code
from tests.monitor.wall.test_server import is_kind, live, receive
from tests.support.bridges import Bridge, running_bridge
from tests.support.http_server import HttpServer
from tests.support.kafka import Brokers, Command, Feed, GatewayProcess, WorkerProcess
from tests.support.mqtt import Receiver, running_broker
from tests.support.ports import free_ports
from tests.support.pseudo_terminal import PseudoTerminal
from tests.support.running import DEADLINE_S, thread, until
from tests.support.wall import alarm, running_wall

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system

FLAT = ("flat-1", "flat-2", "flat-3")
"""Streams without a heart beat: their asystole latches when they end. The first two may be
acknowledged, each by one test."""

RATE = re.compile("♥ +[0-9]")
TRACE = re.compile("[\u2801-\u28ff]{5}")

PAUSE = threading.Event()


class Cluster(NamedTuple):
    """What a test speaks with."""

    endpoint: str
    """Of the alerts of the bridge."""
    worker: WorkerProcess


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, demo: NDArray[np.float32]
) -> Iterator[Cluster]:
    """Return a cluster with a bridge, in which ``a`` is live, and each of `FLAT` has an alarm."""
    port, log = free_ports(), tmp_path_factory.mktemp("bridge") / "log.sqlite"
    flat = np.zeros(12 * 360, np.float32)
    with (
        Brokers() as brokers,
        WorkerProcess(brokers, screens=True) as worker,
        Command(
            ["bridge", "kafka", "--log", str(log), "--port", str(port)], brokers, wait=False
        ) as bridge,
        GatewayProcess(brokers) as gateway,
    ):
        worker.wait_owned(4)
        bridge.wait_for(lambda lines: any('"ready"' in line for line in lines))
        # Of the record the first minute: it has no alarm of high priority, which ends a pause.
        feeds = [Feed(gateway.ingest, "a", np.tile(demo[: 60 * 360], 80), speed=16.0)]
        feeds += [Feed(gateway.ingest, name, flat) for name in FLAT]
        at = f"tcp://127.0.0.1:{port}"
        try:
            until(lambda: all_begun(states(at)))
            for name in FLAT:
                alerts_until(at, "asystole", name, "latched")
            yield Cluster(at, worker)
        finally:
            for feed in feeds:
                feed.stop()


@pytest.fixture(scope="module")
def endpoint(cluster: Cluster) -> str:
    """Return the address of the bridge's alerts."""
    return cluster.endpoint


def all_begun(statuses: dict[str, Any]) -> bool:
    """Return whether ``a`` has a heart rate, and the others are over and have their alarm."""
    return {"a", *FLAT} <= set(statuses) and all(
        one.bpm if name == "a" else one.ended and one.alarms for name, one in statuses.items()
    )


def states(endpoint: str) -> dict[str, Any]:
    """Return the statuses that a monitor answers with, by stream."""
    control = endpoint_above(endpoint, 2)
    return {one.stream: one for one in ask(control, State()).statuses}


def alerts_until(endpoint: str, kind: str, stream: str, state: str = "") -> list[Alert]:
    """Return all alerts up to the first one of a kind and a stream, in a state if there is one."""
    received: list[Alert] = []
    with Subscriber(endpoint, from_seq=1) as subscriber:

        def came() -> bool:
            received.extend(one for one in subscriber.receive(0.05) if isinstance(one, Alert))
            return any(
                (one.kind, one.stream) == (kind, stream) and state in ("", one.state)
                for one in received
            )

        until(came)
    return received


class Said:
    """What a command prints in this process, and its exit code."""

    def __init__(
        self,
        endpoint: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._endpoint, self._monkeypatch, self._capsys = endpoint, monkeypatch, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command for the bridge; return what it wrote on stdout and stderr."""
        self._capsys.readouterr()
        found = exit_code(self._monkeypatch, *words, "--endpoint", self._endpoint)
        out, err = self._capsys.readouterr()
        assert found == code, err
        return out + err


@pytest.fixture
def said(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Return what runs a command for the bridge."""
    return Said(endpoint, monkeypatch, capsys)


def test_status_names_the_streams_that_workers_write_for_screens(said: Said) -> None:
    """With their states and alarms, as of a hub; the log is the bridge's."""
    found = json.loads(said("status", "--json"))
    streams = {one["stream"]: one for one in found["streams"]}
    assert set(streams) == {"a", *FLAT}
    assert streams["flat-3"]["ended"]
    assert "asystole" in {one["kind"] for one in streams["flat-3"]["alarms"]}
    assert found["system"]["log"]["last_seq"] >= 6
    text = said("status")
    assert "asystole" in text
    assert "NOT RECORDED" not in text


def test_show_has_an_alert_and_no_signal(said: Said, tmp_path: Path) -> None:
    """It says so, and draws no empty picture."""
    assert "none was kept of it" in said("show", "1")
    picture = tmp_path / "strip.png"
    assert "no strip of signal" in said("show", "1", "--png", str(picture), code=2)
    assert not picture.exists()
    assert "999999" in said("show", "999999", code=2)


def test_limits_are_set_by_the_worker_and_shown(said: Said, endpoint: str) -> None:
    """The answer says how to know; what contradicts other limits, and other streams, stay."""
    before = states(endpoint)["a"].limits
    for bpm in ("187", "131"):
        assert "refused unless an alert limits_changed" in said("limits", "a", "--hr-high", bpm)
    alerts = alerts_until(endpoint, "limits_changed", "a")
    changed = next(one for one in alerts if one.kind == "limits_changed")
    assert "heart_rate_high_bpm 131" in changed.reason
    until(lambda: "heart_rate_high_bpm = 131" in said("limits", "a"))
    assert states(endpoint)["flat-3"].limits == before


def test_an_acknowledged_alarm_is_over_for_everybody(said: Said, endpoint: str) -> None:
    """That of one stream: its alert comes back from the cluster; a second time there is none."""
    assert "acknowledged: flat-2: asystole" in said("ack", "--stream", "flat-2")
    alerts_until(endpoint, "asystole", "flat-2", "off")
    until(lambda: not states(endpoint)["flat-2"].alarms)
    assert "nothing to acknowledge in flat-2" in said("ack", "--stream", "flat-2")


def test_the_dashboard_shows_and_acknowledges(endpoint: str) -> None:
    """Heart rate, signal and alarms on a terminal; keys acknowledge, and pause the sound."""
    command, environment = child_command(["watch", "--endpoint", endpoint])
    with PseudoTerminal(command, environment=environment) as terminal:
        terminal.until(lambda screen: bool(RATE.search(screen)), DEADLINE_S)
        terminal.until(lambda screen: bool(TRACE.search(screen)), DEADLINE_S)
        terminal.type("/flat-1\r")
        terminal.until(lambda screen: "filter: flat-1" in screen, DEADLINE_S)
        terminal.type("a")
        terminal.until(lambda screen: "acknowledged asystole" in screen, DEADLINE_S)
        alerts_until(endpoint, "asystole", "flat-1", "off")
        terminal.type("s")
        terminal.until(lambda screen: "SOUND OFF" in screen, DEADLINE_S)


def test_a_pause_of_the_sound_reaches_every_screen(said: Said, endpoint: str) -> None:
    """`monitor silence` of a bridge is in the statuses and on a wall, as is its end."""
    with running_wall(endpoint) as url, live(url) as viewer:
        assert "no sound for" in said("silence", "--seconds", "100")
        receive(viewer, lambda m: is_kind("pulse")(m) and m["silenced_s"] > 50.0)
        assert "sound    paused" in said("status")
        said("silence", "--seconds", "0")
        receive(viewer, lambda m: is_kind("pulse")(m) and not m["silenced_s"])


def test_a_wall_shows_patients_alarms_signal_and_minutes(endpoint: str) -> None:
    """To a real WebSocket: what a hub's wall shows."""
    with running_wall(endpoint) as url, live(url) as viewer:
        patients: dict[str, Any] = {}

        def knows_all(message: Any) -> bool:
            if is_kind("patients")(message):
                patients.update({one["name"]: one for one in message["patients"]})
            return bool(
                {"a", *FLAT} <= set(patients)
                and patients["flat-3"]["alarms"]
                and patients["a"].get("bpm")
            )

        receive(viewer, knows_all)
        assert "asystole" in {one["alarm"] for one in patients["flat-3"]["alarms"]}
        number = patients["a"]["n"]
        viewer.send(json.dumps({"show": [number], "leads": "all"}))
        piece = receive(viewer, lambda m: isinstance(m, bytes))
        assert struct.unpack_from("<I", piece, 16) == (number,)
        receive(viewer, lambda m: is_kind("hours")(m) and m["n"] == number and bool(m["minutes"]))


def test_a_webhook_has_every_alert_once(endpoint: str, tmp_path: Path) -> None:
    """In order, from the first one on, numbered as by a hub; by the command, over HTTP."""
    expected = [one.seq for one in alerts_until(endpoint, "asystole", "flat-1", "latched")]
    position = str(tmp_path / "position")
    words = ("webhook", "--endpoint", endpoint, "--position", position)
    with HttpServer() as server, Bridge(*words, "--url", server.url) as bridge:
        until(lambda: len(server.requests) >= len(expected) or PAUSE.wait(0.02))
        assert bridge.end() == 0
    events = [json.loads(request.body) for request in server.requests]
    assert [event["data"]["seq"] for event in events[: len(expected)]] == expected
    assert {event["subject"] for event in events} >= set(FLAT)


def test_mqtt_has_alerts_statuses_and_whether_the_monitor_is_heard(
    endpoint: str, tmp_path: Path
) -> None:
    """Over a real broker."""
    port = free_ports(1)
    with running_broker(port), Receiver(port) as receiver:
        outlet = MqttOutlet(f"mqtt://127.0.0.1:{port}")
        with running_bridge(outlet, endpoint, tmp_path / "position"):
            receiver.wait_for(lambda: receiver.bodies("ecg/online")[-1:] == [b"1"])
            receiver.wait_for(lambda: bool(receiver.bodies("ecg/alert/flat-1")))
            receiver.wait_for(lambda: bool(receiver.bodies("ecg/status/a")))
    assert json.loads(receiver.bodies("ecg/status/a")[-1])["stream"] == "a"
    assert receiver.seqs == sorted(set(receiver.seqs))


def test_a_worker_that_stops_is_seen_though_its_bridge_goes_on(cluster: Cluster) -> None:
    """The data of its streams grow old on a wall and in `status`; then it goes on."""
    seen: dict[str, Any] = {}
    with running_wall(cluster.endpoint) as url, live(url) as viewer:

        def age(message: Any) -> float | None:
            """Return the age of the data of ``a`` at a pulse after a message of the bridge."""
            if is_kind("patients")(message):
                seen.update({one["name"]: one.get("data_at_s") for one in message["patients"]})
            if not is_kind("pulse")(message) or seen.get("a") is None:
                return None
            now_s = message["now_s"]
            return None if now_s - message["hub_at_s"] > 1.0 else now_s - seen["a"]

        def is_old(message: Any) -> bool:
            return (age(message) or 0.0) > 3.0

        def is_new(message: Any) -> bool:
            return (age(message) or 9.0) < 2.0

        receive(viewer, is_new)
        cluster.worker.send(signal.SIGSTOP)
        try:
            receive(viewer, is_old)
            assert states(cluster.endpoint)["a"].data_age_s > 1.5
        finally:
            cluster.worker.send(signal.SIGCONT)
        receive(viewer, is_new)


def test_where_workers_write_nothing_for_screens_there_are_alerts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No stream is known, a pause of the sound reaches no screen; a new alarm ends it all the same.

    The alerts are written as a worker does.
    """
    with Brokers(1) as brokers:
        producer = brokers.cluster.producer()

        def write(offset: int) -> None:
            headers = {ID: str(AlertId(0, offset, 0)).encode()}
            value = encode_json(alarm("a", sample=offset, episode=f"e{offset}"))
            producer.produce(brokers.topics.alerts, value, partition=0, headers=headers)
            assert producer.flush(10.0) == 0

        write(1)
        port = free_ports()
        at = {
            name: f"tcp://127.0.0.1:{port + n}"
            for n, name in enumerate(("alerts", "replay", "control"))
        }
        endpoint = at["alerts"]
        with (
            AlertLog(tmp_path / "log.sqlite") as log,
            KafkaBridge(brokers.cluster, log, BridgeConfig(endpoints=at)) as bridge,
            thread(bridge.run),
        ):
            said = Said(endpoint, monkeypatch, capsys)
            alerts_until(endpoint, "asystole", "a")
            assert not states(endpoint)
            assert "streams  none" in said("status")
            assert "no stream is called a" in said("limits", "a", code=2)
            said("silence", "--seconds", "100")
            assert "paused" in said("status")
            write(2)
            until(lambda: "paused" not in said("status"))
