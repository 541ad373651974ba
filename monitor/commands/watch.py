"""A dashboard that attaches to a running monitor, as any subscriber does: `monitor watch`.

A run shows itself with this command as a child. Started by hand, it is one more dashboard.
"""

import signal
import sys
import time
from typing import Final

from monitor.dashboard.bell import Bells
from monitor.dashboard.screen import Screen
from monitor.dashboard.state import DashboardState
from monitor.run.processes import stop_when_orphaned
from pipeline.client import Subscriber
from pipeline.errors import ConfigError
from pipeline.transport.curve import ClientKeys

_LISTEN_S: Final = 0.1
_TOPICS: Final = ("status/", "system", "beat/", "signal/", "window/")


def attach(
    endpoint: str,
    *,
    from_seq: int | None,
    sound: bool,
    parent: int | None,
    keys: ClientKeys | None = None,
) -> None:
    """Show a running monitor until told to stop.

    Args:
        endpoint: of its alerts.
        from_seq: the first alert to show; None for what comes from now on. Alarms that stand are
            shown in any case.
        sound: whether the terminal's bell rings.
        parent: the run whose dashboard this is: it ends it, and Ctrl-C is for that one to act on.
        keys: what to show a monitor that asks for keys.

    Raises:
        ConfigError: the address is malformed, or there is no terminal.
        KeyboardInterrupt: of a dashboard on its own, on Ctrl-C.
    """
    if not sys.stdout.isatty():
        raise ConfigError("no terminal to draw on: `monitor subscribe` prints lines")
    stop = stop_when_orphaned(parent)
    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    view = DashboardState(time.monotonic())
    bells = Bells() if sound else None
    with (
        Subscriber(endpoint, from_seq=from_seq, topics=_TOPICS, keys=keys) as subscriber,
        Screen() as screen,
    ):
        while not stop():
            for message in subscriber.receive(_LISTEN_S):
                view.hear(message, time.monotonic())
            now = time.monotonic()
            screen.show(view, now)
            if bells is not None:
                _ring(bells, view, now)


def _ring(bells: Bells, view: DashboardState, now: float) -> None:
    standing = [heard.alert for heard in view.standing_alarms()]
    if bells.due(standing, view.silenced_s(now), now):
        sys.stdout.write("\a")
        sys.stdout.flush()
