"""A run of the whole system from start to summary: `monitor replay` and `monitor live`.

It starts the processes, subscribes to the hub like any other client, and passes what it receives to
a reporter; the dashboard is a process of its own. It keeps no state but the tally for the summary.

The first Ctrl-C or SIGTERM, or the loss of the terminal, drains the run: the source stops, pending
beats are scored and published, and the summary is printed, all within five seconds. The next signal
ends the run at once.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monitor.inputs import MetricsOptions
from monitor.log_format import report_line
from monitor.run.processes import Refused
from monitor.run.recording import Recording
from monitor.run.reporters import Reporter
from monitor.run.shutdown import Shutdown
from monitor.run.summary import ActiveAlarm, RunSummary
from monitor.run.supervisor import System
from monitor.run.terminal import CapturedStderr, Terminal
from pipeline.client import Subscriber
from pipeline.constants import MAX_STREAMS
from pipeline.log.lock import SUFFIX
from pipeline.schema.public import Alert, Gap, Heartbeat, Received, Status

_RECEIVE_S: Final = 0.1
_DRAINED_HEARTBEATS: Final = 2
"""After this many heartbeats, 250 ms apart, the hub has processed what the source had sent."""


@dataclass(slots=True)
class Tally:
    """What a run has received so far, for its summary."""

    log: Path
    began: float = field(default_factory=time.monotonic)
    statuses: dict[str, Status] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    active: dict[tuple[str, str], Alert] = field(default_factory=dict)
    """The latest alert of every active alarm, by stream and episode."""
    missing: int = 0
    """Alerts that can no longer be read."""
    waiting: int = 0
    """Alerts that the log had not taken, by the last heartbeat."""

    def receive(self, message: Received) -> None:
        """Count one message."""
        if isinstance(message, Alert):
            alarm = (message.stream, message.episode)
            if message.state == "on" and alarm not in self.active:
                self.kinds[message.kind] += 1
            self.active[alarm] = message
            if message.state == "off":
                del self.active[alarm]
        elif isinstance(message, Status):
            self.statuses[message.stream] = message
        elif isinstance(message, Heartbeat):
            self.waiting = 0 if message.recorded else message.waiting
        elif isinstance(message, Gap):
            self.missing += message.to_seq - message.from_seq + 1

    def ended(self, streams: Sequence[str]) -> bool:
        """Return whether every one of ``streams`` has ended."""
        return all(name in self.statuses and self.statuses[name].ended for name in streams)

    def summary(self, restarts: Mapping[str, int]) -> RunSummary:
        """Return the summary of the run so far.

        Args:
            restarts: how often each process was started again, by its name.
        """
        statuses = self.statuses.values()
        return RunSummary(
            duration_s=round(sum(s.duration_s for s in statuses), 3),
            wall_s=round(time.monotonic() - self.began, 3),
            beats=sum(s.beats for s in statuses),
            beats_not_analysable=sum(s.beats_not_analysable for s in statuses),
            alerts=dict(self.kinds),
            alerts_missing=self.missing,
            standing=[
                ActiveAlarm(stream=a.stream, kind=a.kind, state=a.state, episode=a.episode)
                for a in self.active.values()
            ],
            streams=sorted(self.statuses),
            gap_samples=sum(s.gap_samples for s in statuses),
            redelivered=max((s.redelivered for s in statuses), default=0),
            scorer_restarts=restarts.get("scorer", 0),
            restarts=dict(restarts),
            log=str(self.log),
            unreadable_lines=sum(s.unreadable_lines for s in statuses),
            alerts_unrecorded=self.waiting,
            leads={
                name: ", ".join(status.leads) or status.lead
                for name, status in sorted(self.statuses.items())
            },
            lead_states={
                name: status.lead_states
                for name, status in sorted(self.statuses.items())
                if status.lead_states
            },
        )


def run(
    source_arguments: Sequence[str],
    *,
    streams: int = 1,
    port: int,
    log: Path,
    false_alerts_per_hour: float | None = None,
    alarms: Path | None = None,
    metrics: MetricsOptions | None = None,
    recording: Recording | None = None,
    reporter: Reporter,
    dashboard: Sequence[str] | None = None,
) -> None:
    """Run the system until its streams end.

    Args:
        source_arguments: arguments of ``monitor source``, without ``--ingest``.
        streams: that it has at most; of more than usual the hub asks for more memory.
        port: of the alerts, 0 for one that the kernel chooses.
        log: the alert log.
        false_alerts_per_hour: of the live score; None for that of the calibration.
        alarms: file of alarm settings; None for the defaults.
        metrics: what the hub serves to Prometheus; None for nothing.
        recording: of the whole signal; None for none.
        reporter: takes what the run receives.
        dashboard: arguments of ``monitor watch`` for a dashboard on this terminal; None for none.

    Raises:
        Refused: a process refused its configuration, with the reason on stderr.
        EndpointError: a port is in use.
        KeyboardInterrupt: a signal ended the run; the system has ended and the summary was shown.
    """
    shutdown = Shutdown()
    tally = Tally(log)
    new_log, created_log = not log.exists(), False
    stderr = CapturedStderr(wanted=dashboard is not None)
    try:
        system = System(
            port=port,
            log=log,
            false_alerts_per_hour=false_alerts_per_hour,
            alarms=alarms,
            metrics=metrics,
            max_streams=max(MAX_STREAMS, streams),
            recording=recording,
            on_note=_note,
            stderr=stderr.file,
        )
        # A hub that was refused, perhaps because another one has the log, did not create it.
        created_log = new_log and not system.last_seq
        try:
            with Subscriber(
                system.endpoints["alerts"],
                system.endpoints["replay"],
                from_seq=system.last_seq + 1,
                topics=["status/", *reporter.topics],
            ) as subscriber:
                _wait_for_heartbeat(subscriber, system)
                begun = system.start_source(source_arguments)
                if dashboard is not None:
                    stderr.capture_own()
                    words = [*dashboard, "--from-seq", str(system.last_seq + 1)]
                    words += [] if recording is None else recording.watch_arguments()
                    system.start_dashboard(words, Terminal().restore)
                _receive(subscriber, system, shutdown, begun, reporter, tally)
        finally:
            system.close(shutdown.timeout_s)
    except Refused:
        if created_log and not tally.statuses:
            for suffix in ("", "-wal", "-shm", SUFFIX):
                log.with_name(log.name + suffix).unlink(missing_ok=True)
        raise
    finally:
        stderr.close()


def _note(text: str) -> None:
    report_line(text, logging.INFO)


def _wait_for_heartbeat(subscriber: Subscriber, system: System) -> None:
    """Wait until the subscription is in force, so that no message of the run is missed."""
    while subscriber.last_seq is None:
        system.check()
        for _ in subscriber.receive(_RECEIVE_S):
            pass


class _Drain:
    """Progress of a run that a signal ends: first the source ends, then nothing is pending."""

    def __init__(self) -> None:
        self._begun = False
        self._processed_at: int | None = None
        """Heartbeat after which the hub has processed everything that the source sent."""
        self._settled: set[str] | None = None
        """Streams without pending beats since then."""

    def receive(self, message: Received) -> None:
        """Record that a stream has no pending beats, once the hub has processed everything."""
        if self._settled is not None and isinstance(message, Status) and not message.pending:
            self._settled.add(message.stream)

    def complete(self, system: System, heartbeats: int, streams: Iterable[str]) -> bool:
        """Continue draining; return whether everything sent of ``streams`` was published."""
        if not self._begun:
            self._begun = True
            system.stop_source()
        if self._processed_at is None and system.source_ended:
            self._processed_at = heartbeats + _DRAINED_HEARTBEATS
        processed = self._processed_at is not None and heartbeats >= self._processed_at
        if self._settled is None and processed:
            self._settled = set()
        return self._settled is not None and self._settled.issuperset(streams)


def _receive(
    subscriber: Subscriber,
    system: System,
    shutdown: Shutdown,
    streams: Sequence[str],
    reporter: Reporter,
    tally: Tally,
) -> None:
    """Report messages until the streams end or a signal ends the run, then the summary."""
    drain = _Drain()
    last_heartbeat: int | None = None
    tally.began = time.monotonic()
    shutdown.can_drain = True
    try:
        while (
            last_heartbeat is None
            or subscriber.heartbeats < last_heartbeat
            or not subscriber.complete
        ):
            over = tally.ended(streams) or (
                shutdown.requested and drain.complete(system, subscriber.heartbeats, tally.statuses)
            )
            if last_heartbeat is None and over:
                # The next heartbeat carries the number of the last alert.
                last_heartbeat = subscriber.heartbeats + 1
            for message in subscriber.receive(_RECEIVE_S):
                tally.receive(message)
                reporter.receive(message)
                drain.receive(message)
            reporter.update()
            system.check()
        system.check_source()
    finally:
        shutdown.drained()
        system.stop_dashboard(shutdown.timeout_s)
        with shutdown.bounded_output():
            reporter.close(tally.summary(system.restarts))
    if shutdown.requested:
        raise KeyboardInterrupt
