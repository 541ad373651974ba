"""Whether a log is what was written: its structure, every row, and the chain from end to end.

`verify` only reads, and holds no transaction for long, so that it can be asked about a log that a
hub is writing: it looks at what was there when it began. It finds every change of what a reader
would see. It cannot find that the newest alerts are missing where the file as a whole is an older
one: whoever has read more of it can (`docs/operations.md`).
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
    LOG_VERSION,
    ROW_BYTES,
    Meta,
    first_link,
    next_link,
    schema,
)
from pipeline.schema.public import Alert

LONGEST_READ_S: Final = 5.0
"""Of one transaction while somebody writes: the write-ahead log grows as long as it lasts."""

_ROWS_A_PAGE: Final = 500
_FINDINGS: Final = 100
"""Written down one by one; the others are counted."""

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
    damage: list[str] = field(default_factory=list)
    """One line each, with what it is about."""
    uncounted: int = 0
    """Damage beyond those lines."""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage

    def counts(self) -> list[str]:
        """Return what there is, in lines."""
        return [
            f"{self.log}: version {self.version}, log_id {self.log_id}",
            f"{self.alerts} alerts, {self.first_seq} to {self.last_seq}; {self.strips} strips of "
            f"signal; {self.standing} alarms stand; {self.entries} entries of the journal, "
            f"{self.snapshots} snapshots",
            "intact" if self.intact else f"damaged: {len(self.damage) + self.uncounted} findings",
        ]

    def found(self, what: str) -> None:
        """Take down one thing that is wrong."""
        if len(self.damage) < _FINDINGS:
            self.damage.append(what)
        else:
            self.uncounted += 1


def verify(path: Path, told: OnProgress = lambda done, total: None) -> Verification:
    """Check the log at ``path``.

    Raises:
        InputError: there is no such file.
        LogError: it is no alert log or a newer version wrote it, or it is so long that it cannot be
            checked while somebody writes it.
    """
    with LogReader(path) as reader:
        return _Check(reader, told).run()


class _Check:
    """One pass over the log that ``reader`` has open."""

    def __init__(self, reader: LogReader, told: OnProgress) -> None:
        self._reader = reader
        self._told = told
        self._result = Verification(log=str(reader.path), version=reader.version)
        self._found = self._result.found
        self._keyed = reader.version >= LOG_VERSION
        self._overtaken = False
        """Whether alerts were removed, as they may be, before they were checked."""

    def run(self) -> Verification:
        """Check all there is, as far as it can be read."""
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
            self._found(f"structure: {fault}")
        steps = [self._check_declared, self._check_alerts]
        steps += [self._check_strips] if self._reader.version > 1 else []
        steps += [self._check_memory] if self._keyed else []
        for step in steps:
            try:
                step()
            except LogError as error:
                self._found(self._short(error))
        return self._result

    def _short(self, error: LogError) -> str:
        return str(error).removeprefix(f"{self._reader.path}: ")

    def _check_declared(self) -> None:
        version = self._reader.version
        for kind, name, _ in sorted(self._reader.declared() ^ schema(version), key=repr):
            self._found(f"structure: the {kind} {name} is not declared as it was")
        if self._keyed and self._reader.rows("PRAGMA application_id") != [(APPLICATION_ID,)]:
            self._found("structure: the header does not say that this is an alert log")

    # --- alerts ---------------------------------------------------------------------------

    def _check_alerts(self) -> None:
        meta, standing, held = self._reader.at_one_moment(self._ends)
        result = self._result
        result.log_id, result.standing = meta.log_id, len(standing)
        result.first_seq, result.last_seq = meta.low_water_seq, meta.last_seq
        stands = {k: alert for k, alert in standing.items() if alert.seq < meta.low_water_seq}
        link = self._follow(meta, stands)
        if self._keyed:
            if meta.low_water_seq == 1 and meta.low_water_chain != first_link(meta.log_id):
                self._found("meta: the chain does not begin as that of this log")
            if link != meta.chain and not self._overtaken:
                self._found("meta: the chain does not end as it should")
            if held != meta.bytes_held:
                self._found(f"meta: {meta.bytes_held} bytes are said to be held, not {held}")
        if self._reader.version > 1 and not self._overtaken:
            for key in sorted(stands.keys() | standing.keys()):
                if stands.get(key) != standing.get(key):
                    self._found(f"standing: {' '.join(key)} does not follow from the alerts")

    def _ends(self) -> tuple[Meta, dict[tuple[str, str], Alert], int]:
        """Return ``meta``, what stands, and the bytes held, all of one commit."""
        reader = self._reader
        meta = reader.meta_now()
        if reader.rows("SELECT count(*) FROM meta") != [(1,)]:
            self._found("meta: more than one row")
        beyond = reader.rows(
            "SELECT seq FROM alert WHERE seq < ? OR seq > ? LIMIT 100",
            (meta.low_water_seq, meta.last_seq),
        )
        for (seq,) in beyond:
            self._found(f"alert {seq}: beyond {meta.low_water_seq} to {meta.last_seq}")
        if reader.version == 1:
            return meta, {}, 0
        names = reader.rows("SELECT stream, episode, seq FROM standing")
        standing = {(alert.stream, alert.episode): alert for alert in reader.standing()}
        if {(*key, alert.seq) for key, alert in standing.items()} != set(names):
            self._found("standing: rows stand under other names than their alerts")
        ((held,),) = reader.rows(
            "SELECT (SELECT coalesce(sum(length(body) + ?1), 0) FROM alert)"
            " + (SELECT coalesce(sum(length(body) + ?1), 0) FROM strip)",
            (ROW_BYTES,),
        )
        return meta, standing, held

    def _follow(self, meta: Meta, stands: dict[tuple[str, str], Alert]) -> bytes:
        """Check the rows up to the last one of ``meta``; return the link of the last.

        ``stands`` becomes what stands after them.
        """
        link, expected = meta.low_water_chain, meta.low_water_seq
        total = meta.last_seq - meta.low_water_seq + 1
        while expected <= meta.last_seq:
            first = expected
            now, rows = self._reader.at_one_moment(partial(self._page, expected, meta.last_seq))
            if now.low_water_seq > expected:
                link, expected = now.low_water_chain, now.low_water_seq
                self._overtaken = True
            for seq, stream, crc32, body, kept in rows:
                if seq != expected:
                    missing = f"{expected}" if seq == expected + 1 else f"{expected} to {seq - 1}"
                    self._found(f"alert {missing}: missing")
                alert = self._sound(seq, stream, crc32, body, meta.log_id)
                if alert is not None:
                    _bring_about(alert, stands)
                if self._keyed and kept != next_link(link, seq, body or b""):
                    self._found(f"alert {seq}: the chain breaks here")
                link, expected = kept or b"", seq + 1
            if rows and rows[-1][0] < first:
                raise LogError("alerts: the rows are in no order")
            self._result.alerts += len(rows)
            self._told(self._result.alerts, total)
            if len(rows) < _ROWS_A_PAGE and expected <= meta.last_seq:
                self._found(f"alert {expected} to {meta.last_seq}: missing")
                break
        return link

    def _page(self, from_seq: int, last_seq: int) -> tuple[Meta, list[tuple[Any, ...]]]:
        """Return ``meta`` and up to 500 rows, both of one commit."""
        link = "CAST(chain AS BLOB)" if self._keyed else "x''"
        return self._reader.meta_now(), self._reader.rows(
            f"SELECT seq, stream, crc32, CAST(body AS BLOB), {link} FROM alert"  # noqa: S608
            f" WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT {_ROWS_A_PAGE}",
            (from_seq, last_seq),
        )

    def _sound(
        self, seq: int, stream: str, crc32: int, body: bytes | None, log_id: str
    ) -> Alert | None:
        """Return the alert in a row, None where it is damaged."""
        try:
            alert = self._reader.alert_of(seq, crc32, body)
        except LogError as error:
            self._found(self._short(error))
            return None
        if alert.log_id != log_id:
            self._found(f"alert {seq}: it is of another log, {alert.log_id}")
        if alert.stream != stream:
            self._found(f"alert {seq}: it stands under another stream, {stream}")
        return alert

    # --- the rest -------------------------------------------------------------------------

    def _check_strips(self) -> None:
        after = 0
        while rows := self._reader.rows(
            "SELECT seq, crc32, CAST(body AS BLOB) FROM strip WHERE seq > ? ORDER BY seq LIMIT 500",
            (after,),
        ):
            for row in rows:
                try:
                    self._reader.strip_of(*row)
                except LogError as error:
                    self._found(self._short(error))
            self._result.strips += len(rows)
            if rows[-1][0] <= after:
                raise LogError("strips: the rows are in no order")
            after = rows[-1][0]
        if after > self._reader.meta().last_seq:
            self._found(f"strip {after}: there is no such alert")

    def _check_memory(self) -> None:
        """Check what a hub goes on from."""
        reader, before = self._reader, None
        for n, crc32, body in reader.rows("SELECT n, crc32, CAST(body AS BLOB) FROM journal"):
            self._check_keyed(f"entry {n}", n, crc32, body)
            if before is not None and n != before + 1:
                self._found(f"entry {before + 1}: missing")
            before = n
            self._result.entries += 1
        for stream, n, crc32, body in reader.rows(
            "SELECT stream, n, crc32, CAST(body AS BLOB) FROM snapshot"
        ):
            self._check_keyed(f"snapshot of {stream}", f"{n} {stream}", crc32, body)
            self._result.snapshots += 1

    def _check_keyed(self, what: str, key: int | str, crc32: int, body: bytes | None) -> None:
        try:
            self._reader.keyed(what, key, crc32, body)
        except LogError as error:
            self._found(self._short(error))


def _bring_about(alert: Alert, stands: dict[tuple[str, str], Alert]) -> None:
    """Change ``stands`` as an alert does."""
    key = alert.stream, alert.episode
    if alert.state == "off":
        stands.pop(key, None)
    elif alert.episode:
        stands[key] = alert
