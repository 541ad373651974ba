"""What a recording needs besides its writes, in a thread: segments are ended, old ones removed.

A day of annotations takes a second to put in order, and a slow disk takes longer to confirm what it
has. The hub waits for none of it. What is not done when the hub dies, the next one does.
"""

import logging
import queue
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.errors import MonitorError
from replay.recording import files, retention
from replay.recording.retention import Keep
from replay.recording.segment import Segment

logger = logging.getLogger(__name__)


class Housekeeping:
    """Does one thing after the other for the recording in a folder."""

    def __init__(self, folder: Path, keep: Keep, write_edf: Callable[[Path], None] | None) -> None:
        """Start the thread; there, ``write_edf`` is given the header of each ended segment."""
        self.stored = 0
        """Bytes of all segments, as of the last `hold_within_limits`."""
        self._folder = folder
        self._keep = keep
        self._write_edf = write_edf
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def begin(self, segment: Segment) -> None:
        """Let a segment that has begun survive a power cut."""
        self._work.put(lambda: files.sync_header(self._folder, segment))

    def end(self, segment: Segment) -> None:
        """End a segment to which nothing more is written."""
        self._work.put(lambda: files.finish(self._folder, segment))
        self.write_edf(segment)

    def write_edf(self, segment: Segment) -> None:
        """Have a segment that has ended written as EDF, if that is wanted."""
        if (write := self._write_edf) is not None:
            self._work.put(lambda: write(files.path_of(self._folder, segment, ".hea")))

    def hold_within_limits(self, in_use: Collection[str], now_s: float) -> None:
        """Remove what is beyond the limits, but no segment ``in_use``."""

        def remove() -> None:
            self.stored = retention.apply(self._folder, self._keep, in_use, now_s)

        self._work.put(remove)

    def close(self, timeout_s: float) -> None:
        """Finish what is to be done, as far as the time allows."""
        self._work.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except (OSError, MonitorError) as error:
                logger.warning("the recording in %s: %s", self._folder, error)
