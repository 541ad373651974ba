"""The rows of a commit, written into the transaction that is open.

Nothing counts before that transaction has ended: `Written` is where the log will end then.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.log.commit import Commit
from pipeline.log.schema import (
    ROW_BYTES,
    Meta,
    checksum,
    next_link,
    trend_rows,
    write_meta,
)
from pipeline.schema.alert import link_text, numbered, published
from pipeline.schema.public import Alert, PublishedAlert, encode_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where a log ends with a commit, and the alerts of that."""

    alerts: Sequence[PublishedAlert] = ()
    """Numbered, as logged, with links."""
    meta: Meta
    last_entry: int
    """Number of the newest entry that was ever in the journal."""
    last_trend: int
    """Number of the newest trend."""


def write_commit(db: sqlite3.Connection, commit: Commit, end: Written) -> Written:
    """Write the rows of a commit behind the ``end`` of a log; return where it ends with them.

    Raises:
        sqlite3.Error: the file takes them not.
    """
    meta = end.meta
    logged = [
        numbered(alert, meta.log_id, meta.last_seq + n) for n, alert in enumerate(commit.alerts, 1)
    ]
    rows, link, held = [], meta.chain, meta.bytes_held
    for alert in logged:
        body = encode_json(alert)
        link = next_link(link, alert.seq, body)
        held += len(body) + ROW_BYTES
        rows.append((alert.seq, alert.stream, zlib.crc32(body), body, link))
    trends = trend_rows(commit.trends, end.last_trend)
    held += sum(len(row[-1]) + ROW_BYTES for row in trends)
    after = meta.changed(last_seq=meta.last_seq + len(rows), chain=link, bytes_held=held)
    last_entry = end.last_entry + len(commit.entries)
    if rows:
        db.executemany("INSERT INTO alert VALUES (?, ?, ?, ?, ?)", rows)
    if trends:
        db.executemany("INSERT INTO trend VALUES (?, ?, ?, ?, ?)", trends)
    if rows or trends:
        write_meta(db, after)
    for alert, (_, _, crc32, body, _) in zip(logged, rows, strict=True):
        _update_active(db, alert, crc32, body)
    db.executemany(
        "INSERT INTO journal VALUES (?, ?, ?)",
        ((n, checksum(n, e), e) for n, e in enumerate(commit.entries, end.last_entry + 1)),
    )
    _keep_snapshots(db, commit, last_entry)
    links = [link_text(meta.chain), *(link_text(row[4]) for row in rows)]
    return Written(
        alerts=[published(*alert) for alert in zip(logged, links[1:], links, strict=False)],
        meta=after,
        last_entry=last_entry,
        last_trend=end.last_trend + len(trends),
    )


def _update_active(db: sqlite3.Connection, alert: Alert, crc32: int, body: bytes) -> None:
    if not alert.episode:
        return
    alarm = (alert.stream, alert.episode)
    if alert.state == "off":
        db.execute("DELETE FROM standing WHERE stream = ? AND episode = ?", alarm)
    else:
        db.execute(
            "INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?)",
            (*alarm, alert.seq, crc32, body),
        )


def _keep_snapshots(db: sqlite3.Connection, commit: Commit, last_entry: int) -> None:
    db.executemany(
        "DELETE FROM snapshot WHERE stream = ?", ((stream,) for stream in commit.removed)
    )
    for stream, body in commit.snapshots.items():
        db.execute(
            "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
            (stream, last_entry, checksum(f"{last_entry} {stream}", body), body),
        )
    if commit.entries_needed_from is not None:
        db.execute("DELETE FROM journal WHERE n < ?", (commit.entries_needed_from,))
