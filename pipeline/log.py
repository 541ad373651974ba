"""The durable log of alerts: one SQLite file, committed before anything is published.

``synchronous=FULL`` with the write-ahead log: a commit that returned survives a power cut.
Sequence numbers are contiguous from 1 for one ``log_id``; they come from a counter row in the
same transaction as the alerts, because numbers from AUTOINCREMENT can be burnt and leave gaps
that never fill. Every row carries a CRC-32 of its body: bit rot inside a row passes SQLite's
own integrity check.

Beside the alerts the log keeps the strips of signal that show what an alert is about, and which
alarms stand, so that a monitor that begins again knows what nobody has acknowledged yet; and the
journal and snapshots from which the hub goes on where it was killed (`pipeline.journal`).

Not thread-safe: one writer, the hub. Readers elsewhere may open the file at any time.
"""

import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pipeline.errors import LogError, WireError
from pipeline.public import (
    Alert,
    SignalStrip,
    decode_alert,
    decode_strip,
    encode_json,
    numbered,
)

LOG_VERSION: Final = 3

_MAX_STRIP_BYTES: Final = 1 << 20
"""Of one strip, unpacked: many times what ten seconds need."""

_SCHEMA_1: Final = """
CREATE TABLE meta (version INTEGER NOT NULL, log_id TEXT NOT NULL, last_seq INTEGER NOT NULL);
CREATE TABLE alert (
    seq INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    crc32 INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""

_ADDED_IN_2: Final = """
CREATE TABLE strip (seq INTEGER PRIMARY KEY, crc32 INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE standing (
    stream TEXT NOT NULL, episode TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (stream, episode)
);
"""
"""A strip belongs to the alert of its number; an alarm stands from its first alert to its off."""

_ADDED_IN_3: Final = """
CREATE TABLE journal (n INTEGER PRIMARY KEY, crc32 INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE snapshot (
    stream TEXT PRIMARY KEY, n INTEGER NOT NULL, crc32 INTEGER NOT NULL, body BLOB NOT NULL
);
"""
"""What the hub goes on from: a stream's snapshot is its state after entry ``n`` of the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What becomes durable together."""

    alerts: Sequence[Alert] = ()
    entries: Sequence[bytes] = ()
    """For the journal, numbered on from `AlertLog.last_entry`."""
    snapshots: Mapping[str, bytes] = field(default_factory=dict)
    """State of streams, with every entry of this commit in it."""
    gone: Sequence[str] = ()
    """Streams whose snapshot is dropped."""
    entries_needed_from: int | None = None
    """Entries before this number are in the snapshots of all that they concern: dropped."""


class AlertLog:
    """An open log; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the log at ``path``, or begin a new one.

        Raises:
            LogError: the folder cannot be written, the file is no alert log, or it was written
                by a newer version.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever locks the file holds up the whole hub: it tries again later instead.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        except (OSError, sqlite3.Error) as error:
            raise LogError(f"cannot open the log {path}: {error}; choose another --log") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise LogError(f"{path} is no alert log ({error}); choose another --log") from None
        except LogError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        known = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        if not known:
            self._run(_SCHEMA_1)
            self._db.execute("INSERT INTO meta VALUES (1, ?, 0)", (uuid.uuid4().hex,))
        meta = self._db.execute("SELECT version, log_id, last_seq FROM meta").fetchone()
        if meta is not None and meta[0] in (1, 2):
            self._run(_ADDED_IN_3 if meta[0] == 2 else _ADDED_IN_2 + _ADDED_IN_3)
            self._db.execute("UPDATE meta SET version = ?", (LOG_VERSION,))
            meta = (LOG_VERSION, *meta[1:])
        self._db.execute("COMMIT")
        if meta is None:
            raise LogError(f"{self.path} is no alert log (empty meta); choose another --log")
        version, log_id, last_seq = meta
        if version != LOG_VERSION:
            raise LogError(
                f"{self.path} is a log of version {version}, this program writes {LOG_VERSION}: "
                "choose another --log"
            )
        self.log_id: str = log_id
        self.last_seq: int = last_seq
        (oldest,) = self._db.execute("SELECT min(seq) FROM alert").fetchone()
        # Nothing is ever removed yet, so this stays true while the log is open.
        self.low_water_seq: int = last_seq + 1 if oldest is None else oldest
        """The oldest sequence number still held; one past the last where none is."""
        (last_entry,) = self._db.execute(
            "SELECT max(n) FROM (SELECT n FROM journal UNION ALL SELECT n FROM snapshot)"
        ).fetchone()
        self.last_entry: int = last_entry or 0
        """Number of the newest entry that was ever in the journal."""

    def _run(self, statements: str) -> None:
        for statement in statements.split(";")[:-1]:
            self._db.execute(statement)

    def append(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Number the alerts and commit them; return them as logged. Raises as `commit` does."""
        return self.commit(Commit(alerts=alerts))

    def commit(self, commit: Commit) -> list[Alert]:
        """Write all of a commit in one transaction; return its alerts, numbered, as logged.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        logged = [
            numbered(alert, self.log_id, self.last_seq + n)
            for n, alert in enumerate(commit.alerts, 1)
        ]
        rows = []
        for alert in logged:
            body = encode_json(alert)
            rows.append((alert.seq, alert.stream, zlib.crc32(body), body))
        last_entry = self.last_entry + len(commit.entries)
        with self._transaction():
            if rows:
                self._db.executemany("INSERT INTO alert VALUES (?, ?, ?, ?)", rows)
                self._db.execute("UPDATE meta SET last_seq = ?", (self.last_seq + len(rows),))
            for alert in logged:
                self._note_standing(alert)
            self._db.executemany(
                "INSERT INTO journal VALUES (?, ?, ?)",
                ((self.last_entry + n, zlib.crc32(e), e) for n, e in enumerate(commit.entries, 1)),
            )
            self._keep_snapshots(commit, last_entry)
        self.last_seq += len(rows)
        self.last_entry = last_entry
        return logged

    def _keep_snapshots(self, commit: Commit, last_entry: int) -> None:
        for stream, body in commit.snapshots.items():
            self._db.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
                (stream, last_entry, zlib.crc32(body), body),
            )
        self._db.executemany(
            "DELETE FROM snapshot WHERE stream = ?", ((stream,) for stream in commit.gone)
        )
        if commit.entries_needed_from is not None:
            self._db.execute("DELETE FROM journal WHERE n < ?", (commit.entries_needed_from,))

    def entries(self) -> list[tuple[int, bytes]]:
        """Return what the journal holds, as (number, entry) in order.

        Raises:
            LogError: an entry does not match its checksum, or the file cannot be read.
        """
        rows = self._rows("SELECT n, crc32, CAST(body AS BLOB) FROM journal ORDER BY n")
        return [(n, _intact(self.path, f"entry {n}", crc32, body)) for n, crc32, body in rows]

    def snapshots(self) -> dict[str, tuple[int, bytes]]:
        """Return the snapshots by stream, each with the number of the last entry in it.

        Raises:
            LogError: one does not match its checksum, or the file cannot be read.
        """
        rows = self._rows("SELECT stream, n, crc32, CAST(body AS BLOB) FROM snapshot")
        return {
            stream: (n, _intact(self.path, f"snapshot of {stream}", crc32, body))
            for stream, n, crc32, body in rows
        }

    def forget_streams(self) -> None:
        """Drop the journal and all snapshots: nothing goes on from here.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        with self._transaction():
            self._db.execute("DELETE FROM journal")
            self._db.execute("DELETE FROM snapshot")

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.Error as error:
            raise LogError(f"cannot read the log {self.path}: {error}") from None

    def _note_standing(self, alert: Alert) -> None:
        if not alert.episode:
            return
        alarm = (alert.stream, alert.episode)
        if alert.state == "off":
            self._db.execute("DELETE FROM standing WHERE stream = ? AND episode = ?", alarm)
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO standing VALUES (?, ?, ?)", (*alarm, alert.seq)
            )

    def standing(self) -> list[Alert]:
        """Return the latest alert of every alarm that stands, oldest first.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        return self._read(
            "SELECT alert.seq, crc32, CAST(body AS BLOB) FROM alert JOIN standing USING (seq)"
            " ORDER BY seq",
            (),
        )

    def without_strip(self, most: int) -> list[Alert]:
        """Return up to ``most`` of the newest alerts that have no strip, oldest first.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        return self._read(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM (SELECT * FROM alert ORDER BY seq DESC"
            " LIMIT ?) WHERE seq NOT IN (SELECT seq FROM strip) ORDER BY seq",
            (most,),
        )

    def append_strips(self, strips: Sequence[tuple[int, SignalStrip]]) -> None:
        """Commit strips of signal, each under the number of the alert that it shows.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        rows = []
        for seq, strip in strips:
            body = zlib.compress(encode_json(strip))
            rows.append((seq, zlib.crc32(body), body))
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO strip VALUES (?, ?, ?)", rows)

    def strip(self, seq: int) -> SignalStrip | None:
        """Return the strip of the alert ``seq``, or None where there is none.

        Raises:
            LogError: it does not match its checksum, or the file cannot be read.
        """
        try:
            row = self._db.execute(
                "SELECT crc32, CAST(body AS BLOB) FROM strip WHERE seq = ?", (seq,)
            ).fetchone()
        except sqlite3.Error as error:
            raise LogError(f"cannot read the log {self.path}: {error}") from None
        if row is None:
            return None
        crc32, body = row
        try:
            if zlib.crc32(body) != crc32:
                raise WireError("checksum differs")
            return decode_strip(zlib.decompressobj().decompress(body, _MAX_STRIP_BYTES))
        except (WireError, zlib.error) as error:
            raise LogError(f"{self.path}: strip {seq} is damaged: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it and raise `LogError`."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise LogError(f"cannot write the log {self.path}: {error}; free space?") from None

    def read(self, from_seq: int, most: int) -> list[Alert]:
        """Return up to ``most`` alerts from ``from_seq`` on, in order.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        return self._read(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM alert WHERE seq >= ? ORDER BY seq LIMIT ?",
            (from_seq, most),
        )

    def _read(self, query: str, arguments: tuple[int, ...]) -> list[Alert]:
        try:
            rows = self._db.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise LogError(f"cannot read the log {self.path}: {error}") from None
        alerts = []
        for seq, crc32, body in rows:
            try:
                if zlib.crc32(body) != crc32:
                    raise WireError("checksum differs")
                alerts.append(decode_alert(body))
            except WireError as error:
                raise LogError(f"{self.path}: alert {seq} is damaged: {error}") from None
        return alerts

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _intact(path: Path, what: str, crc32: int, body: bytes) -> bytes:
    if zlib.crc32(body) != crc32:
        raise LogError(f"{path}: {what} is damaged: checksum differs")
    return body
