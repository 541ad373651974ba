"""How many connections a bound socket has, and which gives way to another."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq

from pipeline.transport.connections import ConnectionLimits
from pipeline.transport.sockets import Dealer, Publisher, Router, Subscription, wait
from tests.support.keys import ANY, KeyRing, until

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
    for peer, frame in router.receive():
        router.send(peer, frame)
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


def test_a_full_queue_of_events_never_stops_the_socket(stack: ExitStack) -> None:
    """Thousands of connections may come and go while the hub does something else."""
    router = stack.enter_context(Router(ANY))
    assert router._connections is not None
    assert router._connections.monitor.getsockopt(zmq.RCVHWM) == 0
