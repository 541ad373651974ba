"""The durable log of alerts: one SQLite file, committed before anything is published.

``synchronous=FULL`` with the write-ahead log: a commit that returned survives a power cut.
Sequence numbers are contiguous from 1 for one ``log_id``. They come from a counter row in the
same transaction as the alerts, because AUTOINCREMENT can skip numbers and leave gaps that never
fill. Every row carries a checksum of its body, since bit rot inside a row passes SQLite's own
integrity check, and every alert a link of a chain (`pipeline.log.schema`).

Beside the alerts the log keeps the strips of signal around them; the active alarms, so that a hub
knows after a restart which alarms are not acknowledged yet; and the journal and the snapshots from
which a hub that was killed continues (`pipeline.hub.journal`); and the trends of each minute.

Not thread-safe, though `AlertLog.begin` writes in a thread of its own: one writer, the hub, which
holds a lock on a file beside the log. Readers elsewhere (`pipeline.log.reader`) may open the log at
any time. `pipeline.log.maintenance` decides what is removed, and when.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self

from pipeline.errors import LogError
from pipeline.log.commit import Commit as Commit
from pipeline.log.lock import LogFile, LogLock
from pipeline.log.schema import (
    LONGEST_VALUE,
    ROW_BYTES,
    UNREADABLE,
    Meta,
    mark_use,
    prepare,
    write_meta,
)
from pipeline.log.transactions import LogTransactions
from pipeline.log.writing import Written, write_commit
from pipeline.schema.alert import link_text
from pipeline.schema.public import Alert, PublishedAlert

_PAGES_A_STEP: Final = 256
"""Returned to the file system at a time: 1 MiB, some milliseconds."""

_LEAST_FREE_PAGES: Final = 1024
"""Kept in the file however few rows it has: the journal will use them again."""

Connect = Callable[[Path], sqlite3.Connection]


def _connect(path: Path) -> sqlite3.Connection:
    # A program that locks the file must not hold up the hub for long: it tries again later.
    # One thread uses it at a time.
    db = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=False)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    return db


class AlertLog(LogTransactions):
    """An open log; a context manager."""

    def __init__(self, path: Path, connect: Connect = _connect) -> None:
        """Open the log at ``path``, or begin a new one; ``connect`` opens the file.

        Raises:
            LogError: the folder cannot be written, the file is no alert log or is damaged, or it
                was written by a newer version.
        """
        super().__init__()
        self.path = path = path.resolve()  # the files beside it are named after the file itself
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = LogLock(path)
        except OSError as error:
            raise LogError(f"cannot open the log {path}: {error}; choose another --log") from None
        try:
            self._file = LogFile(path)
        except (OSError, LogError) as error:
            self._lock.release()
            if isinstance(error, LogError):
                raise
            raise LogError(f"cannot open the log {path}: {error}; choose another --log") from None
        try:
            self._db = connect(path)
        except sqlite3.Error as error:
            self._release()
            raise LogError(f"cannot open the log {path}: {error}; choose another --log") from None
        try:
            meta = prepare(self._db, path)
            self.interrupted = mark_use(self._db, in_use=True)
            """Whether the hub that wrote it before did not close it in order."""
            newest = self._db.execute(
                "SELECT coalesce((SELECT max(n) FROM (SELECT n FROM journal UNION ALL"
                " SELECT n FROM snapshot)), 0), coalesce((SELECT max(n) FROM trend), 0)"
            ).fetchone()
            if not all(isinstance(n, int) and n < 2**53 for n in newest):
                raise LogError(f"{path}: the journal is damaged; choose another --log")
        except UNREADABLE as error:
            self._shut()
            raise LogError(f"{path} is no alert log ({error}); choose another --log") from None
        except LogError:
            self._shut()
            raise
        self._file.note_wal()
        self.version = meta.version
        self._last = Written(meta=meta, last_entry=newest[0], last_trend=newest[1])
        """Where the log ends by the last commit that is durable."""

    @property
    def log_id(self) -> str:
        """Random name of this log; another one has numbers of its own."""
        return self._meta.log_id

    @property
    def last_entry(self) -> int:
        """Number of the newest entry that was ever in the journal."""
        return self._last.last_entry

    @property
    def _meta(self) -> Meta:
        return self._last.meta

    @_meta.setter
    def _meta(self, meta: Meta) -> None:
        self._last = replace(self._last, meta=meta)

    @property
    def last_seq(self) -> int:
        """Number of the newest alert, 0 for none."""
        return self._meta.last_seq

    @property
    def low_water_seq(self) -> int:
        """Number of the oldest alert that is held; one past the last where none is."""
        return self._meta.low_water_seq

    @property
    def link(self) -> str:
        """Link of the chain after the newest alert."""
        return link_text(self._meta.chain)

    @property
    def low_water_link(self) -> str:
        """Link of the chain before the oldest alert that is held."""
        return link_text(self._meta.low_water_chain)

    @property
    def bytes_held(self) -> int:
        """Bytes that the alerts, their strips and the trends take."""
        return self._meta.bytes_held

    @property
    def wal_bytes(self) -> int:
        """Length of the write-ahead log."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, alerts: Sequence[Alert]) -> list[PublishedAlert]:
        """Number the alerts and commit them; return them as logged. Raises as `commit` does."""
        return self.commit(Commit(alerts=alerts))

    def commit(self, commit: Commit) -> list[PublishedAlert]:
        """Write a commit in one transaction; return its alerts, numbered, as logged, with links.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        self._check_writable()
        return self._accept(self._write(commit))

    def begin(self, commit: Commit, on_end: Callable[[], None]) -> None:
        """Write a commit as `commit` does, but in a thread; nothing of it may change meanwhile.

        ``on_end`` is called there once it is durable, or has failed; `ended` says which. Until that
        was asked nothing else may be written, and what is read waits.

        Raises:
            LogError: nothing was written, for the files are not those at their paths.
        """
        self._check_writable()
        self._in_thread(partial(self._write, commit), on_end)

    def ended(self, *, must_wait: bool = False) -> list[PublishedAlert] | None:
        """Return what `commit` would, for the commit that was begun; None while it goes on.

        With ``must_wait`` it is waited for.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        written = self._written(must_wait=must_wait)
        return None if written is None else self._accept(written)

    def _write(self, commit: Commit) -> Written:
        with self._commit_or_rollback():
            return write_commit(self._db, commit, self._last)

    def _accept(self, written: Written) -> list[PublishedAlert]:
        """Go on from a commit that is durable; return its alerts."""
        self._last = replace(written, alerts=())
        return list(written.alerts)

    def entries(self) -> list[tuple[int, bytes]]:
        """Return what the journal holds, as (number, entry) in order.

        Raises:
            LogError: an entry does not match its checksum, or the file cannot be read.
        """
        rows = self.rows("SELECT n, crc32, CAST(body AS BLOB) FROM journal ORDER BY n")
        return [(n, self.keyed(f"entry {n}", n, crc32, body)) for n, crc32, body in rows]

    def snapshots(self) -> dict[str, tuple[int, bytes]]:
        """Return the snapshots by stream, each with the number of the last entry in it.

        Raises:
            LogError: one does not match its checksum, or the file cannot be read.
        """
        rows = self.rows("SELECT stream, n, crc32, CAST(body AS BLOB) FROM snapshot")
        if not all(isinstance(row[0], str) and isinstance(row[1], int) for row in rows):
            raise LogError(f"{self.path}: the snapshots are damaged")
        return {
            stream: (n, self.keyed(f"snapshot of {stream}", f"{n} {stream}", crc32, body))
            for stream, n, crc32, body in rows
        }

    def forget_streams(self) -> None:
        """Drop the journal and all snapshots: every stream starts over.

        Raises:
            LogError: nothing was written; the log stays usable.
        """
        with self._transaction():
            self._db.execute("DELETE FROM journal")
            self._db.execute("DELETE FROM snapshot")

    def remove_before(self, seq: int) -> None:
        """Remove the alerts before ``seq``, and their strips.

        The latest alert of an active alarm stays in `active_alarms`, and its strip in the log.

        Raises:
            LogError: nothing was removed; the log stays usable.
        """
        seq = min(seq, self.last_seq + 1)
        if seq <= self.low_water_seq:
            return
        ((link, alerts),) = self.rows(
            "SELECT (SELECT CAST(chain AS BLOB) FROM alert WHERE seq = ?1 - 1),"
            " (SELECT sum(length(body) + ?2) FROM alert WHERE seq < ?1)",
            (seq, ROW_BYTES),
        )
        old_strips = "FROM strip WHERE seq < ?1 AND seq NOT IN (SELECT seq FROM standing)"
        ((strips,),) = self.rows(f"SELECT sum(length(body) + ?2) {old_strips}", (seq, ROW_BYTES))
        held = self.bytes_held - (alerts or 0) - (strips or 0)
        meta = self._meta.changed(
            low_water_seq=seq, low_water_chain=link or b"", bytes_held=max(held, 0)
        )
        with self._transaction():
            self._db.execute("DELETE FROM alert WHERE seq < ?", (seq,))
            self._db.execute(f"DELETE {old_strips}", (seq,))
            write_meta(self._db, meta)
        self._meta = meta

    def remove_trends(self, count: int) -> None:
        """Remove so many of the oldest trends.

        Raises:
            LogError: nothing was removed; the log stays usable.
        """
        oldest = "FROM trend WHERE n IN (SELECT n FROM trend ORDER BY n LIMIT ?1)"
        ((bytes_,),) = self.rows(f"SELECT sum(length(body) + ?2) {oldest}", (count, ROW_BYTES))
        meta = self._meta.changed(bytes_held=max(self.bytes_held - (bytes_ or 0), 0))
        with self._transaction():
            self._db.execute(f"DELETE {oldest}", (count,))
            write_meta(self._db, meta)
        self._meta = meta

    def shrink(self) -> None:
        """Return some free pages to the file system, where there are many.

        Raises:
            LogError: nothing was done; the log stays usable.
        """
        ((free,),) = self.rows("PRAGMA freelist_count")
        ((pages,),) = self.rows("PRAGMA page_count")
        if free > max(_LEAST_FREE_PAGES, pages // 4):
            with self._transaction():
                # One at a time: sqlite3 stops after the first page, whatever the number.
                for _ in range(_PAGES_A_STEP):
                    self._db.execute("PRAGMA incremental_vacuum(1)")

    def close(self, *, in_order: bool = True) -> None:
        """Close the file; the write-ahead log is folded into it.

        Args:
            in_order: False leaves the mark by which the next hub sees an interruption.
        """
        self._settle()
        if in_order:
            mark_use(self._db, in_use=False)
        self._shut()

    def _shut(self) -> None:
        self._stop_thread()
        self._db.close()
        self._release()

    def _release(self) -> None:
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
