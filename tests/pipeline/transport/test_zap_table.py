"""What pyzmq's own authenticator does, and why the hub has a porter of its own.

Each test states a fact of the library that `pipeline.transport.auth` avoids; should one of them
fail after an update, the reason for that part of the guard may have gone.
"""

import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from pipeline.transport.curve import ClientKeys, KeyPair, let_in, lock, new_pair, show
from tests.support.keys import ANY
from tests.support.limits import BUSY_S
from tests.support.zmtp import GREETING, ready

HUB = new_pair()


def with_pyzmq(configure: Callable[[ThreadAuthenticator], None], keys: ClientKeys) -> bool:
    """Say whether a key gets into a socket of domain ``ecg`` under pyzmq's authenticator."""
    with zmq.Context() as context:
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        try:
            configure(authenticator)
            with context.socket(zmq.ROUTER) as door:
                lock(door, HUB, "ecg")
                door.bind(ANY)
                endpoint = door.getsockopt_string(zmq.LAST_ENDPOINT)
                return bool(let_in(endpoint, zmq.DEALER, keys, 5.0, lambda: False))
        finally:
            authenticator.stop()


def written(folder: Path) -> KeyPair:
    """Write a certificate as pyzmq does and return its key."""
    _, secret = zmq.auth.create_certificates(folder, "client")
    public, private = zmq.auth.load_certificate(secret)
    assert private is not None
    return KeyPair(public.decode(), private.decode())


def test_its_star_is_not_every_domain(tmp_path: Path) -> None:
    """A good key of domain ``*`` is refused where the socket has a domain of its own."""
    keys = ClientKeys(written(tmp_path), HUB.public)

    def star(authenticator: ThreadAuthenticator) -> None:
        authenticator.configure_curve(domain="*", location=str(tmp_path))

    def own(authenticator: ThreadAuthenticator) -> None:
        authenticator.configure_curve(domain="ecg", location=str(tmp_path))

    assert not with_pyzmq(star, keys)
    assert with_pyzmq(own, keys)


def test_its_allow_any_of_one_domain_opens_all(tmp_path: Path) -> None:
    """A second domain that takes every key opens the first one, too."""
    written(tmp_path)
    stranger = ClientKeys(new_pair(), HUB.public)

    def one(authenticator: ThreadAuthenticator) -> None:
        authenticator.configure_curve(domain="ecg", location=str(tmp_path))

    def two(authenticator: ThreadAuthenticator) -> None:
        one(authenticator)
        authenticator.configure_curve(domain="other", location=zmq.auth.CURVE_ALLOW_ANY)

    assert not with_pyzmq(one, stranger)
    assert with_pyzmq(two, stranger)


def test_its_secrets_can_be_read_by_others(tmp_path: Path) -> None:
    """``create_certificates`` leaves the secret to the umask."""
    written(tmp_path)
    mode = stat.S_IMODE((tmp_path / "client.key_secret").stat().st_mode)
    with_umask = 0o666 & ~_umask()
    assert mode == with_umask


def _umask() -> int:
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("Umask:") + 1], 8)


DIES = """
import sys, threading, zmq
from zmq.auth.thread import ThreadAuthenticator
from pipeline.transport.curve import ClientKeys, let_in, lock, new_pair
class Raises:
    def callback(self, domain, key):
        raise RuntimeError("planted")
threading.excepthook = lambda arguments: None
hub = new_pair()
authenticator = ThreadAuthenticator(zmq.Context.instance())
authenticator.start()
authenticator.configure_curve_callback(domain="ecg", credentials_provider=Raises())
socket = zmq.Context.instance().socket(zmq.ROUTER)
lock(socket, hub, "ecg")
socket.bind("tcp://127.0.0.1:0")
endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
let_in(endpoint, zmq.DEALER, ClientKeys(new_pair(), hub.public), 0.5, lambda: False)
authenticator.thread.join(5)
print("alive" if authenticator.thread.is_alive() else "dead", flush=True)
import os
os._exit(0)
"""


def test_its_thread_dies_of_one_fault_of_a_callback() -> None:
    """One exception, and no key is asked for any more; nor does its ``stop`` come back."""
    run = subprocess.run(
        [sys.executable, "-c", DIES], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == ["dead"]


def test_refusal_is_final_and_a_fault_is_not() -> None:
    """After 400 and 500 a client of libzmq never tries again, after 300 it does."""
    keys = ClientKeys(new_pair(), HUB.public)
    assert not _asked_again(b"400", keys, 1.0)
    assert not _asked_again(b"500", keys, 1.0)
    assert _asked_again(b"300", keys, BUSY_S)


def _asked_again(status: bytes, keys: ClientKeys, wait_s: float) -> bool:
    context = zmq.Context.instance()
    porter, door, client = (context.socket(kind) for kind in (zmq.ROUTER, zmq.ROUTER, zmq.DEALER))
    try:
        porter.bind("inproc://zeromq.zap.01")
        for option, value in ((zmq.HANDSHAKE_IVL, 200), (zmq.RECONNECT_IVL, 50), (zmq.LINGER, 0)):
            for end in (door, client):
                end.setsockopt(option, value)
        lock(door, HUB, "ecg")
        door.bind(ANY)
        show(client, keys)
        client.connect(door.getsockopt_string(zmq.LAST_ENDPOINT))
        assert porter.poll(1e3 * BUSY_S)
        question = porter.recv_multipart()
        porter.send_multipart([*question[:4], status, b"", b"", b""])
        return bool(porter.poll(1e3 * wait_s))
    finally:
        porter.unbind("inproc://zeromq.zap.01")
        for end in (client, door, porter):
            end.close(linger=0)


def test_a_peer_cannot_name_itself() -> None:
    """Of two names in a connection, the peer's own and the porter's, messages have the latter."""
    context = zmq.Context.instance()
    porter, door = (context.socket(zmq.ROUTER) for _ in range(2))
    try:
        porter.bind("inproc://zeromq.zap.01")
        door.setsockopt_string(zmq.ZAP_DOMAIN, "ecg")
        door.bind(ANY)
        port = int(door.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(GREETING + ready(b"Socket-Type", b"DEALER", b"User-Id", b"forged"))
            assert porter.poll(1e3 * BUSY_S)
            question = porter.recv_multipart()
            porter.send_multipart([*question[:4], b"200", b"", b"named", b""])
            peer.sendall(b"\x00\x01x")
            assert door.poll(1e3 * BUSY_S)
            assert door.recv_multipart(copy=False)[-1].get("User-Id") == "named"
    finally:
        porter.unbind("inproc://zeromq.zap.01")
        for end in (door, porter):
            end.close(linger=0)
