"""An authenticator with its keys in a folder of the test, and sockets that present a key."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from pipeline.transport.access_list import AccessEntry, Rights, editing
from pipeline.transport.auth import Authenticator
from pipeline.transport.curve import ClientKeys
from pipeline.transport.keystore import KeyStore
from pipeline.transport.sockets import Dealer, Router, wait

ANY = "tcp://127.0.0.1:0"
DEADLINE_S = 60.0


def until(done: Callable[[], bool], wait_s: float = DEADLINE_S) -> None:
    """Call ``done``, which waits for an event itself, until it says so; fail after a while."""
    deadline = time.monotonic() + wait_s
    while not done():
        assert time.monotonic() < deadline, "nothing happened"


class KeyRing:
    """The keys of a hub and of those who connect to it, all in one store."""

    def __init__(self, folder: Path) -> None:
        self.store = KeyStore(folder / "keys")
        self.hub = self.store.create("hub")

    def key(self, name: str) -> ClientKeys:
        """Return a new key without any rights yet."""
        self.store.create(name)
        return self.store.client(name, "hub")

    def allow(self, name: str, **rights: Any) -> None:
        """Put a key on the access list, or change its rights."""
        with editing(self.store) as allowed:
            allowed[name] = AccessEntry(name, self.store.public(name), Rights(**rights))

    def revoke(self, name: str) -> None:
        """Take a key off the access list."""
        with editing(self.store) as allowed:
            del allowed[name]

    def allowed_key(self, name: str, **rights: Any) -> ClientKeys:
        """Return a new key with some rights."""
        keys = self.key(name)
        self.allow(name, **rights)
        return keys

    @contextmanager
    def auth(self, **options: Any) -> Iterator[Authenticator]:
        """Start an authenticator."""
        with Authenticator(self.hub, self.store, **options) as auth:
            yield auth


def arrives(router: Router, frame: bytes, wait_s: float = DEADLINE_S) -> bool:
    """Say whether a frame arrives at ``router`` in time."""
    deadline = time.monotonic() + wait_s
    while (left_s := deadline - time.monotonic()) > 0:
        wait([router], left_s)
        if any(got == frame for _, got in router.receive()):
            return True
    return False


def deliver(dealer: Dealer, frame: bytes) -> None:
    """Send a frame as soon as the connection is up."""
    poller = zmq.Poller()
    poller.register(dealer._socket, zmq.POLLOUT)

    def sent() -> bool:
        list(dealer.receive())  # raises if the key is refused
        return bool(poller.poll(50)) and dealer.send(frame)

    until(sent)
