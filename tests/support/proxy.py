"""A way to a server on loopback that a test can cut, or on which everything gets lost."""

import contextlib
import socket
import threading
from typing import Self

from tests.support.running import DEADLINE_S


class Proxy:
    """A way to a server; a context manager."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        """Of new connections."""
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
                    far = socket.create_connection(("127.0.0.1", self.to_port))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    pump = threading.Thread(target=self._pump, args=pair)
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while body := source.recv(65_536):
                if source not in self._dead:
                    sink.sendall(body)
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
        self._shut(self._listener)
        self._listener.close()
        self._threads[0].join(DEADLINE_S)
        self.cut()
        for pump in self._threads[1:]:
            pump.join(DEADLINE_S)
        for one in self._sockets:
            one.close()
