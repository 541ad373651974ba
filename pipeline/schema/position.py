"""Where a subscriber stands in the log, and the two ways in which its numbers can break off.

`Gap` and `LogReplaced` stand among the alerts of a subscriber, where the break is. Each has the
fields by which alerts are told apart (``kind``, ``stream``, ``category``, ``priority``, ``reason``)
and, like an alert, ``log_id`` and ``seq``: where a subscriber stands that has dealt with it. They
are part of the public schema: fields may be added, none is renamed.

Pure in memory.
"""

from dataclasses import dataclass

from pipeline.constants import NOTICE, SCHEMA


@dataclass(frozen=True, slots=True)
class Position:
    """How far a subscriber has read: every alert up to ``seq`` of the log ``log_id``."""

    log_id: str = ""
    """Empty for one that has not met any log yet."""
    seq: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of an alert."""
        if not 0 <= self.seq <= 2**62:
            raise ValueError(f"seq {self.seq}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Alerts that the subscriber wants and the log cannot give: they will never come."""

    schema: int = SCHEMA
    kind: str = "gap"
    log_id: str
    seq: int
    """The same as ``to_seq``: the next alert is the one after it."""
    from_seq: int
    to_seq: int
    stream: str = ""
    category: str = "technical"
    priority: str = "medium"
    reason: str
    notice: str = NOTICE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReplaced:
    """The log is another one, or an older copy of the one read so far; it is read from its start.

    Alerts of the old log that were not read are lost. Of an older copy, alerts come again.
    """

    schema: int = SCHEMA
    kind: str = "log_replaced"
    log_id: str
    """Of the log that is there now."""
    seq: int = 0
    """Nothing of it has been read."""
    old_log_id: str
    old_seq: int
    """The last alert that was read of the old log."""
    stream: str = ""
    category: str = "technical"
    priority: str = "medium"
    reason: str
    notice: str = NOTICE
