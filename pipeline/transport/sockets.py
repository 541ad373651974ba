"""The sockets: the only module through which messages travel.

Four classes, each a context manager: `Router` (many peers, addressed), `Dealer` (one peer),
`Publisher` and `Subscription`. Receiving never blocks; `wait` sleeps until one of several sockets
has something or a timeout passes. Every frame is one message; longer multipart messages are dropped
and counted, for the size limit of ZeroMQ holds per frame only.

The reliability of the system rests on these settings, which were measured: bounded queues, no
CONFLATE, no NODROP, no heartbeats on a connecting socket (libzmq aborts the process when such a
socket reaches its high-water mark), MAXMSGSIZE on everything inbound, linger 2 s for data.

One `Context` a process, one thread a socket. Addresses off loopback are refused without keys: the
`Authenticator` of a hub, the `ClientKeys` of a client. With an authenticator, the rights of the
sender are looked up again for every message.

A `Router` makes up the ids of its peers; a peer that chose its own keeps it against all who come
later. HANDOVER, which would give it to the latest, is for peers that come back under their old id,
and none of ours does.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import zmq

from pipeline.errors import EndpointError
from pipeline.transport.access_list import ALL_RIGHTS, Rights
from pipeline.transport.auth import Authenticator
from pipeline.transport.connections import USUAL_LIMITS, ConnectionLimits, has_input
from pipeline.transport.curve import ClientKeys
from pipeline.transport.wakeup import Wakeup
from pipeline.transport.zmq_socket import DATA_FRAME_BYTES, QUEUE, ROUTER_QUEUE, ZmqSocket

CONTROL_FRAME_BYTES: Final = 64 * 1024
"""Largest inbound frame from a subscriber."""

SUBSCRIBER_FRAME_BYTES: Final = 512
"""Largest inbound frame of a `Publisher`: its own topics have 72 bytes at most, and the longest
command of a handshake with keys some 300."""

OPTIONAL: Final = ("beat/", "signal/", "status/", "window/")
"""Topics with a message for each beat or stream, which cost more to encode than to send."""

_POLLIN: Final = int(zmq.POLLIN)
_REBIND_S: Final = 1.0

PEER_QUEUE: Final = 100
"""Messages that a `Router` holds for each peer. With credit there are never so many; a peer that
ignores it, or does not read its pages, fills no memory."""

SUBSCRIBER_QUEUE: Final = 1_000
"""Messages that a `Subscription` holds: some seconds of a busy hub. More are lost here, and alerts
asked for by number; ten times as many took 67 MiB of a subscriber that was slow for ten minutes."""


class Peer(bytes):
    """A peer's id on a `Router`, and the key that it presented; only a `Router` makes them."""

    user: str = ""
    """Public key; empty where no keys are asked for."""
    rights: Rights = ALL_RIGHTS
    """Those of that key when the message arrived."""


class Router(ZmqSocket):
    """The hub's side towards many peers, each known by an opaque `Peer`."""

    _kind = zmq.ROUTER

    def __init__(
        self,
        bind: str,
        *,
        max_frame: int = DATA_FRAME_BYTES,
        queue: int = PEER_QUEUE,
        auth: Authenticator | None = None,
        socket_name: str = "",
        listener: int | None = None,
        limits: ConnectionLimits = USUAL_LIMITS,
    ) -> None:
        """Bind to an address; port 0 lets the kernel choose. ``queue`` messages wait for a peer.

        With ``auth``, ``socket_name`` is its name in the access list. ``listener`` is a descriptor
        that listens there already. ``limits`` are those of its connections.
        """
        self._max_frame = max_frame
        self._queue = queue
        super().__init__(
            bind=bind, auth=auth, socket_name=socket_name, listener=listener, limits=limits
        )

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        super()._configure(socket)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.RCVHWM, ROUTER_QUEUE)

    def receive(self, most: int = 1_000) -> Iterator[tuple[Peer, bytes]]:
        """Yield (peer, frame) for what has arrived, at most ``most``."""
        assert self._connections is not None
        self._connections.update()
        for _ in range(most):
            if not has_input(self._socket):
                return
            frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            user, rights = self._sender(frames[-1])
            self._connections.on_frame(frames[-1], user)
            if len(frames) != 2 or not rights.may_use(self._socket_name):
                self.rejected += 1
                continue
            peer = Peer(frames[0].bytes)
            peer.user, peer.rights = user, rights
            yield peer, frames[1].bytes

    def _sender(self, frame: zmq.Frame) -> tuple[str, Rights]:
        if self._auth is None:
            return "", ALL_RIGHTS
        # The key of the connection, as the ZAP handler named it: nothing that the peer wrote.
        user = str(frame.get("User-Id"))
        return user, self._auth.rights(user)

    @property
    def connections(self) -> int:
        """How many there are."""
        return 0 if self._connections is None else len(self._connections)

    @property
    def refused_connections(self) -> int:
        """How many were shut down, for there were too many."""
        return 0 if self._connections is None else self._connections.refused

    def send(self, peer: bytes, frame: bytes) -> bool:
        """Send to one peer; False if it disconnected, has lost its rights, or its queue is full."""
        return self._may_use(peer) and self._send([peer, frame])

    def _may_use(self, peer: bytes) -> bool:
        if self._auth is None:
            return True
        user = peer.user if isinstance(peer, Peer) else ""
        return self._auth.rights(user).may_use(self._socket_name)

    def offer(self, peer: bytes, frame: bytes) -> bool | None:
        """Send to one peer; False on a full queue, None if it disconnected or lost its rights."""
        if not self._may_use(peer):
            return None
        try:
            self._socket.send_multipart([peer, frame], zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError:
            return None
        return True


class Dealer(ZmqSocket):
    """One peer's side towards a `Router`."""

    _kind = zmq.DEALER

    def __init__(
        self,
        connect: str,
        *,
        max_frame: int = DATA_FRAME_BYTES,
        queue: int = QUEUE,
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


class Publisher(ZmqSocket):
    """Live messages to all subscribers; a slow one loses some, and none delays another.

    It knows which of the `OPTIONAL` topics anybody subscribes to: nobody need encode the others.
    """

    _kind = zmq.XPUB
    _max_frame = SUBSCRIBER_FRAME_BYTES

    def __init__(
        self,
        bind: str,
        *,
        auth: Authenticator | None = None,
        socket_name: str = "",
        listener: int | None = None,
    ) -> None:
        """Bind to an address; see `Router` for the arguments."""
        self._subscribers = auth.subscribers() if auth is not None else frozenset()
        self._subscriptions = dict.fromkeys(OPTIONAL, 0)
        """How many different subscriptions cover each of these topics, or a part of it."""
        super().__init__(bind=bind, auth=auth, socket_name=socket_name, listener=listener)

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        super()._configure(socket)
        # Topics are taken in while a message is sent: few at a time, so that none waits for them.
        socket.setsockopt(zmq.RCVHWM, ROUTER_QUEUE)

    def publish(self, topic: str, body: bytes) -> None:
        """Send ``body`` under ``topic``."""
        if self._connections is not None:
            self._connections.update()
        if self._auth is not None:
            subscribers = self._auth.subscribers()
            if self._subscribers - subscribers:
                self._disconnect_all()
            self._subscribers = subscribers
        self._send([topic.encode("ascii"), body])
        self._read_subscriptions()

    def wants(self, topic: str) -> bool:
        """Return whether anybody may subscribe to ``topic``: always but for `OPTIONAL` ones."""
        prefix = topic[: topic.find("/") + 1]
        if self._subscriptions.get(prefix) == 0:
            self._read_subscriptions()
        return self._subscriptions.get(prefix) != 0

    def _read_subscriptions(self) -> None:
        """Count what is subscribed to and no longer: libzmq says so of the first and the last."""
        while has_input(self._socket):
            change, *more = self._socket.recv_multipart(zmq.DONTWAIT)
            if more or change[:1] not in (b"\0", b"\1"):
                continue  # a message: none of our subscribers sends any
            prefix, step = change[1:], 1 if change[0] else -1
            for topic in OPTIONAL:
                if prefix.startswith(topic.encode()) or topic.encode().startswith(prefix):
                    self._subscriptions[topic] += step

    def _disconnect_all(self) -> None:
        """End every connection: libzmq cannot end that of one subscriber.

        The others connect again within a second and ask for what they missed by number.
        """
        self._shut(self._socket, 0)
        self._subscriptions = dict.fromkeys(OPTIONAL, 0)
        deadline = time.monotonic() + _REBIND_S
        while True:
            try:
                # Closing takes effect in another thread, some milliseconds later.
                self._socket = self._open(self.endpoint, binds=True)
                return
            except EndpointError:
                if time.monotonic() > deadline:
                    raise


class Subscription(ZmqSocket):
    """Live messages from a `Publisher`, by the prefixes of their topics."""

    _kind = zmq.SUB
    _queue = SUBSCRIBER_QUEUE

    def __init__(
        self, connect: str, topics: Iterable[str], *, keys: ClientKeys | None = None
    ) -> None:
        """Connect and subscribe to every topic with one of ``topics`` as its prefix."""
        super().__init__(connect=connect, keys=keys)
        for topic in topics:
            self.subscribe(topic)

    def subscribe(self, topic: str) -> None:
        """Receive what is published from now on under topics that begin with this."""
        self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))

    def unsubscribe(self, topic: str) -> None:
        """Take one subscription to this beginning back; what was sent before may still come."""
        self._socket.setsockopt(zmq.UNSUBSCRIBE, topic.encode("ascii"))

    def receive(self, most: int = 1_000) -> Iterator[tuple[bytes, bytes]]:
        """Yield (topic, body) for what has arrived, at most ``most``."""
        for frames in self._frames(most):
            if len(frames) == 2:
                yield frames[0], frames[1]
            else:
                self.rejected += 1


def wait(sockets: Sequence[ZmqSocket], timeout_s: float, wakeup: Wakeup | None = None) -> None:
    """Return when one of ``sockets`` has something to receive, or after ``timeout_s``.

    Return as well when a thread calls ``wakeup``, which is cleared then.
    """
    watched: list[zmq.Socket[bytes] | int] = [one._socket for one in sockets]
    watched += [one._monitor for one in sockets if one._monitor is not None]
    if wakeup is not None:
        watched.append(wakeup.fileno())
    timeout_ms = math.ceil(max(0.0, timeout_s) * 1_000)
    ready = zmq.zmq_poll([(one, _POLLIN) for one in watched], timeout_ms)
    if wakeup is not None and any(one == watched[-1] for one, _ in ready):
        wakeup.clear()
