"""How a thread ends the wait of a loop that polls sockets."""

import contextlib
import os
from typing import Self


class Wakeup:
    """Ends a `pipeline.transport.sockets.wait` that it is given to; a context manager.

    `wake` may be called from any thread, all else from that of the loop alone.
    """

    def __init__(self) -> None:
        # A pipe, as no ZeroMQ socket may be used by two threads.
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def fileno(self) -> int:
        """Return the descriptor that can be read once somebody woke."""
        return self._read

    def wake(self) -> None:
        """End the wait that is under way, or the next one."""
        with contextlib.suppress(BlockingIOError):  # so full that the loop wakes anyway
            os.write(self._write, b"\0")

    def clear(self) -> None:
        """Forget all that woke so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4_096)

    def close(self) -> None:
        """Close it, once nobody wakes any more."""
        os.close(self._read)
        os.close(self._write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
