"""Alerts and logs for the tests of the log, and how one log is distinguished from another."""

import sqlite3
from pathlib import Path
from typing import Any

from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import Alert, SignalStrip, Trend
from tests.support.paths import GOLDEN


def alert(sample: int, *, stream: str = "100", **changes: Any) -> Alert:
    """Return an alert without a place in a log."""
    facts = {
        "kind": "anomalous_beat",
        "category": "physiological",
        "priority": "low",
        "time_s": sample / 360,
        "reason": "31 % premature",
        **changes,
    }
    return Alert(stream=stream, sample=sample, **facts)


def strip(first_sample: int) -> SignalStrip:
    """Return ten seconds of signal."""
    mv = [((first_sample + n) * 7919 % 1000) / 1000 for n in range(3600)]
    return SignalStrip(stream="100", first_sample=first_sample, fs_hz=360.0, mv=mv)


def trend(minute: int, *, stream: str = "100", utc: str = "2026-01-01T00:00:00.000Z") -> Trend:
    """Return a minute with nothing unusual."""
    facts = {"signal_s": 60.0, "analysable_s": 60.0, "atrial_fibrillation_s": 0.0, "bpm_mean": 70.1}
    at = minute * 60
    return Trend(stream=stream, sample=at * 360, time_s=float(at), utc=utc, beats=70, **facts)


def filled_log(path: Path, alerts: int = 40) -> None:
    """Write a log with something in every table."""
    with AlertLog(path) as log:
        for n in range(1, alerts + 1):
            episode = f"asystole-0-{n // 3}"
            state = ("on", "ack", "off")[n % 3] if n < alerts - 6 else "on"
            log.commit(
                Commit(
                    alerts=[alert(n, episode=episode, state=state)],
                    entries=[b"entry %d" % n],
                    trends=[trend(n)],
                    snapshots={f"{n % 3}": b"state %d" % n * 20},
                    entries_needed_from=n - 5,
                )
            )
            if n % 4 == 0:
                log.commit(Commit(strips=[(n, strip(n))]))


def old_log(path: Path, version: int) -> None:
    """Write the log that a program of that version left, from the text that was kept of it."""
    db = sqlite3.connect(path)
    db.executescript((GOLDEN / f"log_v{version}.sql").read_text())
    db.close()


def changed(path: Path, *statements: str) -> None:
    """Change a log behind its back."""
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def seen(path: Path) -> list[Any]:
    """Return all that a reader can see of a log, whatever is wrong with it."""
    with LogReader(path) as reader:
        meta = reader.meta()
        return [
            meta,
            reader.read(0, 10**6),
            reader.active_alarms(),
            [reader.strip(seq) for seq in range(meta.last_seq + 2)],
            reader.trends(),
            reader.rows("SELECT n, crc32, body FROM journal ORDER BY n"),
            reader.rows("SELECT stream, n, crc32, body FROM snapshot ORDER BY stream"),
        ]
