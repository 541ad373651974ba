"""A run of the whole system from start to summary: `monitor replay` and `monitor live`.

Starts the processes, listens like any other subscriber, and shows what it hears as lines or as
JSON; the dashboard is a process of its own. Holds no truth of its own.

The first Ctrl-C or SIGTERM, or the loss of the terminal, lets the run drain: the source stops, what
is pending is scored and told, the summary is printed, all within five seconds. The next one ends
the run at once.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from monitor.log_format import tell
from monitor.run.processes import Refused
from monitor.run.reporters import Reporter
from monitor.run.shutdown import Shutdown
from monitor.run.supervisor import System
from monitor.run.terminal import StderrAside, Terminal
from pipeline.client import Subscriber
from pipeline.constants import NOTICE, SCHEMA
from pipeline.log.lock import SUFFIX
from pipeline.schema.public import Alert, Gap, Received, Status

_LISTEN_S: Final = 0.1
_QUIET_HEARTBEATS: Final = 2
"""After so many, 250 ms apart, the hub has taken in what the source had sent."""
_CLOSE_S: Final = 1.0
"""For the children of a run that was told to end: they hold nothing any more."""


@dataclass(slots=True)
class Tally:
    """What a run has brought so far, for its summary."""

    log: Path
    began: float = field(default_factory=time.monotonic)
    statuses: dict[str, Status] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    standing: dict[tuple[str, str], Alert] = field(default_factory=dict)
    """The latest alert of every alarm that stands, by stream and episode."""
    missing: int = 0
    """Alerts that will never come."""

    def hear(self, message: Received) -> None:
        """Count one message."""
        if isinstance(message, Alert):
            alarm = (message.stream, message.episode)
            if message.state == "on" and alarm not in self.standing:
                self.kinds[message.kind] += 1
            self.standing[alarm] = message
            if message.state == "off":
                del self.standing[alarm]
        elif isinstance(message, Status):
            self.statuses[message.stream] = message
        elif isinstance(message, Gap):
            self.missing += message.to_seq - message.from_seq + 1

    def ended(self, streams: Sequence[str]) -> bool:
        """Say whether every one of ``streams`` is over."""
        return all(name in self.statuses and self.statuses[name].ended for name in streams)

    def summary(self, restarts: Mapping[str, int]) -> dict[str, Any]:
        """Return the summary as it is printed with ``--json``."""
        return {
            "schema": SCHEMA,
            "kind": "summary",
            "duration_s": round(sum(s.duration_s for s in self.statuses.values()), 3),
            "wall_s": round(time.monotonic() - self.began, 3),
            "beats": sum(s.beats for s in self.statuses.values()),
            "beats_not_analysable": sum(s.beats_not_analysable for s in self.statuses.values()),
            "alerts": dict(self.kinds),
            "alerts_missing": self.missing,
            "standing": [
                {"stream": a.stream, "kind": a.kind, "state": a.state, "episode": a.episode}
                for a in self.standing.values()
            ],
            "streams": sorted(self.statuses),
            "gap_samples": sum(s.gap_samples for s in self.statuses.values()),
            "redelivered": max((s.redelivered for s in self.statuses.values()), default=0),
            "scorer_restarts": restarts.get("scorer", 0),
            "restarts": dict(restarts),
            "log": str(self.log),
            "notice": NOTICE,
        }


def run(
    source_arguments: Sequence[str],
    *,
    port: int,
    log: Path,
    false_alerts_per_hour: float | None = None,
    alarms: Path | None = None,
    metrics: int | None = None,
    face: Reporter,
    dashboard: Sequence[str] | None = None,
) -> None:
    """Run the system until its streams end.

    Args:
        source_arguments: arguments of ``monitor source``, without ``--ingest``.
        port: of the alerts, 0 for one that the kernel chooses.
        log: the alert log.
        false_alerts_per_hour: of the live score; None for that of the calibration.
        alarms: file of alarm settings; None for the defaults.
        metrics: port of the hub's metrics; None for none.
        face: how the run shows itself.
        dashboard: arguments of ``monitor watch`` for a dashboard on this terminal; None for none.

    Raises:
        Refused: a process refused its configuration, with the reason on stderr.
        EndpointError: a port is in use.
        KeyboardInterrupt: after the system ended and the summary was shown.
    """
    leaving = Shutdown()
    tally = Tally(log)
    new_log, ours = not log.exists(), False
    aside = StderrAside(wanted=dashboard is not None)
    try:
        system = System(
            port=port,
            log=log,
            false_alerts_per_hour=false_alerts_per_hour,
            alarms=alarms,
            metrics=metrics,
            on_note=_note,
            stderr=aside.file,
        )
        # Of a hub that was refused, perhaps because another one has it, it is not.
        ours = new_log and not system.last_seq
        try:
            with Subscriber(
                system.endpoints["alerts"],
                system.endpoints["replay"],
                from_seq=system.last_seq + 1,
                topics=["status/", *face.topics],
            ) as subscriber:
                _first_heartbeat(subscriber, system)
                streams = system.feed(source_arguments)
                if dashboard is not None:
                    aside.take_own()
                    begin = ["--from-seq", str(system.last_seq + 1)]
                    system.show([*dashboard, *begin], Terminal().restore)
                _listen(subscriber, system, leaving, streams, face, tally)
        finally:
            system.close(leaving.patience_s)
    except Refused:
        if ours and not tally.statuses:
            for suffix in ("", "-wal", "-shm", SUFFIX):
                log.with_name(log.name + suffix).unlink(missing_ok=True)
        raise
    finally:
        aside.close()


def _note(text: str) -> None:
    tell(text, logging.INFO)


def _first_heartbeat(subscriber: Subscriber, system: System) -> None:
    """Wait until the subscription stands, so that nothing of the run is missed."""
    while subscriber.last_seq is None:
        system.check()
        for _ in subscriber.receive(_LISTEN_S):
            pass


class _Drain:
    """How far a run that was told to end is: the source gone, and nothing pending any more."""

    def __init__(self) -> None:
        self._begun = False
        self._quiet_at: int | None = None
        self._settled: set[str] | None = None

    def hear(self, message: Received) -> None:
        """Take note of a stream of which nothing is pending, once the hub has taken all in."""
        if self._settled is not None and isinstance(message, Status) and not message.pending:
            self._settled.add(message.stream)

    def over(self, system: System, heartbeats: int, streams: Iterable[str]) -> bool:
        """Go on; say whether all that was sent of ``streams`` was told."""
        if not self._begun:
            self._begun = True
            system.stop_source()
        if self._quiet_at is None and system.source_gone:
            self._quiet_at = heartbeats + _QUIET_HEARTBEATS
        if self._settled is None and self._quiet_at is not None and heartbeats >= self._quiet_at:
            self._settled = set()
        return self._settled is not None and self._settled.issuperset(streams)


def _listen(
    subscriber: Subscriber,
    system: System,
    leaving: Shutdown,
    streams: Sequence[str],
    face: Reporter,
    tally: Tally,
) -> None:
    """Show what comes until the streams end or the run is told to, then print the summary."""
    drain = _Drain()
    enough: int | None = None
    tally.began = time.monotonic()
    leaving.drains = True
    try:
        while enough is None or subscriber.heartbeats < enough or not subscriber.complete:
            over = tally.ended(streams) or (
                leaving.asked and drain.over(system, subscriber.heartbeats, tally.statuses)
            )
            if enough is None and over:
                # The next heartbeat says how many alerts there are in all.
                enough = subscriber.heartbeats + 1
            for message in subscriber.receive(_LISTEN_S):
                tally.hear(message)
                face.hear(message)
                drain.hear(message)
            face.turn()
            system.check()
        system.check_source()
    finally:
        leaving.drained()
        system.hide(leaving.patience_s)
        face.close(tally.summary(system.restarts))
    if leaving.asked:
        raise KeyboardInterrupt
