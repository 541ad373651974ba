"""What is left in a log of alerts that were removed on request, and how that is verified.

In the place of each is a tombstone: an alert of the kind `FORGOTTEN` with the same number, without
stream, time or values. The row keeps its link, which was computed from the alert that is gone, so
the chain goes on as before: the row behind it still proves this link, and positions of subscribers
stay valid. Only the row's own body cannot be checked any more. So that no row can become a
tombstone unnoticed, an alert of the kind `RECORD`, an ordinary row at the end of the chain, says
how many were removed; both have the same episode, which has its number.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pipeline.schema.alert import Alert
from pipeline.schema.public import encode_json

FORGOTTEN: Final = "forgotten"
RECORD: Final = "alerts_forgotten"


def tombstone(log_id: str, seq: int, record_seq: int) -> Alert:
    """Return what takes the place of alert ``seq``; alert ``record_seq`` records the removal."""
    return Alert(
        log_id=log_id,
        seq=seq,
        stream="",
        kind=FORGOTTEN,
        category="technical",
        priority="low",
        state="off",
        sample=0,
        time_s=0.0,
        reason=f"removed from the log on request: see alert {record_seq}",
        episode=_episode(record_seq),
    )


def record(log_id: str, seq: int, count: int, utc: str) -> Alert:
    """Return the alert ``seq``, which records at ``utc`` that ``count`` alerts were removed."""
    return Alert(
        log_id=log_id,
        seq=seq,
        stream="",
        kind=RECORD,
        category="technical",
        priority="low",
        state="off",
        sample=0,
        time_s=0.0,
        utc=utc,
        reason=f"{count} alerts of one stream, its signal and its state were removed on request",
        count=count,
        episode=_episode(seq),
    )


def _episode(record_seq: int) -> str:
    return f"{FORGOTTEN}-{record_seq}"


@dataclass(slots=True)
class Removals:
    """Tombstones and records of a log that is verified, in the order of its rows."""

    forgotten: int = 0
    """Tombstones so far."""
    _first: dict[str, int] = field(default_factory=dict)
    """Number of the first tombstone of each removal, by its episode."""
    _tombstones: Counter[str] = field(default_factory=Counter)
    """Number of tombstones of each removal, by its episode."""
    _records: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Number of the record of each removal, and how many alerts it says were removed."""

    def take_tombstone(self, alert: Alert, body: bytes) -> bool:
        """Count a row whose link is not that of its body; return False if it is no tombstone."""
        number = alert.episode.removeprefix(f"{FORGOTTEN}-")
        if not (number.isascii() and number.isdigit() and len(number) < 17):
            return False
        if body != encode_json(tombstone(alert.log_id, alert.seq, int(number))):
            return False
        self.forgotten += 1
        self._first.setdefault(alert.episode, alert.seq)
        self._tombstones[alert.episode] += 1
        return True

    def take_record(self, alert: Alert) -> None:
        """Note a row whose link is that of its body, if it records a removal."""
        if alert.kind == RECORD and alert.episode == _episode(alert.seq):
            self._records[alert.episode] = alert.seq, alert.count or 0

    def damage(self, *, complete: bool) -> Iterator[str]:
        """Yield a line for each removal that does not agree with its record.

        Args:
            complete: whether no alert was removed because of its age: else tombstones may be, too.
        """
        for episode in sorted(self._first.keys() | self._records.keys()):
            seq, recorded = self._records.get(episode, (0, 0))
            found = self._tombstones[episode]
            if not seq:
                yield f"alert {self._first[episode]}: forgotten, and no alert records that"
            elif found > recorded or (complete and found < recorded):
                yield f"alert {seq}: it records that {recorded} alerts were forgotten, {found} are"
