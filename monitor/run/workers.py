"""The same work for many items, in several processes, with the results in order.

The processes are forked, so what this one has loaded and compiled is there at once; call it before
any thread starts. Each is given one item at a time, and no more than `_AHEAD` a process are done
ahead of the one whose result is due, so the memory that results take is bounded. The processes end
with this one, however it ends: each sees that its pipe is closed.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, Generic, TypeVar, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.log_format import report_line
from monitor.run.events import COMPILING
from pipeline.errors import MonitorError
from pipeline.stream.warmup import compile_kernels, compiled_before

_AHEAD: Final = 4

T = TypeVar("T")
R = TypeVar("R")


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def prepare_kernels(jobs: int) -> None:
    """Compile the kernels once for all ``jobs``, and say so where it takes minutes."""
    compiled = compiled_before()
    if not compiled:
        report_line(f"monitor: {COMPILING.text}", logging.INFO)
    if jobs > 1 or not compiled:
        compile_kernels()


def records_progress() -> Progress:
    """Return a progress bar on stderr, visible on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),  # or rich would print an empty line
    )


@contextmanager
def in_order(work: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[Iterator[R]]:
    """Give an iterator over ``work`` of each item, in order, from ``jobs`` processes.

    With one job this process does the work. The iterator raises what ``work`` raised, in its turn,
    and `MonitorError` if a process died.
    """
    jobs = min(jobs, len(items)) if sys.platform == "linux" else 1
    if jobs <= 1:
        yield map(work, items)
        return
    workers = _Workers(work, items, jobs)
    try:
        yield workers.results()
    finally:
        workers.end()


@dataclass(frozen=True, slots=True)
class _Done(Generic[R]):
    """What became of one item."""

    result: R | None
    error: Exception | None = None


class _Workers(Generic[T, R]):
    """The processes."""

    def __init__(self, work: Callable[[T], R], items: Sequence[T], jobs: int) -> None:
        self._items = items
        self._next = 0
        """Index of the item to hand out next."""
        self._due = 0
        """Index of the item whose result is due."""
        self._idle: list[Connection] = []
        self._busy: dict[Connection, int] = {}
        self._processes: list[BaseProcess] = []
        context = get_context("fork")
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            others = [*self._idle, ours]
            process = context.Process(target=_serve, args=(work, items, theirs, others))
            try:
                process.start()
            except BaseException:
                self.end()
                raise
            theirs.close()
            self._idle.append(ours)
            self._processes.append(process)

    def results(self) -> Iterator[R]:
        """Yield the results in order."""
        done: dict[int, _Done[R]] = {}
        while self._due < len(self._items):
            self._hand_out()
            while self._due in done:
                one = done.pop(self._due)
                if one.error is not None:
                    raise one.error
                self._due += 1
                yield cast(R, one.result)
                self._hand_out()
            if self._due < len(self._items):
                self._receive(done)

    def _hand_out(self) -> None:
        most = self._due + _AHEAD * len(self._processes)
        while self._idle and self._next < min(len(self._items), most):
            connection = self._idle.pop()
            self._busy[connection] = self._next
            with _killed_is_an_error():
                connection.send(self._next)
            self._next += 1

    def _receive(self, done: dict[int, _Done[R]]) -> None:
        for connection in wait(list(self._busy)):
            assert isinstance(connection, Connection)
            with _killed_is_an_error():
                done[self._busy.pop(connection)] = connection.recv()
            self._idle.append(connection)

    def end(self) -> None:
        """End the processes, whatever they do."""
        for process in self._processes:
            process.terminate()
        for connection in (*self._idle, *self._busy):
            connection.close()
        for process in self._processes:
            process.join()


@contextmanager
def _killed_is_an_error() -> Iterator[None]:
    """Raise `MonitorError` where the other end of a pipe is gone.

    As a `BrokenPipeError` it would stand for a reader of our output that has seen enough.
    """
    try:
        yield
    except (EOFError, OSError):
        raise MonitorError("a process of this command was killed: start it again") from None


def _serve(
    work: Callable[[T], R], items: Sequence[T], asked: Connection, others: Sequence[Connection]
) -> None:
    """Do what is asked for until nobody asks any more; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for connection in others:  # or this one would keep its own pipe open
        connection.close()
    with suppress(EOFError, OSError):
        while True:
            at = asked.recv()
            try:
                done = _Done(work(items[at]))
            except Exception as error:
                done = _Done(None, error)
            asked.send(done)
