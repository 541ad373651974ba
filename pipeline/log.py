"""The durable log of alerts: one SQLite file, committed before anything is published.

``synchronous=FULL`` with the write-ahead log: a commit that returned survives a power cut.
Sequence numbers are contiguous from 1 for one ``log_id``; they come from a counter row in the
same transaction as the alerts, because numbers from AUTOINCREMENT can be burnt and leave gaps
that never fill. Every row carries a CRC-32 of its body: bit rot inside a row passes SQLite's
own integrity check.

Not thread-safe: one writer, the hub. Readers elsewhere may open the file at any time.
"""

import sqlite3
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from pipeline.errors import LogError, WireError
from pipeline.public import Alert, decode_alert, encode_json, numbered

LOG_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE meta (version INTEGER NOT NULL, log_id TEXT NOT NULL, last_seq INTEGER NOT NULL);
CREATE TABLE alert (
    seq INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    crc32 INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""


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
            for statement in _SCHEMA.split(";")[:-1]:
                self._db.execute(statement)
            self._db.execute("INSERT INTO meta VALUES (?, ?, 0)", (LOG_VERSION, uuid.uuid4().hex))
        self._db.execute("COMMIT")
        meta = self._db.execute("SELECT version, log_id, last_seq FROM meta").fetchone()
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

    def append(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Number the alerts and commit them in one transaction; return them as logged.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        logged = [
            numbered(alert, self.log_id, self.last_seq + n) for n, alert in enumerate(alerts, 1)
        ]
        rows = []
        for alert in logged:
            body = encode_json(alert)
            rows.append((alert.seq, alert.stream, zlib.crc32(body), body))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO alert VALUES (?, ?, ?, ?)", rows)
            self._db.execute("UPDATE meta SET last_seq = ?", (self.last_seq + len(rows),))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise LogError(f"cannot write the log {self.path}: {error}; free space?") from None
        self.last_seq += len(rows)
        return logged

    def read(self, from_seq: int, most: int) -> list[Alert]:
        """Return up to ``most`` alerts from ``from_seq`` on, in order.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        try:
            rows = self._db.execute(
                "SELECT seq, crc32, CAST(body AS BLOB) FROM alert"
                " WHERE seq >= ? ORDER BY seq LIMIT ?",
                (from_seq, most),
            ).fetchall()
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
