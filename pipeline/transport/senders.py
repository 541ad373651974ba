"""Over which connection each stream was sent last, and whether that is still there.

Not thread-safe. Units: seconds of the caller's clock.
"""

from collections.abc import Callable, Collection
from typing import Final

from pipeline.transport.sockets import Peer, Router

_LOOK_S: Final = 1.0
"""Whether a peer is there is looked for no more often: each time it gets a message."""

_FORGET: Final = 512
"""With more senders than this, and twice as many as there are streams, some are forgotten."""


class Senders:
    """The peers of a ``socket`` that send streams, by stream."""

    def __init__(self, socket: Router) -> None:
        self._socket = socket
        self._peers: dict[str, Peer] = {}
        self._looked_at: dict[str, float] = {}
        """When it was last looked whether a peer is there."""

    def remember(self, stream: str, peer: Peer, streams: Collection[str]) -> None:
        """Record who sent a stream last; only those of known ``streams`` are kept for long."""
        self._peers[stream] = peer
        if len(self._peers) > max(_FORGET, 2 * len(streams)):
            self._peers = {name: one for name, one in self._peers.items() if name in streams}

    def is_gone(self, stream: str, now: float, repeated: Callable[[], bytes]) -> bool:
        """Return whether who sent a stream last has no connection any more.

        libzmq says it of a message only: that is what ``repeated`` returns, which the peer knows.
        """
        peer = self._peers.get(stream)
        if peer is None:
            return True
        if now - self._looked_at.get(stream, float("-inf")) < _LOOK_S:
            return False
        self._looked_at = {n: at for n, at in self._looked_at.items() if now - at < _LOOK_S}
        self._looked_at[stream] = now
        return self._socket.offer(peer, repeated()) is None
