"""What leaves the hub: alerts to the log first and to the world then, all else to the world.

Alerts that the log does not take wait here, in order, and are tried again; nothing is published
that is not recorded. Not thread-safe: runs in the hub's loop.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from pipeline.errors import LogError
from pipeline.hub.journal import Journal
from pipeline.log.maintenance import LogMaintenance, Retention
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Public, encode_json, timed, utc_text
from pipeline.stream.session import PendingAlert, StreamSession
from pipeline.stream.strips import wants_strip
from pipeline.transport.sockets import Publisher

logger = logging.getLogger(__name__)

_LOG_RETRY_S: Final = 1.0


class Outbox:
    """The way out: ``log`` and ``publisher`` of a hub with ``sessions``."""

    def __init__(
        self,
        publisher: Publisher,
        log: AlertLog,
        sessions: Mapping[str, StreamSession],
        clock: Callable[[], float],
        keep: Retention,
    ) -> None:
        self.unwritable = ""
        """Why the log takes nothing now; empty while it does."""
        self._damage = ""
        self._publisher = publisher
        self._log = log
        self._care = LogMaintenance(log, keep)
        self._sessions = sessions
        self._clock = clock
        self._drafts: list[PendingAlert] = []
        self._retry_at = 0.0

    @property
    def waiting(self) -> int:
        """Alerts that are not in the log yet."""
        return len(self._drafts)

    def draft(self, alerts: Iterable[Alert]) -> None:
        """Take alerts that are to be told and belong to no sample."""
        now = self._clock()
        self._drafts += [PendingAlert(alert, None, now) for alert in alerts]

    def take(self, drafts: Iterable[PendingAlert]) -> None:
        """Take alerts that are to be told."""
        self._drafts += drafts

    def publish(self, topic: str, message: Public) -> None:
        """Send a message that is not recorded."""
        self._publisher.publish(topic, encode_json(message))

    def commit(self, journal: Journal) -> list[Alert]:
        """Commit what waits, here and in the journal, then publish the alerts; return them.

        On a fault, or within a second after one, it returns nothing and all goes on waiting.
        """
        now = self._clock()
        if now < self._retry_at or not (self._drafts or journal.waits(now)):
            return []
        try:
            logged = journal.commit(self._sealed(now), now)
        except LogError as error:
            self._failed(error)
            self._retry_at = now + _LOG_RETRY_S
            return []
        self.unwritable = ""
        for draft, alert in zip(self._drafts, logged, strict=True):
            latency = draft.latency(self._clock())
            self.publish(f"alert/{alert.stream}", timed(alert, latency))
            session = self._sessions.get(alert.stream)
            if session is None:
                continue
            if wants_strip(alert):
                session.recorder.want(alert.seq, alert.epoch, alert.time_s)
        self._drafts.clear()
        return logged

    def close(self, journal: Journal) -> None:
        """Commit all there is, so that a new hub goes on at once; what fails is there later."""
        now = self._clock()
        try:
            logged = journal.close(self._sealed(now), now)
        except LogError as error:
            self._failed(error)
            return
        for alert in logged:
            self.publish(f"alert/{alert.stream}", alert)
        self._drafts.clear()

    def _sealed(self, now: float) -> list[Alert]:
        """Return the alerts as they are logged, with latencies before their own commit."""
        utc = utc_text(time.time())
        return [timed(draft.alert, draft.latency(now), utc=utc) for draft in self._drafts]

    def log_strips(self) -> None:
        """Keep the signal around the alarms, as soon as it is whole."""
        strips = [
            strip
            for session in self._sessions.values()
            for strip in session.recorder.take(all_of_them=session.ended)
        ]
        if not strips:
            return
        try:
            self._log.append_strips(strips)
        except LogError as error:  # a picture less: the alerts are recorded, or still wait
            self._failed(error)

    def tend(self, now: float) -> None:
        """Look after the log: what is kept of it, and how long its files get."""
        self._care.tend(now)

    @property
    def fault(self) -> str:
        """What is wrong with the log; empty for nothing."""
        return self.unwritable or self._damage or self._care.fault

    def found_damage(self, error: LogError) -> None:
        """Take note that the log could not be read; that stands from now on."""
        logger.error("%s", error)
        self._damage = str(error)

    def _failed(self, error: LogError) -> None:
        logger.error("%s", error)
        self.unwritable = str(error)
