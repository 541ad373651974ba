"""What a run prints: readable lines, JSON, or its summary alone."""

import sys
from collections.abc import Sequence
from typing import IO, Protocol

from monitor.alert_lines import record_line
from monitor.dashboard.options import DashboardOptions
from monitor.run.summary import RunSummary, summary_json, summary_lines
from monitor.run.terminal import can_be_drawn_on
from pipeline.schema.public import Alert, Gap, LogReplaced, Received, Unrecorded, encode_json


class Reporter(Protocol):
    """Takes what a run receives, and prints or draws it."""

    topics: Sequence[str]
    """Topic prefixes that it needs besides alerts and statuses."""

    def receive(self, message: Received) -> None:
        """Take one message."""
        ...

    def update(self) -> None:
        """Do what is due by now; called about ten times a second."""
        ...

    def close(self, summary: RunSummary) -> None:
        """Take the summary; the run is over."""
        ...


class JsonReporter:
    """One JSON object a line: alerts, gaps and replaced logs, then the summary."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def receive(self, message: Received) -> None:
        """Print an alert, a gap or a replaced log."""
        if isinstance(message, Unrecorded):
            message = message.alert
        if isinstance(message, Alert | Gap | LogReplaced):
            self._out.write(encode_json(message) + b"\n")
            self._out.flush()

    def update(self) -> None:
        """Nothing to do between messages."""

    def close(self, summary: RunSummary) -> None:
        """Print the summary."""
        self._out.write(summary_json(summary).encode() + b"\n")
        self._out.flush()


class PlainReporter:
    """Readable lines: alerts, gaps and replaced logs, then the summary."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def receive(self, message: Received) -> None:
        """Print an alert, a gap or a replaced log."""
        if isinstance(message, Alert | Gap | LogReplaced | Unrecorded):
            self._out.write(record_line(message) + "\n")
            self._out.flush()

    def update(self) -> None:
        """Nothing to do between messages."""

    def close(self, summary: RunSummary) -> None:
        """Print the summary."""
        self._out.write("\n".join(summary_lines(summary)) + "\n")
        self._out.flush()


class SummaryReporter:
    """Only the summary, as lines: the dashboard, a separate process, shows the rest."""

    topics: Sequence[str] = ()

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def receive(self, message: Received) -> None:
        """Ignore the message: the dashboard receives it too."""

    def update(self) -> None:
        """Nothing to do."""

    def close(self, summary: RunSummary) -> None:
        """Print the summary."""
        self._out.write("\n".join(summary_lines(summary)) + "\n")
        self._out.flush()


def choose_reporter(
    *, plain: bool, as_json: bool, look: DashboardOptions
) -> tuple[Reporter, list[str] | None]:
    """Return the reporter of a run, and the arguments of its dashboard; None for no dashboard.

    The dashboard is shown on a terminal that can be drawn on, unless lines or JSON are wanted.
    """
    if as_json:
        return JsonReporter(sys.stdout.buffer), None
    if plain or not can_be_drawn_on(sys.stdout):
        return PlainReporter(sys.stdout), None
    return SummaryReporter(sys.stdout), look.arguments()
