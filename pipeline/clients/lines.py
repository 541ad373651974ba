"""How a source's messages reach the hub: over a connection of its own, or one shared by many.

Over a shared one each tick's messages travel in as few frames as hold them (`schema.bundles`), and
so do the answers. Not thread-safe.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
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

    def answers(self) -> Iterable[Accepted | Refused]:
        """Return the answers that have come, once."""
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
        self.messages: list[Hello | Chunk | End] = []
        """Messages that the next `flush` sends."""
        self.frames: deque[bytes] = deque()
        """Frames that the connection did not take yet."""
        self._answered_at = time.monotonic()
        self._streams: dict[str, StreamLine] = {}

    def of(self, stream: str) -> "StreamLine":
        """Return the part of one stream."""
        return self._streams.setdefault(stream, StreamLine(self))

    def receive(self) -> None:
        """Hand the answers that have come to their streams."""
        streams, came = self._streams, False
        for answer in self._own.answers():
            came = True
            if (stream := streams.get(answer.stream)) is not None:
                stream.waiting.append(answer)
        if came:
            self._answered_at = time.monotonic()

    def flush(self) -> None:
        """Send what the streams have sent since the last call."""
        self.frames.extend(bundled(self.messages, _MOST_BYTES))
        self.messages.clear()
        while self.frames and self._own.send_frame(self.frames[0]):
            self.frames.popleft()

    def wait(self, timeout_s: float) -> None:
        """Return when something has come, or after ``timeout_s``."""
        # Without a connection nothing wakes the wait: look again soon.
        self._own.wait(min(timeout_s, 0.01) if self.frames else timeout_s)

    def renew(self) -> bool:
        """As `Line`, but a connection over which others get answers stays.

        Of another one, what waits to be sent is dropped: each stream asks how far the hub is.
        """
        if time.monotonic() - self._answered_at <= RENEW_S:
            return True
        if not self._own.renew():
            return False
        self.messages.clear()
        self.frames.clear()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._own.close()


class StreamLine:
    """What one stream has of a `SharedLine`."""

    def __init__(self, shared: SharedLine) -> None:
        self._shared = shared
        self.waiting: deque[Accepted | Refused] = deque()
        """Answers that the stream has not taken yet."""

    def send(self, message: Hello | Chunk | End) -> bool:
        """Send a message with the next `flush`; False while the last one waits."""
        if self._shared.frames:
            return False
        self._shared.messages.append(message)
        return True

    def answers(self) -> Iterable[Accepted | Refused]:
        """As `Line`."""
        return self._taken() if self.waiting else ()

    def _taken(self) -> Iterator[Accepted | Refused]:
        while self.waiting:
            yield self.waiting.popleft()

    def wait(self, timeout_s: float) -> None:
        """Return at once: whoever has many streams waits for all of them together."""

    def renew(self) -> bool:
        """As `Line`, for all streams together."""
        return self._shared.renew()

    def close(self) -> None:
        """Leave the connection to the others."""
