"""A bridge in a thread of the test, and what its outlet was given."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.bridges.delivery import Feed, deliver
from monitor.bridges.outlet import Outlet, UnavailableError
from monitor.run.processes import child_command
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Received
from tests.support.kafka import Process
from tests.support.programs.alert_hub import made
from tests.support.running import DEADLINE_S, thread


@contextmanager
def running_bridge(outlet: Outlet, endpoint: str, position: Path | None) -> Iterator[None]:
    """Deliver to an outlet, whose methods are called in that thread, until the block ends."""

    def work(stop: Callable[[], bool]) -> None:
        deliver(outlet, Feed(endpoint), position, stop)

    with thread(work):
        yield


class ListOutlet(Outlet):
    """Keeps what it is given, and fails as it is told to."""

    target = "a list"

    def __init__(self) -> None:
        self.given: queue.Queue[Received] = queue.Queue()
        self.failures: list[Exception] = []
        """Raised in this order, one a delivery."""
        self.confirms = True
        """Whether it has what it was given."""
        self._last: Received | None = None
        self.contacts: queue.Queue[bool] = queue.Queue()

    def deliver(self, message: Received) -> None:
        """Keep a message, or fail."""
        if self.failures:
            raise self.failures.pop(0)
        self._last = message
        self.given.put(message)

    def confirm(self) -> None:
        """Say whether all of it is there."""
        if not self.confirms and isinstance(self._last, Alert):
            raise UnavailableError("not confirmed", retry_s=0.01)

    def contact(self, *, reachable: bool) -> None:
        """Keep what is said of the monitor."""
        self.contacts.put(reachable)

    def next(self) -> Received:
        """Return the next message, after waiting for it."""
        return self.given.get(timeout=DEADLINE_S)


def fill(log: Path, first: int, last: int) -> str:
    """Append alerts with these numbers to a log; return its identity."""
    with AlertLog(log) as alerts:
        alerts.append([made(n, 0.0) for n in range(first, last + 1)])
        return alerts.log_id


class Bridge(Process):
    """A ``monitor bridge`` command as a process, ready."""

    def __init__(self, *words: str, **variables: str) -> None:
        """Start it."""
        command, environment = child_command(["bridge", *words])
        super().__init__(command, environment | variables)
        self.wait_for(lambda lines: any('"ready"' in line for line in lines))
