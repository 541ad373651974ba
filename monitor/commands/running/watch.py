"""`monitor watch`: a dashboard of a running monitor, which it receives like any subscriber.

A run starts this command as a child for its own dashboard. Started by hand, it is one more.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from monitor.commands.running.control import send_request
from monitor.commands.running.recorded_strip import recorded_signal
from monitor.dashboard.options import DashboardOptions
from monitor.dashboard.terminal.look import Look, has_every_character
from monitor.dashboard.view import View
from monitor.run.processes import stop_when_orphaned
from monitor.run.terminal import can_be_drawn_on
from pipeline.client import Subscriber
from pipeline.errors import ConfigError
from pipeline.transport.curve import ClientKeys

_TOPICS: Final = ("status/", "system", "beat/", "signal/", "window/")


def show_dashboard(
    endpoint: str,
    *,
    from_seq: int | None,
    options: DashboardOptions,
    parent: int | None,
    keys: ClientKeys | None = None,
    recording: Path | None = None,
) -> None:
    """Show a running monitor until told to stop.

    Args:
        endpoint: address of its alerts.
        from_seq: first alert to show; None for those from now on. Active alarms are always shown.
        options: how it looks and sounds; without colours where NO_COLOR is set.
        parent: process of the run whose dashboard this is; it alone acts on Ctrl-C. None for a
            dashboard of its own.
        keys: for a monitor that asks for keys.
        recording: folder in which the monitor records, to scroll back through; None for none.

    Raises:
        ConfigError: the address is malformed, there is no terminal, or no such folder.
        KeyboardInterrupt: Ctrl-C ended a dashboard of its own.
    """
    if recording is not None and parent is None and not recording.is_dir():
        raise ConfigError(f"no folder {str(recording)!r}: name that of --record")
    if not can_be_drawn_on(sys.stdout):
        raise ConfigError("no terminal to draw on: `monitor subscribe` prints lines")
    stop = stop_when_orphaned(parent)
    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    from monitor.dashboard.terminal.app import Dashboard, Monitor

    look = Look(
        options.palette,
        colour=not os.environ.get("NO_COLOR"),
        characters=has_every_character(sys.stdout.encoding),
    )
    with Subscriber(endpoint, from_seq=from_seq, topics=_TOPICS, keys=keys) as subscriber:
        monitor = Monitor(
            receive=partial(subscriber.receive, 0.0),
            ask=partial(send_request, endpoint, keys=keys),
            recorded=None if recording is None else partial(recorded_signal, recording),
            stop=stop,
            interrupt=None if parent is None else _interrupt(parent),
        )
        view = View(of_run=parent is not None, flash=options.flash)
        dashboard = Dashboard(monitor, look, view=view, sound=options.sound)
        dashboard.run()
    if dashboard.failure is not None:
        raise dashboard.failure
    if dashboard.interrupted:
        raise KeyboardInterrupt


def _interrupt(run: int) -> Callable[[], None]:
    """Return what ends a run as Ctrl-C does: a terminal that reads keys sends no signal."""

    def interrupt() -> None:
        if os.getppid() == run:
            os.kill(run, signal.SIGINT)

    return interrupt
