"""How a run shows itself: as readable lines, as JSON, or by its summary alone."""

import json
from collections.abc import Sequence
from typing import IO, Any, Protocol

from monitor.dashboard.panels import class_text
from monitor.text import safe_text
from pipeline.constants import NOTICE
from pipeline.schema.public import Alert, Gap, LogReplaced, Received, encode_json


class Reporter(Protocol):
    """How a run shows itself."""

    topics: Sequence[str]
    """Beginnings of topics that it wants beside alerts and statuses."""

    def hear(self, message: Received) -> None:
        """Take one message."""
        ...

    def turn(self) -> None:
        """Do what is due; called about ten times a second."""
        ...

    def close(self, summary: dict[str, Any]) -> None:
        """Show the summary."""
        ...


class JsonReporter:
    """One JSON object a line: alerts and what breaks them off, then the summary."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def hear(self, message: Received) -> None:
        """Print a record."""
        if isinstance(message, Alert | Gap | LogReplaced):
            self._out.write(encode_json(message) + b"\n")
            self._out.flush()

    def turn(self) -> None:
        """Nothing is due between alerts."""

    def close(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        self._out.write(json.dumps(summary).encode() + b"\n")
        self._out.flush()


class PlainReporter:
    """Readable lines: alerts and what breaks them off, then the summary."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def hear(self, message: Received) -> None:
        """Print a record."""
        if isinstance(message, Alert | Gap | LogReplaced):
            self._out.write(record_line(message) + "\n")
            self._out.flush()

    def turn(self) -> None:
        """Nothing is due between alerts."""

    def close(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        self._out.write("\n".join(summary_lines(summary)) + "\n")
        self._out.flush()


class SummaryReporter:
    """Only the summary, as lines: the dashboard, a process of its own, shows the rest."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def hear(self, message: Received) -> None:
        """The dashboard hears it as well."""

    def turn(self) -> None:
        """Nothing is due."""

    def close(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        self._out.write("\n".join(summary_lines(summary)) + "\n")
        self._out.flush()


def record_line(record: Alert | Gap | LogReplaced) -> str:
    """Return an alert, or what breaks the alerts off, as one line without control characters."""
    if isinstance(record, Alert):
        return _alert_line(record)
    return f"{record.kind.replace('_', ' ').upper()}: {safe_text(record.reason, 160)}"


def _alert_line(alert: Alert) -> str:
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
    unread, missing = summary["beats_not_analysable"], summary.get("alerts_missing", 0)
    streams = ", ".join(safe_text(name) for name in summary["streams"]) or "nothing"
    return [
        f"signal   {int(minutes)} min {seconds:.0f} s of {streams}, in {summary['wall_s']:.1f} s",
        f"beats    {summary['beats']}" + (f", {unread} of them not analysable" if unread else ""),
        f"alerts   {kinds or 'none'}",
        *([f"missing  {missing} alerts that the log cannot give"] if missing else []),
        *_standing_lines(summary.get("standing", [])),
        *([f"log      {summary['log']}"] if "log" in summary else []),
        f"notice   {NOTICE}",
    ]


def _standing_lines(standing: Sequence[dict[str, str]]) -> list[str]:
    """Return a line of what nobody has acknowledged, where there is anything."""
    names = [safe_text(f"{a['kind']} ({a['state']})").replace("_", " ") for a in standing]
    return [f"standing {', '.join(names)}"] if names else []
