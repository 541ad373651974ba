"""A hub as a process of its own that may die at a named point: run by `chaos.HubProcess`.

Arguments: log, the five addresses with commas between them or nothing, a crash point as
``NAME:N`` (at its N-th passing; see `POINTS`) or nothing, events between snapshots (0: none is
taken).
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.hub import hub as hub_module
from pipeline.hub import journal as journal_module
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub
from pipeline.log import unsaved, writing
from pipeline.log.store import AlertLog
from pipeline.transport import sockets as transport
from tests.support.running import CONFIG

POINTS = {
    "commit": (AlertLog, "commit"),
    "within": (writing, "_keep_snapshots"),
    "snapshot": (journal_module, "pack"),
    "aside": (AlertLog, "_write"),
    "strips": (writing, "_add_strips"),
    "acknowledge": (transport.Router, "send"),
    "publish": (transport.Publisher, "publish"),
    "receive": (hub_module, "wait"),
}
"""Where a hub may die: before or after each of these; ``aside`` is in the thread of its commits,
which it has for one stream then."""


def dying(call: Callable[..., Any], when: str, passings: int) -> Callable[..., Any]:
    """Return ``call``, which ends the process ``when`` ("before", "after") its N-th passing."""
    left = passings

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os._exit(9)
        result = call(*arguments, **named)
        if left == 0:
            os._exit(9)
        return result

    return wrapped


def main() -> None:
    """Run the hub until SIGTERM, or to its crash point."""
    log, addresses, point, events = sys.argv[1:]
    unsaved.SNAPSHOT_EVENTS = int(events) or math.inf
    unsaved.SNAPSHOT_S = unsaved.SNAPSHOT_S if int(events) else math.inf
    if point:
        name, when, passings = point.split(":")
        if name == "aside":
            hub_module.MANY = 1
        owner, attribute = POINTS[name]
        setattr(owner, attribute, dying(getattr(owner, attribute), when, int(passings)))
    names = ("alerts", "replay", "control", "ingest", "work")
    ends = dict(zip(names, addresses.split(","), strict=True)) if addresses else {}
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    with Hub(HubConfig(log=Path(log), live_score=CONFIG, **ends), time.monotonic) as hub:
        sys.stdout.write(",".join(hub.endpoints.values()) + "\n")
        sys.stdout.flush()
        hub.run(lambda: bool(stopped))


if __name__ == "__main__":
    main()
