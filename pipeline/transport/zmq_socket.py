"""What every socket of this project has in common: its settings, its keys, and how it is opened.

The classes that are used are those of `pipeline.transport.sockets`.
"""

import ctypes
import functools
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Final, Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.errors import EndpointError
from pipeline.transport import curve
from pipeline.transport.addresses import check_address
from pipeline.transport.auth import Authenticator
from pipeline.transport.connections import USUAL_LIMITS, ConnectionLimits, Connections
from pipeline.transport.curve import HANDSHAKE_EVENTS, ClientKeys

logger = logging.getLogger(__name__)

DATA_FRAME_BYTES: Final = 256 * 1024
"""Largest inbound frame between our own processes."""

LINGER_MS: Final = 2_000
QUEUE: Final = 10_000
"""Messages that a socket holds, where its class says nothing else."""

ROUTER_QUEUE: Final = 16
"""Messages that a `Router` holds from each peer. With credit a source sends no more than 8; what a
peer sends faster than it is read waits in its own connection."""

_ZMQ_THREADS: Final = 2
"""Threads that libzmq starts with the first socket of a process."""

_FAILURES_LOGGED: Final = 3
"""Handshakes that failed without a reason, as under the wrong key of the hub: worth a warning."""


@functools.cache
def _require_threads() -> None:
    """Raise `RuntimeError` where no thread can be started: libzmq would abort the process."""
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait, daemon=True) for _ in range(_ZMQ_THREADS)]
    try:
        for thread in threads:
            thread.start()
    finally:
        enough.set()
    for thread in threads:
        thread.join()


def _make_names_unpredictable() -> None:
    """Have the next socket give its peers other names than in any other program.

    A ROUTER numbers its peers from a number of C's ``rand``, which libzmq never seeds, and aborts
    the program if a peer has given itself the name of the next one.
    """
    ctypes.CDLL(None).srand(ctypes.c_uint(int.from_bytes(os.urandom(4), "little")))


class ZmqSocket:
    """A socket of one kind with this project's settings."""

    _kind: int
    _max_frame = DATA_FRAME_BYTES
    _queue = QUEUE

    def __init__(
        self,
        *,
        bind: str | None = None,
        connect: str | None = None,
        auth: Authenticator | None = None,
        socket_name: str = "",
        keys: ClientKeys | None = None,
        listener: int | None = None,
        limits: ConnectionLimits = USUAL_LIMITS,
    ) -> None:
        """Bind or connect.

        Args:
            bind: address to bind to.
            connect: address to connect to, if not.
            auth: checks the key of every peer.
            socket_name: name of this socket in the access list.
            keys: what to present to a hub that asks for keys.
            listener: descriptor of a socket that listens at the address to bind to, which stays
                open; None to open one.
            limits: of the connections to what is bound.

        Raises:
            ConfigError: the address is malformed, or off loopback without keys.
            EndpointError: the address is in use.
        """
        address = bind or connect
        assert address is not None
        check_address(address, keys=auth is not None or keys is not None)
        self.rejected = 0
        """Messages dropped: not one frame, or from a key without a right on this socket."""
        self._auth = auth
        self._socket_name = socket_name
        self._keys = keys
        self._listener = listener
        self._monitor: zmq.Socket[bytes] | None = None
        self._limits = limits
        self._connections: Connections | None = None
        self._failures = 0
        self._refusal = ""
        self._socket = self._open(address, binds=bind is not None)
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """The address in use, with the port that the kernel chose where 0 was asked for."""

    def _open(self, address: str, *, binds: bool) -> "zmq.Socket[bytes]":
        _require_threads()
        if binds:
            _make_names_unpredictable()
        try:
            socket: zmq.Socket[bytes] = zmq.Context.instance().socket(self._kind)
        except zmq.ZMQError as error:  # no descriptor is free
            raise EndpointError(f"cannot use {address}: {error}") from None
        self._configure(socket)
        if self._auth is not None:
            self._auth.require_keys(socket, self._socket_name)
        if self._keys is not None:
            curve.present_keys(socket, self._keys)
        try:
            if binds:
                if self._listener is not None:
                    # libzmq closes what it is given.
                    socket.setsockopt(zmq.USE_FD, os.dup(self._listener))
                self._connections = Connections(
                    socket, self._limits, (ROUTER_QUEUE + 2) * self._max_frame
                )
                socket.bind(address)
            else:
                self._monitor = socket.get_monitor_socket(HANDSHAKE_EVENTS)
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
            (zmq.LINGER, LINGER_MS),
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
        if self._monitor is not None:
            self._read_monitor(self._monitor)
        for _ in range(most):
            try:
                yield self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return

    def _read_monitor(self, monitor: "zmq.Socket[bytes]") -> None:
        """Raise `EndpointError` if the other end has refused us finally."""
        while monitor.poll(0):
            if curve.is_final_refusal(recv_monitor_message(monitor)):
                self._refusal = (
                    f"{self.endpoint} asks for keys: give --key and --server-key"
                    if self._keys is None
                    else f"{self.endpoint} refuses the key {self._keys.own.public} here: "
                    "where the hub runs, see monitor keys list"
                )
            else:
                self._failures += 1
            if self._failures == _FAILURES_LOGGED and self._keys is not None:
                logger.warning(
                    "handshakes with %s fail, still trying: is --server-key its key?",
                    self.endpoint,
                )
        if self._refusal:
            raise EndpointError(self._refusal)

    def _send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT)
        except (zmq.Again, zmq.ZMQError):
            # A full queue, or (ROUTER_MANDATORY) a peer without a connection; the caller counts it.
            return False
        return True

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Close the socket; queued messages are still sent for up to ``linger_ms``."""
        self._shut(self._socket, linger_ms)

    def _shut(self, socket: "zmq.Socket[bytes]", linger_ms: int) -> None:
        if self._monitor is not None:
            if not socket.closed:
                socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
        if self._connections is not None:
            self._connections.close()
            self._connections = None
        socket.close(linger=linger_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
