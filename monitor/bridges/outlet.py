"""What a bridge delivers to: an `Outlet`, and the ways in which it can fail.

An outlet hands one record at a time to another system, and says when that system has it. It is
called by one thread. `monitor.bridges.delivery` subscribes, retries and keeps the position.
"""

from typing import Self
from urllib.parse import quote

from pipeline.schema.public import Alert, Gap, LogReplaced, Received, Unrecorded

Record = Alert | Gap | LogReplaced | Unrecorded
"""What must reach the other system."""


class UnavailableError(Exception):
    """The other system did not take something now: it is to be tried again."""

    def __init__(self, reason: str = "", *, retry_s: float | None = None) -> None:
        """Keep what is needed to go on.

        Args:
            reason: what is wrong, for one line; empty where nothing is wrong yet.
            retry_s: when to try again; None for the usual back-off.
        """
        super().__init__(reason)
        self.retry_s = retry_s


class Outlet:
    """One way to another system; a context manager."""

    topics: tuple[str, ...] = ()
    """Prefixes of further topics of the monitor that it wants, beside alerts."""
    target: str
    """The other system, for messages and for the name of the position file."""

    def deliver(self, message: Received) -> None:
        """Hand over a message; ignore those that are not for this outlet.

        Raises:
            UnavailableError: try the same message again later.
            ConfigError: the other system refuses us, and will go on to.
        """
        raise NotImplementedError

    def confirm(self) -> None:
        """Return once the other system has all that was delivered; called at least once a second.

        Raises:
            UnavailableError: it has not, yet: confirm again later.
            ConfigError: it refuses us, and will go on to.
        """
        raise NotImplementedError

    def contact(self, *, reachable: bool) -> None:
        """Take note that the monitor sends, or no longer does."""

    def close(self) -> None:
        """Say goodbye; wait no longer than a moment."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def record_id(record: Record) -> str:
    """Return what identifies a record, the same when it is repeated, safe in a header or a name.

    ``<log_id>/<seq>``; of an alert that is not recorded, which has no number yet, its episode and
    state instead of the number; of a log that was replaced, the number that was reached in the old.
    """
    log_id = quote(record.log_id, safe="")
    if isinstance(record, Unrecorded):
        alert = record.alert
        parts = (alert.stream, alert.episode or alert.kind, alert.state, str(alert.sample))
        return f"{log_id}/unrecorded-{quote('-'.join(parts), safe='')}"
    if isinstance(record, LogReplaced):
        return f"{log_id}/replaced-{quote(record.old_log_id, safe='')}-{record.old_seq}"
    return f"{log_id}/{record.seq}"
