"""Real sockets on loopback: complete, in order, protected by keys, and alive after rubbish."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import zmq

from pipeline.errors import ConfigError, EndpointError
from pipeline.transport.addresses import check_address
from pipeline.transport.sockets import Dealer, Publisher, Router, Subscription, wait

ANY = "tcp://127.0.0.1:0"
DEADLINE_S = 60.0


def until(done: Callable[[], bool]) -> None:
    """Call ``done``, which waits for an event itself, until it says so; fail after 10 s."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "nothing happened"


def deliver(dealer: Dealer, frame: bytes) -> None:
    """Send a frame as soon as there is a connection."""
    poller = zmq.Poller()
    poller.register(dealer._socket, zmq.POLLOUT)
    until(lambda: bool(poller.poll(100)) and dealer.send(frame))


def raw_dealer(endpoint: str) -> "zmq.Socket[bytes]":
    """Return a plain socket of somebody who follows no rules."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(endpoint)
    return socket


def test_ramp_arrives_complete_and_in_order_and_answers_come_back() -> None:
    """Every sample of a ramp is seen once, in order; each peer gets its own answers."""
    ramp = np.arange(100_000, dtype="<f4")
    with Router(ANY) as router, Dealer(router.endpoint) as one, Dealer(router.endpoint) as two:
        got: list[bytes] = []
        deliver(two, b"two")
        for at in range(0, ramp.size, 1000):
            deliver(one, ramp[at : at + 1000].tobytes())

        def gather() -> bool:
            wait([router], 0.1)
            for peer, frame in router.receive():
                if frame == b"two":
                    assert router.send(peer, b"hello two")
                else:
                    got.append(frame)
            return len(got) == 100

        until(gather)
        np.testing.assert_array_equal(np.frombuffer(b"".join(got), "<f4"), ramp)
        answers: list[bytes] = []

        def answered() -> bool:
            wait([two], 0.1)
            answers.extend(two.receive())
            return bool(answers)

        until(answered)
        assert answers == [b"hello two"]
        assert list(one.receive()) == []


def test_live_messages_reach_subscribers_of_their_topic() -> None:
    """A subscription gets the topics it asked for by their beginning, and no others."""
    with (
        Publisher(ANY) as publisher,
        Subscription(publisher.endpoint, ["alert/"]) as listener,
    ):
        got: list[tuple[bytes, bytes]] = []

        def arrived() -> bool:
            publisher.publish("beat/100", b"no")
            publisher.publish("alert/100", b"yes")
            wait([listener], 0.1)
            got.extend(listener.receive())
            return bool(got)

        until(arrived)
        assert set(got) == {(b"alert/100", b"yes")}


def test_a_publisher_knows_what_nobody_subscribes_to() -> None:
    """As soon as somebody does it is wanted, and no longer once the last one has gone."""
    with Publisher(ANY) as publisher:

        def wanted(topic: str) -> bool:
            publisher.publish("heartbeat", b"")
            return publisher.wants(topic)

        assert wanted("alert/100")
        assert not wanted("signal/100")
        with Subscription(publisher.endpoint, ["signal/100"]):
            with Subscription(publisher.endpoint, ["signal/", "s", "other"]):
                until(lambda: publisher.wants("signal/100") and publisher.wants("status/100"))
                assert not wanted("window/100")
            until(lambda: not wanted("status/100"))
            assert wanted("signal/7")
        until(lambda: not wanted("signal/100"))
        with Subscription(publisher.endpoint, [""]):
            until(lambda: publisher.wants("window/100"))


@pytest.mark.parametrize(
    "address",
    [
        "tcp://*:5570",
        "tcp://0.0.0.0:0",
        "tcp://192.168.1.2:5570",
        "tcp://[::]:5570",
        "tcp://example.org:5570",
        "tcp://eth0;127.0.0.1:5570",
        "ipc:///tmp/x",
        "127.0.0.1:5570",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:port",
        "",
    ],
)
def test_addresses_off_loopback_or_malformed_are_refused(address: str) -> None:
    """Nothing that could be reached from outside is bound or connected to."""
    with pytest.raises(ConfigError):
        check_address(address)


def test_sockets_check_their_address() -> None:
    """The socket checks, not the caller."""
    with pytest.raises(ConfigError):
        Router("tcp://0.0.0.0:0")
    with pytest.raises(ConfigError):
        Dealer("tcp://10.0.0.1:5570")
    with pytest.raises(ConfigError):
        Router("tcp://127.0.0.1:99999")


def test_port_in_use_is_an_error_with_advice() -> None:
    """Binding a port that is taken is an EndpointError that names the address and --port."""
    with Router(ANY) as router, pytest.raises(EndpointError, match="--port") as raised:
        Publisher(router.endpoint)
    assert router.endpoint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_multipart_is_counted_and_the_socket_lives_on() -> None:
    """A message of several frames is dropped and counted; the next one arrives."""
    with Router(ANY) as router:
        peer = raw_dealer(router.endpoint)
        try:
            peer.send_multipart([b"a", b"b", b"c"])
            peer.send(b"good")
            got: list[bytes] = []

            def gather() -> bool:
                wait([router], 0.1)
                got.extend(frame for _, frame in router.receive())
                return bool(got)

            until(gather)
            assert got == [b"good"]
            assert router.rejected == 1
        finally:
            peer.close()


def test_oversize_frame_is_refused_and_other_peers_are_served() -> None:
    """A frame over the limit costs its sender the connection, and nobody else anything."""
    with Router(ANY, max_frame=1000) as router, Dealer(router.endpoint) as good:
        rude = raw_dealer(router.endpoint)
        try:
            rude.send(bytes(5000))
            got: list[bytes] = []

            def gather() -> bool:
                good.send(b"good")
                wait([router], 0.1)
                got.extend(frame for _, frame in router.receive())
                return len(got) >= 3

            until(gather)
            assert set(got) == {b"good"}
        finally:
            rude.close()


def test_bytes_that_are_no_zeromq_are_survived() -> None:
    """A port scanner or a web browser on the port harms nobody."""
    import socket

    with Router(ANY) as router, Dealer(router.endpoint) as good:
        host, port = router.endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as scanner:
            scanner.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)))
            deliver(good, b"good")
            got: list[bytes] = []

            def gather() -> bool:
                wait([router], 0.1)
                got.extend(frame for _, frame in router.receive())
                return bool(got)

            until(gather)
        assert got == [b"good"]


def test_sending_to_no_peer_returns_false() -> None:
    """Without a connection, and to an unknown peer, `send` returns False at once."""
    with Router(ANY) as router:
        endpoint = router.endpoint
        assert not router.send(b"stranger", b"x")
    with Dealer(endpoint) as dealer:
        assert not dealer.send(b"x")


def test_peer_that_does_not_read_fills_no_memory() -> None:
    """What waits for one peer is bounded; beyond, `send` returns False."""
    with Router(ANY) as router:
        peer = raw_dealer(router.endpoint)
        peer.setsockopt(zmq.RCVHWM, 1)
        try:
            peer.send(b"hello")
            names: list[bytes] = []

            def arrived() -> bool:
                wait([router], 0.1)
                names.extend(name for name, _ in router.receive())
                return bool(names)

            until(arrived)
            page = bytes(256 * 1024)
            sent = 0
            while sent < 2_000 and router.send(names[0], page):
                sent += 1
            assert sent < 2_000
        finally:
            peer.close()
            router.close(linger_ms=0)


def test_wait_returns_when_its_time_is_over() -> None:
    """Waiting for nothing ends, and a negative time is no time."""
    with Router(ANY) as router:
        wait([router], 0.01)
        wait([router], -1.0)
        assert list(router.receive()) == []
