"""The addresses of a run's hub, reserved for the whole run.

A hub that is started again must listen at the same addresses, because its clients keep them. So the
run reserves the ports: it binds sockets of its own to them that never listen. The hub can bind to
the same ports, since both sides set SO_REUSEADDR. While no hub runs, the kernel gives the ports to
no other program, and does not connect a client to itself when it tries to reconnect.
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
    """Raise `ConfigError` unless ``port`` can be that of the alerts; 0 stands for any."""
    highest = 65536 - len(_PUBLIC)
    if not 0 <= port <= highest:
        raise ConfigError(f"port {port}: choose one from 1 to {highest}, or 0 for any")


class Ports:
    """The reserved ports of one hub."""

    def __init__(self, port: int) -> None:
        """Reserve ``port`` and two above it for alerts, replay and control, and two other ports.

        Args:
            port: of the alerts; 0 for one that the kernel chooses.

        Raises:
            ConfigError: there is no such port.
            EndpointError: a port is in use.
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
            # Elsewhere a bound socket keeps the hub from binding too.
            self.close()

    def _reserve(self, port: int) -> int:
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, port))
        number: int = held.getsockname()[1]
        return number

    def close(self) -> None:
        """Release the ports."""
        while self._held:
            self._held.pop().close()
