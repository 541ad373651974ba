"""What a hub goes on from after it was killed: snapshots of its streams, and the events since.

Every event that changes a stream is committed together with the alerts that follow from it, before
anybody is told that it arrived. From time to time a stream's whole state is committed too, and the
events that all snapshots hold are dropped. `Journal.restore` puts the snapshots back and lets the
later events happen again: what they told was told, so only the state counts, and it is the one at
the last commit.

Not thread-safe: runs in the hub's loop. Units: seconds of the hub's clock.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.errors import LogError, SnapshotError, WireError
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.messages import Entry, Event, Forgotten, Opened, decode_entry, encode_entry
from pipeline.schema.public import Alert
from pipeline.stream.session import Progress, StreamSession
from pipeline.stream.snapshot import pack, restore
from pipeline.stream.streams import Streams
from pipeline.stream.strip_recorder import wants_strip

SNAPSHOT_EVENTS: Final = 256
"""So many events of a stream happen again after a restart at most: a tenth of a second."""

SNAPSHOT_S: Final = 10.0

_LATEST: Final = 4
"""Snapshots in one commit because of their age: they must not hold up the alerts."""

_MOST_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Of events that the log does not take; then the state is written instead, once it does."""

_STRIPS: Final = 256

_FS_HZ: Final = struct.Struct("<d")
"""Before the state stands what a stream is begun with."""


@dataclass(slots=True)
class _Debt:
    """What of a stream is not in its snapshot."""

    first: int
    """Number of the first event that is not,"""
    events: int
    """how many there are,"""
    since: float
    """and since when."""


class Journal:
    """The journal of ``streams`` in ``log``."""

    def __init__(self, log: AlertLog, streams: Streams) -> None:
        self._log = log
        self._streams = streams
        self._entries: list[bytes] = []
        self._waiting_bytes = 0
        self._debts: dict[str, _Debt] = {}
        self._owed: set[str] = set()
        """Streams with events that were dropped before the log took them."""
        self._gone: set[str] = set()
        self._written: dict[str, Progress] = {}

    def waits(self, now: float) -> bool:
        """Say whether there is something to be written."""
        return bool(self._entries or self._owed or self._gone or self._due(now))

    def progress(self, name: str) -> Progress | None:
        """Return how far a stream has come in the log; None if it has not begun there."""
        return self._written.get(name)

    def note(self, event: Event, arrived_at: float) -> None:
        """Take an event that is about to happen; one that changes no stream leaves no trace."""
        concerned = self._streams.concerned(event)
        if not concerned:
            return
        entry = encode_entry(Entry(arrived_at, event))
        self._entries.append(entry)
        self._waiting_bytes += len(entry)
        number = self._log.last_entry + len(self._entries)
        for name in concerned:
            debt = self._debts.setdefault(name, _Debt(number, 0, arrived_at))
            debt.events += 1
        if isinstance(event, Forgotten):
            self._gone.add(event.stream)
            self._debts.pop(event.stream, None)

    def commit(self, alerts: Sequence[Alert], now: float) -> list[Alert]:
        """Write what waits together with ``alerts``; return those as logged.

        Raises:
            LogError: nothing was written; the same will be tried with the next commit.
        """
        due = self._due(now)
        sessions = self._streams.sessions
        paid = {name: _packed(sessions[name]) for name in due if name in sessions}
        left = [debt.first for name, debt in self._debts.items() if name not in paid]
        number = self._log.last_entry + len(self._entries)
        try:
            logged = self._log.commit(
                Commit(
                    alerts=alerts,
                    entries=self._entries,
                    snapshots=paid,
                    gone=sorted(self._gone),
                    entries_needed_from=min(left, default=number + 1) if paid else None,
                )
            )
        except LogError:
            self._give_up_entries()
            raise
        for name in paid:
            self._debts.pop(name, None)
        self._forget_written()
        return logged

    def close(self, alerts: Sequence[Alert], now: float) -> list[Alert]:
        """Write what waits and the state of every stream, for a new hub to go on at once.

        Raises:
            LogError: nothing was written; a new hub goes on from what is there.
        """
        self._owed |= set(self._debts)
        return self.commit(alerts, now) if alerts or self.waits(now) else []

    def _due(self, now: float) -> set[str]:
        """Return the streams whose state is to be written."""
        old = sorted(
            (debt.since, name)
            for name, debt in self._debts.items()
            if now - debt.since >= SNAPSHOT_S
        )
        many = {name for name, debt in self._debts.items() if debt.events >= SNAPSHOT_EVENTS}
        return self._owed | many | {name for _, name in old[:_LATEST]}

    def _give_up_entries(self) -> None:
        """Keep no more than a bounded heap of entries: the state will do instead."""
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            # Numbers are given when they are written; none of these were.
            self._owed |= set(self._debts)
            self._entries, self._waiting_bytes = [], 0

    def _forget_written(self) -> None:
        self._entries, self._waiting_bytes = [], 0
        self._owed.clear()
        self._gone.clear()
        self._written = {name: one.progress for name, one in self._streams.sessions.items()}

    # --- after a restart -------------------------------------------------------------------

    def restore(self, now: float) -> list[str]:
        """Bring the streams, of which there are none yet, to where they were at the last commit.

        Returns:
            What of it was not possible, in words: those streams begin anew.

        Raises:
            LogError: the log can be neither read nor written.
        """
        gone: set[str] = set()
        try:
            reasons = self._restored(now)
            lost, gone = list(reasons.values()), set(reasons)
        except Exception as error:  # whatever it says, a hub begins
            self._streams.sessions.clear()
            self._log.forget_streams()
            lost = [f"all streams begin anew: {error}"]
        for session in self._streams.sessions.values():
            session.arrived_at = now  # its source has as long as any to be heard of
        self._forget_written()
        # Else the next hub would find them again, and take the streams begun anew for lost.
        self._gone |= gone
        try:
            self._want_strips()
        except LogError as error:  # pictures less
            lost.append(str(error))
        return lost

    def _restored(self, now: float) -> dict[str, str]:
        lost = {}
        known = self._log.snapshots()
        for name, (_, data) in known.items():
            try:
                self._restore_one(name, data)
            except SnapshotError as error:
                lost[name] = f"{name} begins anew: {error}"
        concerned: set[str] = set()
        entries = self._log.entries()
        for number, data in entries:
            concerned |= self._again(number, data, known, set(lost), now)
        for name in concerned & set(self._streams.sessions):
            self._debts[name] = _Debt(entries[0][0], 0, now)
        return lost

    def _restore_one(self, name: str, data: bytes) -> None:
        try:
            (fs_hz,) = _FS_HZ.unpack_from(data)
            opened = Opened(stream=name, fs_hz=fs_hz, lead="", epoch=0, first_sample=0)
            session = self._streams.begun(opened)
        except (struct.error, ValueError, OverflowError) as error:
            raise SnapshotError(f"{len(data)} bytes are no state: {error}") from None
        asked = session.stream.classifies
        restore(data[_FS_HZ.size :], session)
        if session.stream.classifies != asked:
            raise SnapshotError(f"state of a hub {'without' if asked else 'with'} a classifier")
        self._streams.sessions[name] = session

    def _again(
        self,
        number: int,
        data: bytes,
        known: dict[str, tuple[int, bytes]],
        lost: set[str],
        now: float,
    ) -> set[str]:
        """Apply an entry again where it counts; return the streams that it concerns."""
        try:
            entry = decode_entry(data)
        except WireError as error:
            raise LogError(f"entry {number} of the journal cannot be read: {error}") from None
        self._streams.apply(
            entry.event,
            min(entry.arrived_at, now),  # of another boot the clock began anew
            to=lambda name: (
                name not in lost
                and number > known.get(name, (0, b""))[0]
                # Of a stream that was forgotten later, events may be left without their beginning.
                and (name in self._streams.sessions or isinstance(entry.event, Opened))
            ),
        )
        return self._streams.concerned(entry.event)

    def _want_strips(self) -> None:
        """Cut the pictures of alarms that were still to come."""
        for alert in self._log.without_strip(_STRIPS):
            session = self._streams.sessions.get(alert.stream)
            if session is not None and wants_strip(alert):
                session.evidence.want(alert.seq, alert.epoch, alert.time_s)


def _packed(session: StreamSession) -> bytes:
    return _FS_HZ.pack(session.stream.fs_hz) + pack(session)
