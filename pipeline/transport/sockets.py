"""The sockets: the only module that touches ZeroMQ.

Four kinds of end, each a context manager: `Router` (many peers, addressed), `Dealer` (one peer),
`Publisher` and `Subscription`. Receiving never blocks; `wait` sleeps until one of several ends
has something or a timeout passes. Every frame is one message; longer multipart messages are
dropped and counted, for the size limit of ZeroMQ holds per frame only.

Settings follow measurements that the reliability of the system rests on: bounded queues, no
CONFLATE, no NODROP, no heartbeats on a connecting socket (libzmq aborts the process when such a
socket reaches its high-water mark), MAXMSGSIZE on everything inbound, linger 2 s for data.

One `Context` a process, one thread a socket. Addresses other than loopback are refused unless keys
guard them: a hub's `Authenticator`, and the `ClientKeys` of whoever connects to it. With a guard,
every message is asked anew whether its sender may still be here.

A `Router` makes up the ids of its peers; one that names itself keeps that name against all who
come later. HANDOVER, which would give it to the latest, is for peers that come back under the name
they had, and none of ours does.
"""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.errors import EndpointError
from pipeline.transport import curve
from pipeline.transport.access_list import EVERYTHING, Rights
from pipeline.transport.addresses import check_address
from pipeline.transport.auth import Authenticator
from pipeline.transport.curve import HANDSHAKE_EVENTS, ClientKeys

logger = logging.getLogger(__name__)

DATA_FRAME_BYTES: Final = 256 * 1024
"""Largest inbound frame between our own processes."""

CONTROL_FRAME_BYTES: Final = 64 * 1024
"""Largest inbound frame from a subscriber."""

_LINGER_MS: Final = 2_000
_QUEUE: Final = 10_000
_REBIND_S: Final = 1.0
_FAILED_TO_SAY: Final = 3
"""Handshakes in a row that failed without a reason, as under the wrong key of the hub."""
PEER_QUEUE: Final = 100
"""Messages that a `Router` holds for and from each peer: with credit there are never so many,
and a peer that ignores it, or does not read its pages, fills no memory."""

LISTENER_QUEUE: Final = 1_000
"""Messages that a `Subscription` holds: some seconds of a busy hub. What is more is lost here, and
asked for by number; ten times as many took 67 MiB of a listener that was slow for ten minutes."""


class Peer(bytes):
    """A peer's id on a `Router`, and the key that it showed; both only ever come from there."""

    user: str = ""
    """Public key; empty where no keys are asked for."""
    rights: Rights = EVERYTHING
    """What that key might do when the message came."""


class _End:
    """A socket of one kind with this project's settings."""

    _kind: int
    _max_frame = DATA_FRAME_BYTES
    _queue = _QUEUE

    def __init__(
        self,
        *,
        bind: str | None = None,
        connect: str | None = None,
        guard: Authenticator | None = None,
        door: str = "",
        keys: ClientKeys | None = None,
    ) -> None:
        """Bind or connect.

        Args:
            bind: address to bind to.
            connect: address to connect to, if not.
            guard: asks whoever connects for a key.
            door: the name of this socket in the guard's list.
            keys: what to show where a guard asks.

        Raises:
            ConfigError: the address is malformed, or off loopback without keys.
            EndpointError: the address is in use.
        """
        address = bind or connect
        assert address is not None
        check_address(address, keys=guard is not None or keys is not None)
        self.rejected = 0
        """Messages dropped: not one frame, or from a key that may not be here."""
        self._guard = guard
        self._door = door
        self._keys = keys
        self._news: zmq.Socket[bytes] | None = None
        self._failed = 0
        self._refused = ""
        self._socket = self._open(address, binds=bind is not None)
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """The address in use, with the port that the kernel chose where 0 was asked for."""

    def _open(self, address: str, *, binds: bool) -> "zmq.Socket[bytes]":
        try:
            socket: zmq.Socket[bytes] = zmq.Context.instance().socket(self._kind)
        except zmq.ZMQError as error:  # no descriptors are left
            raise EndpointError(f"cannot use {address}: {error}") from None
        self._configure(socket)
        if self._guard is not None:
            self._guard.lock(socket, self._door)
        if self._keys is not None:
            curve.show(socket, self._keys)
        try:
            if binds:
                socket.bind(address)
            else:
                self._news = socket.get_monitor_socket(HANDSHAKE_EVENTS)
                socket.connect(address)
        except zmq.ZMQError as error:
            self._shut(socket, 0)
            if error.errno == zmq.EADDRINUSE:
                raise EndpointError(
                    f"{address} is in use: another monitor may be running; "
                    "choose another port with --port"
                ) from None
            raise EndpointError(f"cannot use {address}: {error}") from None
        return socket

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        for option, value in (
            (zmq.LINGER, _LINGER_MS),
            (zmq.SNDHWM, self._queue),
            (zmq.RCVHWM, self._queue),
            (zmq.MAXMSGSIZE, self._max_frame),
            (zmq.HANDSHAKE_IVL, 2_000),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, 5_000),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 30),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
        ):
            socket.setsockopt(option, value)

    def _frames(self, most: int) -> Iterator[list[bytes]]:
        if self._news is not None:
            self._hear_news(self._news)
        for _ in range(most):
            try:
                yield self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return

    def _hear_news(self, news: "zmq.Socket[bytes]") -> None:
        """Raise `EndpointError` if the other end will have nothing to do with us, for good."""
        while news.poll(0):
            if curve.is_final(recv_monitor_message(news)):
                self._refused = (
                    f"{self.endpoint} asks for keys: give --key and --server-key"
                    if self._keys is None
                    else f"{self.endpoint} refuses the key {self._keys.own.public} here: "
                    "where the hub runs, see monitor keys list"
                )
            else:
                self._failed += 1
            if self._failed == _FAILED_TO_SAY and self._keys is not None:
                logger.warning(
                    "no understanding with %s, still trying: is --server-key its key?",
                    self.endpoint,
                )
        if self._refused:
            raise EndpointError(self._refused)

    def _send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT)
        except (zmq.Again, zmq.ZMQError):
            # Full queue, or (ROUTER_MANDATORY) a peer that went away; the caller counts it.
            return False
        return True

    def close(self, *, linger_ms: int = _LINGER_MS) -> None:
        """Close the socket; what is queued may still leave for ``linger_ms``."""
        self._shut(self._socket, linger_ms)

    def _shut(self, socket: "zmq.Socket[bytes]", linger_ms: int) -> None:
        if self._news is not None:
            if not socket.closed:
                socket.disable_monitor()
            self._news.close(linger=0)
            self._news = None
        socket.close(linger=linger_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Router(_End):
    """The hub's side towards many peers, each known by an opaque `Peer`."""

    _kind = zmq.ROUTER

    def __init__(
        self,
        bind: str,
        *,
        max_frame: int = DATA_FRAME_BYTES,
        queue: int = PEER_QUEUE,
        guard: Authenticator | None = None,
        door: str = "",
    ) -> None:
        """Bind to an address; port 0 lets the kernel choose. ``queue`` messages wait for a peer.

        With a guard, it is its ``door``.
        """
        self._max_frame = max_frame
        self._queue = queue
        super().__init__(bind=bind, guard=guard, door=door)

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        super()._configure(socket)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.RCVHWM, PEER_QUEUE)

    def receive(self, most: int = 1_000) -> Iterator[tuple[Peer, bytes]]:
        """Yield (peer, frame) for what has arrived, at most ``most``."""
        if self._guard is not None:
            yield from self._receive_guarded(self._guard, most)
            return
        for frames in self._frames(most):
            if len(frames) == 2:
                yield Peer(frames[0]), frames[1]
            else:
                self.rejected += 1

    def _receive_guarded(self, guard: Authenticator, most: int) -> Iterator[tuple[Peer, bytes]]:
        for _ in range(most):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            # Whose connection it came by, as the guard named it: nothing that the peer wrote.
            user = str(frames[-1].get("User-Id"))
            rights = guard.rights(user)
            if len(frames) != 2 or not rights.may_enter(self._door):
                self.rejected += 1
                continue
            peer = Peer(frames[0].bytes)
            peer.user, peer.rights = user, rights
            yield peer, frames[1].bytes

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Send to one peer; False if it is gone, may not be here, or its queue is full."""
        return self._may_be_here(peer) and self._send([peer, frame])

    def _may_be_here(self, peer: bytes) -> bool:
        if self._guard is None:
            return True
        user = peer.user if isinstance(peer, Peer) else ""
        return self._guard.rights(user).may_enter(self._door)

    def offer(self, peer: bytes, frame: bytes) -> bool | None:
        """Send to one peer; False if its queue is full, None if it is gone or may not be here."""
        if not self._may_be_here(peer):
            return None
        try:
            self._socket.send_multipart([peer, frame], zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError:
            return None
        return True


class Dealer(_End):
    """One peer's side towards a `Router`."""

    _kind = zmq.DEALER

    def __init__(
        self,
        connect: str,
        *,
        max_frame: int = DATA_FRAME_BYTES,
        queue: int = _QUEUE,
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect; the other end need not be there yet. ``queue`` messages wait at most."""
        self._max_frame = max_frame
        self._queue = queue
        super().__init__(connect=connect, keys=keys)

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        super()._configure(socket)
        # Nothing is queued for a connection that does not exist yet.
        socket.setsockopt(zmq.IMMEDIATE, 1)

    def receive(self, most: int = 1_000) -> Iterator[bytes]:
        """Yield the frames that have arrived, at most ``most``."""
        for frames in self._frames(most):
            if len(frames) == 1:
                yield frames[0]
            else:
                self.rejected += 1

    def send(self, frame: bytes) -> bool:
        """Send; False if the peer is not connected or its queue is full."""
        return self._send([frame])


class Publisher(_End):
    """Live messages to whoever listens; a slow listener loses, nobody waits."""

    _kind = zmq.PUB

    def __init__(self, bind: str, *, guard: Authenticator | None = None, door: str = "") -> None:
        """Bind to an address; port 0 lets the kernel choose. With a guard, it is its ``door``."""
        self._readers = guard.readers() if guard is not None else frozenset()
        super().__init__(bind=bind, guard=guard, door=door)

    def publish(self, topic: str, body: bytes) -> None:
        """Send ``body`` under ``topic``."""
        if self._guard is not None:
            readers = self._guard.readers()
            if self._readers - readers:
                self._send_all_away()
            self._readers = readers
        self._send([topic.encode("ascii"), body])

    def _send_all_away(self) -> None:
        """End every connection: libzmq has no way to end that of one subscriber.

        Who may still listen is back within the second and asks for what it missed by number.
        """
        self._shut(self._socket, 0)
        deadline = time.monotonic() + _REBIND_S
        while True:
            try:
                # Closing takes effect in another thread, some milliseconds from now.
                self._socket = self._open(self.endpoint, binds=True)
                return
            except EndpointError:
                if time.monotonic() > deadline:
                    raise


class Subscription(_End):
    """Live messages from a `Publisher`, by the beginnings of their topics."""

    _kind = zmq.SUB
    _queue = LISTENER_QUEUE

    def __init__(
        self, connect: str, topics: Iterable[str], *, keys: ClientKeys | None = None
    ) -> None:
        """Connect and subscribe to every topic that begins with one of ``topics``."""
        super().__init__(connect=connect, keys=keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))

    def receive(self, most: int = 1_000) -> Iterator[tuple[bytes, bytes]]:
        """Yield (topic, body) for what has arrived, at most ``most``."""
        for frames in self._frames(most):
            if len(frames) == 2:
                yield frames[0], frames[1]
            else:
                self.rejected += 1


def wait(ends: Sequence[_End], timeout_s: float) -> None:
    """Return when one of ``ends`` has something to receive, or after ``timeout_s``."""
    poller = zmq.Poller()
    for end in ends:
        poller.register(end._socket, zmq.POLLIN)
        if end._news is not None:
            poller.register(end._news, zmq.POLLIN)
    poller.poll(math.ceil(max(0.0, timeout_s) * 1_000))
