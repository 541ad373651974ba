"""The addresses of a run's hub, kept for it while it is away.

A hub that is started again has to listen where it did, for nobody tells the others a new address.
So the run reserves the ports: its own sockets are bound to them, and never listen. The hub binds
over them (both sides allow it), but the kernel gives them to nobody else while the hub is dead,
nor makes a client that tries to reconnect meet itself there.
"""

import socket
import sys
from typing import Final

from pipeline.errors import ConfigError, EndpointError

_HOST: Final = "127.0.0.1"
_PUBLIC: Final = ("alerts", "replay", "control")
"""On consecutive ports."""

_PRIVATE: Final = ("ingest", "work")
_ATTEMPTS: Final = 100


def check_port(port: int) -> None:
    """Raise `ConfigError` unless alerts can be published on ``port``, 0 for any."""
    highest = 65536 - len(_PUBLIC)
    if not 0 <= port <= highest:
        raise ConfigError(f"port {port}: choose one from 1 to {highest}, or 0 for any")


class Ports:
    """The reserved ports of one hub."""

    def __init__(self, port: int) -> None:
        """Reserve ``port`` and those above for alerts, replay and control, and two for our own.

        Args:
            port: of the alerts; 0 for one that the kernel chooses.

        Raises:
            ConfigError: there is no such port.
            EndpointError: somebody listens there.
        """
        check_port(port)
        self._held: list[socket.socket] = []
        for attempt in range(_ATTEMPTS):
            try:
                first = self._reserve(port)
                for above in range(1, len(_PUBLIC)):
                    self._reserve(first + above)
                break
            except (OSError, OverflowError) as error:
                self.close()
                if port or attempt + 1 == _ATTEMPTS:
                    raise EndpointError(
                        f"cannot use ports {port} to {port + len(_PUBLIC) - 1}: {error}; "
                        "another monitor may be running: choose another port with --port"
                    ) from None
        for _ in _PRIVATE:
            self._reserve(0)
        numbers = [held.getsockname()[1] for held in self._held]
        self.endpoints = {
            name: f"tcp://{_HOST}:{number}"
            for name, number in zip((*_PUBLIC, *_PRIVATE), numbers, strict=True)
        }
        """Address by name, as `pipeline.hub.hub.Hub.endpoints`."""
        self.port: int = numbers[0]
        if sys.platform != "linux":
            # Elsewhere a bound socket keeps everybody off, the hub as well.
            self.close()

    def _reserve(self, port: int) -> int:
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, port))
        number: int = held.getsockname()[1]
        return number

    def close(self) -> None:
        """Give the ports up."""
        while self._held:
            self._held.pop().close()
