"""A subscriber that asks for topics as long as a frame may be does not end the hub."""

import socket
import subprocess
import sys
from contextlib import closing, suppress

import pytest

from pipeline.transport.sockets import wait
from pipeline.transport.zmq_socket import DATA_FRAME_BYTES
from tests.support.keys import until
from tests.support.ward import Meddler
from tests.support.zmtp import GREETING, frame, ready

pytestmark = pytest.mark.system

PUBLISHER = """
import sys, time
from pipeline.transport.sockets import Publisher
with Publisher("tcp://127.0.0.1:0") as publisher:
    print(publisher.endpoint, flush=True)
    while True:
        publisher.publish("heartbeat", b"x")
        time.sleep(0.01)
"""

SUBSCRIBE, CANCEL = b"\x01", b"\x00"


@pytest.mark.parametrize(
    "size", [DATA_FRAME_BYTES - 64, 4 * DATA_FRAME_BYTES], ids=["long", "too long"]
)
def test_a_topic_as_long_as_a_frame_may_be_does_not_end_the_hub(size: int) -> None:
    """Subscribed to, cancelled, or left behind: libzmq keeps a node for each of its bytes."""
    process = subprocess.Popen([sys.executable, "-c", PUBLISHER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        at = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        topic = b"t" * size
        for frames in (
            frame(SUBSCRIBE + topic) + frame(CANCEL + topic) + frame(SUBSCRIBE + b"heartbeat"),
            frame(SUBSCRIBE + topic) + frame(SUBSCRIBE + b"heartbeat"),
        ):
            with (
                suppress(ConnectionResetError),
                socket.create_connection(at, timeout=30.0) as peer,
            ):
                peer.sendall(GREETING + ready(b"Socket-Type", b"SUB") + frames)
                while peer.recv(4_096):  # what is too long ends the connection
                    if size < DATA_FRAME_BYTES and b"heartbeat" in peer.recv(4_096):
                        break
        with closing(Meddler(endpoint)) as other:
            until(lambda: other.send(SUBSCRIBE + b"heartbeat"))
            until(lambda: bool(wait([other], 0.1)) or bool(list(other._frames(10))))
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
