"""The file of a log: its tables, their upgrade, checksums and the chain.

Version 1 has alerts; version 2 adds strips of signal and the active alarms (table ``standing``);
version 3 adds a journal and snapshots, and a link to every alert: SHA-256 over the link before, the
number and the body; version 4 adds trends, one a minute and stream. A row that is changed, removed,
inserted or moved breaks this chain, which a CRC-32 alone does not show. When the oldest rows are
removed, the link before the first remaining one is kept.

The CRC-32 is that of zlib, as good as CRC-32C here: it finds one flipped bit always, anything else
but one time in 2**32. Both ends of a log are in ``meta``, which has a checksum of its own.
"""

import sqlite3
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from pipeline.errors import LogError
from pipeline.schema.public import Trend, encode_json

LOG_VERSION: Final = 4

CHAINED: Final = 3
"""From this version on a log has the journal and a chain."""

WITH_TRENDS: Final = 4
"""From this version on a log has trends."""

UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError, OverflowError)
"""What a query on a damaged file raises: SQLite's message may quote what is no text, and a number
may lie beyond what SQLite takes."""

_LATEST: Final = 2**53
"""No log has so many rows, and arithmetic on their numbers stays exact."""

LONGEST_VALUE: Final = 16 * 1024 * 1024
"""Bytes of one value, many times what we write: a small hostile file can ask for more."""

APPLICATION_ID: Final = 0x4543_4741
"""In the header of the file, for `file` and other programs: ``ECGA``."""

ROW_BYTES: Final = 64
"""About what a row takes besides its body: link, checksum, numbers."""

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
"""A strip belongs to the alert of its number. ``standing`` has the active alarms: those between
their first alert and their off."""

_ADDED_IN_3: Final = """
CREATE TABLE journal (n INTEGER PRIMARY KEY, crc32 INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE snapshot (
    stream TEXT PRIMARY KEY, n INTEGER NOT NULL, crc32 INTEGER NOT NULL, body BLOB NOT NULL
);
ALTER TABLE meta ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
ALTER TABLE meta ADD COLUMN low_water_seq INTEGER NOT NULL DEFAULT 1;
ALTER TABLE meta ADD COLUMN low_water_chain BLOB NOT NULL DEFAULT x'';
ALTER TABLE meta ADD COLUMN bytes_held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN crc32 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
ALTER TABLE standing ADD COLUMN crc32 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing ADD COLUMN body BLOB NOT NULL DEFAULT x'';
DELETE FROM standing WHERE seq NOT IN (SELECT seq FROM alert);
UPDATE standing SET (crc32, body) =
    (SELECT crc32, CAST(body AS BLOB) FROM alert WHERE alert.seq = standing.seq);
"""
"""A stream's snapshot is its state after entry ``n`` of the journal. ``standing`` has a copy of an
alarm's latest alert: it is there as long as the alarm is active, however few alerts are kept."""

_ADDED_IN_4: Final = """
CREATE TABLE trend (
    n INTEGER PRIMARY KEY, stream TEXT NOT NULL, utc TEXT NOT NULL,
    crc32 INTEGER NOT NULL, body BLOB NOT NULL
);
"""

_ADDED: Final = (_SCHEMA_1, _ADDED_IN_2, _ADDED_IN_3, _ADDED_IN_4)
"""By each version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The one row of ``meta``: what the log holds, and both ends of the chain."""

    version: int
    log_id: str
    last_seq: int
    """Number of the newest alert ever written; 0 for none."""
    chain: bytes
    """Its link. Empty before version 3."""
    low_water_seq: int
    """Number of the oldest alert that is held; one past the last where none is."""
    low_water_chain: bytes
    """The link before that one."""
    bytes_held: int
    """Of alerts, strips and trends."""

    @property
    def checksum(self) -> int:
        """The value of the column ``crc32``, over all the others."""
        numbers = (self.version, self.last_seq, self.low_water_seq, self.bytes_held)
        return zlib.crc32(repr((self.log_id, numbers, self.chain, self.low_water_chain)).encode())

    def changed(self, **changes: int | bytes) -> Self:
        """Return the row after a change."""
        return replace(self, **changes)  # type: ignore[arg-type]


def first_link(log_id: str) -> bytes:
    """Return the link before alert 1: no row of another log follows it."""
    return sha256(f"alert log {log_id}".encode()).digest()


def next_link(link: bytes, seq: int, body: bytes) -> bytes:
    """Return the link of the alert ``seq``, given the link before it."""
    return sha256(link + seq.to_bytes(8, "big") + body).digest()


def checksum(key: int | str, body: bytes) -> int:
    """Return the checksum of a row and its key: under another key it is wrong."""
    return zlib.crc32(body, zlib.crc32(str(key).encode()))


def trend_rows(trends: Iterable[Trend], last: int) -> list[tuple[int, str, str, int, bytes]]:
    """Return trends as rows of their table, behind the row ``last``."""
    bodies = [(trend, encode_json(trend)) for trend in trends]
    return [
        (n, trend.stream, trend.utc, checksum(n, body), body)
        for n, (trend, body) in enumerate(bodies, last + 1)
    ]


def distrust(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that does more than hold tables; called before any other query.

    A view in place of a table may compute for ever, a trigger may drop what is written.

    Raises:
        LogError: it declares more than tables and indexes.
        sqlite3.Error: it is no log.
    """
    db.execute("PRAGMA trusted_schema=OFF")
    for kind, sql in db.execute("SELECT type, sql FROM sqlite_master LIMIT 1000"):
        virtual = isinstance(sql, str) and sql.upper().startswith("CREATE VIRTUAL")
        if kind not in ("table", "index") or virtual:
            raise LogError(f"{path} holds more than tables: it is no alert log; choose another")


def prepare(db: sqlite3.Connection, path: Path) -> Meta:
    """Set a connection up for writing; begin the log in an empty file, or upgrade an older one.

    Raises:
        LogError: a newer version wrote it, or ``meta`` is damaged.
        sqlite3.Error: it is no log.
    """
    distrust(db, path)
    # Takes effect before the first table only: an older log keeps its length when rows are removed.
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    # Some builds of SQLite write zeros over every page that becomes free: the journal, twice.
    db.execute("PRAGMA secure_delete=FAST")
    # On macOS a plain fsync leaves the bytes in the drive's own memory.
    db.execute("PRAGMA fullfsync=ON")
    db.execute("BEGIN IMMEDIATE")
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        _run(db, _SCHEMA_1)
        db.execute("INSERT INTO meta VALUES (1, ?, 0)", (uuid.uuid4().hex,))
    if _version(db, path) < LOG_VERSION:
        _upgrade(db, read_meta(db, path))
    db.execute("COMMIT")
    return read_meta(db, path)


def mark_use(db: sqlite3.Connection, *, in_use: bool) -> bool:
    """Mark a log as in use or as closed in order, durably; return whether it was in use before.

    The mark is ``user_version`` in the header of the file, 1 or 0.
    """
    before = False
    with suppress(sqlite3.Error):  # a full disk is reported at the next commit
        before = db.execute("PRAGMA user_version").fetchone() == (1,)
        if before != in_use:
            db.execute(f"PRAGMA user_version = {in_use:d}")
    return before


def read_meta(db: sqlite3.Connection, path: Path) -> Meta:
    """Return ``meta`` of a log of this version or an older one.

    Raises:
        LogError: a newer version wrote it, or it is damaged.
        sqlite3.Error: it is no log.
    """
    version = _version(db, path)
    if version < CHAINED:
        log_id, last_seq = db.execute("SELECT log_id, last_seq FROM meta").fetchone()
        (oldest,) = db.execute("SELECT min(seq) FROM alert").fetchone()
        after_last = last_seq + 1 if isinstance(last_seq, int) else 1
        meta = Meta(
            version=version,
            log_id=log_id,
            last_seq=last_seq,
            chain=b"",
            low_water_seq=after_last if oldest is None else oldest,
            low_water_chain=b"",
            bytes_held=0,
        )
        return _plausible(meta, path)
    log_id, last_seq, chain, low_water_seq, low_water_chain, bytes_held, crc32 = db.execute(
        "SELECT log_id, last_seq, chain, low_water_seq, low_water_chain, bytes_held, crc32"
        " FROM meta"
    ).fetchone()
    meta = Meta(
        version=version,
        log_id=log_id,
        last_seq=last_seq,
        chain=chain,
        low_water_seq=low_water_seq,
        low_water_chain=low_water_chain,
        bytes_held=bytes_held,
    )
    if meta.checksum != crc32:
        raise LogError(f"{path}: meta is damaged: checksum differs; choose another --log")
    return _plausible(meta, path)


def _plausible(meta: Meta, path: Path) -> Meta:
    """Return ``meta`` if it is of the right types and within bounds, else raise `LogError`."""
    name = isinstance(meta.log_id, str) and meta.log_id.isascii() and len(meta.log_id) <= 100
    links = isinstance(meta.chain, bytes) and isinstance(meta.low_water_chain, bytes)
    numbers = (meta.last_seq, meta.low_water_seq, meta.bytes_held)
    counts = all(isinstance(n, int) and 0 <= n <= _LATEST for n in numbers)
    if not (name and links and counts):
        raise LogError(f"{path}: meta is damaged: {str(numbers)[:100]}; choose another --log")
    return meta


def write_meta(db: sqlite3.Connection, meta: Meta) -> None:
    """Write the one row of ``meta``, within a transaction."""
    db.execute(
        "UPDATE meta SET last_seq = ?, chain = ?, low_water_seq = ?, low_water_chain = ?,"
        " bytes_held = ?, crc32 = ?",
        (
            meta.last_seq,
            meta.chain,
            meta.low_water_seq,
            meta.low_water_chain,
            meta.bytes_held,
            meta.checksum,
        ),
    )


def schema(version: int) -> set[tuple[str, str, str]]:
    """Return kind, name and text of every declaration in a log of ``version``."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statements in _ADDED[:version]:
            _run(db, statements)
        return set(db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master"))
    finally:
        db.close()


def _version(db: sqlite3.Connection, path: Path) -> int:
    row = db.execute("SELECT version FROM meta").fetchone()
    if row is None:
        raise LogError(f"{path} is no alert log (empty meta); choose another --log")
    version = row[0]
    if not isinstance(version, int) or not 1 <= version <= LOG_VERSION:
        raise LogError(
            f"{path} is a log of version {version}, this program reads up to {LOG_VERSION}: "
            "use a newer one, or choose another --log"
        )
    return version


def _upgrade(db: sqlite3.Connection, meta: Meta) -> None:
    """Bring a log up to this version, within a transaction."""
    for statements in _ADDED[meta.version :]:
        _run(db, statements)
    db.execute("UPDATE meta SET version = ?", (LOG_VERSION,))
    if meta.version >= CHAINED:
        write_meta(db, meta.changed(version=LOG_VERSION))
        return
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    log_id, last_seq = meta.log_id, meta.last_seq
    link, held = first_link(log_id), 0
    for seq, _, body in _all_rows(db, "alert"):
        link = next_link(link, seq, body)
        held += len(body) + ROW_BYTES
        db.execute("UPDATE alert SET chain = ? WHERE seq = ?", (link, seq))
    for seq, crc32, body in _all_rows(db, "strip"):
        held += len(body) + ROW_BYTES
        if zlib.crc32(body) == crc32:  # a damaged row stays recognisable as damaged
            db.execute("UPDATE strip SET crc32 = ? WHERE seq = ?", (checksum(seq, body), seq))
    write_meta(
        db,
        Meta(
            version=LOG_VERSION,
            log_id=log_id,
            last_seq=last_seq,
            chain=link,
            low_water_seq=1,
            low_water_chain=first_link(log_id),
            bytes_held=held,
        ),
    )


def _all_rows(db: sqlite3.Connection, table: str) -> Iterator[tuple[int, int, bytes]]:
    seq = 0
    while rows := db.execute(
        f"SELECT seq, crc32, CAST(body AS BLOB) FROM {table} WHERE seq > ?"  # noqa: S608
        " ORDER BY seq LIMIT 500",
        (seq,),
    ).fetchall():
        yield from rows
        if rows[-1][0] <= seq:
            raise sqlite3.DatabaseError(f"the rows of {table} are in no order")
        seq = rows[-1][0]


def _run(db: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";")[:-1]:
        db.execute(statement)
