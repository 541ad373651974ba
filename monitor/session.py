"""A run of the whole system from start to summary: `monitor replay` and `monitor live`.

Starts the processes, listens like any other subscriber, and shows what it hears: on the
dashboard, as lines, or as JSON. Holds no truth of its own.
"""

import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol

from monitor.dashboard import Screen
from monitor.log_lines import tell
from monitor.panels import class_text
from monitor.processes import Refused, System
from monitor.safe_text import safe_text
from monitor.sound import Bells
from monitor.view import DashboardView
from pipeline.client import Subscriber
from pipeline.constants import NOTICE, SCHEMA
from pipeline.public import Alert, Public, Status, encode_json

_LISTEN_S: Final = 0.1
_PICTURE_TOPICS: Final = ("beat/", "signal/", "window/")


def default_log() -> Path:
    """Return where the log of a run lies unless ``--log`` says otherwise: a file of its own."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path(state) / "ecg-monitor" / f"{stamp}-{os.getpid()}.sqlite"


@dataclass(slots=True)
class Tally:
    """What a run has brought so far, for its summary."""

    log: Path
    began: float = field(default_factory=time.monotonic)
    statuses: dict[str, Status] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    standing: dict[tuple[str, str], Alert] = field(default_factory=dict)
    """The latest alert of every alarm that stands, by stream and episode."""

    def hear(self, message: Public) -> None:
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

    def ended(self, streams: Sequence[str]) -> bool:
        """Say whether every one of ``streams`` is over."""
        return all(name in self.statuses and self.statuses[name].ended for name in streams)

    def summary(self, scorer_restarts: int) -> dict[str, Any]:
        """Return the summary as it is printed with ``--json``."""
        return {
            "schema": SCHEMA,
            "kind": "summary",
            "duration_s": round(sum(s.duration_s for s in self.statuses.values()), 3),
            "wall_s": round(time.monotonic() - self.began, 3),
            "beats": sum(s.beats for s in self.statuses.values()),
            "beats_not_analysable": sum(s.beats_not_analysable for s in self.statuses.values()),
            "alerts": dict(self.kinds),
            "standing": [
                {"stream": a.stream, "kind": a.kind, "state": a.state, "episode": a.episode}
                for a in self.standing.values()
            ],
            "streams": sorted(self.statuses),
            "gap_samples": sum(s.gap_samples for s in self.statuses.values()),
            "redelivered": max((s.redelivered for s in self.statuses.values()), default=0),
            "scorer_restarts": scorer_restarts,
            "log": str(self.log),
            "notice": NOTICE,
        }


class Face(Protocol):
    """How a run shows itself."""

    def hear(self, message: Public) -> None:
        """Take one message."""
        ...

    def turn(self) -> None:
        """Do what is due; called about ten times a second."""
        ...

    def close(self, summary: dict[str, Any]) -> None:
        """Show the summary."""
        ...


class JsonFace:
    """One JSON object a line: alerts, then the summary."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def hear(self, message: Public) -> None:
        """Print an alert."""
        if isinstance(message, Alert):
            self._out.write(encode_json(message) + b"\n")
            self._out.flush()

    def turn(self) -> None:
        """Nothing is due between alerts."""

    def close(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        self._out.write(json.dumps(summary).encode() + b"\n")
        self._out.flush()


class PlainFace:
    """Readable lines: alerts, then the summary."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def hear(self, message: Public) -> None:
        """Print an alert."""
        if isinstance(message, Alert):
            self._out.write(alert_line(message) + "\n")
            self._out.flush()

    def turn(self) -> None:
        """Nothing is due between alerts."""

    def close(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        self._out.write("\n".join(summary_lines(summary)) + "\n")
        self._out.flush()


class DashboardFace:
    """The dashboard, and the summary as lines once it is gone."""

    def __init__(self, out: IO[str], *, sound: bool = False) -> None:
        self._out = out
        self._bells = Bells() if sound else None
        self._view = DashboardView(time.monotonic())
        self._screen = Screen()
        self._screen.__enter__()

    def hear(self, message: Public) -> None:
        """Take the message into the picture."""
        self._view.hear(message, time.monotonic())

    def turn(self) -> None:
        """Draw the picture if it is due, and ring the bell."""
        now = time.monotonic()
        self._screen.show(self._view, now)
        if self._bells is None:
            return
        standing = [heard.alert for heard in self._view.standing_alarms()]
        if self._bells.due(standing, self._view.silenced_s(now), now):
            self._out.write("\a")
            self._out.flush()

    def close(self, summary: dict[str, Any]) -> None:
        """Give the terminal back and print the summary."""
        self._screen.__exit__(None, None, None)
        self._out.write("\n".join(summary_lines(summary)) + "\n")


def alert_line(alert: Alert) -> str:
    """Return an alert as one line without control characters."""
    minutes, seconds = divmod(alert.time_s, 60.0)
    score = f"  {alert.score:.1f} > {alert.threshold:.1f}" if alert.score is not None else ""
    named = f"  {class_text(alert)}" if alert.beat_class is not None else ""
    state = "" if alert.state == "on" else f" ({safe_text(alert.state, 16)})"
    where, priority = safe_text(alert.stream), safe_text(alert.priority, 16)
    return (
        f"{int(minutes):4d}:{seconds:05.2f}  {where:8s}  {priority:6s}"
        f"  {safe_text(alert.kind)}{state}{named}{score}  {safe_text(alert.reason, 160)}"
    )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Return the summary for people."""
    minutes, seconds = divmod(summary["duration_s"], 60.0)
    alerts = summary["alerts"].items()
    kinds = ", ".join(f"{n} {safe_text(kind).replace('_', ' ')}" for kind, n in alerts)
    unread = summary["beats_not_analysable"]
    streams = ", ".join(safe_text(name) for name in summary["streams"]) or "nothing"
    return [
        f"signal   {int(minutes)} min {seconds:.0f} s of {streams}, in {summary['wall_s']:.1f} s",
        f"beats    {summary['beats']}" + (f", {unread} of them not analysable" if unread else ""),
        f"alerts   {kinds or 'none'}",
        *_standing_lines(summary.get("standing", [])),
        *([f"log      {summary['log']}"] if "log" in summary else []),
        f"notice   {NOTICE}",
    ]


def _standing_lines(standing: Sequence[dict[str, str]]) -> list[str]:
    """Return a line of what nobody has acknowledged, where there is anything."""
    names = [safe_text(f"{a['kind']} ({a['state']})").replace("_", " ") for a in standing]
    return [f"standing {', '.join(names)}"] if names else []


def run(
    source_arguments: Sequence[str],
    *,
    port: int,
    log: Path,
    false_alerts_per_hour: float | None = None,
    alarms: Path | None = None,
    metrics: int | None = None,
    make_face: Callable[[], Face],
    dashboard: bool,
) -> None:
    """Run the system until its streams end.

    Args:
        source_arguments: arguments of ``monitor source``, without ``--ingest``.
        port: of the alerts, 0 for one that the kernel chooses.
        log: the alert log.
        false_alerts_per_hour: of the live score; None for that of the calibration.
        alarms: file of alarm settings; None for the defaults.
        metrics: port of the hub's metrics; None for none.
        make_face: called once the system stands.
        dashboard: listen to everything there is to show, and keep the children's stderr off
            the terminal until the end.

    Raises:
        Refused: a process refused its configuration, with the reason on stderr.
        KeyboardInterrupt: after the system ended and the summary was shown.
    """
    _leave_cleanly_when_told()
    stderr = tempfile.TemporaryFile() if dashboard else None  # noqa: SIM115  (passed on)
    tally = Tally(log)
    new_log = not log.exists()
    try:
        with System(
            port=port,
            log=log,
            false_alerts_per_hour=false_alerts_per_hour,
            alarms=alarms,
            metrics=metrics,
            on_note=_note,
            stderr=stderr,
        ) as system:
            endpoints = system.endpoints
            with Subscriber(
                endpoints["alerts"],
                endpoints["replay"],
                from_seq=system.last_seq + 1,
                topics=["status/", *(_PICTURE_TOPICS if dashboard else ())],
            ) as subscriber:
                _first_heartbeat(subscriber, system)
                streams = system.feed(source_arguments)
                tally.began = time.monotonic()
                face = make_face()
                try:
                    _listen(subscriber, system, streams, face, tally)
                finally:
                    face.close(tally.summary(system.scorer_restarts))
    except Refused:
        if new_log and not tally.statuses:
            for suffix in ("", "-wal", "-shm"):
                log.with_name(log.name + suffix).unlink(missing_ok=True)
        raise
    finally:
        if stderr is not None:
            stderr.seek(0)
            sys.stderr.buffer.write(stderr.read())
            stderr.close()


def _leave_cleanly_when_told() -> None:
    """Let SIGTERM and a lost terminal end the run as Ctrl-C does: the screen is given back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _note(text: str) -> None:
    tell(text, logging.INFO)


def _first_heartbeat(subscriber: Subscriber, system: System) -> None:
    """Wait until the subscription stands, so that nothing of the run is missed."""
    while subscriber.last_seq is None:
        system.check()
        for _ in subscriber.receive(_LISTEN_S):
            pass


def _listen(
    subscriber: Subscriber,
    system: System,
    streams: Sequence[str],
    face: Face,
    tally: Tally,
) -> None:
    enough: int | None = None
    while enough is None or subscriber.heartbeats < enough or not subscriber.complete:
        if enough is None and tally.ended(streams):
            # The next heartbeat says how many alerts there are in all.
            enough = subscriber.heartbeats + 1
        for message in subscriber.receive(_LISTEN_S):
            tally.hear(message)
            face.hear(message)
        face.turn()
        system.check()
    system.check_source()
