"""Back-pressure: whether the hub takes the samples of a stream, and what it does while it cannot.

Each stream has room for beats without a result of its own, and its own credit: no source takes the
room of another. A record whose room is full waits: the answers to its chunks are held back, for
`_HOLD_S` at most, lest its source take the hub for dead. Then they give no credit. Where many
records are replayed fast each has less room and credit, for what all of them have under way is what
every beat waits for. A device cannot wait: its samples are taken, so that the rules on the signal
run, and if no scorer takes its beats the oldest of them are given up. What comes without credit is
not taken and counted; a source of ours sends it again.

A log that takes nothing stops the records, and devices much later: first the hub leaves samples
unread, then it gives no credit. Not thread-safe: runs in the hub's loop. Units: seconds of the
hub's clock.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.constants import MAX_STREAMS
from pipeline.hub.dispatch import Dispatcher
from pipeline.hub.gathering import MANY, MOST_S, SHORT_S
from pipeline.schema.messages import GivenUp
from pipeline.scoring.beat import Beat
from pipeline.stream.session import StreamSession
from pipeline.stream.streams import Streams

CHUNKS_UNDER_WAY: Final = 8
"""Credit of a source: chunks it may have sent without an `Accepted`."""

SHORT_UNDER_WAY: Final = int(MOST_S / SHORT_S)
"""Credit of a source of short chunks, which wait for each other."""

_LONG: Final = SHORT_UNDER_WAY // CHUNKS_UNDER_WAY
"""Credit that a chunk takes which is not short; a short one takes 1."""

_FAST_UNDER_WAY: Final = 256
"""Chunks longer than `MOST_S` that all sources share as credit: only a fast replay sends them."""

MAX_PENDING: Final = 4_096
"""Beats without a result that all streams share as room; alerts outside the log at which no samples
of records are taken."""

_MAX_UNLOGGED: Final = 4 * MAX_PENDING
"""Alerts outside the log at which no samples are taken: some 16 MiB."""

LEAST_ROOM: Final = 64
"""Room of a device, however many streams there are: a batch for a scorer."""

LEAST_OF_RECORD: Final = 16
"""Room of a record, which can wait, however many streams there are."""

MOST_ROOM: Final = 512
"""Room of a stream, however few there are: seven minutes of a heart."""

_TAKEN: Final = 4 * MAX_PENDING
"""With this many beats in all no stream has more than its room."""

GIVE_UP_S: Final = 10.0
"""After this long without a useful answer, or with its room full, a device's beats are given up."""

_HOLD_S: Final = 0.4
"""Shorter than the silence after which a source asks."""

_UPDATE_S: Final = 0.1
"""Of many streams the rooms are looked at no more often; beyond the usual number of streams less
often, in proportion, down to each `_HOLD_S`."""

_GIVEN_UP: Final = 256
"""Beats that are given up at most in each `_UPDATE_S`."""


class NoCreditError(Exception):
    """A chunk came though its source had no credit, or before it knew."""


class Admission:
    """Decides whether samples of ``streams``, whose windows ``dispatcher`` holds, are taken."""

    def __init__(self, streams: Streams, dispatcher: Dispatcher) -> None:
        self.reads_samples = True
        """Whether the ingest socket is read."""
        self.open_streams = 0
        """How many streams are not over, as of the last `update`."""
        self._streams = streams
        self._dispatcher = dispatcher
        self._updated_at = float("-inf")
        self._room = self._room_of_record = MOST_ROOM
        self._pending = 0
        """Beats without a result, over all streams."""
        self._full_since: dict[str, float] = {}
        """Streams whose room is full, and since when."""
        self._under_way: dict[str, int] = {}
        """Credit that chunks take which were taken in and are not answered, by stream."""
        self._credits: dict[str, int] = {}
        """Credit of each stream, by the length of its latest chunk."""
        self._log_full_since: float | None = None
        self._log_full = False
        """Whether so many alerts wait for the log that no samples of records are taken."""
        self._log_overfull = False
        """Whether so many alerts wait for the log that no samples are taken at all."""

    def update(self, unlogged_alerts: int, now: float) -> GivenUp | None:
        """Update by the backlog, of which the log's is given; return the windows to give up now."""
        self._watch_log(unlogged_alerts, now)
        sessions = self._streams.sessions
        every_s = min(_UPDATE_S * max(1.0, len(sessions) / MAX_STREAMS), _HOLD_S)
        if self.open_streams >= MANY and now - self._updated_at < every_s:
            return None
        self._updated_at = now
        pending = [one.stream.beats.pending for one in sessions.values()]
        over = sum([one.state.ending and one.ended for one in sessions.values()])
        self.open_streams = len(sessions) - over
        self._pending = sum(pending)
        share = MAX_PENDING // max(1, self.open_streams)
        self._room = min(MOST_ROOM, max(LEAST_ROOM, share))
        self._room_of_record = room = min(MOST_ROOM, max(LEAST_OF_RECORD, share))
        full = [
            name
            for (name, session), beats in zip(sessions.items(), pending, strict=True)
            if beats >= room and (beats >= self._room or _can_wait(session))
        ]
        self._full_since = {name: self._full_since.get(name, now) for name in full}
        if len(self._credits) > len(sessions):
            self._credits = {n: most for n, most in self._credits.items() if n in sessions}
        ids = [
            beat.id
            for name, since in self._full_since.items()
            for beat in self._oldest(sessions[name], since, now)
        ][: round(_GIVEN_UP * every_s / _UPDATE_S)]
        return GivenUp(ids=ids) if ids else None

    def _watch_log(self, unlogged_alerts: int, now: float) -> None:
        self._log_overfull = unlogged_alerts >= _MAX_UNLOGGED
        if unlogged_alerts < MAX_PENDING:
            self._log_full_since, self._log_full, self.reads_samples = None, False, True
            return
        if self._log_full_since is None:
            self._log_full_since = now
        self._log_full = self.reads_samples = now - self._log_full_since >= _HOLD_S

    def _oldest(self, session: StreamSession, full_since: float, now: float) -> list[Beat]:
        """Return the beats to give up of a stream whose room is full: none of a record."""
        stalled_s = max(now - full_since, self._dispatcher.stalled_s(now))
        if not session.stream.live or stalled_s < GIVE_UP_S:
            return []
        return session.stream.beats.waiting[: session.stream.pending - self._room + 1]

    def next_deadline(self) -> float | None:
        """Return when `update` should be asked again at the latest; None if nothing is held."""
        held = [since for name, since in self._full_since.items() if name in self._under_way]
        return min(held) + _HOLD_S if held else None

    def require_credit(self, name: str, now: float) -> None:
        """Raise `NoCreditError` if no chunk of a stream is taken now."""
        if self._is_refused(name) or self._under_way.get(name, 0) >= SHORT_UNDER_WAY:
            raise NoCreditError
        if self._waits(name) and now - self._full_since.get(name, now) >= _HOLD_S:
            raise NoCreditError

    def on_taken(self, name: str, fs_hz: float, lengths: Sequence[int]) -> list[int]:
        """Record that chunks of a stream were taken in; return the credit that each takes.

        ``lengths`` are their samples of each lead.
        """
        short = SHORT_S * fs_hz
        if max(lengths) <= short:  # nearly always
            taken = [1] * len(lengths)
        else:
            taken = [1 if n <= short else _LONG for n in lengths]
        if taken[-1] == 1:
            self._credits[name] = SHORT_UNDER_WAY
        elif lengths[-1] <= MOST_S * fs_hz:
            self._credits[name] = CHUNKS_UNDER_WAY
        else:
            each = _FAST_UNDER_WAY // max(1, self.open_streams)
            self._credits[name] = min(CHUNKS_UNDER_WAY, max(1, each))
        self._under_way[name] = self._under_way.get(name, 0) + sum(taken)
        return taken

    def holds(self, name: str, now: float) -> bool:
        """Return whether the answers to the chunks of a stream are held back."""
        return self._waits(name) and now - self._full_since.get(name, now) < _HOLD_S

    def on_answered(self, name: str, taken: int) -> None:
        """Record that messages of a stream are answered which took so much credit."""
        left = self._under_way.get(name, 0) - taken
        if left > 0:
            self._under_way[name] = left
        else:
            self._under_way.pop(name, None)

    def credit(self, name: str) -> int:
        """Return how many chunks the source of a stream may send without an answer."""
        if self._is_refused(name) or self._waits(name):
            return 0
        return self._credits.get(name, CHUNKS_UNDER_WAY)

    def _waits(self, name: str) -> bool:
        """Return whether a stream's room is full, and its source can wait."""
        session = self._streams.sessions.get(name)
        if session is None or session.stream.beats.pending < self._room_of_record:
            return False
        return _can_wait(session)

    def _is_refused(self, name: str) -> bool:
        """Return whether nothing of a stream is taken.

        So many beats of it wait that not even a device's are taken, or too much waits for the log.
        """
        session = self._streams.sessions.get(name)
        if self._log_overfull or session is None:
            return self._log_overfull
        most = self._room if self._pending >= _TAKEN else 2 * MOST_ROOM
        return session.stream.pending >= most or (self._log_full and _can_wait(session))


def _can_wait(session: StreamSession) -> bool:
    """Return whether the source of a stream can wait; not if nothing is known of it yet."""
    return not session.stream.live and session.stream.counters.samples > 0
