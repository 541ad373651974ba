"""What a hub reports of itself: one `Status` a stream and one `SystemReport`.

Both are published each second, and sent on request; `HubStatus.regular_messages` has them, and all
else that is published by the clock. Changes that concern the system and no patient, it also writes
to the program's log.

Reads the sizes of the log's files and of this process. Not thread-safe: runs in the hub's loop; a
report, once made, never changes.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.hub.config import HubConfig
from pipeline.hub.counters import BUCKETS_MS, HubCounters
from pipeline.hub.dispatch import Dispatcher
from pipeline.hub.outbox import Outbox
from pipeline.hub.sockets import HubSockets
from pipeline.hub.system_alarms import SystemAlarmBook
from pipeline.log.store import AlertLog
from pipeline.schema.alert import utc_text
from pipeline.schema.public import (
    Alert,
    Heartbeat,
    LogReport,
    Published,
    Status,
    SystemReport,
)
from pipeline.stream.session import SystemState
from pipeline.stream.streams import Streams

logger = logging.getLogger(__name__)

_SIGNAL: Final = "signal/"
_STATUS: Final = "status/"
"""Topics of many messages, which are made for whoever subscribes."""

_HEARTBEAT_S: Final = 0.25
_STATUS_S: Final = 1.0
_STRIP_S: Final = 0.1

_STATM: Final = Path("/proc/self/statm")

OnReport = Callable[[SystemReport, Callable[[], Sequence[Status]]], None]
"""Takes the report on the whole system, and what makes the status of each stream."""


class HubStatus:
    """Reports on the parts of a hub."""

    def __init__(
        self,
        config: HubConfig,
        clock: Callable[[], float],
        counters: HubCounters,
        streams: Streams,
        dispatcher: Dispatcher,
        outbox: Outbox,
        log: AlertLog,
        sockets: HubSockets,
        system_alarms: SystemAlarmBook,
        on_report: OnReport,
    ) -> None:
        self._config = config
        self._clock = clock
        self._counters = counters
        self._streams = streams
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._log = log
        self._sockets = sockets
        self._system_alarms = system_alarms
        self._on_report = on_report
        self._due = {"heartbeat": 0.0, "status": 0.0, "strip": 0.0}
        self._began = clock()
        self._scorers = 0
        self._states: dict[str, int] = {}
        """Streams by state, as they were counted last."""
        self._count_at = 0.0
        """When they are counted again."""

    def on_alert(self, alert: Alert) -> None:
        """Write a new alert about the system, or about a silent source, to the program's log."""
        if not alert.stream or alert.kind == "no_data":
            where = {"stream": alert.stream} if alert.stream else {}
            logger.info("%s is %s: %s", alert.kind, alert.state, alert.reason, extra=where)

    def report_now(self) -> None:
        """Report all that `regular_messages` has with its next call, however soon that is."""
        self._due["status"] = self._count_at = 0.0

    def next_deadline(self) -> float:
        """Return when `regular_messages` has something again."""
        return min(self._due.values())

    def regular_messages(
        self, now: float, share: float, statuses: Callable[[], Sequence[Status]]
    ) -> Iterator[tuple[str, Published]]:
        """Yield what is published at fixed intervals and is due, by topic.

        ``share`` times the usual number of streams are there; ``statuses`` makes one of each.
        """
        if now >= self._due["strip"]:
            # Beyond the usual number of streams no more strips a second, but longer ones.
            self._due["strip"] = now + _STRIP_S * share
            for strip in self._streams.take_signal() if self._outbox.wants(_SIGNAL) else ():
                yield f"signal/{strip.stream}", strip
        if now >= self._due["status"]:
            self._due["status"] = now + _STATUS_S
            for status in statuses() if self._outbox.wants(_STATUS) else ():
                yield f"status/{status.stream}", status
            report = self.report(share)
            yield "system", report
            self._on_report(report, statuses)
        if now >= self._due["heartbeat"]:
            self._due["heartbeat"] = now + _HEARTBEAT_S
            yield "heartbeat", self.heartbeat()

    def statuses(self, silenced_s: float) -> list[Status]:
        """Return the status of each stream; there will be no sound for ``silenced_s``."""
        system_of = self._around(self._system(silenced_s))
        now, sessions = self._clock(), self._streams.sessions
        return [session.status(now, system_of(name)) for name, session in sessions.items()]

    def _around(self, system: SystemState) -> Callable[[str], SystemState]:
        """Return what gives the condition of what is around a stream."""
        behind = replace(system, log_behind=True)
        # While the log takes nothing, no stream counts as ended.
        waiting = self._outbox.streams_waiting
        all_wait = bool(waiting) and not system.recorded
        return lambda name: behind if all_wait or name in waiting else system

    def _system(self, silenced_s: float = 0.0) -> SystemState:
        """Return the condition of what is around streams of which no alert waits for the log."""
        return SystemState(
            scorers=self._dispatcher.working(self._clock()),
            redelivered=self._dispatcher.redelivered,
            rejected_frames=self._rejected(),
            log_behind=False,
            fault=self._outbox.fault or self._recording_fault(),
            silenced_s=silenced_s,
            recorded=not self._outbox.unwritable,
        )

    def report(self, share: float = 1.0) -> SystemReport:
        """Return the report on the whole system, for ``share`` times the usual number of streams.

        To see the state of a stream is to look at all of its parts: beyond the usual number the
        states are counted less often, in proportion.
        """
        now, log, system = self._clock(), self._log, self._system()
        self._log_scorers(system.scorers)
        if share <= 1.0 or now >= self._count_at:
            self._count_at = now + _STATUS_S * share
            self._states = self._counted_states(now, system)
        sums = self._counters.totals(self._streams.sessions.values())
        total = sums.counters
        return SystemReport(
            utc=utc_text(time.time()),
            version=self._config.version,
            commit=self._config.commit,
            uptime_s=round(now - self._began, 3),
            resident_bytes=resident_bytes(),
            streams=self._states,
            scorers=system.scorers,
            received_samples=total.samples + total.duplicate_samples,
            duplicate_samples=total.duplicate_samples,
            out_of_order_samples=total.out_of_order_samples,
            gap_samples=total.gap_samples,
            late_samples=total.late_samples,
            shed_samples=sums.shed_samples,
            produced_windows=total.windows,
            scored_windows=total.scored_windows,
            pending_windows=self._dispatcher.pending,
            refused_windows=total.refused_windows,
            redelivered_windows=self._dispatcher.redelivered,
            rejected_frames=self._rejected(),
            alerts=dict(self._counters.alarms),
            buckets_ms=list(BUCKETS_MS),
            latency_ms=self._counters.latency_ms(),
            log=LogReport(
                log_id=log.log_id,
                name=log.path.name,
                last_seq=log.last_seq,
                low_water_seq=log.low_water_seq,
                bytes=_size(log.path),
                wal_bytes=_size(log.path.with_name(log.path.name + "-wal")),
                writable=not self._outbox.unwritable,
            ),
            fault=self._outbox.fault,
            alarms=list(self._system_alarms.active),
            unreadable_lines=total.unreadable_lines,
            uncredited_chunks=self._counters.uncredited_chunks,
            unsaved_states=self._counters.unsaved_states,
            recording=None if self._config.recorder is None else self._config.recorder.report(),
        )

    def _counted_states(self, now: float, system: SystemState) -> dict[str, int]:
        """Return how many streams are in each state."""
        system_of, sessions = self._around(system), self._streams.sessions
        return dict(Counter([one.state_word(now, system_of(n)) for n, one in sessions.items()]))

    def heartbeat(self) -> Heartbeat:
        """Return which alerts the log holds, and whether it can be written."""
        return Heartbeat(
            log_id=self._log.log_id,
            last_seq=self._log.last_seq,
            low_water_seq=self._log.low_water_seq,
            link=self._log.link,
            recorded=not self._outbox.unwritable,
            waiting=self._outbox.waiting,
            fault=self._outbox.unwritable,
        )

    def _log_scorers(self, scorers: int) -> None:
        if scorers != self._scorers:
            level = logging.INFO if scorers else logging.WARNING
            logger.log(level, "scorers: %d, were %d", scorers, self._scorers)
            self._scorers = scorers

    def _recording_fault(self) -> str:
        return "" if self._config.recorder is None else self._config.recorder.fault

    def _rejected(self) -> int:
        return self._counters.rejected_frames + self._sockets.rejected


def resident_bytes() -> int | None:
    """Return how much memory this process holds, or None where ``/proc`` does not say."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
