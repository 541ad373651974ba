"""How many connections a bound socket has, and which gives way to another."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
import zmq

from pipeline.transport.connections import ConnectionLimits
from pipeline.transport.sockets import Dealer, Publisher, Router, Subscription, wait
from tests.support.keys import ANY, KeyRing, until
from tests.support.zmtp import GREETING, frame, ready

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a peer has sent")

FEW = ConnectionLimits(in_all=4, silent=4, per_key=2)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what closes the sockets of the test."""
    with ExitStack() as opened:
        yield opened


def served(router: Router, dealer: Dealer) -> bool:
    """Send a message and return whether the answer came back soon."""
    dealer.send(b"x")
    wait([router], 0.05)
    for peer, message in router.receive():
        router.send(peer, message)
    wait([dealer], 0.05)
    return bool(list(dealer.receive()))


def test_a_peer_that_said_nothing_gives_way_and_one_that_is_served_stays(stack: ExitStack) -> None:
    """Whoever comes with something to say gets in; the memory of the others is freed."""
    router = stack.enter_context(Router(ANY, limits=FEW))
    first = stack.enter_context(Dealer(router.endpoint))
    until(lambda: served(router, first))
    silent = [stack.enter_context(Dealer(router.endpoint)) for _ in range(12)]
    until(lambda: bool(list(router.receive()) or router.refused_connections >= 8))
    for dealer in silent[-2:]:
        until(lambda dealer=dealer: served(router, dealer))
        assert served(router, first) or served(router, first)
    until(lambda: bool(list(router.receive()) or router.connections <= 2 * FEW.in_all))


def test_where_all_send_the_one_that_was_silent_longest_gives_way(stack: ExitStack) -> None:
    """Whoever comes is served, and nobody who goes on sending loses the connection."""
    router = stack.enter_context(Router(ANY, limits=FEW))
    dealers = []
    for _ in range(FEW.in_all + 2):
        dealers.append(stack.enter_context(Dealer(router.endpoint)))
        until(lambda: served(router, dealers[-1]))
        until(lambda: served(router, dealers[0]))
    until(lambda: bool(list(router.receive()) or router.refused_connections >= 2))
    assert served(router, dealers[0])


def test_connections_without_a_handshake_give_way_to_newer_ones(stack: ExitStack) -> None:
    """They never keep anybody out, and as many as may be open cost nothing more."""
    router = stack.enter_context(Router(ANY, limits=FEW))
    port = int(router.endpoint.rpartition(":")[2])
    plain = [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
        for _ in range(20)
    ]
    until(lambda: bool(list(router.receive()) or router.refused_connections >= 16))
    assert plain[0].recv(64)[:1] in (b"\xff", b"")
    dealer = stack.enter_context(Dealer(router.endpoint))
    until(lambda: served(router, dealer))


def test_a_key_has_its_own_limit_and_takes_nothing_from_others(
    stack: ExitStack, key_ring: KeyRing
) -> None:
    """The connection that its key used longest ago is shut down."""
    greedy = key_ring.allowed_key("greedy", subscribe=True)
    modest = key_ring.allowed_key("modest", subscribe=True)
    auth = stack.enter_context(key_ring.auth())
    router = stack.enter_context(Router(ANY, auth=auth, socket_name="replay", limits=FEW))
    other = stack.enter_context(Dealer(router.endpoint, keys=modest))
    until(lambda: served(router, other))
    for _ in range(3):
        dealer = stack.enter_context(Dealer(router.endpoint, keys=greedy))
        until(lambda dealer=dealer: served(router, dealer))
    assert router.refused_connections == 1
    assert served(router, other)


def test_subscribers_have_a_limit_and_those_there_stay(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is shut down, but not before it could show its key."""
    publisher = stack.enter_context(Publisher(ANY))
    connections = publisher._connections
    assert connections is not None
    connections._limits = FEW
    received: list[tuple[bytes, bytes]] = []
    listeners: list[Subscription] = []

    def publish() -> bool:
        publisher.publish("t", b"x")
        wait(listeners[:1], 0.02)
        received.extend(listeners[0].receive())
        return bool(received)

    for _ in range(FEW.in_all + 2):
        listeners.append(stack.enter_context(Subscription(publisher.endpoint, [""])))
        before = len(connections)
        until(lambda before=before: bool(publish() and len(connections) > before))
        if len(listeners) == FEW.in_all:
            monkeypatch.setattr("pipeline.transport.connections.SETTLED_S", 0.0)
            until(lambda: bool(publish() and not connections._waiting))
            monkeypatch.setattr("pipeline.transport.connections.SETTLED_S", 60.0)
    assert connections.refused == 0
    monkeypatch.setattr("pipeline.transport.connections.SETTLED_S", 0.0)
    until(lambda: bool(publish() and connections.refused >= 2))
    received.clear()
    until(publish)


def endless(endpoint: str, kind: bytes) -> socket.socket:
    """Connect, and say that parts follow."""
    peer = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), timeout=10.0)
    peer.sendall(GREETING + ready(b"Socket-Type", kind))
    greeted = b""
    while b"READY" not in greeted:
        greeted += peer.recv(4_096)
    return peer


def poured(peer: socket.socket, data: bytes, most: int, meanwhile: Callable[[], object]) -> int:
    """Send ``data`` until the connection is shut down, at most ``most`` bytes; return how many."""
    sent = 0
    peer.settimeout(0.05)
    with suppress(ConnectionError):
        while sent < most:
            with suppress(TimeoutError):
                sent += peer.send(data)
            meanwhile()
    return sent


@linux
def test_parts_without_end_are_cut_and_take_nothing_from_others(stack: ExitStack) -> None:
    """The parts are kept until the last has come, which would be all memory."""
    router = stack.enter_context(Router(ANY, max_frame=1_000))
    other = stack.enter_context(Dealer(router.endpoint))
    until(lambda: served(router, other))
    peer = stack.enter_context(endless(router.endpoint, b"DEALER"))
    part = frame(bytes(900), more=True)
    assert poured(peer, part, 1 << 26, lambda: served(router, other)) < 1 << 26
    assert router.refused_connections == 1
    assert served(router, other)


@linux
def test_who_sends_more_than_is_read_waits_and_is_not_cut(stack: ExitStack) -> None:
    """Whole messages wait in its own connection; a hub that stood still shuts nobody down."""
    router = stack.enter_context(Router(ANY, max_frame=100_000))
    peer = stack.enter_context(endless(router.endpoint, b"DEALER"))
    assert router._connections is not None
    message, sent = frame(bytes(100_000)), 0
    with suppress(TimeoutError):
        peer.settimeout(0.5)
        while sent < 1 << 28:
            sent += peer.send(message)
    assert sent < 1 << 28
    router._connections.update()
    assert router.refused_connections == 0
    until(lambda: len(list(router.receive(1))) == 1)


@linux
def test_a_subscriber_to_ever_more_topics_is_cut(stack: ExitStack) -> None:
    """Each byte of a topic takes a hundred in the hub; who subscribes to a few stays."""
    publisher = stack.enter_context(Publisher(ANY))
    listener = stack.enter_context(Subscription(publisher.endpoint, ["t"]))
    received: list[tuple[bytes, bytes]] = []

    def publish() -> bool:
        publisher.publish("t", b"x")
        wait([listener], 0.02)
        received.extend(listener.receive())
        return bool(received)

    until(publish)
    peer = stack.enter_context(endless(publisher.endpoint, b"SUB"))
    topics = b"".join(frame(b"\x01" + os.urandom(60)) for _ in range(100))
    assert poured(peer, topics, 1 << 26, publish) < 1 << 26
    assert publisher._connections is not None
    assert publisher._connections.refused == 1
    received.clear()
    until(publish)


def test_a_full_queue_of_events_never_stops_the_socket(stack: ExitStack) -> None:
    """Thousands of connections may come and go while the hub does something else."""
    router = stack.enter_context(Router(ANY))
    assert router._connections is not None
    assert router._connections.monitor.getsockopt(zmq.RCVHWM) == 0
