"""Back-pressure: whether the hub takes samples, and what it does while it cannot.

A short backlog passes by itself: the hub leaves samples unread, and sources wait. After `_UNREAD_S`
it reads again, lest sources take it for dead: it answers without credit, and refuses whatever comes
in spite of that, for it will be sent again. Without a scorer, the hub gives up the beats of live
devices, which cannot wait, so that the rules on the signal still run. A record waits and loses
nothing.

Not thread-safe: runs in the hub's loop. Units: seconds of the hub's clock.
"""

from typing import Final

from pipeline.hub.dispatch import Dispatcher
from pipeline.schema.messages import GivenUp
from pipeline.stream.streams import Streams

CHUNKS_UNDER_WAY: Final = 8
"""Credit of a source: chunks it may have sent without an `Accepted`."""

MAX_PENDING: Final = 4_096
"""Backlog, in beats without a result or alerts outside the log, at which no samples are taken."""

GIVE_UP_S: Final = 10.0
"""After so long without a useful answer, windows are given up to make space for others."""

_GIVEN_UP_A_TURN: Final = 256

_UNREAD_S: Final = 0.4
"""Shorter than the silence after which a source asks."""


class NoCreditError(Exception):
    """A chunk came though its source had no credit, or before it knew."""


class Admission:
    """Decides whether samples of ``streams``, whose windows ``dispatcher`` holds, are taken."""

    def __init__(self, streams: Streams, dispatcher: Dispatcher) -> None:
        self.reads_samples = True
        """Whether the ingest socket is read."""
        self._streams = streams
        self._dispatcher = dispatcher
        self._full_since: float | None = None
        self._refuses = False

    def update(self, unlogged_alerts: int, now: float) -> GivenUp | None:
        """Update by the backlog, of which the log's is given; return the windows to give up now."""
        if max(self._streams.pending, unlogged_alerts) < MAX_PENDING:
            self._full_since, self._refuses, self.reads_samples = None, False, True
            return None
        if self._full_since is None:
            self._full_since = now
        self._refuses = self.reads_samples = now - self._full_since >= _UNREAD_S
        if not self._streams.live or self._dispatcher.stalled_s(now) < GIVE_UP_S:
            return None
        ids = self._dispatcher.give_up(_GIVEN_UP_A_TURN)
        return GivenUp(ids=ids) if ids else None

    @property
    def credit(self) -> int:
        """Chunks that a source may send without an answer."""
        return 0 if self._refuses else CHUNKS_UNDER_WAY

    def require_credit(self) -> None:
        """Raise `NoCreditError` while no chunk is taken."""
        if self._refuses:
            raise NoCreditError
