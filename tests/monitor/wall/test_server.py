"""The wall over real sockets: pages, login, messages, limits, its beginning and its end."""

import http.client
import json
import re
import signal
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from monitor.run.processes import child_command
from monitor.wall import app, viewers
from monitor.wall.server import WallOptions, serve_wall
from monitor.wall.token import Token
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import Status, encode_json
from pipeline.transport.sockets import Publisher
from tests.monitor.cli.test_app import exit_code
from tests.support.certificates import make_certificate
from tests.support.kafka import Process
from tests.support.keys import KeyRing
from tests.support.ports import free_ports
from tests.support.running import DEADLINE_S, until
from tests.support.wall import Ward, alarm, running_wall


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    """Return a ward of two."""
    with Ward("a", "b") as one:
        yield one


@pytest.fixture(scope="module")
def url(ward: Ward) -> Iterator[str]:
    """Return the address of its wall."""
    with running_wall(ward.endpoint) as one:
        yield one


def live(url: str, **options: Any) -> ClientConnection:
    """Return a connection of a viewer."""
    return connect(url.replace("http", "ws", 1) + "/live", **options)


def request(
    url: str, path: str, method: str = "GET", body: str = "", tls: Any = None, **headers: str
) -> http.client.HTTPResponse:
    """Return the answer to a request; `read` was called."""
    place = urlsplit(url).netloc
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    client = kind(place, timeout=DEADLINE_S, **({"context": tls} if tls else {}))
    client.request(method, path, body or None, headers)
    answer = client.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    client.close()
    return answer


def receive(viewer: ClientConnection, wanted: Callable[[Any], bool]) -> Any:
    """Return the first message that is wanted, text decoded; answer every pulse on the way."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        message = viewer.recv(DEADLINE_S)
        if isinstance(message, str):
            message = json.loads(message)
            if message["kind"] == "pulse":
                viewer.send(json.dumps({"got": message["id"]}))
        if wanted(message):
            return message
    raise AssertionError("it did not come")


def last_words(viewer: ClientConnection) -> tuple[int, str]:
    """Return with which code and reason the server closes."""
    deadline = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            viewer.recv(DEADLINE_S)
    except ConnectionClosed as closed:
        if closed.rcvd is not None:
            return closed.rcvd.code, closed.rcvd.reason
        raise
    raise AssertionError("it stays open")


def is_kind(kind: str) -> Callable[[Any], bool]:
    """Return whether a message is of a kind."""
    return lambda message: isinstance(message, dict) and message["kind"] == kind


def test_the_page_and_all_that_it_loads_is_ours(url: str) -> None:
    """Every file that the page names is served, under headers that forbid everything else."""
    page = request(url, "/")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())  # type: ignore[attr-defined]
    named += [f"/{one.name}" for one in _modules()]
    assert {"/wall.js", "/wall.css", "/icon.svg", "/cell.js"} <= set(named)
    for path in ["/", *named]:
        answer = request(url, path)
        assert answer.status == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def _modules() -> list[Path]:
    return list((Path(viewers.__file__).parent / "page").glob("*.js"))


def test_the_page_needs_no_inline_script_or_style_and_makes_no_markup() -> None:
    """What the policy of content forbids is not there, nor a way from text to markup."""
    for path in (Path(viewers.__file__).parent / "page").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", ""), path
        assert "https://" not in text, path
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=|<style", text)
        assert len(text.splitlines()) <= 400


@pytest.mark.parametrize(
    "path", ["/nothing", "/login.html", "/wall.html", "/../token.py", "/a/b", "/%2e%2e/x"]
)
def test_nothing_else_is_served(url: str, path: str) -> None:
    """A path is the name of one of our files, or nothing."""
    assert request(url, path).status == 404
    assert request(url, "/", "DELETE").status == 405


def test_another_host_is_refused(url: str) -> None:
    """Pages and messages: a name that was rebound to this address gets neither."""
    assert request(url, "/", Host="evil.example").status == 421
    there = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
    with pytest.raises(InvalidStatus) as refused:
        connect("ws://evil.example/live", sock=there)
    assert refused.value.response.status_code == 403


def test_a_page_from_elsewhere_gets_no_messages(url: str) -> None:
    """The browser says where the page is from."""
    for origin in ("http://evil.example", "null", url.replace("127.0.0.1", "localhost")):
        with pytest.raises(InvalidStatus) as refused:
            live(url, origin=origin)
        assert refused.value.response.status_code == 403
    live(url, origin=url).close()


def knows_both(url: str) -> bool:
    """Whether both patients have reached the wall, of which a viewer is sent all there are."""
    with live(url) as viewer:
        return len(receive(viewer, is_kind("patients"))["patients"]) == 2


def test_a_viewer_is_sent_the_ward(url: str, ward: Ward) -> None:
    """A pulse, patients and trends; the signal of those that it shows, in order and whole."""
    until(lambda: knows_both(url))
    with live(url) as viewer:
        receive(viewer, is_kind("pulse"))
        ward_now = receive(viewer, is_kind("patients"))
        trends = receive(viewer, is_kind("trends"))
        numbers = {one["name"]: one["n"] for one in ward_now["patients"]}
        assert set(numbers) == {"a", "b"}
        assert set(trends["rates"]) == {str(n) for n in numbers.values()}
        viewer.send(json.dumps({"show": [numbers["b"]], "leads": "in use"}))
        expected = None
        for _ in range(5):
            message = receive(viewer, lambda one: isinstance(one, bytes))
            version, pieces, _, _ = struct.unpack_from("<HHId", message)
            assert (version, pieces) == (1, 1)
            number, lead, count, first, _, fs = struct.unpack_from("<IHHdIf", message, 16)
            assert (number, lead, fs) == (numbers["b"], 0, 360.0)
            assert expected in (None, first)
            expected = first + count


def test_the_hub_makes_signal_only_while_somebody_looks_at_it() -> None:
    """A wall follows it with the first viewer that shows any, and no longer after the last."""
    endpoint = f"tcp://127.0.0.1:{free_ports()}"
    with Publisher(endpoint) as hub, running_wall(endpoint) as url, live(url) as tiles:

        def made() -> bool:
            receive(tiles, is_kind("pulse"))
            hub.publish("heartbeat", b"")  # with it the hub takes in who follows what
            return hub.wants("signal/a")

        until(lambda: hub.wants("status/a"))
        assert not made()
        with live(url) as first, live(url) as second:
            tiles.send(json.dumps({"show": [], "leads": "in use"}))
            first.send(json.dumps({"show": [1], "leads": "in use"}))
            until(made)
            second.send(json.dumps({"show": [1], "leads": "all"}))
            first.send(json.dumps({"show": [], "leads": "in use"}))
            receive(first, is_kind("pulse"))
            receive(second, is_kind("pulse"))
            assert made()
        until(lambda: not made())


def test_a_hub_with_keys_lets_in_a_wall_whose_key_is_on_its_list(tmp_path: Path) -> None:
    """Like any subscriber; another wall ends, and names its key."""
    endpoint, ring = f"tcp://127.0.0.1:{free_ports()}", KeyRing(tmp_path)
    own, stranger = ring.allowed_key("wall", subscribe=True), ring.key("stranger")
    body = encode_json(Status(stream="a", state="normal", fs_hz=360.0, sample=0, time_s=0.0))
    with ring.auth() as auth, Publisher(endpoint, auth=auth, socket_name="alerts") as hub:
        with running_wall(endpoint, keys=own) as url, live(url) as viewer:

            def arrives() -> bool:
                hub.publish("status/a", body)
                return bool(receive(viewer, is_kind("pulse"))["patients"])

            until(arrives)
        with pytest.raises(EndpointError, match="refuses the key"):
            serve_wall(endpoint, WallOptions("127.0.0.1:0"), lambda: False, keys=stranger)


def test_an_alarm_arrives_at_once_and_is_not_sent_as_markup(url: str, ward: Ward) -> None:
    """Within a second, in text."""
    with live(url) as viewer:
        receive(viewer, is_kind("patients"))
        taken = []
        for n in range(3):  # the machine may be busy with other things once
            raised = time.monotonic()
            ward.raise_alarm(alarm("a", reason="<b>no</b> QRS", episode=f"e{n}"))
            listed = receive(viewer, is_kind("alerts"))
            taken.append(time.monotonic() - raised)
        assert min(taken) < 1.0
        assert listed["alerts"][-1]["reason"] == "<b>no</b> QRS"
        receive(
            viewer, lambda m: is_kind("patients")(m) and any(one["alarms"] for one in m["patients"])
        )


@pytest.mark.parametrize("text", ["", "x", "[]", '{"show": [true], "leads": "all"}', "[" * 4000,
                                  '{"show": [1], "leads": "x"}', '{"got": "1"}'])  # fmt: skip
def test_a_message_that_is_none_of_ours_ends_the_connection(url: str, text: str) -> None:
    """And only that one."""
    with live(url) as viewer:
        viewer.send(text)
        assert last_words(viewer) == (1008, "no message of ours")


def test_what_fails_for_a_viewer_ends_its_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: its page connects again, and is not left without alarms while it waits."""
    monkeypatch.setattr(app, "SILENT_S", 10 * DEADLINE_S)
    with live(url) as viewer:
        receive(viewer, is_kind("patients"))
        with monkeypatch.context() as broken:
            broken.setattr(viewers.Viewer, "due", lambda *_: 1 / 0)
            assert last_words(viewer)[0] == 1011
    with live(url) as viewer:
        receive(viewer, is_kind("patients"))


def test_one_viewer_too_many_is_told_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on; a place that is free again is taken."""
    monkeypatch.setattr(viewers, "MAX_VIEWERS", 1)
    with live(url) as first:
        receive(first, is_kind("pulse"))
        with live(url) as second:
            assert last_words(second) == (1013, "too many viewers")
        receive(first, is_kind("pulse"))


def test_a_silent_viewer_is_disconnected_for_a_new_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose connection died on the way comes back while the server still has the old one."""
    monkeypatch.setattr(viewers, "MAX_VIEWERS", 1)
    monkeypatch.setattr(viewers, "GONE_S", 0.0)
    with live(url) as gone:
        receive(gone, is_kind("patients"))
        with live(url) as back:
            receive(back, is_kind("pulse"))
            with pytest.raises(ConnectionClosed):
                receive(gone, lambda _: False)
            receive(back, is_kind("pulse"))


def test_a_page_gives_up_a_connection_once_another_may_take_its_place() -> None:
    """Or it would be refused, and wait."""
    script = Path(viewers.__file__).parent / "page" / "connection.js"
    (seconds,) = re.findall(r"GIVE_UP_S = (\d+);", script.read_text())
    assert viewers.GONE_S < int(seconds) < 2 * viewers.GONE_S


def test_a_slow_viewer_slows_nobody() -> None:
    """One that reads nothing: the other has its signal and alarms in time."""
    names = [f"bed-{n}" for n in range(16)]
    with Ward(*names, signal_hz=20.0) as ward, running_wall(ward.endpoint) as url:
        slow = live(url, max_queue=1, close_timeout=0.1)
        with slow, live(url) as quick:
            receive(quick, lambda m: is_kind("pulse")(m) and len(m["patients"]) == 16)
            show = json.dumps({"show": list(range(1, 17)), "leads": "all"})
            slow.send(show)
            quick.send(show)
            taken = []
            for n in range(5):
                raised = time.monotonic()
                ward.raise_alarm(alarm("bed-3", sample=n, episode=f"e{n}"))
                receive(quick, is_kind("alerts"))
                taken.append(time.monotonic() - raised)
                receive(quick, lambda one: isinstance(one, bytes))
            assert min(taken) < 1.0


# --- the token --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the address of a wall with a token, and the token."""
    path = tmp_path_factory.mktemp("token") / "token"
    Token.create(path)
    with running_wall(ward.endpoint, token=path) as one:
        yield one, path.read_text().splitlines()[1]


def test_without_the_token_there_is_only_the_login(locked: tuple[str, str]) -> None:
    """No page with patients, no messages, and a browser can ask which of both it is."""
    url, _ = locked
    answer = request(url, "/")
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert b"<form" in request(url, "/login").body  # type: ignore[attr-defined]
    assert request(url, "/session").status == 401
    with pytest.raises(InvalidStatus) as refused:
        live(url)
    assert refused.value.response.status_code == 403


def test_the_token_opens_the_wall_for_a_browser_and_for_a_program(locked: tuple[str, str]) -> None:
    """By a form for a cookie, never in an address; by a header; logging out ends it."""
    url, token = locked
    form = urlencode({"token": token})
    answer = request(url, "/login", "POST", form, Origin=url)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert request(url, "/", Cookie=cookie).status == 200
    assert request(url, "/session", Cookie=cookie).status == 204
    for headers in ({"Cookie": cookie}, {"Authorization": f"Bearer {token}"}):
        with live(url, additional_headers=headers) as viewer:
            receive(viewer, is_kind("patients"))
    ended = request(url, "/logout", "POST", Origin=url, Cookie=cookie).headers["Set-Cookie"]
    assert "Max-Age=0" in ended


@pytest.mark.parametrize(
    "body", ["", "token=", "token=wrong", "a=1&b=2&c=3&d=4&e=5", "token=" + "a" * 9000]
)
def test_a_wrong_token_is_refused(locked: tuple[str, str], body: str) -> None:
    """Without a cookie, in a page that says so."""
    url, _ = locked
    answer = request(url, "/login", "POST", body, Origin=url)
    assert answer.status == 403
    assert answer.headers["Set-Cookie"] is None
    assert b"not the token" in answer.body  # type: ignore[attr-defined]


def test_a_form_of_another_page_logs_nobody_in(locked: tuple[str, str]) -> None:
    """Nor does it log out."""
    url, token = locked
    form = urlencode({"token": token})
    for path in ("/login", "/logout"):
        answer = request(url, path, "POST", form, Origin="http://evil.example")
        assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_with_tls_it_is_served_to_other_machines(ward: Ward, tmp_path: Path) -> None:
    """Under a name that is given, with a cookie that is sent over TLS alone."""
    certificate, key = make_certificate(tmp_path)
    key.chmod(0o600)
    Token.create(tmp_path / "token")
    token = (tmp_path / "token").read_text().splitlines()[1]
    files = {"certificate": certificate, "certificate_key": key, "token": tmp_path / "token"}
    trusting = ssl.create_default_context(cafile=str(certificate))
    with running_wall(ward.endpoint, "0.0.0.0:0", **files, names=("localhost",)) as url:
        own = url.replace("0.0.0.0", "localhost")
        assert own.startswith("https://")
        answer = request(own, "/login", "POST", urlencode({"token": token}), trusting, Origin=own)
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-wall=")
        assert "Secure" in cookie
        with live(
            own, ssl=trusting, additional_headers={"Cookie": cookie.partition(";")[0]}
        ) as viewer:
            receive(viewer, is_kind("patients"))


# --- beginning and end ------------------------------------------------------------------------


def test_it_ends_while_a_viewer_closes(ward: Ward, tmp_path: Path) -> None:
    """A viewer has said goodbye, and not yet the last word of TLS: the server ends all the same."""
    certificate, key = make_certificate(tmp_path)
    key.chmod(0o600)
    trusting = ssl.create_default_context(cafile=str(certificate))
    files = {"certificate": certificate, "certificate_key": key}
    with running_wall(ward.endpoint, **files) as url:
        place = urlsplit(url)
        assert place.port is not None
        plain = socket.create_connection(("127.0.0.1", place.port), DEADLINE_S)
        viewer = trusting.wrap_socket(plain, server_hostname="localhost")
        head = (
            f"GET /live HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        viewer.sendall(head.encode())
        assert viewer.recv(65_536).startswith(b"HTTP/1.1 101")
        viewer.sendall(b"\x88\x80\0\0\0\0")
        while viewer.recv(65_536):  # the end of what the server says
            pass
    viewer.close()


def refused(**options: Any) -> str:
    """Return why a wall is not served."""
    facts: dict[str, Any] = {"http": "127.0.0.1:0", **options}
    with pytest.raises(ConfigError) as error:
        serve_wall("tcp://127.0.0.1:1", WallOptions(**facts), lambda: True)
    return str(error.value)


def test_other_machines_need_a_token_and_tls(tmp_path: Path) -> None:
    """Each without the other is refused in one line, as are files that cannot be used."""
    certificate, key = make_certificate(tmp_path)
    Token.create(tmp_path / "token")
    key.chmod(0o600)
    both = {"certificate": certificate, "certificate_key": key}
    for options in ({}, both, {"token": tmp_path / "token"}):
        assert "reached from other machines" in refused(http="0.0.0.0:0", **options)
    assert "go together" in refused(certificate=certificate)
    assert "no certificate with its key" in refused(certificate=key, certificate_key=key)
    assert "cannot read" in refused(certificate=tmp_path / "none", certificate_key=key)
    key.chmod(0o644)
    assert "open to others" in refused(**both)


def test_an_address_that_is_taken_is_named() -> None:
    """And the option to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError, match=f"127.0.0.1:{port} is in use: .*--http"):
            serve_wall("tcp://127.0.0.1:1", WallOptions(http=f"127.0.0.1:{port}"), lambda: True)


def test_a_missing_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line."""
    for name in [n for n in sys.modules if n.split(".")[0] == "uvicorn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "monitor.wall.server", raising=False)
    assert exit_code(monkeypatch, "wall") == 2
    assert capsys.readouterr().err == (
        "monitor: this command needs uvicorn, which is not installed: pip install "
        "'ecg-monitor[wall]'\n"
    )


def test_without_a_websocket_it_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page would stay empty: the library that is missing is named instead."""
    monkeypatch.setattr(
        uvicorn.Config, "load", lambda self: vars(self).update(ws_protocol_class=None)
    )
    with pytest.raises(ModuleNotFoundError) as missing:
        serve_wall("tcp://127.0.0.1:1", WallOptions("127.0.0.1:0"), lambda: True)
    assert missing.value.name == "websockets"


@pytest.mark.system
def test_ctrl_c_ends_it_with_viewers_connected(ward: Ward) -> None:
    """Exit code 130 and nothing on stderr; the viewer is told."""
    command, environment = child_command(
        ["wall", "--http", "127.0.0.1:0", "--endpoint", ward.endpoint]
    )
    with Process(command, environment) as process:
        process.wait_for(lambda lines: any('"ready"' in line for line in lines))
        with live(json.loads(process.lines[0])["url"].removesuffix("/")) as viewer:
            receive(viewer, is_kind("patients"))
            process.send(signal.SIGINT)
            assert last_words(viewer)[0] == 1012
        assert (process.end(), process.errors) == (130, [])
