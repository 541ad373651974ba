"""The connections to a socket of the hub: how many there may be, in all and for one key.

Each costs memory: what its peer has not read, or sends faster than the hub takes it. libzmq does
not limit them, but it reports the descriptor of each that it accepts or loses, and with each
message that of its connection, which can be shut down; the peer may connect again.

Of the connections that have sent nothing yet the oldest gives way, so that one more can always show
its key, as the self-test does. Of those that have, of one key or in all, it is the one that was
silent longest. The peers of a publisher send nothing: after `SETTLED_S` they stay, and the newest
of them gives way.

libzmq holds the parts of a message until the last one has come, and what a publisher's peers
subscribe to, however much that is. So a connection is shut down over which more bytes came than the
messages that may wait, and none of them was a message. Not thread-safe: runs in the thread of the
socket.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import socket as sockets
import struct
import sys
import termios
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

logger = logging.getLogger(__name__)

_EVENTS: Final = int(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
_numbers = itertools.count()

_EVENTS_OF: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
"""Arithmetic of enumerations takes longer than the call."""

_REPORT_S: Final = 60.0

SETTLED_S: Final = 3.0
"""A connection that is older has done its handshake, for which libzmq gives it two seconds."""


HELD_CHECK_S: Final = 0.1
"""How often what libzmq holds of each peer is measured: a flood brings 100 MB meanwhile."""

SUBSCRIBED_CHECK_S: Final = 0.02
"""The same for each subscriber: the thread of the socket spends the time for their topics."""

HELD_IN_ALL: Final = 64 * 1024 * 1024
"""Bytes that libzmq may hold of all peers of a socket; short parts take twenty times as much."""

_CHECK_SHARE_S: Final = 0.5e-3
"""For each connection: looking takes 10 us, so 2 % of the time at most."""

SUBSCRIPTION_BYTES: Final = 8 * 1024
"""Bytes that a subscriber may send: its handshake, and a hundred topics with the longest names."""

_SUBSCRIPTION_BYTES_A_S: Final = 32.0
"""Further bytes for each second of its connection: a heartbeat of other libraries."""

_BYTES_RECEIVED: Final = struct.Struct("=128xQ")
"""Of Linux's `struct tcp_info`: `tcpi_bytes_received`."""

_INT: Final = struct.Struct("=i")


def has_input(socket: "zmq.Socket[bytes]") -> bool:
    """Return whether there is anything to receive; a tenth of the time of ``socket.poll(0)``."""
    return bool(int(socket.getsockopt(_EVENTS_OF)) & _POLLIN)


class ConnectionLimits(NamedTuple):
    """How many connections a socket has at most."""

    in_all: int = 256
    """That have sent a message; to a publisher, all."""
    silent: int = 512
    """That have not: they cost little."""
    per_key: int = 64
    """That have sent a message, where keys are asked for."""


USUAL_LIMITS: Final = ConnectionLimits()


@dataclass(slots=True)
class _Connection:
    """One that is open."""

    descriptor: int
    accepted_at: float
    user: str = ""
    """The key of its peer, once it has sent a message where keys are asked for."""
    read: bool = False
    """Whether a message came since it was last looked how much libzmq holds."""
    read_bytes: int = 0
    """Bytes that had come when that was last so."""


class Connections:
    """The open connections of one bound socket."""

    def __init__(
        self, socket: "zmq.Socket[bytes]", limits: ConnectionLimits, held_bytes: int
    ) -> None:
        """Watch ``socket``, which is about to be bound; the peers of a publisher send nothing.

        ``held_bytes`` are those of the messages of one peer that may wait in the socket.
        """
        self._limits = limits
        self._held_bytes = held_bytes
        self._looked_at = float("-inf")
        self._watched = socket
        self._publishes = socket.type == zmq.XPUB
        self._waiting: dict[int, _Connection] = {}
        """Those that have sent nothing, by descriptor, the newest last."""
        self._open: dict[int, _Connection] = {}
        """All others, the latest to send last."""
        self.refused = 0
        """Connections that were shut down, for there were too many."""
        self._reported_at = float("-inf")
        address = f"inproc://connections-{next(_numbers)}"
        socket.monitor(address, _EVENTS)
        self.monitor: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
        # A full queue of events would stop libzmq's thread.
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.setsockopt(zmq.LINGER, 0)
        self.monitor.connect(address)

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._waiting) + len(self._open)

    def update(self) -> None:
        """Take in what was accepted and lost since the last call; shut down what is too many."""
        while has_input(self.monitor):
            event = recv_monitor_message(self.monitor)
            descriptor = int(event["value"])
            match event["event"]:
                case zmq.EVENT_ACCEPTED:
                    self._waiting[descriptor] = _Connection(descriptor, time.monotonic())
                case zmq.EVENT_DISCONNECTED:
                    self._waiting.pop(descriptor, None)
                    self._open.pop(descriptor, None)
        if self._publishes:
            self._settle(time.monotonic() - SETTLED_S)
        # Only now: a descriptor of an earlier event may have been used again.
        while len(self._waiting) > self._limits.silent:
            self._shut_down(next(iter(self._waiting.values())))
        while len(self._open) > self._limits.in_all:
            order = reversed(self._open.values()) if self._publishes else self._open.values()
            self._shut_down(next(iter(order)))
        now = time.monotonic()
        every_s = SUBSCRIBED_CHECK_S if self._publishes else HELD_CHECK_S
        if now - self._looked_at >= max(every_s, _CHECK_SHARE_S * len(self)):
            self._looked_at = now
            self._limit_held(now)

    def _limit_held(self, now: float) -> None:
        """Shut down the connections of which libzmq holds too much, of all those with the most."""
        held: list[tuple[int, _Connection]] = []
        for one in (*self._waiting.values(), *self._open.values()):
            taken = _bytes_taken(one.descriptor)
            if one.read:
                one.read, one.read_bytes = False, taken
            held.append((taken - one.read_bytes, one))
        held.sort(key=lambda entry: entry[0])
        in_all = sum(size for size, _ in held)
        while held:
            size, one = held.pop()
            most = self._held_bytes
            if self._publishes:
                most = SUBSCRIPTION_BYTES + int(_SUBSCRIPTION_BYTES_A_S * (now - one.accepted_at))
            if size > most or in_all > HELD_IN_ALL:
                self._shut_down(one)
                in_all -= size

    def _settle(self, before: float) -> None:
        for descriptor, one in list(self._waiting.items()):
            if one.accepted_at > before:
                return
            self._open[descriptor] = self._waiting.pop(descriptor)

    def on_frame(self, frame: zmq.Frame, user: str) -> None:
        """Record a message, by its last frame, of a peer with this key; empty without keys."""
        try:
            descriptor = int(frame.get("__fd"))
        except zmq.ZMQError:  # of a peer of ZMTP 1, which counts as silent
            return
        if descriptor not in self._open and descriptor not in self._waiting:
            self.update()
        is_known = descriptor in self._open
        one = (self._open if is_known else self._waiting).pop(descriptor, None)
        if one is None:  # lost since, or shut down: this message was still under way
            return
        self._open[descriptor] = one
        one.read = True
        if is_known:
            return
        one.user = user
        of_key = [other for other in self._open.values() if other.user == user]
        if user and len(of_key) > self._limits.per_key:
            self._shut_down(of_key[0])

    def _shut_down(self, one: _Connection) -> None:
        self._waiting.pop(one.descriptor, None)
        self._open.pop(one.descriptor, None)
        self.refused += 1
        self._report()
        with contextlib.suppress(OSError):  # it is gone already
            descriptor = os.dup(one.descriptor)
            try:
                connection = sockets.socket(fileno=descriptor)
            except OSError:  # or another file by now
                os.close(descriptor)
                return
            with connection:
                connection.shutdown(sockets.SHUT_RDWR)

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at > _REPORT_S:
            self._reported_at = now
            endpoint = self._watched.getsockopt_string(zmq.LAST_ENDPOINT)
            logger.warning(
                "too many connections to %s, or too much from one: %d shut down",
                endpoint,
                self.refused,
            )

    def close(self) -> None:
        """End watching; call it before the watched socket is closed."""
        if not self._watched.closed:
            self._watched.disable_monitor()
        self.monitor.close(linger=0)


def _bytes_taken(descriptor: int) -> int:
    """Return how many bytes of a connection libzmq has taken; 0 where the system cannot say it."""
    if sys.platform != "linux":
        return 0
    try:
        connection = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, fileno=descriptor)
    except OSError:  # it is gone
        return 0
    try:
        info = connection.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _BYTES_RECEIVED.size)
        (received,) = _BYTES_RECEIVED.unpack(info)
        (waiting,) = _INT.unpack(fcntl.ioctl(connection, termios.FIONREAD, bytes(_INT.size)))
    except (OSError, struct.error):  # another file by now, or an older system
        return 0
    finally:
        connection.detach()
    return int(received) - int(waiting)
