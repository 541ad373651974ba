"""Alerts of a log with their places in its chain, for subscribers.

A subscriber's position has the link of the last alert that it read. A log that holds another link
under that number is not the one that it read: an older copy, put back and gone on.
"""

from pipeline.log.store import AlertLog
from pipeline.schema.alert import link_text, published
from pipeline.schema.public import PublishedAlert


def link_after(log: AlertLog, seq: int) -> str:
    """Return the link after the alert ``seq``; empty where the log no longer, or not yet, has it.

    Raises:
        LogError: the file cannot be read.
    """
    if seq == log.last_seq:
        return log.link
    if seq == log.low_water_seq - 1:
        return log.low_water_link
    rows = log.rows("SELECT CAST(chain AS BLOB) FROM alert WHERE seq = ?", (seq,))
    return link_text(rows[0][0] or b"") if rows else ""


def read_published(log: AlertLog, from_seq: int, most: int) -> list[PublishedAlert]:
    """Return up to ``most`` alerts from ``from_seq`` on, in order, with their links.

    Raises:
        LogError: a row does not match its checksum, or the file cannot be read.
    """
    rows = log.rows(
        "SELECT seq, crc32, CAST(body AS BLOB), CAST(chain AS BLOB) FROM alert WHERE seq >= ?"
        " ORDER BY seq LIMIT ?",
        (from_seq, most),
    )
    alerts: list[PublishedAlert] = []
    for seq, crc32, body, chain in rows:
        alert = log.alert_of(seq, crc32, body)
        follows = alerts and alerts[-1].seq == seq - 1
        before = alerts[-1].link if follows else link_after(log, seq - 1)
        link = log.link if seq == log.last_seq else link_text(chain or b"")
        alerts.append(published(alert, link, before))
    return alerts
