"""Verification of a log: its structure, every row, and the chain from end to end.

`verify` only reads, and holds no transaction for long, so it can check a log that a hub is writing:
it checks what was there when it began. It finds every change that a reader would see. Alerts that
were removed on request are counted: `pipeline.log.tombstones` says what is known of them. It cannot
find that the newest alerts are missing where the whole file was replaced by an older copy; a
subscriber that has read more of it can (`docs/operations.md`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipeline.errors import LogError
from pipeline.log.reader import LogReader
from pipeline.log.schema import (
    APPLICATION_ID,
    CHAINED,
    ROW_BYTES,
    WITH_TRENDS,
    Meta,
    first_link,
    next_link,
    schema,
)
from pipeline.log.tombstones import Removals
from pipeline.schema.public import Alert

LONGEST_READ_S: Final = 5.0
"""Of one transaction while a hub writes: the write-ahead log grows as long as it lasts."""

_ROWS_A_PAGE: Final = 500
_FINDINGS: Final = 100
"""Listed one by one; further ones are only counted."""

OnProgress = Callable[[int, int], None]
"""Takes how many alerts are checked, of how many."""


@dataclass(kw_only=True, slots=True)
class Verification:
    """What was found in a log."""

    log: str
    log_id: str = ""
    version: int = 0
    first_seq: int = 0
    last_seq: int = 0
    alerts: int = 0
    strips: int = 0
    standing: int = 0
    entries: int = 0
    snapshots: int = 0
    trends: int = 0
    forgotten: int = 0
    """Alerts that were removed on request: they are counted in ``alerts``, too."""
    damage: list[str] = field(default_factory=list)
    """One line each, beginning with where it is."""
    uncounted: int = 0
    """Damage beyond those lines."""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage

    def counts(self) -> list[str]:
        """Return a summary, in lines."""
        return [
            f"{self.log}: version {self.version}, log_id {self.log_id}",
            f"{self.alerts} alerts, {self.first_seq} to {self.last_seq}; {self.strips} strips of "
            f"signal; {self.standing} active alarms; {self.entries} entries of the journal, "
            f"{self.snapshots} snapshots; {self.trends} minutes of trends",
            *([f"{self.forgotten} alerts were removed on request"] if self.forgotten else []),
            "intact" if self.intact else f"damaged: {len(self.damage) + self.uncounted} findings",
        ]

    def add(self, finding: str) -> None:
        """Add one line about damage."""
        if len(self.damage) < _FINDINGS:
            self.damage.append(finding)
        else:
            self.uncounted += 1


def verify(path: Path, on_progress: OnProgress = lambda done, total: None) -> Verification:
    """Check the log at ``path``.

    Raises:
        InputError: there is no such file.
        LogError: it is no alert log or a newer version wrote it, or it is so long that it cannot be
            checked while somebody writes it.
    """
    with LogReader(path) as reader:
        return _Check(reader, on_progress).run()


class _Check:
    """One pass over the log that ``reader`` has open."""

    def __init__(self, reader: LogReader, on_progress: OnProgress) -> None:
        self._reader = reader
        self._on_progress = on_progress
        self._result = Verification(log=str(reader.path), version=reader.version)
        self._add = self._result.add
        self._keyed = reader.version >= CHAINED
        self._removals = Removals()
        self._overtaken = False
        """Whether retention removed alerts before they were checked."""

    def run(self) -> Verification:
        """Check everything that can be read."""
        try:
            faults = self._reader.structure(LONGEST_READ_S)
        except LogError as error:
            faults = [self._short(error)]
        if faults is None:
            raise LogError(
                f"{self._reader.path} is too long to be checked while it is written: check a copy, "
                "or end the monitor first"
            )
        for fault in faults:
            self._add(f"structure: {fault}")
        steps = [self._check_declared, self._check_alerts]
        steps += [self._check_strips] if self._reader.version > 1 else []
        steps += [self._check_memory] if self._keyed else []
        steps += [self._check_trends] if self._reader.version >= WITH_TRENDS else []
        for step in steps:
            try:
                step()
            except LogError as error:
                self._add(self._short(error))
        return self._result

    def _short(self, error: LogError) -> str:
        return str(error).removeprefix(f"{self._reader.path}: ")

    def _check_declared(self) -> None:
        version = self._reader.version
        for kind, name, _ in sorted(self._reader.declared() ^ schema(version), key=repr):
            self._add(f"structure: the {kind} {name} is not declared as it was")
        if self._keyed and self._reader.rows("PRAGMA application_id") != [(APPLICATION_ID,)]:
            self._add("structure: the header does not say that this is an alert log")

    # --- alerts ---------------------------------------------------------------------------

    def _check_alerts(self) -> None:
        meta, standing, held = self._reader.at_one_moment(self._ends)
        result = self._result
        result.log_id, result.standing = meta.log_id, len(standing)
        result.first_seq, result.last_seq = meta.low_water_seq, meta.last_seq
        active = {k: alert for k, alert in standing.items() if alert.seq < meta.low_water_seq}
        link = self._walk_chain(meta, active)
        result.forgotten = self._removals.forgotten
        for finding in self._removals.damage(
            complete=meta.low_water_seq == 1 and not self._overtaken
        ):
            self._add(finding)
        if self._keyed:
            if meta.low_water_seq == 1 and meta.low_water_chain != first_link(meta.log_id):
                self._add("meta: the chain does not begin as that of this log")
            if link != meta.chain and not self._overtaken:
                self._add("meta: the chain does not end as it should")
            if held != meta.bytes_held:
                self._add(f"meta: bytes_held is {meta.bytes_held}, the rows have {held}")
        if self._reader.version > 1 and not self._overtaken:
            for key in sorted(active.keys() | standing.keys()):
                if active.get(key) != standing.get(key):
                    self._add(f"standing: {' '.join(key)} does not follow from the alerts")

    def _ends(self) -> tuple[Meta, dict[tuple[str, str], Alert], int]:
        """Return ``meta``, the active alarms, and the bytes held, all of one commit."""
        reader = self._reader
        meta = reader.meta_now()
        if reader.rows("SELECT count(*) FROM meta") != [(1,)]:
            self._add("meta: more than one row")
        beyond = reader.rows(
            "SELECT seq FROM alert WHERE seq < ? OR seq > ? LIMIT 100",
            (meta.low_water_seq, meta.last_seq),
        )
        for (seq,) in beyond:
            self._add(f"alert {seq}: beyond {meta.low_water_seq} to {meta.last_seq}")
        if reader.version == 1:
            return meta, {}, 0
        names = reader.rows("SELECT stream, episode, seq FROM standing")
        standing = {(alert.stream, alert.episode): alert for alert in reader.active_alarms()}
        if {(*key, alert.seq) for key, alert in standing.items()} != set(names):
            self._add("standing: rows have other names than their alerts")
        tables = ("alert", "strip", "trend")[: 3 if reader.version >= WITH_TRENDS else 2]
        held = 0
        for table in tables:
            ((sum_,),) = reader.rows(
                f"SELECT coalesce(sum(length(body) + ?1), 0) FROM {table}",  # noqa: S608
                (ROW_BYTES,),
            )
            held += sum_
        return meta, standing, held

    def _walk_chain(self, meta: Meta, active: dict[tuple[str, str], Alert]) -> bytes:
        """Check the rows up to the last one of ``meta``; return the link of the last.

        ``active``, the alarms that are active before them, is updated to those after them.
        """
        link, expected = meta.low_water_chain, meta.low_water_seq
        total = meta.last_seq - meta.low_water_seq + 1
        while expected <= meta.last_seq:
            # 1. The next page, and both ends of the log as they are by now.
            first = expected
            now, rows = self._reader.at_one_moment(partial(self._page, expected, meta.last_seq))
            # 2. Retention may have removed rows meanwhile: the chain continues from the new end.
            if now.low_water_seq > expected:
                link, expected = now.low_water_chain, now.low_water_seq
                self._overtaken = True
            # 3. Each row: its number, its content, and its link to the row before.
            for seq, stream, crc32, body, kept in rows:
                if seq != expected:
                    missing = f"{expected}" if seq == expected + 1 else f"{expected} to {seq - 1}"
                    self._add(f"alert {missing}: missing")
                alert = self._readable(seq, stream, crc32, body, meta.log_id)
                if alert is not None:
                    _update(active, alert)
                if self._keyed:
                    self._check_link(
                        seq, alert, body or b"", next_link(link, seq, body or b"") == kept
                    )
                link, expected = kept or b"", seq + 1
            # 4. Pages must advance, and end with the last row.
            if rows and rows[-1][0] < first:
                raise LogError("alerts: the rows are in no order")
            self._result.alerts += len(rows)
            self._on_progress(self._result.alerts, total)
            if len(rows) < _ROWS_A_PAGE and expected <= meta.last_seq:
                self._add(f"alert {expected} to {meta.last_seq}: missing")
                break
        return link

    def _check_link(self, seq: int, alert: Alert | None, body: bytes, fits: bool) -> None:
        """Check a row whose link is that of its body, or not; in that case it is a tombstone."""
        if fits:
            if alert is not None:
                self._removals.take_record(alert)
        elif alert is None or not self._removals.take_tombstone(alert, body):
            self._add(f"alert {seq}: the chain breaks here")

    def _page(self, from_seq: int, last_seq: int) -> tuple[Meta, list[tuple[Any, ...]]]:
        """Return ``meta`` and up to 500 rows, both of one commit."""
        link = "CAST(chain AS BLOB)" if self._keyed else "x''"
        return self._reader.meta_now(), self._reader.rows(
            f"SELECT seq, stream, crc32, CAST(body AS BLOB), {link} FROM alert"  # noqa: S608
            f" WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT {_ROWS_A_PAGE}",
            (from_seq, last_seq),
        )

    def _readable(
        self, seq: int, stream: str, crc32: int, body: bytes | None, log_id: str
    ) -> Alert | None:
        """Return the alert in a row, or None where it is damaged."""
        try:
            alert = self._reader.alert_of(seq, crc32, body)
        except LogError as error:
            self._add(self._short(error))
            return None
        if alert.log_id != log_id:
            self._add(f"alert {seq}: it is of another log, {alert.log_id}")
        if alert.stream != stream:
            self._add(f"alert {seq}: its row says another stream, {stream}")
        return alert

    # --- the rest -------------------------------------------------------------------------

    def _check_strips(self) -> None:
        self._result.strips, after = self._check_rows(
            "strips",
            "SELECT seq, crc32, CAST(body AS BLOB) FROM strip WHERE seq > ? ORDER BY seq LIMIT 500",
            self._reader.strip_of,
        )
        if after > self._reader.meta().last_seq:
            self._add(f"strip {after}: there is no such alert")

    def _check_memory(self) -> None:
        """Check the journal and the snapshots."""
        reader, before = self._reader, None
        for n, crc32, body in reader.rows("SELECT n, crc32, CAST(body AS BLOB) FROM journal"):
            self._check_keyed(f"entry {n}", n, crc32, body)
            if before is not None and n != before + 1:
                self._add(f"entry {before + 1}: missing")
            before = n
            self._result.entries += 1
        for stream, n, crc32, body in reader.rows(
            "SELECT stream, n, crc32, CAST(body AS BLOB) FROM snapshot"
        ):
            self._check_keyed(f"snapshot of {stream}", f"{n} {stream}", crc32, body)
            self._result.snapshots += 1

    def _check_trends(self) -> None:
        self._result.trends, _ = self._check_rows(
            "trends",
            "SELECT n, stream, utc, crc32, CAST(body AS BLOB) FROM trend WHERE n > ?"
            " ORDER BY n LIMIT 500",
            self._reader.trend_of,
        )

    def _check_rows(self, what: str, query: str, decoded: Callable[..., object]) -> tuple[int, int]:
        """Check rows by decoding them; return how many there are, and the number of the last."""
        count = after = 0
        while rows := self._reader.rows(query, (after,)):
            for row in rows:
                try:
                    decoded(*row)
                except LogError as error:
                    self._add(self._short(error))
            count += len(rows)
            if rows[-1][0] <= after:
                raise LogError(f"{what}: the rows are in no order")
            after = rows[-1][0]
        return count, after

    def _check_keyed(self, what: str, key: int | str, crc32: int, body: bytes | None) -> None:
        try:
            self._reader.keyed(what, key, crc32, body)
        except LogError as error:
            self._add(self._short(error))


def _update(active: dict[tuple[str, str], Alert], alert: Alert) -> None:
    """Update the active alarms by one more alert."""
    key = alert.stream, alert.episode
    if alert.state == "off":
        active.pop(key, None)
    elif alert.episode:
        active[key] = alert
