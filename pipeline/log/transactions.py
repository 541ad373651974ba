"""The connection of a log's writer: one transaction at a time, whose end may wait in a thread.

Only COMMIT waits for the disk, and it is one step of SQLite: a thread that runs it alone leaves the
interpreter to the loop for all that time. While it runs nothing else uses the connection: what is
read waits for it, and nothing may be written.
"""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.errors import LogError
from pipeline.log.faults import write_fault
from pipeline.log.lock import LogFile, LogLock
from pipeline.log.reader import LogQueries
from pipeline.log.schema import UNREADABLE


class LogTransactions(LogQueries):
    """The transactions on an open log."""

    _lock: LogLock
    _file: LogFile

    def __init__(self) -> None:
        self._lost = ""
        """What became of its files at their paths, as of the last look; empty for nothing."""
        self._thread: ThreadPoolExecutor | None = None
        self._ending: Future[None] | None = None
        """The end of the transaction that a thread ends."""

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, or roll it back and raise `LogError`."""
        with self._rolled_back_on_failure():
            self._db.execute("BEGIN IMMEDIATE")
            yield
        self._end()

    @contextmanager
    def _rolled_back_on_failure(self) -> Iterator[None]:
        """Raise `LogError` for what fails inside; nothing of the transaction remains then."""
        assert self._ending is None, "a commit is under way"
        self.check()
        try:
            yield
        except UNREADABLE as error:
            raise self._failed(error) from None

    def _end(self) -> None:
        """End the transaction, durably; the only step that waits for the disk."""
        try:
            self._db.execute("COMMIT")
        except UNREADABLE as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> LogError:
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        return LogError(write_fault(self.path, error))

    def _end_in_thread(self, on_end: Callable[[], None]) -> None:
        """End the transaction in a thread, which calls ``on_end``; `_ended` has the result."""
        try:
            self._thread = self._thread or ThreadPoolExecutor(1, "commit")
            self._ending = self._thread.submit(self._end)
        except RuntimeError:  # no thread can be started
            self._thread, self._ending = None, Future()
            try:
                self._end()
            except LogError as error:
                self._ending.set_exception(error)
            else:
                self._ending.set_result(None)
        self._ending.add_done_callback(lambda _: on_end())

    def _ended(self, *, must_wait: bool) -> bool:
        """Return whether the transaction has ended in the thread; raise `LogError` as `_end` does.

        It is open to the next one then. With ``must_wait`` it is waited for.
        """
        assert self._ending is not None
        if not (must_wait or self._ending.done()):
            return False
        self._settle()
        ending, self._ending = self._ending, None
        ending.result()
        return True

    def _settle(self) -> None:
        """Wait until no thread uses the connection."""
        if self._ending is not None:
            wait([self._ending])

    def _stop_thread(self) -> None:
        self._settle()
        if self._thread is not None:
            self._thread.shutdown()

    def rows(
        self, query: str, arguments: tuple[int | str | None, ...] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows that answer a query. Raises `LogError` where it cannot be read."""
        self._settle()
        return super().rows(query, arguments)

    def check(self) -> None:
        """Compare the files that are open with those at their paths.

        Nothing is written any more into a file that nobody will find. What was committed is folded
        into it once, so that no write-ahead log remains beside a file that it does not belong to.
        Once the file is back at its path, it is written again.

        Raises:
            LogError: the log, or its write-ahead log, was removed or replaced while it was open.
        """
        self._lock.renew()
        before, self._lost = self._lost, self._file.fault()
        if not self._lost:
            return
        if not before:
            with suppress(LogError):
                self.checkpoint()
        raise LogError(f"{self._lost}: put it back, or restart the monitor")

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file, as far as readers in a transaction allow.

        Raises:
            LogError: it could not be written; nothing is lost.
        """
        self.rows("PRAGMA busy_timeout = 0")  # never wait for a reader
        try:
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.rows("PRAGMA busy_timeout = 500")
