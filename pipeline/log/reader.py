"""Reading a log: rows checked and decoded, for its writer and for everybody else.

`LogReader` opens a log that a hub may be writing. It never alters the file, and leaves no other
file beside it. It holds no transaction for longer than one query, so that the writer can fold its
write-ahead log into the file at any time. Not thread-safe.
"""

import sqlite3
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pipeline.errors import DamageError, InputError, LogError, WireError
from pipeline.log.schema import (
    CHAINED,
    LONGEST_VALUE,
    ROW_BYTES,
    UNREADABLE,
    WITH_TRENDS,
    Meta,
    checksum,
    distrust,
    read_meta,
)
from pipeline.schema.public import (
    Alert,
    SignalStrip,
    Trend,
    decode_alert,
    decode_strip,
    decode_trend,
)

_T = TypeVar("_T")

_MAX_STRIP_BYTES = 1 << 20
"""Of one strip, decompressed: many times what ten seconds need."""


class LogQueries:
    """The queries on an open log; ``version`` is that of its tables."""

    path: Path
    version: int
    _db: sqlite3.Connection

    def read(self, from_seq: int, most: int) -> list[Alert]:
        """Return up to ``most`` alerts from ``from_seq`` on, in order.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        rows = self.rows(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM alert WHERE seq >= ? ORDER BY seq LIMIT ?",
            (from_seq, most),
        )
        return [self.alert_of(*row) for row in rows]

    def active_alarms(self, on_damage: Callable[[LogError], None] | None = None) -> list[Alert]:
        """Return the latest alert of every active alarm, oldest first.

        With ``on_damage``, damaged rows are skipped, and it is called with the fault of each.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        if self.version == 1:
            return []
        table = "standing" if self.version >= CHAINED else "alert JOIN standing USING (seq)"
        rows = self.rows(f"SELECT seq, crc32, CAST(body AS BLOB) FROM {table} ORDER BY seq")  # noqa: S608
        alerts = []
        for row in rows:
            try:
                alerts.append(self.alert_of(*row))
            except DamageError as error:
                if on_damage is None:
                    raise
                on_damage(error)
        return alerts

    def alert(self, seq: int) -> Alert | None:
        """Return an alert that the log holds, or that is the latest one of an active alarm.

        Raises:
            LogError: it does not match its checksum, or the file cannot be read.
        """
        held = self.read(seq, 1)
        if held and held[0].seq == seq:
            return held[0]
        return next((alert for alert in self.active_alarms() if alert.seq == seq), None)

    def strip(self, seq: int) -> SignalStrip | None:
        """Return the strip of the alert ``seq``, or None if it has none.

        Raises:
            LogError: it does not match its checksum, or the file cannot be read.
        """
        if self.version == 1:
            return None
        rows = self.rows("SELECT crc32, CAST(body AS BLOB) FROM strip WHERE seq = ?", (seq,))
        return self.strip_of(seq, *rows[0]) if rows else None

    def without_strip(self, most: int) -> list[Alert]:
        """Return up to ``most`` of the newest alerts that have no strip, oldest first.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        rows = self.rows(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM (SELECT * FROM alert ORDER BY seq DESC"
            " LIMIT ?) WHERE seq NOT IN (SELECT seq FROM strip) ORDER BY seq",
            (most,),
        )
        return [self.alert_of(*row) for row in rows]

    def raised(self, most: int) -> list[str]:
        """Return when the oldest alerts were raised, up to ``most``; empty where unknown.

        Raises:
            LogError: the file cannot be read.
        """
        times = []
        for (body,) in self.rows(
            "SELECT CAST(body AS BLOB) FROM alert ORDER BY seq LIMIT ?", (most,)
        ):
            try:
                times.append(decode_alert(body or b"").utc)
            except WireError:  # a damaged one is removed with its neighbours
                times.append("")
        return times

    def sizes(self, most: int) -> list[int]:
        """Return the bytes that the oldest alerts take with their strips, up to ``most``.

        Raises:
            LogError: the file cannot be read.
        """
        rows = self.rows(
            "SELECT coalesce(length(alert.body), 0) + ?1, length(strip.body) + ?1"
            " FROM alert LEFT JOIN strip USING (seq) ORDER BY seq LIMIT ?2",
            (ROW_BYTES, most),
        )
        return [alert + (strip or 0) for alert, strip in rows]

    def trends(
        self, after: int = 0, most: int = 500, stream: str | None = None
    ) -> list[tuple[int, Trend]]:
        """Return up to ``most`` trends behind number ``after``, each with its own, in order.

        Those of all streams, or of one. A log of an older version has none.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        if self.version < WITH_TRENDS:
            return []
        rows = self.rows(
            "SELECT n, stream, utc, crc32, CAST(body AS BLOB) FROM trend"
            " WHERE n > ?1 AND (?3 IS NULL OR stream = ?3) ORDER BY n LIMIT ?2",
            (after, most, stream),
        )
        return [(row[0], self.trend_of(*row)) for row in rows]

    def newest_trends(self, most: int) -> list[Trend]:
        """Return the last ``most`` trends of all streams, in order.

        Raises:
            LogError: a row does not match its checksum, or the file cannot be read.
        """
        if self.version < WITH_TRENDS:
            return []
        rows = self.rows(
            "SELECT n, stream, utc, crc32, CAST(body AS BLOB) FROM trend ORDER BY n DESC LIMIT ?",
            (most,),
        )
        return [self.trend_of(*row) for row in reversed(rows)]

    def oldest_trends(self, most: int) -> list[tuple[str, int]]:
        """Return when the oldest trends were recorded, and their bytes, up to ``most``.

        Raises:
            LogError: the file cannot be read.
        """
        return self.rows(
            "SELECT CAST(utc AS TEXT), coalesce(length(body), 0) + ? FROM trend ORDER BY n LIMIT ?",
            (ROW_BYTES, most),
        )

    def trend_of(self, n: int, stream: str, utc: str, crc32: int, body: bytes | None) -> Trend:
        """Return the trend in a row. Raises `LogError` where it is damaged."""
        try:
            trend = decode_trend(self.keyed(f"trend {n}", n, crc32, body))
        except WireError as error:
            raise LogError(f"{self.path}: trend {n} is damaged: {error}") from None
        if (trend.stream, trend.utc) != (stream, utc):
            raise LogError(f"{self.path}: trend {n} is damaged: its row says something else")
        return trend

    def alert_of(self, seq: int, crc32: int, body: bytes | None) -> Alert:
        """Return the alert in a row. Raises `LogError` where it is damaged."""
        body = body or b""  # damage may make it null, which the table does not allow
        try:
            if zlib.crc32(body) != crc32:
                raise WireError("checksum differs")
            alert = decode_alert(body)
            if alert.seq != seq:
                raise WireError(f"it says that it is {alert.seq}")
        except WireError as error:
            raise DamageError(f"{self.path}: alert {seq} is damaged: {error}") from None
        return alert

    def strip_of(self, seq: int, crc32: int, body: bytes | None) -> SignalStrip:
        """Return the strip in a row. Raises `LogError` where it is damaged."""
        body = body or b""
        old_checksum = zlib.crc32(body) if self.version < CHAINED else None
        try:
            if crc32 not in (checksum(seq, body), old_checksum):
                raise WireError("checksum differs")
            return decode_strip(zlib.decompressobj().decompress(body, _MAX_STRIP_BYTES))
        except (WireError, zlib.error) as error:
            raise LogError(f"{self.path}: strip {seq} is damaged: {error}") from None

    def keyed(self, what: str, key: int | str, crc32: int, body: bytes | None) -> bytes:
        """Return the body of a row of the journal or of the snapshots.

        Raises:
            LogError: it is damaged.
        """
        body = body or b""
        if checksum(key, body) != crc32:
            raise LogError(f"{self.path}: {what} is damaged: checksum differs")
        return body

    def rows(
        self, query: str, arguments: tuple[int | str | None, ...] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows that answer a query. Raises `LogError` where it cannot be read."""
        try:
            return self._db.execute(query, arguments).fetchall()
        except UNREADABLE as error:
            raise LogError(f"cannot read the log {self.path}: {error}") from None


class LogReader(LogQueries):
    """A log open for reading, of this version or an older one; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the log at ``path``.

        Raises:
            InputError: there is no such file.
            LogError: it is no alert log, or a newer version wrote it.
        """
        if not path.is_file():
            raise InputError(f"no log {path}: name the file that --log or the summary named")
        path = path.resolve()
        self.path = path
        self._wal = path.with_name(path.name + "-wal")
        self._open()
        try:
            self.version = self.meta().version
        except LogError:
            self.close()
            raise

    def _open(self) -> None:
        """Connect. A log that no hub has open is read as a file that does not change.

        Otherwise SQLite would leave two files beside it, and fail in a read-only folder.
        """
        self._unchanging = None if self._wal.exists() else self._state()
        how = "mode=ro" if self._unchanging is None else "immutable=1"
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(self.path.absolute()))}?{how}",
                uri=True,
                isolation_level=None,
                timeout=5.0,
            )
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        except sqlite3.Error as error:
            raise LogError(f"cannot open the log {self.path}: {error}") from None
        try:
            distrust(self._db, self.path)
        except UNREADABLE as error:
            self._db.close()
            raise LogError(f"{self.path} is no alert log ({error})") from None
        except LogError:
            self._db.close()
            raise

    def _state(self) -> tuple[int, int]:
        try:
            state = self.path.stat()
        except OSError as error:
            raise LogError(f"cannot read the log {self.path}: {error.strerror}") from None
        return state.st_mtime_ns, state.st_size

    @property
    def _overtaken(self) -> bool:
        """Whether a hub began to write a file that was opened as unchanging."""
        return self._unchanging is not None and (
            self._wal.exists() or self._state() != self._unchanging
        )

    def rows(
        self, query: str, arguments: tuple[int | str | None, ...] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows that answer a query. Raises `LogError` where it cannot be read."""
        if self._db.in_transaction:
            return super().rows(query, arguments)
        return self.at_one_moment(lambda: self.rows(query, arguments))

    def at_one_moment(self, read: Callable[[], _T]) -> _T:
        """Return what ``read`` reads, all of it from the same commit.

        Raises:
            LogError: it cannot be read.
        """
        try:
            result = self._in_transaction(read)
        except LogError:
            if not self._overtaken:
                raise
        else:
            if not self._overtaken:
                return result
        self._db.close()
        self._open()
        return self._in_transaction(read)

    def _in_transaction(self, read: Callable[[], _T]) -> _T:
        super().rows("BEGIN")
        try:
            return read()
        finally:
            self._db.rollback()

    def meta(self) -> Meta:
        """Return ``meta`` as of now. Raises `LogError` where it is damaged, or this is no log."""
        return self.at_one_moment(self.meta_now)

    def meta_now(self) -> Meta:
        """Return ``meta`` within `at_one_moment`."""
        try:
            return read_meta(self._db, self.path)
        except UNREADABLE as error:
            raise LogError(f"{self.path} is no alert log ({error})") from None

    def declared(self) -> set[tuple[str, str, str]]:
        """Return kind, name and text of all that is declared in the file."""
        return set(self.rows("SELECT type, name, coalesce(sql, '') FROM sqlite_master"))

    def structure(self, most_s: float) -> list[str] | None:
        """Return what SQLite finds wrong with the structure of the file.

        None if that took more than ``most_s`` while a hub wrote: the write-ahead log grows as long
        as this reads. Raises `LogError` where nothing can be read.
        """
        before, until, given_up = self._written(), time.monotonic() + most_s, False

        def give_up() -> bool:
            nonlocal given_up
            given_up = time.monotonic() > until and self._written() != before
            return given_up

        self._db.set_progress_handler(give_up, 100_000)
        try:
            lines = [str(line) for (line,) in self.rows("PRAGMA integrity_check")]
        except LogError:
            if given_up:
                return None
            raise
        finally:
            self._db.set_progress_handler(None, 0)
        return [line for line in lines if line != "ok"]

    def _written(self) -> tuple[int, int]:
        try:
            state = self._wal.stat()
        except OSError:
            return 0, 0
        return state.st_mtime_ns, state.st_size

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
