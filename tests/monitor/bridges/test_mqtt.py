"""`monitor bridge mqtt` against real brokers: amqtt, and mosquitto."""

import contextlib
import json
import random
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from monitor.bridges.mqtt import PASSWORD, USER, MqttOutlet, check_prefix, credentials
from monitor.bridges.outlet import UnavailableError
from monitor.run.processes import child_command
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import Gap, Unrecorded
from pipeline.schema.public import PublishedAlert as Published
from tests.pipeline.clients.test_subscribers import AlertHub
from tests.support.bridges import Bridge, fill, running_bridge
from tests.support.certificates import make_certificate
from tests.support.mqtt import Receiver, running_broker, running_mosquitto
from tests.support.ports import free_ports
from tests.support.proxy import Proxy
from tests.support.running import feed, running_hub, running_worker, until

pytestmark = pytest.mark.system

PORT = free_ports()
ENDPOINT = f"tcp://127.0.0.1:{PORT}"
NO_MOSQUITTO = not Path("/usr/sbin/mosquitto").exists()
mosquitto = pytest.mark.skipif(NO_MOSQUITTO, reason="mosquitto is not installed (Debian has it)")


def test_alerts_statuses_and_the_will_arrive(tmp_path: Path) -> None:
    """Alerts in order; the status of a stream and ``online`` are retained for who comes later."""
    fill(tmp_path / "log", 1, 300)
    broker = free_ports(1)
    with (
        running_broker(broker),
        Receiver(broker) as early,
        running_hub(tmp_path / "log", port=PORT) as hub,
        running_worker(hub),
    ):
        outlet = MqttOutlet(f"mqtt://127.0.0.1:{broker}")
        with running_bridge(outlet, ENDPOINT, tmp_path / "position"):
            early.wait_for(lambda: 300 in early.seqs and early.bodies("ecg/online")[-1:] == [b"1"])
            feed(hub, "s", np.zeros(3600, np.float32))
            early.wait_for(lambda: bool(early.bodies("ecg/status/s")))
            with Receiver(broker) as late:
                late.wait_for(lambda: any(m.retain and "status" in m.topic for m in late.messages))
                late.wait_for(lambda: late.bodies("ecg/online")[-1:] == [b"1"])
                assert late.seqs == []
        early.wait_for(lambda: early.bodies("ecg/online")[-1] == b"0")
    assert early.seqs[:300] == list(range(1, 301))
    assert json.loads(early.bodies("ecg/status/s")[0])["stream"] == "s"


def test_a_broker_that_comes_late_and_a_connection_that_breaks_cost_no_alert(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Said once each time, tried again, and every alert arrives, in order."""
    broker, port, said, pause = free_ports(1), free_ports(), [""], threading.Event()

    def says(word: str) -> bool:
        said[0] += capfd.readouterr().err
        return word in said[0] or pause.wait(0.05)

    with AlertHub(tmp_path / "log", rate=100, total=100, port=port), Proxy(broker) as proxy:
        outlet = MqttOutlet(f"mqtt://127.0.0.1:{proxy.port}")
        with running_bridge(outlet, f"tcp://127.0.0.1:{port}", tmp_path / "position"):
            until(lambda: says("cannot deliver"))
            with running_broker(broker), Receiver(broker) as receiver:
                for enough in (1, 30):
                    receiver.wait_for(lambda enough=enough: len(set(receiver.seqs)) >= enough)
                    proxy.cut()
                receiver.wait_for(lambda: 100 in receiver.seqs)
    says("")
    assert 1 <= said[0].count("cannot deliver") <= 4
    assert "was lost: " not in said[0]
    once = list(dict.fromkeys(receiver.seqs))
    assert once[:100] == list(range(1, 101))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_bridge_repeats_at_most(tmp_path: Path) -> None:
    """Killed twice (SIGKILL) while alerts come: none is missing, the order is kept."""
    broker, port, total = free_ports(1), free_ports(), 200
    words = [
        "mqtt", "--broker", f"mqtt://127.0.0.1:{broker}", "--endpoint", f"tcp://127.0.0.1:{port}",
        "--position", str(tmp_path / "position"),
    ]  # fmt: skip
    with (
        running_broker(broker),
        Receiver(broker) as receiver,
        AlertHub(tmp_path / "log", rate=100, total=total, port=port),
    ):
        for _ in range(2):
            have = len(set(receiver.seqs))
            with Bridge(*words) as bridge:
                receiver.wait_for(lambda have=have: len(set(receiver.seqs)) > min(have, total - 1))
                bridge.end(signal.SIGKILL)
        receiver.wait_for(lambda: receiver.bodies("ecg/online")[-1] == b"0")  # the will
        with Bridge(*words) as bridge:
            receiver.wait_for(lambda: total in receiver.seqs)
            assert bridge.end(signal.SIGTERM) == 0
            assert bridge.errors == []
    once = list(dict.fromkeys(receiver.seqs))
    assert once[:total] == list(range(1, total + 1))


@mosquitto
def test_a_refused_user_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """A wrong password will be refused again; it is not repeated in the line."""
    broker = free_ports(1)
    command, environment = child_command(
        ["bridge", "mqtt", "--broker", f"mqtt://127.0.0.1:{broker}", "--endpoint", ENDPOINT,
         "--position", str(tmp_path / "position")]
    )  # fmt: skip
    with running_mosquitto(broker, tmp_path, "allow_anonymous false"):
        run = subprocess.run(
            command, env=environment | {USER: "nurse", PASSWORD: "wrong-one"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith(f"monitor: the broker mqtt://127.0.0.1:{broker}/ecg: ")
    assert len(run.stderr.splitlines()) == 1
    assert "wrong-one" not in run.stderr + run.stdout


def test_what_answers_like_no_broker_is_trouble_and_no_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any bytes, before or after the connection is accepted: it is tried again."""
    monkeypatch.setattr("monitor.bridges.mqtt._CONNECT_S", 0.1)
    rng = random.Random(1)
    accepted = b"\x20\x02\x00\x00"
    answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x20", accepted + b"\xff" * 9]
    answers += [accepted * (n % 2) + rng.randbytes(rng.randrange(1, 40)) for n in range(12)]

    def serve(listener: socket.socket) -> None:
        for answer in answers:
            client, _ = listener.accept()
            with client:
                client.recv(1_000)
                client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        outlet = MqttOutlet(f"mqtt://127.0.0.1:{listener.getsockname()[1]}")

        def all_served() -> bool:
            with contextlib.suppress(UnavailableError, EndpointError):
                outlet.confirm()
            return not server.is_alive()

        until(all_served)


@mosquitto
def test_tls_and_a_password_work_with_mosquitto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mqtts:// with a certificate that $SSL_CERT_FILE trusts, and a user from a file."""
    certificate, key = make_certificate(tmp_path)
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", str(passwords), "nurse", "secret"],
        check=True, capture_output=True,
    )  # fmt: skip
    for file in tmp_path.iterdir():
        file.chmod(0o644)  # mosquitto changes its user, where it is root
    tmp_path.chmod(0o755)
    secret = tmp_path / "credentials"
    secret.write_text("nurse\nsecret\n")
    secret.chmod(0o600)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fill(tmp_path / "log", 1, 20)
    broker = free_ports(1)
    lines = (
        "per_listener_settings false", "allow_anonymous false", f"password_file {passwords}",
        "user root",
    )  # fmt: skip
    tls = (f"certfile {certificate}", f"keyfile {key}")
    with (
        running_mosquitto(broker, tmp_path, *lines, after=tls),
        Receiver(broker, user=("nurse", "secret"), tls=ssl.create_default_context()) as receiver,
        running_hub(tmp_path / "log", port=PORT),
        running_bridge(
            MqttOutlet(f"mqtts://localhost:{broker}", user=credentials(secret)),
            ENDPOINT,
            tmp_path / "position",
        ),
    ):
        receiver.wait_for(lambda: 20 in receiver.seqs)
    assert receiver.seqs[:20] == list(range(1, 21))


def test_no_name_of_a_stream_is_a_level_or_a_wildcard() -> None:
    """Whatever a stream is called, its topic has one level for it, and no control character."""
    outlet = MqttOutlet("mqtt://127.0.0.1:1")
    for stream in ("a/b", "#", "+", "$SYS", "\0", "ü" * 5_000, ".."):
        topic = outlet._topic("alert", stream)
        assert topic.count("/") == 2
        assert not set("#+\0") & set(topic)
        assert len(topic) < 1_100
    assert outlet._topic("alert", "ward-3.bed_2") == "ecg/alert/ward-3.bed_2"
    assert outlet._topic("alert", "") == "ecg/alert"


def test_gaps_and_what_is_not_recorded_are_published_too() -> None:
    """The receiver learns what it misses, and an alarm at once while the disk is full."""
    outlet, sent = MqttOutlet("mqtt://127.0.0.1:1"), []
    outlet._client.publish = lambda topic, body, **how: (  # type: ignore[method-assign]
        sent.append((topic, json.loads(body))) or type("Info", (), {"mid": len(sent)})
    )
    alert = Published(
        stream="s", kind="asystole", category="physiological", priority="high", sample=7,
        time_s=0.1, reason="", recorded=False,
    )  # fmt: skip
    outlet.deliver(Gap(log_id="ab", seq=9, from_seq=8, to_seq=9, reason="gone"))
    outlet.deliver(Unrecorded(alert=alert))
    assert [(topic, body["kind"]) for topic, body in sent] == [
        ("ecg/alert", "gap"), ("ecg/alert/s", "asystole"),
    ]  # fmt: skip
    assert sent[1][1]["recorded"] is False


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "a/#", "+", "$SYS", "a\nb", "é"])
def test_a_prefix_that_cannot_begin_a_topic_is_refused(prefix: str) -> None:
    """Wildcards, empty levels and what the broker keeps for itself."""
    with pytest.raises(ConfigError, match="cannot begin a topic"):
        check_prefix(prefix)


@pytest.mark.parametrize("broker", ["mqtt://host/path", "mqtt://host?x=1", "mqtts://u:p@host"])
def test_an_address_is_a_host_and_a_port(broker: str) -> None:
    """Nothing else, and no password."""
    with pytest.raises(ConfigError, match="write mqtt"):
        MqttOutlet(broker)


def test_credentials_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lines, or two variables; no option of the command takes a password."""
    monkeypatch.delenv(USER, raising=False)
    assert credentials(None) is None
    monkeypatch.setenv(USER, "nurse")
    monkeypatch.setenv(PASSWORD, "secret")
    assert credentials(None) == ("nurse", "secret")
    file = tmp_path / "credentials"
    file.write_text("doctor\nother\n")
    file.chmod(0o600)
    assert credentials(file) == ("doctor", "other")
    file.write_text("one line\n")
    with pytest.raises(ConfigError, match="two lines"):
        credentials(file)
