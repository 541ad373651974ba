"""The rows of a commit, written into the transaction that is open.

Nothing counts before that transaction has ended: `Written` is where the log will end then.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

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
from pipeline.schema.public import Alert, EncodedStrip, PublishedAlert, SignalStrip, encode_json

STRIP_LEVEL: Final = 4
"""Takes a fifth of the time of the usual 6, and a tenth more room."""

_MOST_ROWS: Final = 128
"""Of one statement: some builds of SQLite take no more than 999 values."""

_REMOVE_ACTIVE: Final = (
    "WITH over(stream, episode) AS ({}) DELETE FROM standing WHERE rowid IN"
    " (SELECT standing.rowid FROM over JOIN standing USING (stream, episode))"
)
"""By the index: ``(stream, episode) IN ({})`` would go through the whole table."""


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
    held += sum(len(row[4]) + ROW_BYTES for row in trends)
    if commit.strips:
        held += _add_strips(db, commit.strips)
    after = meta.changed(last_seq=meta.last_seq + len(rows), chain=link, bytes_held=max(held, 0))
    last_entry = end.last_entry + len(commit.entries)
    _in_bulk(db, "INSERT INTO alert {}", rows)
    _in_bulk(db, "INSERT INTO trend {}", trends)
    if rows or trends or commit.strips:
        write_meta(db, after)
    _keep_active(db, [(one, row[2], row[3]) for one, row in zip(logged, rows, strict=True)])
    entries = [(n, checksum(n, e), e) for n, e in enumerate(commit.entries, end.last_entry + 1)]
    _in_bulk(db, "INSERT INTO journal {}", entries)
    _keep_snapshots(db, commit, last_entry)
    links = [link_text(meta.chain), *(link_text(row[4]) for row in rows)]
    return Written(
        alerts=[published(*alert) for alert in zip(logged, links[1:], links, strict=False)],
        meta=after,
        last_entry=last_entry,
        last_trend=end.last_trend + len(trends),
    )


def _add_strips(
    db: sqlite3.Connection, strips: Sequence[tuple[int, SignalStrip | EncodedStrip]]
) -> int:
    """Write strips, of several of one alert the last; return how many bytes more the log holds."""
    bodies = {seq: zlib.compress(encode_json(strip), STRIP_LEVEL) for seq, strip in strips}
    lengths = "SELECT length(body) FROM strip WHERE seq IN ({})"
    replaced = _in_bulk(db, lengths, [(seq,) for seq in bodies])
    rows = [(seq, checksum(seq, body), body) for seq, body in bodies.items()]
    _in_bulk(db, "INSERT OR REPLACE INTO strip {}", rows)
    added = sum(len(body) + ROW_BYTES for body in bodies.values())
    return added - sum((length or 0) + ROW_BYTES for (length,) in replaced)


def _keep_active(db: sqlite3.Connection, alerts: Sequence[tuple[Alert, int, bytes]]) -> None:
    """Bring the active alarms to where they are after alerts, given with checksum and body."""
    latest = {
        (alert.stream, alert.episode): (alert.state, alert.seq, crc32, body)
        for alert, crc32, body in alerts
        if alert.episode
    }
    over = [alarm for alarm, (state, *_) in latest.items() if state == "off"]
    active = [(*alarm, *row) for alarm, (state, *row) in latest.items() if state != "off"]
    _in_bulk(db, _REMOVE_ACTIVE, over)
    _in_bulk(db, "INSERT OR REPLACE INTO standing {}", active)


def _keep_snapshots(db: sqlite3.Connection, commit: Commit, last_entry: int) -> None:
    _in_bulk(db, "DELETE FROM snapshot WHERE stream IN ({})", [(name,) for name in commit.removed])
    for stream, body in commit.snapshots.items():  # values so long take longer together
        db.execute(
            "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
            (stream, last_entry, checksum(f"{last_entry} {stream}", body), body),
        )
    if commit.entries_needed_from is not None:
        db.execute("DELETE FROM journal WHERE n < ?", (commit.entries_needed_from,))


def _in_bulk(
    db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> list[tuple[Any, ...]]:
    """Return what a statement gives for all ``rows`` of values, for which ``{}`` stands in it.

    At each statement the interpreter is released and must be had back, so there are few: of as many
    rows as a power of two, that they are compiled once.
    """
    found: list[tuple[Any, ...]] = []
    done = 0
    while left := len(rows) - done:
        count = min(_MOST_ROWS, 1 << left.bit_length() - 1)
        values = [value for row in rows[done : done + count] for value in row]
        found += db.execute(statement.format(_values(count, len(rows[0]))), values).fetchall()
        done += count
    return found


@cache
def _values(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"
