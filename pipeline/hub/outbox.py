"""What leaves the hub: alerts into the log first and to subscribers then; the rest directly.

Alerts that the log does not take wait here, in order, and are tried again. An alert has a number
only once it is in the log. One that waits is published at once as not recorded, without a number,
for a full disk must not keep an alarm from whoever looks. It is published again, with its number,
when the log has it.

Strips of signal around alarms go into the commits after that of their alert, a few into each.

A thread may write a commit. Until that has ended, nothing of it is published, and
all that comes meanwhile waits for the next one. Not thread-safe: runs in the hub's loop.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from pipeline.errors import LogError
from pipeline.hub.journal import Journal
from pipeline.log.maintenance import LogMaintenance, Retention
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.alert import timed, unrecorded, utc_text
from pipeline.schema.public import (
    Alert,
    EncodedStrip,
    Published,
    PublishedAlert,
    Trend,
    encode_json,
)
from pipeline.schema.trend import recorded_at
from pipeline.stream.beat_report import BEAT, WINDOW, BeatReport
from pipeline.stream.session import PendingAlert
from pipeline.transport.sockets import Publisher
from pipeline.transport.wakeup import Wakeup

logger = logging.getLogger(__name__)

_LOG_RETRY_S: Final = 1.0

_PATIENCE_S: Final = 1.0
"""A commit that takes longer is no slow one: nothing may seem well meanwhile."""

_CHECK_S: Final = 0.5
"""A log that was removed is noticed within this time, whether or not anything is to be written."""


_MOST_TRENDS: Final = 65_536
"""Kept while the log takes none: an hour of a thousand streams."""

_MOST_STRIPS: Final = 256
"""Kept while the log takes none: as many as a new hub looks for."""

_STRIPS_A_COMMIT: Final = 64
"""Many alarms at once must not hold up the alerts: to compress a strip takes its time."""


class Outbox:
    """Alerts on their way into ``log`` and out of ``publisher``."""

    def __init__(
        self, publisher: Publisher, log: AlertLog, clock: Callable[[], float], keep: Retention
    ) -> None:
        self.unwritable = ""
        """Why the log takes nothing now; empty while it does."""
        self.committing = False
        """Whether a commit is under way in a thread: nothing else is written until it has ended."""
        self._damage = ""
        self._publisher = publisher
        self._log = log
        self._maintenance = LogMaintenance(log, keep)
        self._clock = clock
        self._pending: list[PendingAlert] = []
        self._announced = 0
        """Number of ``_pending``, from the first, that were published as not recorded."""
        self._trends: list[Trend] = []
        """Trends that are not in the log yet."""
        self._published_trends = 0
        """Number of ``_trends``, from the first, that were published."""
        self._strips: list[tuple[int, EncodedStrip]] = []
        """Strips that are not in the log yet, each with the number of its alert."""
        self._begun = Commit()
        """The commit under way: of alerts, trends and strips, the first ones that wait."""
        self._begun_at = 0.0
        """When that was begun."""
        self._new: list[Alert] = []
        self._retry_at = self._check_at = 0.0

    @property
    def waiting(self) -> int:
        """Alerts that are not in the log yet."""
        return len(self._pending)

    def add(self, pending: Iterable[PendingAlert], trends: Sequence[Trend] = ()) -> None:
        """Queue alerts and trends."""
        self._pending += pending
        if trends:
            utc = utc_text(time.time())
            self._trends += [recorded_at(trend, utc) for trend in trends]

    def add_alerts(self, alerts: Iterable[Alert]) -> None:
        """Queue alerts that follow from no sample: their latency counts from now."""
        now = self._clock()
        self.add(PendingAlert(alert, None, now) for alert in alerts)

    def publish(self, topic: str, message: Published) -> None:
        """Send a message that is not recorded, if anybody may subscribe to it."""
        if self._publisher.wants(topic):
            self._publisher.publish(topic, encode_json(message))

    def publish_beats(self, reports: Iterable[BeatReport]) -> None:
        """Send what is published of beats, made only if anybody may subscribe to it."""
        if self.wants(BEAT) or self.wants(WINDOW):
            for report in reports:
                for topic, message in report.messages():
                    self.publish(topic, message)

    def wants(self, topic: str) -> bool:
        """Return whether anybody may subscribe to a topic."""
        return self._publisher.wants(topic)

    def add_strips(self, strips: Iterable[tuple[int, EncodedStrip]]) -> None:
        """Queue strips of signal, each with the number of its alert, which is in the log."""
        self._strips += strips

    @property
    def streams_waiting(self) -> set[str]:
        """Those with alerts that are not in the log yet; empty for alerts of the system."""
        return {pending.alert.stream for pending in self._pending}

    def commit(self, journal: Journal, wakeup: Wakeup | None = None) -> list[PublishedAlert] | None:
        """Commit what waits, here and in the journal, then publish the alerts; return them.

        On a fault, or within a second after one, it returns nothing and everything stays pending.
        With ``wakeup`` a thread writes it, which ends with a call of that: None is returned, and
        `committed` has the alerts. What is added meanwhile waits for the next commit.
        """
        now = self._clock()
        # A disk may have room for what comes after a fault, but for no pictures.
        strips = [] if self.unwritable else self._strips[:_STRIPS_A_COMMIT]
        if now < self._retry_at or not (self._pending or strips or journal.is_due(now)):
            return self._without_log(now)
        self._begun = commit = Commit(
            alerts=self._to_log(now), trends=list(self._trends), strips=strips
        )
        try:
            if wakeup is None:
                return self._on_logged(journal.commit(commit, now))
            journal.begin(commit, now, wakeup.wake)
        except LogError as error:
            return self._not_logged(error, journal)
        self.committing, self._begun_at = True, now
        return None

    def committed(
        self, journal: Journal, *, must_wait: bool = False
    ) -> list[PublishedAlert] | None:
        """Return what `commit` would, once the commit under way has ended; None until then.

        With ``must_wait`` it is waited for; and so it is once it has taken `_PATIENCE_S`. Then the
        hub stands still, and whoever looks sees that its heartbeat has stopped.
        """
        must_wait |= self._clock() - self._begun_at >= _PATIENCE_S
        try:
            logged = journal.ended(must_wait=must_wait)
        except LogError as error:
            self.committing = False
            return self._not_logged(error, journal)
        if logged is None:
            return None
        self.committing = False
        return self._on_logged(logged)

    def _not_logged(self, error: LogError, journal: Journal) -> list[PublishedAlert]:
        """Keep what was not committed; what it has beside strips is tried again at once."""
        begun, self._begun = self._begun, Commit()
        self._failed(error)
        if begun.strips:  # perhaps the log takes all but these: only pictures are lost
            del self._strips[: len(begun.strips)]
            return self.commit(journal) or []
        now = self._clock()
        self._retry_at = now + _LOG_RETRY_S
        self._drop_trends_beyond_limit()
        del self._strips[:-_MOST_STRIPS]
        return self._without_log(now)

    def _without_log(self, now: float) -> list[PublishedAlert]:
        self._announce(now)
        return []

    def _on_logged(self, logged: list[PublishedAlert]) -> list[PublishedAlert]:
        """Publish what was committed, and forget it."""
        begun, self._begun = self._begun, Commit()
        alerts, trends = len(begun.alerts), len(begun.trends)
        self.unwritable = ""
        for pending, alert in zip(self._pending[:alerts], logged, strict=True):
            latency = pending.latency(self._clock())
            self.publish(f"alert/{alert.stream}", timed(alert, latency))
        self._new += logged[self._announced :]
        self._publish_trends(trends)
        del self._pending[:alerts]
        del self._trends[:trends]
        del self._strips[: len(begun.strips)]
        self._announced = self._published_trends = 0
        return logged

    def _announce(self, now: float) -> None:
        """Publish as not recorded what waits for a log that cannot be written; each alert once."""
        if not self.unwritable:
            return
        self._publish_trends(len(self._trends))
        utc = utc_text(time.time())
        for pending in self._pending[self._announced :]:
            # When it is recorded, that is still when it was raised.
            pending.alert = timed(pending.alert, pending.latency(now), utc=utc)
            self._new.append(pending.alert)
            alert = unrecorded(pending.alert, self._log.log_id)
            self.publish(f"alert/{alert.stream}", alert)
        self._announced = len(self._pending)

    def _publish_trends(self, count: int) -> None:
        """Publish those of the first ``count`` trends that were not, each once, recorded or not."""
        for trend in self._trends[self._published_trends : count]:
            self.publish(f"trend/{trend.stream}", trend)
        self._published_trends = count

    def _drop_trends_beyond_limit(self) -> None:
        """Bound the memory that trends take while the log is not writable."""
        if (lost := len(self._trends) - _MOST_TRENDS) > 0:
            logger.error("%d minutes of trends are lost: the log takes none", lost)
            self._published_trends = max(0, self._published_trends - lost)
            del self._trends[:lost]

    def take_new(self) -> list[Alert]:
        """Return, once, the alerts that were published for the first time, recorded or not."""
        new, self._new = self._new, []
        return new

    def close(self, journal: Journal) -> None:
        """Commit all that is pending for a new hub to continue at once; a fault is only logged."""
        now = self._clock()
        strips = [] if self.unwritable else self._strips
        commit = Commit(alerts=self._to_log(now), trends=self._trends, strips=strips)
        try:
            try:
                logged = journal.close(commit, now)
            except LogError:
                if not strips:
                    raise
                logged = journal.close(replace(commit, strips=()), now)
        except LogError as error:
            self._failed(error)
            return
        for alert in logged:
            self.publish(f"alert/{alert.stream}", alert)
        self._publish_trends(len(self._trends))
        self._pending.clear()
        self._trends.clear()
        self._strips.clear()

    def _to_log(self, now: float) -> list[Alert]:
        """Return the alerts as they are logged, with latencies before their own commit."""
        utc = utc_text(time.time())
        return [
            timed(pending.alert, pending.latency(now), utc=pending.alert.utc or utc)
            for pending in self._pending
        ]

    def maintain(self, now: float) -> None:
        """Do what is due to keep the log within its limits; find out whether it is still there."""
        if now >= self._check_at:
            self._check_at = now + _CHECK_S
            try:
                self._log.check()
            except LogError as error:
                self._failed(error)
        self._maintenance.run(now)

    @property
    def fault(self) -> str:
        """What is wrong with the log; empty for nothing."""
        return self.unwritable or self._damage or self._maintenance.fault

    def on_damage(self, error: LogError) -> None:
        """Record that part of the log could not be read; reported from now on."""
        logger.error("%s", error)
        self._damage = str(error)

    def _failed(self, error: LogError) -> None:
        if self.unwritable != str(error):  # it is tried again and again
            logger.error("%s", error)
        self.unwritable = str(error)
