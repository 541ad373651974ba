"""When a process of a run is started again after its death."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from monitor.run.processes import Child, ChildDiedError, ReadyEvent, Refused
from pipeline.alarms.kinds import STEADY_S
from pipeline.schema.requests import Died
from replay.pacing import wait_s

logger = logging.getLogger(__name__)

FIRST_BACK_OFF_S: Final = 0.1
LONGEST_BACK_OFF_S: Final = 5.0

_STARTS: Final = 5
"""Starts of a process that is killed before it is ready."""


class Supervised:
    """A process with the rules for starting it again; the time is an argument."""

    def __init__(
        self,
        name: Literal["hub", "scorer", "source", "dashboard"],
        child: Child,
        *,
        finishes: bool = False,
        restart_arguments: Sequence[str] = (),
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` starts the process.

        Args:
            name: as in reports of its death.
            child: the process.
            finishes: whether exit code 0 means that its work is done, and 2 that it failed for
                good.
            restart_arguments: further arguments when it is started again.
            on_death: called when it has died.
        """
        self.name = name
        self.child = child
        self.restarts = 0
        self.finished = False
        """Whether it is not to be started again."""
        self._finishes = finishes
        self.restart_arguments = restart_arguments
        self.on_death = on_death
        self._started_at = 0.0
        self._deaths = 0
        """In a row, without a steady run between."""
        self._died_early: list[Died] = []
        """Deaths before it was ready; `check` returns them."""
        self._restart_at: float | None = None

    def start(self, now: float, *further: str) -> None:
        """Start the process for the first time, with ``further`` arguments."""
        self.child.start(*further)
        self._started_at = now

    def start_until_ready(
        self, kind: type[ReadyEvent], on_note: Callable[[str], None], *further: str
    ) -> ReadyEvent:
        """Start the process and return its ready event; start it again if it is killed before.

        The arguments are those of `start` and of `Child.wait_ready`.

        Raises:
            Refused: it ended instead, with the reason on stderr.
            ChildDiedError: it took too long, or was killed `_STARTS` times.
        """
        while True:
            self.start(time.monotonic(), *further)
            try:
                return self.child.wait_ready(kind, on_note)
            except ChildDiedError:
                code = self.child.exit_code()
                if code is None or code >= 0 or len(self._died_early) == _STARTS - 1:
                    raise
            self._back_off(time.monotonic())
            self._died_early.append(
                Died(process=self.name, code=max(code, -255), times=self._deaths)
            )
            self.restarts += 1
            if self._restart_at is not None:
                wait_s(max(0.0, self._restart_at - time.monotonic()))
                self._restart_at = None

    def check(self, now: float) -> Died | None:
        """Start the process again if that is due; return its death if it has just died.

        Raises:
            Refused: it refused its configuration.
        """
        if self._died_early:
            return self._died_early.pop(0)
        if self.finished:
            return None
        if self._restart_at is not None:
            if now >= self._restart_at:
                self._restart(now)
            return None
        code = self.child.exit_code()
        if code is None:
            return None
        if self._finishes and code in (0, 2):
            self.finished = True
            return None
        if code == 2 and not self.restarts:
            raise Refused(2)
        self.on_death()
        self._back_off(now)
        return Died(process=self.name, code=max(code, -255), times=self._deaths)

    def _restart(self, now: float) -> None:
        self._restart_at = None
        self._started_at = now
        try:
            self.child.start(*self.restart_arguments)
        except OSError as error:
            logger.warning("%s cannot be started: %s", self.name, error)
            self._back_off(now)
        else:
            self.restarts += 1

    def _back_off(self, now: float) -> None:
        if now - self._started_at > STEADY_S:
            self._deaths = 0
        self._restart_at = now + min(FIRST_BACK_OFF_S * 2.0**self._deaths, LONGEST_BACK_OFF_S)
        self._deaths += 1
