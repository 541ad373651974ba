"""A run reserves the addresses of its hub, also while no hub runs."""

import socket
import sys

import pytest

from monitor.run.addresses import Ports
from pipeline.errors import ConfigError, EndpointError
from pipeline.transport.sockets import Router
from tests.support.running import until


def number_of(endpoint: str) -> int:
    """Return the port of an address."""
    return int(endpoint.rpartition(":")[2])


def binds(endpoint: str) -> bool:
    """Return whether one can listen there; an earlier socket may still be closing."""
    try:
        with Router(endpoint) as router:
            return router.endpoint == endpoint
    except EndpointError:
        return False


def test_a_hub_binds_over_the_reservation_again_and_again() -> None:
    """It can bind to every address each time that it is started."""
    ports = Ports(0)
    try:
        assert len(set(ports.endpoints.values())) == 5
        for endpoint in [*ports.endpoints.values()] * 3:
            until(lambda endpoint=endpoint: binds(endpoint))
    finally:
        ports.close()


def test_replay_and_control_lie_above_the_alerts_even_where_the_kernel_chooses() -> None:
    """So commands like `monitor ack --endpoint` need only one address."""
    ports = Ports(0)
    ports.close()

    numbers = [number_of(ports.endpoints[name]) for name in ("alerts", "replay", "control")]
    assert numbers == [ports.port, ports.port + 1, ports.port + 2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ports cannot be reserved so")
def test_nobody_else_gets_a_reserved_port() -> None:
    """Neither another listener, nor a connection for which the kernel chooses a port."""
    ports = Ports(0)
    try:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", ports.port))
    finally:
        ports.close()


def test_port_in_use_is_refused_with_advice() -> None:
    """This holds for each of the three."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for port in (taken, taken - 1, taken - 2):
            with pytest.raises(EndpointError, match="--port"):
                Ports(port)


@pytest.mark.parametrize("port", [-1, 65534, 70000])
def test_port_that_does_not_exist_is_refused(port: int) -> None:
    """All three must be valid ports."""
    with pytest.raises(ConfigError, match="65533"):
        Ports(port)
