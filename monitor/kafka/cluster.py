"""What the commands of a cluster share: the cluster, their metrics, and how a worker leaves it."""

import contextlib
import faulthandler
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.kafka.brokers import Cluster, load_settings
from pipeline.kafka.topics import Topics

if TYPE_CHECKING:
    from monitor.metrics import MetricsServer

T = TypeVar("T")

logger = logging.getLogger(__name__)

LEAVE_S: Final = 30.0
"""A worker that is asked to end does so within this time, whatever the brokers do."""

_LOOK_S: Final = 0.1
_GRACE_S: Final = 3.0
"""For the end of the process itself, once its service was left behind."""

_STDERR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What every command of a cluster is given."""

    brokers: str
    prefix: str
    config: Path | None

    def cluster(self) -> Cluster:
        """Return the cluster.

        Raises:
            ConfigError: the prefix or a setting is refused, or the client is not installed.
        """
        settings = load_settings(self.config)
        return Cluster(brokers=self.brokers, topics=Topics(self.prefix), settings=settings)


def served(metrics: int | None) -> "contextlib.AbstractContextManager[MetricsServer | None]":
    """Return a server of metrics on a port, to be entered; None in its place without a port.

    Raises:
        EndpointError: the port cannot be used.
    """
    if metrics is None:
        return contextlib.nullcontext()
    from monitor.metrics import MetricsServer

    return MetricsServer(metrics)


def run_and_leave(
    service: "Callable[[], contextlib.AbstractContextManager[T]]",
    run: Callable[[T], None],
    stop: Callable[[], bool],
    *,
    leave_s: float = LEAVE_S,
) -> None:
    """Open a service of a cluster and run it; leave when it has ended, or is asked to.

    The client library waits without limit for a broker that is silent, where it commits or leaves
    its group, and handles no signal meanwhile. So it is used in a thread, which is left behind
    where it does not end: as after a kill, others go on from the last snapshots. It also waits for
    itself, and lets no other thread of Python run: then a timer outside of Python ends the process
    with the stacks on stderr, and exit code 1.

    Args:
        service: opens the service.
        run: runs it until ``stop`` is true; called once.
        stop: whether to end.
        leave_s: for closing the service, from then on or from a failure of ``run``.

    Raises:
        Exception: what ``service`` or ``run`` raised.
    """
    failures: list[BaseException] = []
    ending, ended = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with service() as opened:
                try:
                    run(opened)
                except BaseException as error:
                    failures.append(error)
                # Before the service closes: from then on this thread may be the only one that runs.
                faulthandler.dump_traceback_later(leave_s + _GRACE_S, exit=True, file=_STDERR)
                ending.set()
        except BaseException as error:
            failures.append(error)
        faulthandler.cancel_dump_traceback_later()
        ending.set()
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    while not stop() and not ending.wait(_LOOK_S):
        pass
    if not ended.wait(leave_s):
        logger.warning(
            "no broker has let this process leave the cluster within %g s: it ends; others go on "
            "from the last snapshots once the session timeout is over", leave_s,
        )  # fmt: skip
    if failures:
        raise failures[0]
