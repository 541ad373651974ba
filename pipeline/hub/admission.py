"""Whether a hub has room for samples, and what it does where it has none.

A moment without room passes by itself: the hub leaves samples unread, and sources wait. Then they
are told to wait, lest they take it for dead: questions are answered without credit, and what comes
in spite of that is not taken, for it comes again. And where nobody scores, the beats of devices,
which cannot wait, are given up, so that the rules on the signal go on; a record waits and loses
nothing.

Not thread-safe: runs in the hub's loop. Units: seconds of the hub's clock.
"""

from collections.abc import Mapping
from typing import Final

from pipeline.hub.dispatch import Dispatcher
from pipeline.schema.messages import GivenUp
from pipeline.stream.session import StreamSession

CHUNKS_UNDER_WAY: Final = 8
"""Credit of a source: chunks it may have sent without an `Accepted`."""

MAX_PENDING: Final = 4_096
"""Beats not told, or alerts not in the log, at which the hub takes no samples in."""

GIVE_UP_S: Final = 10.0
"""After so long without an answer of use, windows are given up where there is no room for more."""

_GIVEN_UP_A_TURN: Final = 256

_PATIENT_S: Final = 0.4
"""Shorter than the silence after which a source asks."""


class NoCreditError(Exception):
    """A chunk came though its source had no credit, or before it knew."""


class Admission:
    """The room that the beats of ``sessions`` leave, which wait in ``dispatcher``."""

    def __init__(self, sessions: Mapping[str, StreamSession], dispatcher: Dispatcher) -> None:
        self.listens = True
        """Whether samples are read."""
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._none_since: float | None = None
        self._full = False

    def look(self, waiting: int, now: float) -> GivenUp | None:
        """Take note of how many beats or alerts wait; return what is given up to make room."""
        if waiting < MAX_PENDING:
            self._none_since, self._full, self.listens = None, False, True
            return None
        if self._none_since is None:
            self._none_since = now
        self._full = self.listens = now - self._none_since >= _PATIENT_S
        devices = any(session.stream.live for session in self._sessions.values())
        if not devices or self._dispatcher.stalled_s(now) < GIVE_UP_S:
            return None
        ids = self._dispatcher.give_up(_GIVEN_UP_A_TURN)
        return GivenUp(ids=ids) if ids else None

    @property
    def credit(self) -> int:
        """Return how many chunks a source may send without an answer."""
        return 0 if self._full else CHUNKS_UNDER_WAY

    def claim(self) -> None:
        """Raise `NoCreditError` where a chunk is not taken in."""
        if self._full:
            raise NoCreditError
