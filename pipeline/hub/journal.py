"""What a hub continues from after it was killed: snapshots of its streams, and the events since.

Every event that changes a stream is committed together with the alerts that follow from it, before
it is acknowledged to any source. From time to time the whole state of a stream is committed too,
and the events that are in all snapshots are dropped. `Journal.restore` reads the snapshots back and
applies the later events again. What followed from those events was published before, so only the
state counts, and it is that of the last commit.

Events are written as they were checked, not as they arrived: a frame may carry more than its
fields, and, nested deeply enough, that would make an entry that cannot be read.

Not thread-safe: runs in the hub's loop. Units: seconds of the hub's clock.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pipeline.errors import LogError, SnapshotError, WireError
from pipeline.hub.gathering import Gathered
from pipeline.log.schema import LONGEST_VALUE
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.messages import (
    Chunk,
    Entry,
    Event,
    Forgotten,
    Opened,
    decode_entry,
    encode_entry,
)
from pipeline.schema.public import Alert, PublishedAlert, Trend
from pipeline.stream.session import Progress, SessionState, StreamSession
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.streams import Streams

SNAPSHOT_EVENTS: Final = 256
"""At most so many events of a stream are applied again after a restart: a tenth of a second."""

SNAPSHOT_S: Final = 10.0
"""No event stays outside the snapshots for longer."""

_SNAPSHOTS_A_COMMIT: Final = 4
"""Written because of their age: they must not hold up the alerts."""

_MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Of events that the log does not take; beyond, snapshots are written instead once it does."""

LONGEST_STATE: Final = LONGEST_VALUE - 4_096
"""Bytes of a state that fits into a row of the log."""

_TOGETHER: Final = 64
"""Chunks of a stream that are applied again as one."""

_STRIPS_RESUMED: Final = 256

_FS_HZ: Final = struct.Struct("<d")
"""What a stream is begun with, before its state."""


@dataclass(slots=True)
class _Unsaved:
    """The events of a stream that are not in its snapshot."""

    first: int
    """Number of the first one,"""
    events: int
    """how many there are,"""
    since: float
    """and since when."""


class Journal:
    """The journal of ``streams`` in ``log``."""

    def __init__(
        self,
        log: AlertLog,
        streams: Streams,
        on_snapshots: Callable[[Collection[str]], None] | None = None,
    ) -> None:
        """Begin; ``on_snapshots`` is given the streams whose states are about to be written."""
        self._log = log
        self._streams = streams
        self._on_snapshots = on_snapshots or (lambda names: None)
        self._entries: list[bytes] = []
        """Not in the log yet."""
        self._waiting_bytes = 0
        self._unsaved: dict[str, _Unsaved] = {}
        """The one with the oldest event first."""
        self._long: set[str] = set()
        """Those of them with so many events that their state is to be written."""
        self._snapshots_needed: set[str] = set()
        """Streams with events that were dropped before the log took them."""
        self._removed: set[str] = set()
        """Streams whose snapshot is to be dropped."""
        self._progress: dict[str, Progress] = {}
        self._changed: set[str] = set()
        """Streams that may have come further than that."""
        self.unsaved: dict[str, str] = {}
        """Streams whose newest state could not be written, and why: a hub that continues from this
        log begins them again."""
        self.unsaved_states = 0
        """How many states were not written."""

    def is_due(self, now: float) -> bool:
        """Return whether anything waits to be written."""
        return bool(
            self._entries or self._snapshots_needed or self._removed or self._snapshots_due(now)
        )

    def progress(self, name: str) -> Progress | None:
        """Return how far a stream has come in the log; None if it has not begun there."""
        return self._progress.get(name)

    def add(self, event: Event, arrived_at: float) -> None:
        """Queue an event that is about to be applied; one that changes no stream is not."""
        concerned = self._streams.concerned(event)
        if not concerned:
            return
        entry = encode_entry(Entry(arrived_at, event))
        self._entries.append(entry)
        self._waiting_bytes += len(entry)
        number = self._log.last_entry + len(self._entries)
        self._changed |= concerned
        for name in concerned:
            if (unsaved := self._unsaved.get(name)) is None:
                unsaved = self._unsaved[name] = _Unsaved(number, 0, arrived_at)
            unsaved.events += 1
            if unsaved.events >= SNAPSHOT_EVENTS:
                self._long.add(name)
        if isinstance(event, Forgotten | Opened):
            self.unsaved.pop(event.stream, None)
        if isinstance(event, Forgotten):
            self._removed.add(event.stream)
            self._saved(event.stream)

    def want_snapshot(self, name: str) -> None:
        """Write the state of a stream with the next commit."""
        self._snapshots_needed.add(name)

    def commit(
        self, alerts: Sequence[Alert], now: float, trends: Sequence[Trend] = ()
    ) -> list[PublishedAlert]:
        """Write what waits together with ``alerts`` and ``trends``; return the alerts as logged.

        Raises:
            LogError: nothing was written; the same will be tried with the next commit.
        """
        sessions = self._streams.sessions
        due = self._snapshots_due(now)
        self._on_snapshots(due)
        snapshots = self._packed({name: sessions[name] for name in due if name in sessions})
        first_unsaved = (
            unsaved.first
            for name, unsaved in self._unsaved.items()
            if name not in snapshots and name not in self.unsaved
        )
        next_number = self._log.last_entry + len(self._entries) + 1
        try:
            logged = self._log.commit(
                Commit(
                    alerts=alerts,
                    trends=trends,
                    entries=self._entries,
                    snapshots=snapshots,
                    removed=sorted(self._removed),
                    entries_needed_from=next(first_unsaved, next_number) if due else None,
                )
            )
        except LogError:
            self._drop_entries_beyond_limit()
            raise
        for name in due:
            self._saved(name)
        self._on_written()
        return logged

    def _saved(self, name: str) -> None:
        """Record that no event of a stream is needed any more."""
        self._unsaved.pop(name, None)
        self._long.discard(name)

    def _packed(self, sessions: Mapping[str, StreamSession]) -> dict[str, bytes]:
        """Return the states that can be written; of the others the log keeps none.

        One that is too long would fail the commit, and with it everybody's alerts.
        """
        snapshots = {}
        for name, session in sessions.items():
            try:
                state = _FS_HZ.pack(session.stream.fs_hz) + pack(session.state)
                if len(state) > LONGEST_STATE:
                    raise ValueError(f"{len(state) / 2**20:.1f} MiB")
            except (ValueError, OverflowError) as error:
                self.unsaved[name] = str(error)
                self.unsaved_states += 1
                self._removed.add(name)
            else:
                self.unsaved.pop(name, None)
                snapshots[name] = state
        return snapshots

    def close(
        self, alerts: Sequence[Alert], now: float, trends: Sequence[Trend] = ()
    ) -> list[PublishedAlert]:
        """Write what waits and the state of every stream, for a new hub to continue at once.

        Raises:
            LogError: nothing was written; a new hub continues from what is there.
        """
        self._snapshots_needed |= set(self._unsaved)
        due = alerts or trends or self.is_due(now)
        return self.commit(alerts, now, trends) if due else []

    def _snapshots_due(self, now: float) -> set[str]:
        """Return the streams whose state is to be written."""
        oldest = islice(self._unsaved.items(), _SNAPSHOTS_A_COMMIT)
        old = {name for name, unsaved in oldest if now - unsaved.since >= SNAPSHOT_S}
        return self._snapshots_needed | self._long | old

    def _drop_entries_beyond_limit(self) -> None:
        """Bound the memory that entries take while the log is not writable."""
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            # Entries are numbered when they are written; none of these was.
            self._snapshots_needed |= set(self._unsaved)
            self._entries, self._waiting_bytes = [], 0

    def _on_written(self) -> None:
        self._entries, self._waiting_bytes = [], 0
        self._snapshots_needed.clear()
        self._removed.clear()
        for name in self._changed:
            if (session := self._streams.sessions.get(name)) is not None:
                self._progress[name] = session.progress
            else:
                self._progress.pop(name, None)
        self._changed.clear()

    # --- after a restart -------------------------------------------------------------------

    def restore(self, now: float) -> list[str]:
        """Bring the streams, of which there are none yet, to where they were at the last commit.

        Returns:
            A sentence for each stream, or for all, of which that was not possible: it starts over.

        Raises:
            LogError: the log can be neither read nor written.
        """
        # 1. Snapshots, then the events since. Whatever the log holds, a hub begins.
        lost: dict[str, str] = {}
        try:
            lost = self._restore_streams(now)
            messages = list(lost.values())
        except Exception as error:
            self._streams.sessions.clear()
            self._log.forget_streams()
            messages = [f"all streams start over: {error}"]
        # 2. A source may take as long to come back as any other before it counts as silent.
        for session in self._streams.sessions.values():
            session.arrived_at = now
        # 3. All of this is in the log. Lost streams are dropped from it with the next commit: else
        #    the next hub would find them again, and take the streams that start over for lost.
        self._changed |= set(self._streams.sessions)
        self._on_written()
        self._removed |= set(lost)
        # 4. Strips of alarms that were still to be cut.
        try:
            for alert in self._log.without_strip(_STRIPS_RESUMED):
                self._streams.want_strip(alert)
        except LogError as error:  # only pictures are lost
            messages.append(str(error))
        return messages

    def _restore_streams(self, now: float) -> dict[str, str]:
        """Return the streams that could not be restored, each with the reason in a sentence."""
        lost = {}
        # 1. Each stream's snapshot. One that cannot be read loses that stream alone.
        snapshots = self._log.snapshots()
        for name, (_, data) in snapshots.items():
            try:
                self._restore_one(name, data)
            except SnapshotError as error:
                lost[name] = f"{name} starts over: {error}"
        # 2. The events, in order, each to the streams whose snapshot does not hold it yet.
        in_snapshot = {name: number for name, (number, _) in snapshots.items()}
        concerned: set[str] = set()
        entries, waiting = self._log.entries(), dict[str, Gathered]()
        for number, data in entries:
            concerned |= self._apply_again(number, data, in_snapshot, set(lost), now, waiting)
        for name in list(waiting):
            self._apply_gathered(name, waiting)
        # 3. Those streams have events outside their snapshots, from the oldest entry on.
        for name in concerned & set(self._streams.sessions):
            self._unsaved[name] = _Unsaved(entries[0][0], 0, now)
        return lost

    def _restore_one(self, name: str, data: bytes) -> None:
        try:
            (fs_hz,) = _FS_HZ.unpack_from(data)
            state = unpack(data[_FS_HZ.size :], SessionState)
            self._streams.sessions[name] = self._streams.restored(name, fs_hz, state)
        except (struct.error, ValueError, OverflowError) as error:
            raise SnapshotError(f"{len(data)} bytes are no state: {error}") from None

    def _apply_again(
        self,
        number: int,
        data: bytes,
        in_snapshot: Mapping[str, int],
        lost: set[str],
        now: float,
        waiting: dict[str, Gathered],
    ) -> set[str]:
        """Apply an entry to the streams that lack it; return all streams that it concerns.

        Chunks wait for those of their stream that follow before anything else concerns it: together
        they take a fraction of the time, and the result does not depend on how samples are cut.
        """
        try:
            entry = decode_entry(data)
        except WireError as error:
            raise LogError(f"entry {number} of the journal cannot be read: {error}") from None

        def lacks_it(name: str) -> bool:
            # Of a stream that was removed later, events may be there without their beginning.
            begun = name in self._streams.sessions or isinstance(entry.event, Opened)
            return begun and name not in lost and number > in_snapshot.get(name, 0)

        arrived_at = min(entry.arrived_at, now)  # the clock starts over with the machine
        event, concerned = entry.event, self._streams.concerned(entry.event)
        if isinstance(event, Chunk) and lacks_it(event.stream):
            gathered = waiting.get(event.stream)
            if gathered is None or not gathered.continued_by(event):
                self._apply_gathered(event.stream, waiting)
                gathered = waiting[event.stream] = Gathered(event, arrived_at)
            else:
                gathered.add(event, arrived_at)
            if len(gathered.pieces) >= _TOGETHER:
                self._apply_gathered(event.stream, waiting)
            return concerned
        for name in concerned:
            self._apply_gathered(name, waiting)
        self._streams.apply(event, arrived_at, to=lacks_it)
        return concerned

    def _apply_gathered(self, name: str, waiting: dict[str, Gathered]) -> None:
        """Apply the chunks of a stream that wait for others, where there are any."""
        gathered = waiting.pop(name, None)
        if gathered is not None:
            self._streams.sessions[name].have_arrived(*gathered.parts)
            self._streams.apply(gathered.as_one(), gathered.arrivals[-1])
