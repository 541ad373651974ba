"""The connection of a log's writer: one transaction at a time, in the loop or in a thread.

COMMIT waits for the disk, and long values are written, compressed and summed up without the
interpreter: a thread leaves it to the loop for most of the time that a transaction takes. Meanwhile
nothing else uses the connection: what is read waits, and nothing may be written.
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
from pipeline.log.writing import Written


class LogTransactions(LogQueries):
    """The transactions on an open log."""

    _lock: LogLock
    _file: LogFile

    def __init__(self) -> None:
        self._lost = ""
        """What became of its files at their paths, as of the last look; empty for nothing."""
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[Written] | None = None
        """What a thread writes."""

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, durably, or roll it back and raise `LogError`."""
        self._check_writable()
        with self._commit_or_rollback():
            yield

    def _check_writable(self) -> None:
        """Raise `LogError` where the files are not those at their paths, as `check` does."""
        assert self._under_way is None, "a commit is under way"
        self.check()

    @contextmanager
    def _commit_or_rollback(self) -> Iterator[None]:
        """Do what `_transaction` does after `_check_writable`; may run in the thread."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except UNREADABLE as error:
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise LogError(write_fault(self.path, error)) from None

    def _in_thread(self, write: Callable[[], Written], on_end: Callable[[], None]) -> None:
        """Call ``write`` in a thread, and ``on_end`` there after it; `_written` has the result."""
        try:
            self._thread = self._thread or ThreadPoolExecutor(1, "commit")
            self._under_way = self._thread.submit(write)
        except RuntimeError:  # no thread can be started
            self._thread, self._under_way = None, Future()
            try:
                self._under_way.set_result(write())
            except (
                BaseException
            ) as error:  # as the thread would: it is raised where it is waited for
                self._under_way.set_exception(error)
        self._under_way.add_done_callback(lambda _: on_end())

    def _written(self, *, must_wait: bool) -> Written | None:
        """Return the result of what the thread was given; None while it goes on.

        The log is open to the next one then. With ``must_wait`` it is waited for. Raises what
        ``write`` raised.
        """
        assert self._under_way is not None
        if not (must_wait or self._under_way.done()):
            return None
        self._settle()
        under_way, self._under_way = self._under_way, None
        return under_way.result()

    def _settle(self) -> None:
        """Wait until no thread uses the connection."""
        if self._under_way is not None:
            wait([self._under_way])

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
