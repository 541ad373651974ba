"""A run listens at the addresses of its hub itself, also while no hub runs."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from monitor.metrics import MetricsServer
from monitor.run.addresses import Ports, inherited_listeners, listeners_argument
from pipeline.errors import ConfigError, EndpointError
from pipeline.transport.sockets import Dealer, Publisher, Router, wait
from tests.support.running import until

ANSWER_ONE = """
import sys
from pipeline.transport.sockets import Router, wait
with Router(sys.argv[1], listener=int(sys.argv[2])) as router:
    while True:
        wait([router], 60.0)
        for peer, frame in router.receive():
            router.send(peer, frame)
"""
"""A process that answers on an inherited socket until it is killed."""


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Return ports of the test."""
    held = Ports(0, metrics=0)
    yield held
    held.close()


def number_of(endpoint: str) -> int:
    """Return the port of an address."""
    return int(endpoint.rpartition(":")[2])


def echoed(dealer: Dealer, frame: bytes) -> bool:
    """Send a frame until it comes back."""
    dealer.send(frame)
    wait([dealer], 0.1)
    return frame in list(dealer.receive())


def test_hub_after_hub_serves_on_the_same_sockets(ports: Ports) -> None:
    """One that closes its sockets leaves them open for the next."""
    assert len(set(ports.endpoints.values())) == 5
    for name, endpoint in [*ports.endpoints.items()] * 3:
        with Router(endpoint, listener=ports.descriptors[name]) as router:
            assert router.endpoint == endpoint
            with Dealer(endpoint) as dealer:
                until(lambda dealer=dealer: dealer.send(b"x"))
                wait([router], 10.0)
                assert [frame for _, frame in router.receive()] == [b"x"]


def test_a_publisher_that_ends_its_connections_listens_again(ports: Ports) -> None:
    """As it does after a key was revoked."""
    endpoint = ports.endpoints["alerts"]
    with Publisher(endpoint, listener=ports.descriptors["alerts"]) as publisher:
        publisher._disconnect_all()
        assert publisher.endpoint == endpoint
        with socket.create_connection(("127.0.0.1", ports.port), timeout=10.0) as connection:
            assert connection.recv(1) == b"\xff"  # libzmq greets


def test_after_a_kill_no_stranger_gets_a_port_and_clients_wait_for_the_next_hub(
    ports: Ports,
) -> None:
    """A stranger is refused whatever options it sets, from the death of a hub on."""
    endpoint, descriptor = ports.endpoints["ingest"], ports.descriptors["ingest"]
    program = [sys.executable, "-c", ANSWER_ONE, endpoint, str(descriptor)]
    with Dealer(endpoint) as dealer:
        for _ in range(2):
            with subprocess.Popen(program, pass_fds=[descriptor]) as hub:
                until(lambda: echoed(dealer, b"x"))
                hub.kill()
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                with socket.socket() as stranger:
                    stranger.setsockopt(socket.SOL_SOCKET, option, 1)
                    with pytest.raises(OSError, match="in use"):
                        stranger.bind(("127.0.0.1", number_of(endpoint)))


def test_the_metrics_of_hub_after_hub_have_the_same_port(ports: Ports) -> None:
    """It is held like the others."""
    urls = set()
    for _ in range(2):
        with MetricsServer(0, ports.descriptors["metrics"]) as server:
            urls.add(server.url)
            port = int(server.url.removesuffix("/metrics").rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert connection.recv(8) == b"HTTP/1.0"
    assert len(urls) == 1


def test_descriptors_pass_through_the_command_line(ports: Ports) -> None:
    """What is no listening socket is refused."""
    assert inherited_listeners(listeners_argument(ports.descriptors)) == ports.descriptors
    assert inherited_listeners(None) == {}
    read, write = os.pipe()
    try:
        for wrong in ("ingest", "ingest=x", "other=3", f"ingest={read}", "ingest=99999999999"):
            with pytest.raises(ConfigError, match="--listeners"):
                inherited_listeners(wrong)
    finally:
        os.close(read)
        os.close(write)


def test_replay_and_control_lie_above_the_alerts_even_where_the_kernel_chooses() -> None:
    """So commands like `monitor ack --endpoint` need only one address."""
    ports = Ports(0)
    ports.close()

    numbers = [number_of(ports.endpoints[name]) for name in ("alerts", "replay", "control")]
    assert numbers == [ports.port, ports.port + 1, ports.port + 2]


def test_port_in_use_is_refused_with_advice() -> None:
    """This holds for each of the three, and for that of the metrics."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for port in (taken, taken - 1, taken - 2):
            with pytest.raises(EndpointError, match="--port"):
                Ports(port)
        with pytest.raises(EndpointError, match="--metrics"):
            Ports(0, metrics=taken)


@pytest.mark.parametrize("port", [-1, 65534, 70000])
def test_port_that_does_not_exist_is_refused(port: int) -> None:
    """All three must be valid ports."""
    with pytest.raises(ConfigError, match="65533"):
        Ports(port)
