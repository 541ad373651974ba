"""`monitor bridge webhook` against a real HTTP server: each alert once or again, never less."""

import base64
import contextlib
import hashlib
import hmac
import json
import signal
import socket
import ssl
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from monitor.bridges.outlet import UnavailableError
from monitor.bridges.webhook import WebhookOutlet, cloud_event, signature, signing_secret
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import Gap, Heartbeat, Unrecorded
from pipeline.schema.public import PublishedAlert as Published
from tests.monitor.cli.test_app import exit_code
from tests.pipeline.clients.test_subscribers import AlertHub
from tests.support.bridges import Bridge, fill, running_bridge
from tests.support.certificates import make_certificate
from tests.support.http_server import Answer, HttpServer
from tests.support.ports import free_ports
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system

PORT = free_ports()
ENDPOINT = f"tcp://127.0.0.1:{PORT}"
ALERT = Published(
    stream="s1", kind="asystole", category="physiological", priority="high", sample=7, time_s=0.1,
    reason="no QRS for 4 s", log_id="ab", seq=12, utc="2026-11-21T10:15:30.120Z",
)  # fmt: skip

_pause = threading.Event()


def seqs(server: HttpServer) -> list[int]:
    """Return the numbers of the alerts that came."""
    return [int(request.headers["Idempotency-Key"].split("/")[1]) for request in server.requests]


def wait_for(server: HttpServer, last: int) -> None:
    """Wait until the server has an alert."""
    until(lambda: last in seqs(server) or _pause.wait(0.02))


def test_an_alert_is_a_signed_cloud_event(tmp_path: Path) -> None:
    """All that CloudEvents 1.0 requires, and a signature that a receiver can check by itself."""
    file = tmp_path / "secret"
    raw = b"0123456789abcdef0123456789abcdef"
    file.write_bytes(b"whsec_" + base64.b64encode(raw) + b"\n")
    file.chmod(0o600)
    with HttpServer() as server:
        WebhookOutlet(f"{server.url}/alarms?x=1", secret=signing_secret(file)).deliver(ALERT)
    (request,) = server.requests
    event = json.loads(request.body)
    assert request.path == "/alarms?x=1"
    assert request.headers["Content-Type"].startswith("application/cloudevents+json")
    assert request.headers["Idempotency-Key"] == event["id"] == "ab/12"
    assert (event["specversion"], event["type"]) == ("1.0", "ecg-monitor.alert")
    assert (event["source"], event["subject"]) == ("/ecg-monitor/ab", "s1")
    assert (event["time"], event["data"]["seq"]) == ("2026-11-21T10:15:30.120Z", 12)
    stamp = request.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    signed = b"ab/12." + stamp.encode() + b"." + request.body
    expected = base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_gaps_and_what_is_not_recorded_are_posted_and_heartbeats_are_not() -> None:
    """What a person must know, under ids of their own."""
    with HttpServer() as server:
        outlet = WebhookOutlet(server.url)
        outlet.deliver(Heartbeat(log_id="ab", last_seq=1, low_water_seq=1))
        outlet.deliver(Gap(log_id="ab", seq=9, from_seq=8, to_seq=9, reason="gone"))
        outlet.deliver(Unrecorded(alert=ALERT))
    assert [json.loads(request.body)["type"] for request in server.requests] == [
        "ecg-monitor.gap", "ecg-monitor.alert",
    ]  # fmt: skip
    assert "time" not in json.loads(cloud_event(Gap(
        log_id="ab", seq=9, from_seq=8, to_seq=9, reason="gone"
    )))  # fmt: skip


def test_trouble_of_the_server_is_tried_again_in_order(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """5xx, 429 and a closed connection: the same alert again, before the next one."""
    fill(tmp_path / "log", 1, 5)
    with HttpServer() as server, running_hub(tmp_path / "log", port=PORT):
        server.answers = [Answer(503, {"Retry-After": "0"}), Answer(429, {"Retry-After": "0"}),
                          Answer(0), Answer(204), Answer(500, {"Retry-After": "0"})]  # fmt: skip
        with running_bridge(WebhookOutlet(server.url), ENDPOINT, tmp_path / "position"):
            wait_for(server, 5)
    assert seqs(server)[:9] == [1, 1, 1, 1, 2, 2, 3, 4, 5]
    said = capfd.readouterr().err.splitlines()
    assert [line.split(": ")[-1] for line in said if "cannot" in line] == [
        "it answers 503 Service Unavailable; trying again",
        "it answers 500 Internal Server Error; trying again",
    ]


def test_retry_after_is_obeyed_within_limits() -> None:
    """Seconds or a date; ten minutes at most; nonsense is no advice."""
    waits = {
        "7": 7.0, "99999999999": 600.0, formatdate(time.time() + 3_600, usegmt=True): 600.0,
        formatdate(0, usegmt=True): 0.0, "soon": None, "-5": None, "": None,
    }  # fmt: skip
    with HttpServer() as server:
        outlet = WebhookOutlet(server.url)
        for text, expected in waits.items():
            server.answers = [Answer(503, {"Retry-After": text})]
            with pytest.raises(UnavailableError) as later:
                outlet.deliver(ALERT)
            assert later.value.retry_s == expected


def test_a_refused_alert_is_skipped_and_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """400: no attempt would help; the next alerts come. The server's text cannot steer a screen."""
    fill(tmp_path / "log", 1, 3)
    with HttpServer() as server, running_hub(tmp_path / "log", port=PORT):
        server.answers = [Answer(204), Answer(422, {}, b"no such\n\x1b[2Jpatient")]
        with running_bridge(WebhookOutlet(server.url), ENDPOINT, tmp_path / "position"):
            wait_for(server, 3)
    assert seqs(server)[:3] == [1, 2, 3]
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "skipped" in line]
    assert "refuses alert 2 (anomalous_beat), which is skipped: 422" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("code", "advice"), [(302, "give the address"), (401, "check what proves"), (403, "check what")]
)
def test_a_wrong_address_or_secret_is_exit_2(tmp_path: Path, code: int, advice: str) -> None:
    """A redirect is not followed; the position stays, so nothing is lost."""
    with HttpServer() as elsewhere, HttpServer() as server:
        server.answers = [Answer(code, {"Location": elsewhere.url})]
        with pytest.raises(EndpointError, match=advice):
            WebhookOutlet(server.url).deliver(ALERT)
        assert elsewhere.requests == []


def test_https_trusts_what_this_machine_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody knows is trouble; one in $SSL_CERT_FILE is taken."""
    certificate, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with HttpServer(tls=tls) as server:
        with pytest.raises(UnavailableError, match="certificate"):
            WebhookOutlet(server.url).deliver(ALERT)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        WebhookOutlet(server.url).deliver(ALERT)
    assert seqs(server) == [12]


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends byte by byte holds up no alert for longer than a limit."""
    monkeypatch.setattr("monitor.bridges.http._TOTAL_S", 0.3)
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.02):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        with pytest.raises(UnavailableError, match="no whole answer"):
            WebhookOutlet(f"http://127.0.0.1:{listener.getsockname()[1]}").deliver(ALERT)
        ended.set()
        server.join(60)


@pytest.mark.timeout(240)
def test_a_killed_bridge_repeats_at_most(tmp_path: Path) -> None:
    """Killed twice (SIGKILL) while alerts come: none is missing; SIGTERM ends it with 0."""
    port, total = free_ports(), 100
    with HttpServer() as server, AlertHub(tmp_path / "log", rate=100, total=total, port=port):
        words = [
            "webhook", "--url", server.url, "--endpoint", f"tcp://127.0.0.1:{port}", "--position",
            str(tmp_path / "position"),
        ]  # fmt: skip
        for enough in (1, 30):
            with Bridge(*words) as bridge:
                wait_for(server, enough)
                bridge.end(signal.SIGKILL)
        with Bridge(*words) as bridge:
            wait_for(server, total)
            assert bridge.end(signal.SIGTERM) == 0
            assert bridge.errors == []
    once = list(dict.fromkeys(seqs(server)))
    assert once[:total] == list(range(1, total + 1))


def test_a_server_that_is_away_at_the_start_is_said_once_and_sigint_ends_it(
    tmp_path: Path,
) -> None:
    """It keeps trying; Ctrl-C during the back-off is exit 0."""
    fill(tmp_path / "log", 1, 2)
    server = f"http://127.0.0.1:{free_ports(1)}"
    with running_hub(tmp_path / "log", port=PORT):
        words = ["webhook", "--url", server, "--endpoint", ENDPOINT]
        with Bridge(*words, XDG_STATE_HOME=str(tmp_path)) as bridge:
            until(lambda: bool(bridge.errors) or _pause.wait(0.02))
            assert bridge.end(signal.SIGINT) == 0
    assert bridge.errors == [
        f"monitor: cannot deliver to {server}: Connection refused; trying again"
    ]
    assert len(list(tmp_path.glob("ecg-monitor/bridge-*.position"))) == 1


@pytest.mark.parametrize(
    "arguments",
    [["--url", "ftp://host"], ["--url", "https://user:pw@host"], ["--url", "https://host",
     "--secret-file", "nowhere"]],
)  # fmt: skip
def test_bad_settings_are_one_line_and_exit_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent."""
    assert exit_code(monkeypatch, "bridge", "webhook", *arguments) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_a_secret_that_is_too_short_or_damaged_is_refused(tmp_path: Path) -> None:
    """Sixteen bytes at least; base64 after whsec_ only."""
    file = tmp_path / "secret"
    file.touch(0o600)
    for text in ("short", "whsec_****", "whsec_QUJD"):
        file.write_text(text)
        with pytest.raises(ConfigError):
            signing_secret(file)
    file.write_text("a plain secret of many bytes")
    assert signing_secret(file) == b"a plain secret of many bytes"
    assert signing_secret(None) == b""
