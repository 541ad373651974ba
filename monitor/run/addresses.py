"""The addresses of a run's hub, which the run itself listens on.

A hub that is started again must be found at the same addresses, because its clients keep them. So
the run opens the listening sockets, and hands them to each of its hubs, which only accept what
arrives there. While no hub runs, no other program can bind to these ports, whatever options it sets
and whoever runs it; whoever connects meanwhile waits in the kernel's queue, and is served by the
next hub at once.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from pipeline.errors import ConfigError, EndpointError

_HOST: Final = "127.0.0.1"
_PUBLIC: Final = ("alerts", "replay", "control")
"""On consecutive ports."""

_PRIVATE: Final = ("ingest", "work")
_METRICS: Final = "metrics"
_ATTEMPTS: Final = 100

_WAITING: Final = 1_024
"""Connections that wait in the kernel for a hub, on each port: fifty sources that try again twice a
second for ten seconds."""


def check_port(port: int) -> None:
    """Raise `ConfigError` unless ``port`` can be that of the alerts; 0 stands for any."""
    highest = 65536 - len(_PUBLIC)
    if not 0 <= port <= highest:
        raise ConfigError(f"port {port}: choose one from 1 to {highest}, or 0 for any")


class Ports:
    """The ports of a run, and the sockets that listen there."""

    def __init__(self, port: int, metrics: int | None = None) -> None:
        """Listen on ``port`` and two above it for alerts, replay and control, and on two others.

        Args:
            port: of the alerts; 0 for one that the kernel chooses.
            metrics: port of the metrics; 0 for one that the kernel chooses, None for none.

        Raises:
            ConfigError: there is no such port.
            EndpointError: a port is in use.
        """
        check_port(port)
        self._held: dict[str, socket.socket] = {}
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._listen_in_a_row(port)
            for name in _PRIVATE:
                self._listen(name, 0)
            self.endpoints = {
                name: f"tcp://{_HOST}:{held.getsockname()[1]}" for name, held in self._held.items()
            }
            """Address by name, as `pipeline.hub.hub.Hub.endpoints`."""
            if metrics is not None:
                self._listen_for_metrics(metrics)
            on_failure.pop_all()
        self.port: int = self._held["alerts"].getsockname()[1]

    def _listen_in_a_row(self, port: int) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                first = self._listen(_PUBLIC[0], port)
                for above, name in enumerate(_PUBLIC[1:], start=1):
                    self._listen(name, first + above)
                return
            except (OSError, OverflowError) as error:
                self.close()
                if port or attempt + 1 == _ATTEMPTS:
                    raise EndpointError(
                        f"cannot use ports {port} to {port + len(_PUBLIC) - 1}: {error}; "
                        "another monitor may be running: choose another port with --port"
                    ) from None

    def _listen_for_metrics(self, port: int) -> None:
        try:
            self._listen(_METRICS, port)
        except OSError as error:
            raise EndpointError(
                f"cannot use port {port} for the metrics: {error}; choose another with --metrics"
            ) from None

    def _listen(self, name: str, port: int) -> int:
        held = self._held[name] = socket.socket()
        # Connections of an earlier run that still linger do not keep the port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, port))
        held.listen(_WAITING)
        # A connection that is gone before it is accepted must not stop a hub's thread.
        held.setblocking(False)
        number: int = held.getsockname()[1]
        return number

    @property
    def descriptors(self) -> dict[str, int]:
        """The descriptors of the listening sockets by name, for a hub to inherit."""
        return {name: held.fileno() for name, held in self._held.items()}

    def close(self) -> None:
        """Release the ports."""
        for held in self._held.values():
            held.close()
        self._held = {}


def listeners_argument(descriptors: Mapping[str, int]) -> str:
    """Return descriptors by name as an argument of ``monitor hub``."""
    return ",".join(f"{name}={number}" for name, number in descriptors.items())


def inherited_listeners(argument: str | None) -> dict[str, int]:
    """Return the descriptors in an argument, as `listeners_argument` made it; none without one.

    Raises:
        ConfigError: it is malformed, or names a descriptor that is no listening socket.
    """
    listeners = {}
    for part in (argument or "").split(","):
        name, _, number = part.partition("=")
        if part and name in (*_PUBLIC, *_PRIVATE, _METRICS) and number.isdecimal():
            listeners[name] = int(number)
            _check_listens(int(number))
        elif part:
            raise ConfigError(f"--listeners: {part[:80]!r} is not NAME=DESCRIPTOR")
    return listeners


def _check_listens(descriptor: int) -> None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as inherited:
            listens = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (OSError, OverflowError):
        listens = 0
    if not listens:
        raise ConfigError(f"--listeners: descriptor {descriptor} is no listening socket")
