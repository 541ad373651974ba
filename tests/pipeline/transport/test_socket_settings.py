"""The settings that reliability rests on, read back from real sockets, and what no code may set."""

import ast
from pathlib import Path

import zmq

from pipeline.transport.access_list import ALERTS, INGEST
from pipeline.transport.sockets import (
    CONTROL_FRAME_BYTES,
    Dealer,
    Publisher,
    Router,
    Subscription,
)
from tests.support.keys import ANY, KeyRing, until
from tests.support.limits import BUSY_S
from tests.support.sources import modules, relative, tree_of

EVERYWHERE = {
    zmq.LINGER: 2_000,
    zmq.HANDSHAKE_IVL: 2_000,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 5_000,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 30,
    zmq.TCP_KEEPALIVE_INTVL: 5,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.HEARTBEAT_IVL: 0,
}

FORBIDDEN = {
    "CONFLATE",
    "XPUB_NODROP",
    "HEARTBEAT_IVL",
    "HEARTBEAT_TIMEOUT",
    "HEARTBEAT_TTL",
    "ROUTER_HANDOVER",
    "ROUTER_RAW",
    "STREAM",
    "PUSH",
    "PULL",
}
"""Each loses messages, aborts the process, or lets one peer take another's place."""


def settings(socket: "zmq.Socket[bytes]", names: dict[int, int]) -> dict[int, int]:
    """Read settings back."""
    return {name: socket.getsockopt(name) for name in names}


def test_every_socket_has_the_settings() -> None:
    """Queues, limits and patience are set on both sides of both patterns."""
    with (
        Router(ANY) as router,
        Dealer(router.endpoint) as dealer,
        Publisher(ANY) as publisher,
        Subscription(publisher.endpoint, [""]) as subscription,
    ):
        for end in (router, dealer, publisher, subscription):
            assert settings(end._socket, EVERYWHERE) == EVERYWHERE
        for end, most in (
            (router, 1 << 18),
            (dealer, 1 << 18),
            (subscription, 1 << 18),
            (publisher, 512),
        ):
            assert end._socket.getsockopt(zmq.MAXMSGSIZE) == most
        assert settings(publisher._socket, {zmq.SNDHWM: 0, zmq.RCVHWM: 0}) == {
            zmq.SNDHWM: 10_000,
            zmq.RCVHWM: 16,
        }
        assert subscription._socket.getsockopt(zmq.RCVHWM) == 1_000
        assert dealer._socket.getsockopt(zmq.IMMEDIATE) == 1
        assert settings(router._socket, {zmq.SNDHWM: 0, zmq.RCVHWM: 0}) == {
            zmq.SNDHWM: 100,
            zmq.RCVHWM: 16,
        }
    with Router(ANY, max_frame=CONTROL_FRAME_BYTES) as control:
        assert control._socket.getsockopt(zmq.MAXMSGSIZE) == CONTROL_FRAME_BYTES == 64 * 1024


def test_a_socket_that_asks_for_keys_has_its_three_settings_together(tmp_path: Path) -> None:
    """Before it is bound: server, domain, enforcement; and again after it sent all away."""
    key_ring = KeyRing(tmp_path)
    keys = key_ring.allowed_key("reader", subscribe=True)
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Publisher(ANY, auth=auth, socket_name=ALERTS) as publisher,
    ):
        endpoint = publisher.endpoint
        first = publisher._socket
        key_ring.revoke("reader")

        def sent_away() -> bool:
            publisher.publish("heartbeat", b"")
            return publisher._socket is not first

        until(sent_away)
        for end, socket_name in ((router, INGEST), (publisher, ALERTS)):
            assert end._socket.getsockopt(zmq.MECHANISM) == zmq.CURVE
            assert end._socket.getsockopt(zmq.CURVE_SERVER) == 1
            assert end._socket.getsockopt_string(zmq.ZAP_DOMAIN) == f"ecg.{socket_name}"
            assert end._socket.getsockopt(zmq.ZAP_ENFORCE_DOMAIN) == 1
            assert settings(end._socket, EVERYWHERE) == EVERYWHERE
        assert publisher.endpoint == endpoint
        with Dealer(router.endpoint, keys=keys) as dealer:
            assert dealer._socket.getsockopt(zmq.MECHANISM) == zmq.CURVE
            assert dealer._socket.getsockopt(zmq.CURVE_SERVER) == 0


def test_one_place_binds_and_connects() -> None:
    """Only `ZmqSocket._open` binds or connects, so that no socket passes the checks by."""
    calls = [
        (path.name, function.name)
        for path in modules()
        if "zmq" in path.read_text(encoding="utf-8")
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("bind", "connect")
    ]
    assert sorted(set(calls)) == [
        ("auth.py", "_start_zap_handler"),
        ("connections.py", "__init__"),
        ("curve.py", "try_key"),
        ("zmq_socket.py", "_open"),
    ]


def test_no_code_names_a_forbidden_setting() -> None:
    """Nowhere in the packages."""
    offenders = [
        f"{relative(path)}: {node.attr}"
        for path in modules()
        if any(name in path.read_text(encoding="utf-8") for name in FORBIDDEN)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "zmq"
        and node.attr in FORBIDDEN
    ]

    assert offenders == []


def test_a_peer_cannot_take_the_place_of_another() -> None:
    """Of two peers that give themselves the same id the first keeps it, and its answers."""
    with Router(ANY) as router:
        peers = [zmq.Context.instance().socket(zmq.DEALER) for _ in range(2)]
        try:
            names = []
            for number, peer in enumerate(peers):
                peer.setsockopt(zmq.LINGER, 0)
                peer.setsockopt(zmq.ROUTING_ID, b"same")
                peer.connect(router.endpoint)
                peer.send(b"%d" % number)
                if number == 0:
                    until(lambda: bool(router._socket.poll(100)))
                    names += [name for name, _ in router.receive()]
            assert names == [b"same"]
            assert not router._socket.poll(200)
            assert router.send(names[0], b"for the first")
            assert peers[0].poll(1e3 * BUSY_S)
            assert not peers[1].poll(0)
        finally:
            for peer in peers:
                peer.close()
