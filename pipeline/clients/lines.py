"""How a source's messages reach the hub: over a connection of its own, or one shared by many.

Over a shared one each tick's messages travel in as few frames as hold them (`schema.bundles`), and
so do the answers. Not thread-safe.
"""

import time
from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol, Self

from pipeline.schema.bundles import answers_in, bundled
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Refused, encode
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait
from pipeline.transport.zmq_socket import DATA_FRAME_BYTES

RENEW_S: Final = 0.5
"""A connection is given up for a new one no sooner.

A socket whose hub has died tries ever more rarely, every five seconds in the end. A new one tries
at once.
"""

_MOST_BYTES: Final = DATA_FRAME_BYTES - 4_096
"""Of the messages in a frame."""


class Line(Protocol):
    """What an `IngestClient` needs of its connection."""

    def send(self, message: Hello | Chunk | End) -> bool:
        """Send a message; False if there is no connection, or its queue is full."""
        ...

    def answers(self) -> Iterator[Accepted | Refused]:
        """Yield the answers that have come, once."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when something may have come, or after ``timeout_s``."""
        ...

    def renew(self) -> bool:
        """Connect again, unless that was done less than `RENEW_S` ago.

        Returns:
            Whether a question without an answer should be asked again.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class OwnLine:
    """The connection of one source."""

    def __init__(self, ingest: str, keys: ClientKeys | None = None) -> None:
        self._ingest = ingest
        self._keys = keys
        self._hub = Dealer(connect=ingest, keys=keys)
        self._opened_at = time.monotonic()

    def send(self, message: Hello | Chunk | End) -> bool:
        """As `Line`."""
        return self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> bool:
        """Send what is encoded; returns as `send`."""
        return self._hub.send(frame)

    def answers(self) -> Iterator[Accepted | Refused]:
        """As `Line`."""
        for frame in self._hub.receive():
            yield from answers_in(frame)

    def wait(self, timeout_s: float) -> None:
        """As `Line`."""
        wait([self._hub], timeout_s)

    def renew(self) -> bool:
        """As `Line`."""
        if time.monotonic() - self._opened_at <= RENEW_S:
            return False
        self._hub.close(linger_ms=0)
        self._hub = Dealer(connect=self._ingest, keys=self._keys)
        self._opened_at = time.monotonic()
        return True

    def close(self) -> None:
        """As `Line`."""
        self._hub.close()


class SharedLine:
    """One connection for many streams; a context manager."""

    def __init__(self, ingest: str, keys: ClientKeys | None = None) -> None:
        self._own = OwnLine(ingest, keys)
        self._messages: list[Hello | Chunk | End] = []
        """Messages that the next `flush` sends."""
        self._bundles: deque[bytes] = deque()
        """Frames that the connection did not take yet."""
        self._answered_at = time.monotonic()
        self._answers: dict[str, deque[Accepted | Refused]] = {}

    def of(self, stream: str) -> "StreamLine":
        """Return the part of one stream."""
        return StreamLine(self, self._answers.setdefault(stream, deque()))

    def receive(self) -> None:
        """Hand the answers that have come to their streams."""
        for answer in self._own.answers():
            self._answered_at = time.monotonic()
            if (answers := self._answers.get(answer.stream)) is not None:
                answers.append(answer)

    def send(self, message: Hello | Chunk | End) -> bool:
        """Send a message with the next `flush`; False while the last one waits."""
        if self._bundles:
            return False
        self._messages.append(message)
        return True

    def flush(self) -> None:
        """Send what the streams have sent."""
        self._bundles.extend(bundled(self._messages, _MOST_BYTES))
        self._messages.clear()
        while self._bundles and self._own.send_frame(self._bundles[0]):
            self._bundles.popleft()

    def wait(self, timeout_s: float) -> None:
        """Return when something has come, or after ``timeout_s``."""
        # Without a connection nothing wakes the wait: look again soon.
        self._own.wait(min(timeout_s, 0.01) if self._bundles else timeout_s)

    def renew(self) -> bool:
        """As `Line`, but a connection over which others get answers stays.

        Of another one, what waits to be sent is dropped: each stream asks how far the hub is.
        """
        if time.monotonic() - self._answered_at <= RENEW_S:
            return True
        if not self._own.renew():
            return False
        self._messages.clear()
        self._bundles.clear()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._own.close()


class StreamLine:
    """What one stream has of a `SharedLine`."""

    def __init__(self, shared: SharedLine, answers: deque[Accepted | Refused]) -> None:
        self._shared = shared
        self._answers = answers

    def send(self, message: Hello | Chunk | End) -> bool:
        """As `Line`."""
        return self._shared.send(message)

    def answers(self) -> Iterator[Accepted | Refused]:
        """As `Line`."""
        while self._answers:
            yield self._answers.popleft()

    def wait(self, timeout_s: float) -> None:
        """Return at once: whoever has many streams waits for all of them together."""

    def renew(self) -> bool:
        """As `Line`, for all streams together."""
        return self._shared.renew()

    def close(self) -> None:
        """Leave the connection to the others."""
