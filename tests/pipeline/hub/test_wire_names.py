"""A peer that gives itself the name which libzmq would give to the next connection harms nobody.

libzmq numbers the connections of a ROUTER and ends the program if a number is taken. A peer may
name itself, and libzmq begins with the same number in every program, as `rand` without a seed does.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from pipeline.transport.sockets import Dealer, wait
from tests.support.keys import until
from tests.support.zmtp import GREETING, frame, ready

pytestmark = pytest.mark.system

ROUTER = """
from pipeline.transport.sockets import Router, wait
with Router("tcp://127.0.0.1:0") as router:
    print(router.endpoint, flush=True)
    while True:
        wait([router], 0.5)
        for peer, frame in router.receive():
            print(bytes(peer).hex(), flush=True)
"""


@contextmanager
def router() -> Iterator["subprocess.Popen[str]"]:
    """Run a socket in a process of its own, which prints the name of each peer that sends."""
    process = subprocess.Popen([sys.executable, "-c", ROUTER], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def name_of_a_client(process: "subprocess.Popen[str]", endpoint: str, stack: ExitStack) -> bytes:
    """Connect as a client does, and return the name that it was given."""
    assert process.stdout is not None
    client = stack.enter_context(Dealer(endpoint))

    def sent() -> bool:
        assert process.poll() is None, "the hub died"
        wait([client], 0.02)
        return client.send(b"x")

    until(sent)
    return bytes.fromhex(process.stdout.readline())


def test_no_peer_takes_the_name_of_the_next_one() -> None:
    """Seen from one process, names say nothing about those in another."""
    with router() as first, ExitStack() as stack:
        assert first.stdout is not None
        seen = name_of_a_client(first, first.stdout.readline().strip(), stack)
    number = int.from_bytes(seen[1:], "big")
    with router() as second, ExitStack() as stack:
        assert second.stdout is not None
        endpoint = second.stdout.readline().strip()
        for ahead in (0, 3):  # the peers of this test are themselves given names
            name = seen[:1] + ((number + ahead) % 2**32).to_bytes(4, "big")
            at = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
            peer = stack.enter_context(socket.create_connection(at, timeout=30.0))
            peer.sendall(GREETING + ready(b"Socket-Type", b"DEALER", b"Identity", name))
            greeted = b""
            while b"READY" not in greeted:
                greeted += peer.recv(4096)
            peer.sendall(frame(b"x"))
            assert second.stdout.readline().strip() == name.hex()
        names = {name_of_a_client(second, endpoint, stack) for _ in range(5)}
        assert second.poll() is None
        assert len(names) == 5
        assert seen not in names
