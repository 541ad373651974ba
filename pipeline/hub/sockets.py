"""The hub's five sockets: all open or none, on loopback or with keys."""

from contextlib import ExitStack
from typing import Final, Self

from pipeline.constants import MAX_STREAMS
from pipeline.hub.catchup import PAGES_UNDER_WAY
from pipeline.hub.config import HubConfig
from pipeline.hub.control import REQUESTS_A_TURN
from pipeline.transport.access_list import ALERTS, CONTROL, INGEST, REPLAY, WORK
from pipeline.transport.connections import ConnectionLimits
from pipeline.transport.sockets import (
    CONTROL_FRAME_BYTES,
    PEER_QUEUE,
    Publisher,
    Router,
)
from pipeline.transport.wakeup import Wakeup
from pipeline.transport.zmq_socket import DATA_FRAME_BYTES

LIMITS: Final = {
    # A reader that takes nothing costs its pages under way, two megabytes.
    REPLAY: ConnectionLimits(in_all=64, per_key=16),
    # A client of control that takes nothing costs sixteen states of 256 streams, three megabytes,
    # or as many bytes of fewer.
    CONTROL: ConnectionLimits(in_all=64, per_key=16),
    # A scorer that takes nothing costs its batches under way, three megabytes.
    WORK: ConnectionLimits(in_all=64, per_key=32),
}
"""How many connections these sockets have at most; the ingest socket by the number of streams."""


_QUEUES: Final = {REPLAY: PAGES_UNDER_WAY, CONTROL: REQUESTS_A_TURN, WORK: 32}
"""Messages that wait for a peer of these sockets. A client that asks again before it has read so
many replies gets no more; a scorer has 32 batches at a time at most (`Ready`)."""


def limits_of(name: str, max_streams: int) -> ConnectionLimits:
    """Return how many connections a socket has: a source may have one for each of its streams."""
    n = max(MAX_STREAMS, max_streams)
    ingest = ConnectionLimits(in_all=2 * n, per_key=n, silent=2 * n)
    return ingest if name == INGEST else LIMITS[name]


def queue_of(name: str, max_streams: int) -> int:
    """Return how many messages wait for a peer; a state of many streams is a long message."""
    if name == CONTROL:
        return max(2, REQUESTS_A_TURN * MAX_STREAMS // max(MAX_STREAMS, max_streams))
    return _QUEUES.get(name, PEER_QUEUE)


class HubSockets:
    """The sockets by name; a context manager."""

    def __init__(self, config: HubConfig) -> None:
        """Bind them; where there are keys, have each of them tested.

        Raises:
            EndpointError: an address is in use.
            ConfigError: an address is off loopback, and there are no keys.
            AuthenticationError: a socket lets in a key that is not on the list, or none at all.
        """
        self._auth = auth = config.auth
        listeners = config.listeners
        with ExitStack() as opened:

            def router(name: str, max_frame: int) -> Router:
                socket = Router(
                    getattr(config, name),
                    max_frame=max_frame,
                    queue=queue_of(name, config.max_streams),
                    auth=auth,
                    socket_name=name,
                    listener=listeners.get(name),
                    limits=limits_of(name, config.max_streams),
                )
                return opened.enter_context(socket)

            self.alerts = Publisher(
                config.alerts, auth=auth, socket_name=ALERTS, listener=listeners.get(ALERTS)
            )
            opened.enter_context(self.alerts)
            self.replay = router(REPLAY, CONTROL_FRAME_BYTES)
            self.control = router(CONTROL, CONTROL_FRAME_BYTES)
            self.ingest = router(INGEST, DATA_FRAME_BYTES)
            self.work = router(WORK, DATA_FRAME_BYTES)
            self.wakeup = opened.enter_context(Wakeup())
            """Ends the wait for them."""
            if auth is not None:
                auth.watch(self.endpoints)
            self._opened = opened.pop_all()

    @property
    def routers(self) -> dict[str, Router]:
        """The sockets that receive, by name."""
        return {REPLAY: self.replay, CONTROL: self.control, INGEST: self.ingest, WORK: self.work}

    @property
    def endpoints(self) -> dict[str, str]:
        """The addresses in use, by name."""
        sockets = {ALERTS: self.alerts, **self.routers}
        return {name: socket.endpoint for name, socket in sockets.items()}

    @property
    def rejected(self) -> int:
        """Messages dropped before anything decoded them, over all sockets."""
        return sum(router.rejected for router in self.routers.values())

    def check(self) -> None:
        """Raise `AuthenticationError` if the sockets are no longer protected by their keys."""
        if self._auth is not None:
            self._auth.check()

    def close(self) -> None:
        """Close them."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
