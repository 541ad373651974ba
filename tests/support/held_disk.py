"""A disk that keeps a log waiting, or fails, when the test says so."""

import sqlite3
import threading
from typing import Any

from pipeline.log.store import AlertLog
from tests.support.running import DEADLINE_S


class HeldDisk:
    """The connection of a log, in its place: each COMMIT waits until the test lets it go on."""

    def __init__(self, log: AlertLog) -> None:
        self._db: Any = log._db
        self._goes_on = threading.Event()
        self._goes_on.set()
        self.reached = threading.Event()
        """Set once a COMMIT waits."""
        self.failing = False
        """Whether each COMMIT fails, once it goes on."""
        self.threads: set[int] = set()
        """Those that waited for the disk."""
        self._log = log
        log._db = self  # type: ignore[assignment]

    def let_go(self) -> None:
        """Give the log its connection back."""
        self._log._db = self._db

    def hold(self) -> None:
        """Let the next COMMIT wait."""
        self.reached.clear()
        self._goes_on.clear()

    def release(self) -> None:
        """Let what waits go on, and all that follows."""
        self._goes_on.set()

    @property
    def released(self) -> bool:
        """Whether nothing waits any more."""
        return self._goes_on.is_set()

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Execute a statement, after the wait."""
        if statement == "COMMIT":
            self.threads.add(threading.get_ident())
            self.reached.set()
            assert self._goes_on.wait(DEADLINE_S)
            if self.failing:
                raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)
