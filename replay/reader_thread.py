"""A device that is read in a thread of its own, for a loop that waits for many of them at once."""

import threading
from collections import deque
from collections.abc import Collection, Iterator
from typing import Final

from pipeline.signal.samples import SampleBlock
from replay.source import ReportingSource, Source, SourceInfo, SourceReport

_END_S: Final = 1.0
"""A device whose `blocks` yields as it should ends within a quarter of that."""

MOST_READ: Final = 512
"""Blocks that wait to be taken: a file that is piped into standard input comes all at once."""

_FULL_S: Final = 0.01
"""The thread looks this often whether there is room again."""

_Read = tuple[SampleBlock | None, SourceReport | None]


class ThreadedSource:
    """A source whose `blocks` never waits; what it yields was read by a thread.

    Only that thread touches the device, from the first call of `blocks` on until `close`. It stops
    reading while too many blocks wait to be taken. One reader, as for every source.
    """

    def __init__(self, source: Source, arrived: threading.Event) -> None:
        """Prepare to read ``source``; ``arrived`` is set each time that there is something new."""
        self._source = source
        self._arrived = arrived
        self._read: deque[_Read | BaseException | None] = deque()
        """What the thread has read, then why it ended: a failure, or None."""
        self._report: SourceReport | None = None
        self._closing = threading.Event()
        name = source.info.stream
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def info(self) -> SourceInfo:
        """As `Source`."""
        return self._source.info

    @property
    def arrived(self) -> Collection[object]:
        """What `blocks` has not yielded yet: where it is empty, it yields None."""
        return self._read

    def blocks(self) -> Iterator[SampleBlock | None]:
        """As `Source`, but yield None at once where nothing is there."""
        self._thread.start()
        while True:
            if not self._read:
                yield None
                continue
            read = self._read.popleft()
            if read is None:
                return
            if isinstance(read, BaseException):
                raise read
            block, self._report = read
            yield block

    def report(self) -> SourceReport | None:
        """As `ReportingSource`; None of a device that reports nothing."""
        report, self._report = self._report, None
        return report

    def seek(self, epoch: int, sample: int) -> None:
        """As `Source`."""
        self._source.seek(epoch, sample)

    def close(self) -> None:
        """As `Source`, but do not wait for it: see `join`."""
        self._closing.set()
        if self._thread.ident is None:
            self._source.close()

    def join(self) -> None:
        """Wait, after `close`, until the device is released."""
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    def _run(self) -> None:
        end: BaseException | None = None
        reporting = self._source if isinstance(self._source, ReportingSource) else None
        try:
            for block in self._source.blocks():
                while len(self._read) >= MOST_READ and not self._closing.wait(_FULL_S):
                    pass
                if self._closing.is_set():
                    break
                report = None if reporting is None else reporting.report()
                if block is not None or report is not None:
                    self._add((block, report))
        except BaseException as error:  # raised again in the loop that reads this
            end = error
        finally:
            self._source.close()
            self._add(end)

    def _add(self, read: _Read | BaseException | None) -> None:
        self._read.append(read)
        if not self._arrived.is_set():  # else many threads would wait for each other to set it
            self._arrived.set()
