"""Removal of one stream from a log: alerts, signal, state, and the bytes that they were.

`StreamEraser` opens a log that no hub has open. In one transaction it puts tombstones in the place
of the stream's alerts (`pipeline.log.tombstones`), appends the alert that records this, and
removes strips, active alarms, trends, the snapshot, and what the journal has of the stream. Then
the file is rewritten without free pages, and the write-ahead log is emptied: neither holds a byte
of what was removed. What a file system, a backup or a subscriber keeps is beyond this
(`docs/deploy.md`).

A removal that is cut short before its commit has changed nothing; after it, the next one for any
stream removes the bytes.
"""

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import InputError, LogError, WireError
from pipeline.log.lock import LogLock
from pipeline.log.schema import ROW_BYTES, checksum, next_link, write_meta
from pipeline.log.store import AlertLog
from pipeline.log.tombstones import record, tombstone
from pipeline.schema.alert import utc_text
from pipeline.schema.messages import (
    Entry,
    Event,
    GivenUp,
    ScoreReply,
    decode_entry,
    encode_entry,
    rows_of,
)
from pipeline.schema.public import encode_json

NOTHING: Final = GivenUp(ids=[])
"""An event that changes no stream: it takes the place of one in the journal, whose numbers must
stay contiguous."""

_STRIPS: Final = (
    "FROM strip WHERE seq IN (SELECT seq FROM alert WHERE stream = ?1"
    " UNION SELECT seq FROM standing WHERE stream = ?1)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a log holds, or held, of one stream."""

    alerts: int
    strips: int
    """Of signal, ten seconds each."""
    active_alarms: int
    entries: int
    """Of the journal."""
    snapshots: int
    trends: int
    """Minutes."""

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return any(astuple(self))

    def __str__(self) -> str:
        """Return all numbers in words."""
        return (
            f"{self.alerts} alerts, {self.strips} strips of signal, {self.active_alarms} active "
            f"alarms, {self.entries} entries of the journal, {self.snapshots} snapshots, "
            f"{self.trends} minutes of trends"
        )


class StreamEraser(AlertLog):
    """A log open for the removal of streams; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the log at ``path``.

        Raises:
            InputError: there is no such file.
            LogError: a hub has it open, or it is no alert log.
        """
        if not path.is_file():
            raise InputError(f"no log {path}: name the file that --log or the summary named")
        with suppress(OSError):  # which opening the log reports
            _refuse_open(path.resolve())
        super().__init__(path)

    def holdings(self, stream: str) -> Holdings:
        """Return what the log holds of ``stream``.

        Raises:
            LogError: it cannot be read.
        """
        self._check_name(stream)
        counts = [
            self._count("SELECT count(*) FROM alert WHERE stream = ?1", stream),
            self._count(f"SELECT count(*) {_STRIPS}", stream)
            + len(self._strips_without_alert(stream)),
            self._count("SELECT count(*) FROM standing WHERE stream = ?1", stream),
            sum(1 for _ in self._rewritten_entries(stream)),
            self._count("SELECT count(*) FROM snapshot WHERE stream = ?1", stream),
            self._count("SELECT count(*) FROM trend WHERE stream = ?1", stream),
        ]
        alerts, strips, active, entries, snapshots, trends = counts
        return Holdings(
            alerts=alerts,
            strips=strips,
            active_alarms=active,
            entries=entries,
            snapshots=snapshots,
            trends=trends,
        )

    def names(self) -> list[str]:
        """Return the names of all streams, in order. Raises `LogError` where it cannot be read."""
        rows = self.rows(
            "SELECT stream FROM alert UNION SELECT stream FROM standing"
            " UNION SELECT stream FROM snapshot UNION SELECT stream FROM trend"
        )
        return sorted(str(name) for (name,) in rows if name)

    def forget(self, stream: str, *, utc_s: float | None = None) -> int:
        """Remove all that the log holds of ``stream``; return the number of the recording alert.

        The bytes are in the file until `remove_bytes`.

        Args:
            stream: its name.
            utc_s: when, in seconds since 1970; now by default.

        Raises:
            LogError: nothing was removed.
        """
        self._check_name(stream)
        seqs = [seq for (seq,) in self._of("SELECT seq FROM alert WHERE stream = ?1", stream)]
        strips = self._strips_without_alert(stream)
        entries = list(self._rewritten_entries(stream))
        seq, utc = self.last_seq + 1, utc_text(time.time() if utc_s is None else utc_s)
        body = encode_json(record(self.log_id, seq, len(seqs), utc))
        link = next_link(self._meta.chain, seq, body)
        self.rows("PRAGMA secure_delete = ON")
        with self._transaction():
            db = self._db
            db.execute(f"DELETE {_STRIPS}", (stream,))
            db.executemany("DELETE FROM strip WHERE seq = ?", ((one,) for one in strips))
            db.execute("DELETE FROM standing WHERE stream = ?", (stream,))
            db.execute("DELETE FROM snapshot WHERE stream = ?", (stream,))
            db.execute("DELETE FROM trend WHERE stream = ?", (stream,))
            db.executemany(
                "UPDATE journal SET crc32 = ?2, body = ?3 WHERE n = ?1",
                ((n, checksum(n, entry), entry) for n, entry in entries),
            )
            db.executemany(
                "UPDATE alert SET stream = '', crc32 = ?2, body = ?3 WHERE seq = ?1",
                self._tombstones(seqs, seq),
            )
            db.execute(
                "INSERT INTO alert VALUES (?, '', ?, ?, ?)", (seq, zlib.crc32(body), body, link)
            )
            meta = self._meta.changed(last_seq=seq, chain=link, bytes_held=self._bytes_now())
            write_meta(db, meta)
        self._meta = meta
        return seq

    def remove_bytes(self) -> None:
        """Rewrite the file without what was removed, and empty the write-ahead log.

        Needs free space of twice the length of the log: for the write-ahead log, and for a
        temporary file that SQLite makes in the same folder, for its owner alone.

        Raises:
            LogError: there is no space, or another program reads the log: nothing is lost.
        """
        folder = str(self.path.parent).replace("'", "''")
        try:
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute(f"PRAGMA temp_store_directory = '{folder}'")
            self._db.execute("VACUUM")
            ((busy, _, _),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise LogError(f"{self._left} ({error})") from None
        finally:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA temp_store_directory = ''")
        if busy:
            raise LogError(f"{self._left} (another program reads it)")

    @property
    def _left(self) -> str:
        return (
            f"{self.path}: the rows are removed, but their bytes are still in the file: free some "
            "space, close what reads the log, and run this again"
        )

    def close(self, *, in_order: bool = True) -> None:
        """Close the file; a hub that did not end in order is still seen by the next one."""
        super().close(in_order=in_order and not self.interrupted)

    # --- of one stream ----------------------------------------------------------------------

    def _check_name(self, stream: str) -> None:
        if not stream:
            raise InputError("alarms about the system have no stream, and cannot be removed")

    def _of(self, query: str, stream: str) -> list[tuple[int]]:
        try:
            return self._db.execute(query, (stream,)).fetchall()
        except sqlite3.Error as error:
            raise LogError(f"cannot read the log {self.path}: {error}") from None

    def _count(self, query: str, stream: str) -> int:
        return self._of(query, stream)[0][0]

    def _tombstones(self, seqs: list[int], record_seq: int) -> Iterator[tuple[int, int, bytes]]:
        for seq in seqs:
            body = encode_json(tombstone(self.log_id, seq, record_seq))
            yield seq, zlib.crc32(body), body

    def _strips_without_alert(self, stream: str) -> list[int]:
        """Return the strips of ``stream`` whose alarm was active when its alerts became too old.

        Their stream is nowhere but in themselves: one that cannot be read counts as of any stream.
        """
        found = []
        for seq, crc32, body in self.rows(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM strip WHERE seq NOT IN"
            " (SELECT seq FROM alert UNION SELECT seq FROM standing)"
        ):
            try:
                of = self.strip_of(seq, crc32, body).stream
            except LogError:
                of = stream
            found += [seq] * (of == stream)
        return found

    def _rewritten_entries(self, stream: str) -> Iterator[tuple[int, bytes]]:
        """Yield the entries of the journal that concern ``stream``, without what they say of it."""
        for n, data in self.entries():
            try:
                entry = decode_entry(data)
            except WireError as error:
                raise LogError(
                    f"{self.path}: entry {n} of the journal cannot be read: {error}; start a hub "
                    "on this log and end it, or remove the whole log"
                ) from None
            event = without_stream(entry.event, stream)
            if event is not entry.event:
                yield n, encode_entry(Entry(entry.arrived_at, event))

    def _bytes_now(self) -> int:
        held = 0
        for table in ("alert", "strip", "trend"):
            ((sum_,),) = self._db.execute(
                f"SELECT coalesce(sum(length(body) + {ROW_BYTES}), 0) FROM {table}"  # noqa: S608
            ).fetchall()
            held += sum_
        return held


def without_stream(event: Event, stream: str) -> Event:
    """Return ``event`` itself where it does not concern ``stream``, else what is left of it."""
    if not isinstance(event, ScoreReply | GivenUp):
        return NOTHING if event.stream == stream else event
    rows = [row for row, window_id in enumerate(event.ids) if window_id[0] != stream]
    if len(rows) == len(event.ids):
        return event
    if isinstance(event, GivenUp):
        return GivenUp(ids=[event.ids[row] for row in rows])
    return rows_of(event, rows) if rows else NOTHING


def _refuse_open(path: Path) -> None:
    try:
        LogLock(path).release()
    except LogError:
        raise LogError(
            f"a hub has {path} open: end it first (Ctrl-C, or systemctl stop), then run this again"
        ) from None
