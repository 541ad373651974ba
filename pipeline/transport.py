"""The sockets: the only module that touches ZeroMQ.

Four kinds of end, each a context manager: `Router` (many peers, addressed), `Dealer` (one peer),
`Publisher` and `Subscription`. Receiving never blocks; `wait` sleeps until one of several ends
has something or a timeout passes. Every frame is one message; longer multipart messages are
dropped and counted, for the size limit of ZeroMQ holds per frame only.

Settings follow measurements that the reliability of the system rests on: bounded queues, no
CONFLATE, no NODROP, no heartbeats on a connecting socket (libzmq aborts the process when such a
socket reaches its high-water mark), MAXMSGSIZE on everything inbound, linger 2 s for data.

One `Context` a process, one thread a socket. Addresses other than loopback are refused until
keys guard them.
"""

import ipaddress
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

import zmq

from pipeline.errors import ConfigError, EndpointError

DATA_FRAME_BYTES: Final = 256 * 1024
"""Largest inbound frame between our own processes."""

CONTROL_FRAME_BYTES: Final = 64 * 1024
"""Largest inbound frame from a subscriber."""

_LINGER_MS: Final = 2_000
_QUEUE: Final = 10_000
_PEER_QUEUE: Final = 100
"""Messages that a `Router` holds for and from each peer: with credit there are never so many,
and a peer that ignores it, or does not read its pages, fills no memory."""


def check_loopback(endpoint: str) -> None:
    """Raise `ConfigError` unless ``endpoint`` is ``tcp://`` on a loopback address."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not endpoint.startswith("tcp://") or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{endpoint!r} is no address: write tcp://127.0.0.1:PORT")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ConfigError(
            f"{endpoint} is reachable from outside this machine and nothing guards it: "
            "use 127.0.0.1"
        )


class _End:
    """A socket of one kind with this project's settings."""

    _kind: int
    _max_frame = DATA_FRAME_BYTES
    _queue = _QUEUE

    def __init__(self, *, bind: str | None = None, connect: str | None = None) -> None:
        """Bind or connect.

        Raises:
            ConfigError: the address is malformed or not on loopback.
            EndpointError: the address is in use.
        """
        address = bind or connect
        assert address is not None
        check_loopback(address)
        self.rejected = 0
        """Messages dropped because they were not one frame."""
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(self._kind)
        self._configure(self._socket)
        try:
            if bind:
                self._socket.bind(address)
            else:
                self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close(linger=0)
            if error.errno == zmq.EADDRINUSE:
                raise EndpointError(
                    f"{address} is in use: another monitor may be running; "
                    "choose another port with --port"
                ) from None
            raise EndpointError(f"cannot use {address}: {error}") from None
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """The address in use, with the port that the kernel chose where 0 was asked for."""

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
        for _ in range(most):
            try:
                yield self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return

    def _send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT)
        except (zmq.Again, zmq.ZMQError):
            # Full queue, or (ROUTER_MANDATORY) a peer that went away; the caller counts it.
            return False
        return True

    def close(self, *, linger_ms: int = _LINGER_MS) -> None:
        """Close the socket; what is queued may still leave for ``linger_ms``."""
        self._socket.close(linger=linger_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Router(_End):
    """The hub's side towards many peers, each known by an opaque ``peer``."""

    _kind = zmq.ROUTER

    def __init__(
        self, bind: str, *, max_frame: int = DATA_FRAME_BYTES, queue: int = _PEER_QUEUE
    ) -> None:
        """Bind to an address; port 0 lets the kernel choose. ``queue`` messages wait for a peer."""
        self._max_frame = max_frame
        self._queue = queue
        super().__init__(bind=bind)

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        super()._configure(socket)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.RCVHWM, _PEER_QUEUE)

    def receive(self, most: int = 1_000) -> Iterator[tuple[bytes, bytes]]:
        """Yield (peer, frame) for what has arrived, at most ``most``."""
        for frames in self._frames(most):
            if len(frames) == 2:
                yield frames[0], frames[1]
            else:
                self.rejected += 1

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Send to one peer; False if it is gone or its queue is full."""
        return self._send([peer, frame])

    def offer(self, peer: bytes, frame: bytes) -> bool | None:
        """Send to one peer; False if its queue is full, None if it is gone."""
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
        self, connect: str, *, max_frame: int = DATA_FRAME_BYTES, queue: int = _QUEUE
    ) -> None:
        """Connect; the other end need not be there yet. ``queue`` messages wait at most."""
        self._max_frame = max_frame
        self._queue = queue
        super().__init__(connect=connect)

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

    def __init__(self, bind: str) -> None:
        """Bind to an address; port 0 lets the kernel choose."""
        super().__init__(bind=bind)

    def publish(self, topic: str, body: bytes) -> None:
        """Send ``body`` under ``topic``."""
        self._send([topic.encode("ascii"), body])


class Subscription(_End):
    """Live messages from a `Publisher`, by the beginnings of their topics."""

    _kind = zmq.SUB

    def __init__(self, connect: str, topics: Iterable[str]) -> None:
        """Connect and subscribe to every topic that begins with one of ``topics``."""
        super().__init__(connect=connect)
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
    poller.poll(math.ceil(max(0.0, timeout_s) * 1_000))
