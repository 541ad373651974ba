"""`monitor watch`: a dashboard of a running monitor, which it receives like any subscriber.

A run starts this command as a child for its own dashboard. Started by hand, it is one more.
"""

import signal
import sys
import time
from typing import Final

from monitor.dashboard.bell import Bells
from monitor.dashboard.screen import Screen
from monitor.dashboard.state import DashboardState
from monitor.run.processes import stop_when_orphaned
from monitor.run.terminal import can_be_drawn_on
from pipeline.client import Subscriber
from pipeline.errors import ConfigError
from pipeline.transport.curve import ClientKeys

_RECEIVE_S: Final = 0.1
_TOPICS: Final = ("status/", "system", "beat/", "signal/", "window/")


def show_dashboard(
    endpoint: str,
    *,
    from_seq: int | None,
    sound: bool,
    parent: int | None,
    keys: ClientKeys | None = None,
) -> None:
    """Show a running monitor until told to stop.

    Args:
        endpoint: address of its alerts.
        from_seq: first alert to show; None for those from now on. Active alarms are always shown.
        sound: whether to ring the terminal's bell.
        parent: process of the run whose dashboard this is; it alone acts on Ctrl-C. None for a
            dashboard of its own.
        keys: for a monitor that asks for keys.

    Raises:
        ConfigError: the address is malformed, or there is no terminal.
        KeyboardInterrupt: Ctrl-C ended a dashboard of its own.
    """
    if not can_be_drawn_on(sys.stdout):
        raise ConfigError("no terminal to draw on: `monitor subscribe` prints lines")
    stop = stop_when_orphaned(parent)
    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    dashboard = DashboardState(time.monotonic())
    bells = Bells() if sound else None
    with (
        Subscriber(endpoint, from_seq=from_seq, topics=_TOPICS, keys=keys) as subscriber,
        Screen() as screen,
    ):
        while not stop():
            for message in subscriber.receive(_RECEIVE_S):
                dashboard.receive(message, time.monotonic())
            now = time.monotonic()
            screen.show(dashboard, now)
            if bells is not None:
                _ring(bells, dashboard, now)


def _ring(bells: Bells, dashboard: DashboardState, now: float) -> None:
    active = [received.alert for received in dashboard.active_alarms()]
    if bells.due(active, dashboard.silenced_s(now), now):
        sys.stdout.write("\a")
        sys.stdout.flush()
