"""What somebody on the way can do with recorded or altered bytes of a session: nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline.transport.access_list import INGEST
from pipeline.transport.sockets import Dealer, Router, wait
from tests.support.keys import ANY, KeyRing, deliver, until

pytestmark = pytest.mark.system


class Wire:
    """A TCP connection to a hub that passes through the hands of somebody on the way."""

    def __init__(self, endpoint: str, change: Callable[[bytes, int], bytes]) -> None:
        """Begin; ``change`` makes of each piece to the hub, at its offset, what is passed on."""
        self.recorded = b""
        self._hub = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._change = change
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._take_one)]
        self._threads[0].start()

    def _take_one(self) -> None:
        near, _ = self._server.accept()
        far = socket.create_connection(self._hub)
        self._open += [near, far]
        back = threading.Thread(target=self._pass, args=(far, near, lambda data, at: data))
        self._threads.append(back)
        back.start()
        self._pass(near, far, self._record)

    def _record(self, data: bytes, at: int) -> bytes:
        self.recorded += data
        return self._change(data, at)

    def _pass(
        self, source: socket.socket, sink: socket.socket, change: Callable[[bytes, int], bytes]
    ) -> None:
        at = 0
        try:
            while data := source.recv(65536):
                sink.sendall(change(data, at))
                at += len(data)
        except OSError:
            return

    def cut(self) -> None:
        """End everything."""
        for end in self._open:
            end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._server.close()
        for thread in self._threads:
            thread.join(10.0)


@contextmanager
def wire(
    endpoint: str, change: Callable[[bytes, int], bytes] = lambda data, at: data
) -> Iterator[Wire]:
    """Put somebody on the way to a hub."""
    between = Wire(endpoint, change)
    try:
        yield between
    finally:
        between.cut()


def taken(router: Router, wait_s: float) -> list[bytes]:
    """Return what arrives within a while."""
    deadline = time.monotonic() + wait_s
    frames: list[bytes] = []
    while (left_s := deadline - time.monotonic()) > 0:
        wait([router], left_s)
        frames += [frame for _, frame in router.receive()]
    return frames


def test_a_recorded_session_played_again_adds_nothing(key_ring: KeyRing) -> None:
    """Its keys were made for one connection; the hub takes no message of the second one."""
    keys = key_ring.allowed_key("source", streams=("*",))
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as router:
        with wire(router.endpoint) as between:
            with Dealer(between.endpoint, keys=keys) as source:
                got: list[bytes] = []
                for number in range(10):
                    deliver(source, b"chunk %d" % number)

                def all_there() -> bool:
                    got.extend(taken(router, 0.05))
                    return len(got) == 10

                until(all_there)
            recorded = between.recorded
        assert len(recorded) > 10 * len(b"chunk 0")
        assert b"chunk" not in recorded
        with socket.create_connection(("127.0.0.1", int(router.endpoint.split(":")[2]))) as replay:
            replay.sendall(recorded)
            assert taken(router, 0.5) == []
        with Dealer(router.endpoint, keys=keys) as source:
            deliver(source, b"chunk of a living source")
            until(lambda: b"chunk of a living source" in taken(router, 0.05))


def test_an_altered_byte_never_arrives(key_ring: KeyRing) -> None:
    """A bit flipped on the way ends the connection; what arrives afterwards is what was sent."""
    keys = key_ring.allowed_key("source", streams=("*",))
    flipped = 0

    def flip(data: bytes, at: int) -> bytes:
        nonlocal flipped
        if at > 1_000 and not flipped:
            flipped += 1
            return data[:-1] + bytes([data[-1] ^ 0x10])
        return data

    sent = [b"%04d" % number + bytes(500) for number in range(10)]
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        wire(router.endpoint, flip) as between,
        Dealer(between.endpoint, keys=keys) as source,
    ):
        got = []
        for frame in sent:
            if not flipped:
                deliver(source, frame)
            got += taken(router, 0.05)
        assert flipped
        assert got
        assert got == sent[: len(got)]
        assert len(got) < len(sent)


def test_a_message_held_back_and_sent_twice_arrives_once(key_ring: KeyRing) -> None:
    """Each message is numbered: a copy of it within the same session is refused as well."""
    keys = key_ring.allowed_key("source", streams=("*",))
    doubled = 0

    def double(data: bytes, at: int) -> bytes:
        nonlocal doubled
        if at > 1_000:
            doubled += 1
            return data + data
        return data

    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        wire(router.endpoint, double) as between,
        Dealer(between.endpoint, keys=keys) as source,
    ):
        got: list[bytes] = []
        for number in range(10):
            if not doubled:
                deliver(source, b"%04d" % number + bytes(500))
            got += taken(router, 0.05)
        assert doubled
        assert len(got) == len(set(got))
