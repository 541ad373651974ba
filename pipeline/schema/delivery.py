"""What a subscriber's side reports of the delivery: alerts that are missing, or not recorded."""

from dataclasses import dataclass

from pipeline.constants import NOTICE, SCHEMA
from pipeline.schema.alert import PublishedAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Alerts that the subscriber asked for and the log cannot give: they will never come.

    Like `LogReplaced` it is no message of the hub: the subscriber's side makes it, and it has the
    fields that distinguish alerts, and like an alert ``log_id`` and ``seq``: the position of
    a subscriber that has processed it.
    """

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

    Alerts of the old log that were not read are lost. Alerts of an older copy come again, whether
    it ends before what was read, or went on and has other alerts under the same numbers.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """An alert that the log cannot take now.

    It comes again, as an alert with its number, once the log can. It changes no position; should
    the hub die before, it may be lost, or be raised once more.
    """

    alert: PublishedAlert

    @property
    def stream(self) -> str:
        """That of the alert; empty for the system."""
        return self.alert.stream

    @property
    def kind(self) -> str:
        """That of the alert."""
        return self.alert.kind

    @property
    def category(self) -> str:
        """That of the alert."""
        return self.alert.category

    @property
    def priority(self) -> str:
        """That of the alert."""
        return self.alert.priority

    @property
    def reason(self) -> str:
        """That of the alert."""
        return self.alert.reason

    @property
    def log_id(self) -> str:
        """The log that cannot take it."""
        return self.alert.log_id

    @property
    def seq(self) -> int:
        """0: it has no number."""
        return self.alert.seq
