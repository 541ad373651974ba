"""How a running hub stands: its streams, its scorers, its log, and what it has counted.

One `Status` a stream and one `SystemReport`, each second and for whoever asks. Reads all parts of
the hub and changes none. Not thread-safe: runs in the hub's loop.
"""

from collections.abc import Callable, Mapping, Sequence

from pipeline.hub.counters import HubCounters, Work
from pipeline.hub.dispatch import Dispatcher, Task
from pipeline.hub.outbox import Outbox
from pipeline.hub.system_alarms import SystemAlarmBook
from pipeline.log.store import AlertLog
from pipeline.schema.public import Status
from pipeline.schema.system_report import SystemReport
from pipeline.stream.session import StreamSession, SystemState
from pipeline.transport.sockets import Router


class HubStatus:
    """What can be seen of a hub's parts."""

    def __init__(
        self,
        counts: HubCounters,
        sessions: Mapping[str, StreamSession],
        dispatcher: Dispatcher,
        delivery: Outbox,
        log: AlertLog,
        ends: Sequence[Router],
        oversight: SystemAlarmBook,
        clock: Callable[[], float],
    ) -> None:
        self._counts = counts
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._delivery = delivery
        self._log = log
        self._ends = ends
        self._oversight = oversight
        self._clock = clock

    def statuses(self, silenced_s: float) -> list[Status]:
        """Return how each stream stands, when there will be no sound for ``silenced_s``."""
        system = SystemState(
            scorers=self._dispatcher.working(self._clock()),
            redelivered=self._dispatcher.redelivered,
            rejected_frames=self._rejected(),
            log_behind=self._delivery.waiting > 0,
            fault=self._delivery.fault,
            silenced_s=silenced_s,
            recorded=not self._delivery.unwritable,
        )
        now = self._clock()
        return [session.status(now, system) for session in self._sessions.values()]

    def report(self, statuses: Sequence[Status]) -> SystemReport:
        """Return how the system stands, given `statuses`."""
        return self._counts.report(
            self._clock(),
            sessions=self._sessions.values(),
            statuses=statuses,
            work=Work(
                pending=self._dispatcher.unanswered(Task.SCORE),
                redelivered=self._dispatcher.redelivered,
                scorers=self._dispatcher.working(self._clock()),
            ),
            rejected_frames=self._rejected(),
            log=self._log,
            writable=not self._delivery.unwritable,
            fault=self._delivery.fault,
            alarms=self._oversight.alarms,
        )

    def _rejected(self) -> int:
        return self._counts.rejected_frames + sum(end.rejected for end in self._ends)
