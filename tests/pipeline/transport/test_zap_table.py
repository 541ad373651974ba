"""What pyzmq's own authenticator does, and why the hub has a ZAP handler of its own.

Each test states a fact of the library that `pipeline.transport.auth` avoids; should one of them
fail after an update, the reason for our own handler may no longer hold.
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

from pipeline.transport.curve import (
    ClientKeys,
    KeyPair,
    new_pair,
    present_keys,
    require_keys,
    try_key,
)
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
            with context.socket(zmq.ROUTER) as server:
                require_keys(server, HUB, "ecg")
                server.bind(ANY)
                endpoint = server.getsockopt_string(zmq.LAST_ENDPOINT)
                return bool(try_key(endpoint, zmq.DEALER, keys, 5.0, lambda: False))
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
from pipeline.transport.curve import ClientKeys, try_key, require_keys, new_pair
class Raises:
    def callback(self, domain, key):
        raise RuntimeError("planted")
threading.excepthook = lambda arguments: None
hub = new_pair()
authenticator = ThreadAuthenticator(zmq.Context.instance())
authenticator.start()
authenticator.configure_curve_callback(domain="ecg", credentials_provider=Raises())
socket = zmq.Context.instance().socket(zmq.ROUTER)
require_keys(socket, hub, "ecg")
socket.bind("tcp://127.0.0.1:0")
endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
try_key(endpoint, zmq.DEALER, ClientKeys(new_pair(), hub.public), 0.5, lambda: False)
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
    handler, server, client = (
        context.socket(kind) for kind in (zmq.ROUTER, zmq.ROUTER, zmq.DEALER)
    )
    try:
        handler.bind("inproc://zeromq.zap.01")
        for option, value in ((zmq.HANDSHAKE_IVL, 200), (zmq.RECONNECT_IVL, 50), (zmq.LINGER, 0)):
            for one in (server, client):
                one.setsockopt(option, value)
        require_keys(server, HUB, "ecg")
        server.bind(ANY)
        present_keys(client, keys)
        client.connect(server.getsockopt_string(zmq.LAST_ENDPOINT))
        assert handler.poll(1e3 * BUSY_S)
        question = handler.recv_multipart()
        handler.send_multipart([*question[:4], status, b"", b"", b""])
        return bool(handler.poll(1e3 * wait_s))
    finally:
        handler.unbind("inproc://zeromq.zap.01")
        for one in (client, server, handler):
            one.close(linger=0)


def test_a_peer_cannot_name_itself() -> None:
    """Of two names in a connection, the peer's own and the handler's, messages have the latter."""
    context = zmq.Context.instance()
    handler, server = (context.socket(zmq.ROUTER) for _ in range(2))
    try:
        handler.bind("inproc://zeromq.zap.01")
        server.setsockopt_string(zmq.ZAP_DOMAIN, "ecg")
        server.bind(ANY)
        port = int(server.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(GREETING + ready(b"Socket-Type", b"DEALER", b"User-Id", b"forged"))
            assert handler.poll(1e3 * BUSY_S)
            question = handler.recv_multipart()
            handler.send_multipart([*question[:4], b"200", b"", b"named", b""])
            peer.sendall(b"\x00\x01x")
            assert server.poll(1e3 * BUSY_S)
            assert server.recv_multipart(copy=False)[-1].get("User-Id") == "named"
    finally:
        handler.unbind("inproc://zeromq.zap.01")
        for one in (server, handler):
            one.close(linger=0)
