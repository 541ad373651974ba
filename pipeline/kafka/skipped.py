"""Messages of a topic that are none of ours: counted, and said in the log.

Whoever may write to a topic may fill it with them, so the log has one line in `_LOG_S`, with their
number. One thread.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

_LOG_S: Final = 10.0


class Skipped:
    """Counts what is skipped of one topic."""

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none; ``clock`` gives seconds."""
        self._topic = topic
        self._clock = clock
        self._said_at = float("-inf")
        self._unsaid = 0
        self.count = 0

    def add(self, partition: int | None, offset: int | None, why: object, number: int = 1) -> None:
        """Count ``number`` of them, the last one of which lies there."""
        self.count += number
        self._unsaid += number
        now = self._clock()
        if now - self._said_at < _LOG_S:
            return
        logger.warning(
            "%s, partition %s, offset %s: %d skipped: %s",
            self._topic, partition, offset, self._unsaid, " ".join(str(why).split())[:200],
        )  # fmt: skip
        self._said_at, self._unsaid = now, 0
