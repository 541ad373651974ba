"""The hub's five sockets: all open or none, guarded by keys or on loopback."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from pipeline.hub.catchup import PAGES_UNDER_WAY
from pipeline.transport.access_list import ALERTS, CONTROL, INGEST, REPLAY, WORK
from pipeline.transport.auth import Authenticator
from pipeline.transport.sockets import (
    CONTROL_FRAME_BYTES,
    DATA_FRAME_BYTES,
    PEER_QUEUE,
    Publisher,
    Router,
)


class HubSockets:
    """The sockets by name; a context manager."""

    def __init__(self, addresses: Mapping[str, str], guard: Authenticator | None) -> None:
        """Bind them, and have the guard try them.

        Raises:
            EndpointError: an address is in use.
            ConfigError: an address is off loopback without a guard.
            GuardError: the guard does not hold.
        """
        self._guard = guard
        with ExitStack() as opened:

            def router(door: str, max_frame: int, queue: int = PEER_QUEUE) -> Router:
                end = Router(
                    addresses[door], max_frame=max_frame, queue=queue, guard=guard, door=door
                )
                return opened.enter_context(end)

            self.alerts = Publisher(addresses[ALERTS], guard=guard, door=ALERTS)
            opened.enter_context(self.alerts)
            self.replay = router(REPLAY, CONTROL_FRAME_BYTES, PAGES_UNDER_WAY)
            self.control = router(CONTROL, CONTROL_FRAME_BYTES)
            self.ingest = router(INGEST, DATA_FRAME_BYTES)
            self.work = router(WORK, DATA_FRAME_BYTES)
            if guard is not None:
                guard.watch(self.endpoints)
            self._opened = opened.pop_all()

    @property
    def routers(self) -> dict[str, Router]:
        """Return those that take something in, by name."""
        return {REPLAY: self.replay, CONTROL: self.control, INGEST: self.ingest, WORK: self.work}

    @property
    def endpoints(self) -> dict[str, str]:
        """Return the addresses in use by name."""
        ends = {ALERTS: self.alerts, **self.routers}
        return {name: end.endpoint for name, end in ends.items()}

    def check(self) -> None:
        """See after the guard; raise `AuthenticationError` if it does not hold any more."""
        if self._guard is not None:
            self._guard.check()

    def close(self) -> None:
        """Close them."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
