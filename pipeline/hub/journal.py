"""What a hub continues from after it was killed: snapshots of its streams, and the events since.

Every event that changes a stream is committed together with the alerts that follow from it, before
it is acknowledged to any source. From time to time the whole state of a stream is committed too,
and the events that are in all snapshots are dropped. `Journal.restore` reads the snapshots back and
applies the later events again. What followed from those events was published before, so only the
state counts, and it is that of the last commit.

Events are written as they were checked, not as they arrived: a frame may carry more than its
fields, and, nested deeply enough, that would make an entry that cannot be read.

A commit may be under way while events are added: those are in the next one. One that fails gives
back what it was to write.

Not thread-safe: runs in the hub's loop. Units: seconds of the hub's clock.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pipeline.errors import LogError, SnapshotError, WireError
from pipeline.hub.gathering import Gathered
from pipeline.log.schema import LONGEST_VALUE
from pipeline.log.store import AlertLog, Commit
from pipeline.log.unsaved import Events, Unsaved
from pipeline.schema.messages import (
    Chunk,
    Entry,
    Event,
    Forgotten,
    Opened,
    decode_entry,
    encode_entry,
)
from pipeline.schema.public import PublishedAlert
from pipeline.stream.session import Progress, SessionState, StreamSession
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.streams import Streams

_MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Of events that the log does not take; beyond, snapshots are written instead once it does."""

LONGEST_STATE: Final = LONGEST_VALUE - 4_096
"""Bytes of a state that fits into a row of the log."""

_TOGETHER: Final = 64
"""Chunks of a stream that are applied again as one."""

_STRIPS_RESUMED: Final = 256

_FS_HZ: Final = struct.Struct("<d")
"""What a stream is begun with, before its state."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is in a commit of which it is not known yet whether it is in the log."""

    entries: list[bytes]
    waiting_bytes: int
    needed: set[str]
    removed: set[str]
    saved: dict[str, Events]
    """The streams whose state it has."""
    progress: dict[str, Progress | None]
    """How far the streams that changed have come with it; None for one that is no longer there."""


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
        self._unsaved = Unsaved()
        self._snapshots_needed: set[str] = set()
        """Streams with events that were dropped before the log took them."""
        self._removed: set[str] = set()
        """Streams whose snapshot is to be dropped."""
        self._progress: dict[str, Progress] = {}
        self._changed: set[str] = set()
        """Streams that may have come further than that, and than with the commit under way."""
        self._begun: _Begun | None = None
        """The commit under way."""
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
        number = self._next_number - 1
        self._changed |= concerned
        for name in concerned:
            self._unsaved.add(name, number, arrived_at)
        if isinstance(event, Forgotten | Opened):
            self.unsaved.pop(event.stream, None)
        if isinstance(event, Forgotten):
            self._removed.add(event.stream)
            self._unsaved.take([event.stream])

    def want_snapshot(self, name: str) -> None:
        """Write the state of a stream with the next commit."""
        self._snapshots_needed.add(name)

    def commit(self, commit: Commit, now: float) -> list[PublishedAlert]:
        """Write what waits together with a commit; return the alerts of that as logged.

        Raises:
            LogError: nothing was written; the same will be tried with the next commit.
        """
        with self._given_back_on_failure():
            logged = self._log.commit(self._with_what_waits(commit, now))
        self._on_written()
        return logged

    def begin(self, commit: Commit, now: float, on_end: Callable[[], None]) -> None:
        """Let a thread write what `commit` would; it calls ``on_end`` when `ended` has more.

        Raises:
            LogError: nothing was written; the same will be tried with the next commit.
        """
        with self._given_back_on_failure():
            self._log.begin(self._with_what_waits(commit, now), on_end)

    def ended(self, *, must_wait: bool = False) -> list[PublishedAlert] | None:
        """Return the alerts as logged, once what was begun is durable; None while it goes on.

        With ``must_wait`` it is waited for.

        Raises:
            LogError: nothing was written; the same will be tried with the next commit.
        """
        with self._given_back_on_failure():
            logged = self._log.ended(must_wait=must_wait)
        if logged is not None:
            self._on_written()
        return logged

    @property
    def _next_number(self) -> int:
        """Number of the next entry: numbers go on as if the commit under way were in the log."""
        under_way = len(self._begun.entries) if self._begun else 0
        return self._log.last_entry + under_way + len(self._entries) + 1

    def _with_what_waits(self, commit: Commit, now: float) -> Commit:
        """Return a commit with what waits, which is under way from now on."""
        sessions = self._streams.sessions
        due = self._snapshots_due(now)
        self._on_snapshots(due)
        snapshots = self._packed({name: sessions[name] for name in due if name in sessions})
        first_unsaved = self._unsaved.first(snapshots.keys() | self.unsaved.keys())
        needed_from = (first_unsaved or self._next_number) if due else None
        progress = {
            name: session.progress if (session := sessions.get(name)) is not None else None
            for name in self._changed
        }
        saved = self._unsaved.take(due)
        self._begun = begun = _Begun(
            self._entries, self._waiting_bytes, self._snapshots_needed, self._removed, saved,
            progress,
        )  # fmt: skip
        self._entries, self._waiting_bytes = [], 0
        self._snapshots_needed, self._removed, self._changed = set(), set(), set()
        return replace(
            commit,
            entries=begun.entries,
            snapshots=snapshots,
            removed=sorted(begun.removed),
            entries_needed_from=needed_from,
        )

    @contextmanager
    def _given_back_on_failure(self) -> Iterator[None]:
        """Let all that a commit was to write wait again, if it fails."""
        try:
            yield
        except LogError:
            begun, self._begun = self._begun, None
            assert begun is not None
            self._entries = begun.entries + self._entries
            self._waiting_bytes += begun.waiting_bytes
            self._snapshots_needed |= begun.needed
            self._removed |= begun.removed
            self._changed |= begun.progress.keys()
            self._unsaved.give_back(begun.saved)
            self._drop_entries_beyond_limit()
            raise

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

    def close(self, commit: Commit, now: float) -> list[PublishedAlert]:
        """Write all that waits, a commit too, and every stream's state, for a new hub to go on.

        Raises:
            LogError: nothing was written; a new hub continues from what is there.
        """
        self._snapshots_needed |= self._unsaved.streams
        due = commit.alerts or commit.trends or commit.strips or self.is_due(now)
        return self.commit(commit, now) if due else []

    def _snapshots_due(self, now: float) -> set[str]:
        """Return the streams whose state is to be written."""
        return self._snapshots_needed | self._unsaved.due(now)

    def _drop_entries_beyond_limit(self) -> None:
        """Bound the memory that entries take while the log is not writable."""
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            # Entries are numbered when they are written; none of these was.
            self._snapshots_needed |= self._unsaved.streams
            self._entries, self._waiting_bytes = [], 0

    def _on_written(self) -> None:
        """Take what was under way as written."""
        begun, self._begun = self._begun, None
        assert begun is not None
        for name, progress in begun.progress.items():
            if progress is not None:
                self._progress[name] = progress
            else:
                self._progress.pop(name, None)

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
        self._progress = {n: one.progress for n, one in self._streams.sessions.items()}
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
            self._unsaved.add(name, entries[0][0], now, count=0)
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
                gathered = waiting[event.stream] = Gathered.beginning(event, arrived_at)
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
            self._streams.apply(gathered.as_one(), gathered.arrived_at)
