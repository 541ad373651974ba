"""A way to a server on loopback that a test can cut, that is slow, or that loses everything."""

import contextlib
import socket
import threading
from typing import Self

from tests.support.running import DEADLINE_S

_SLOW_BUFFER = 4_096
"""Bytes on the way on either side of a slow connection."""

_PARTS_PER_S = 20
"""In which a slow connection passes on what comes."""


class Proxy:
    """A way to a server; a context manager."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        """Of new connections."""
        self.bytes_per_s = 0.0
        """That new connections pass on of what the server sends; 0 for all at once."""
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._dead: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = self._connected()
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                if self.bytes_per_s:
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SLOW_BUFFER)
                for pair in ((near, far, 0.0), (far, near, self.bytes_per_s)):
                    pump = threading.Thread(target=self._pump, args=pair)
                    self._threads.append(pump)
                    pump.start()

    def _connected(self) -> socket.socket:
        far = socket.socket()
        try:
            if self.bytes_per_s:  # before it connects: a window that was large stays so
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER)
            far.connect(("127.0.0.1", self.to_port))
        except OSError:
            far.close()
            raise
        return far

    def _pump(self, source: socket.socket, sink: socket.socket, bytes_per_s: float) -> None:
        size = max(1, round(bytes_per_s / _PARTS_PER_S)) if bytes_per_s else 65_536
        with contextlib.suppress(OSError):
            while body := source.recv(size):
                if source not in self._dead:
                    sink.sendall(body)
                if bytes_per_s:
                    self._ended.wait(len(body) / bytes_per_s)
        if source not in self._dead:
            self._shut(source, sink)

    def _shut(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections, whatever is on its way."""
        self._shut(*self._sockets)

    def lose(self) -> None:
        """Pass nothing on from now on for all connections that there are, and end none of them."""
        self._dead.update(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._shut(self._listener)
        self._listener.close()
        self._threads[0].join(DEADLINE_S)
        self.cut()
        for pump in self._threads[1:]:
            pump.join(DEADLINE_S)
        for one in self._sockets:
            one.close()
