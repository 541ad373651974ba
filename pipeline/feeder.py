"""A source's way to the hub: chunks out, credit back.

`Feeder.send` blocks while the hub has given no credit, so a replay at full speed goes as fast as
the hub takes it in and nothing is dropped on the way. A hub that is not there yet is waited for.
"""

import time
from collections.abc import Callable
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EndpointError, WireError
from pipeline.messages import Accepted, Chunk, End, Refused, decode, encode
from pipeline.transport import Dealer, wait

_ASK_STOP_S: Final = 0.25


class Feeder:
    """One stream's connection to the hub's ingest socket; a context manager, one thread."""

    def __init__(
        self, ingest: str, *, stream: str, fs_hz: float, lead: str, stop: Callable[[], bool]
    ) -> None:
        """Connect to the hub.

        Args:
            ingest: the hub's ingest address.
            stream: name on the wire.
            fs_hz: the source's own rate.
            lead: name of the lead, for display.
            stop: asked while waiting; when it says so, sending gives up.
        """
        self._hub = Dealer(connect=ingest)
        self._stream = stream
        self._fs_hz = fs_hz
        self._lead = lead
        self._stop = stop
        self._under_way = 0
        self._credit = 1
        self._next = (0, 0)

    def send(
        self,
        samples: NDArray[np.float32],
        *,
        first_sample: int,
        flags: NDArray[np.uint8] | None = None,
        epoch: int = 0,
        stamp_s: float | None = None,
    ) -> bool:
        """Send samples, float32[n] in mV; False if told to stop before the hub had room.

        ``stamp_s`` is when the source's clock said that the last of them was taken.

        Raises:
            EndpointError: the hub refuses this stream.
        """
        self._next = (epoch, first_sample + len(samples))
        chunk = Chunk(
            stream=self._stream,
            epoch=epoch,
            first_sample=first_sample,
            fs_hz=self._fs_hz,
            samples=np.ascontiguousarray(samples, dtype="<f4").tobytes(),
            flags=b"" if flags is None else flags.astype(np.uint8).tobytes(),
            lead=self._lead,
            stamp_s=stamp_s,
        )
        return self._send(encode(chunk))

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Say that the stream is over; True once the hub has taken everything in.

        Raises:
            EndpointError: the hub refuses this stream.
        """
        epoch, next_sample = self._next
        end = End(stream=self._stream, epoch=epoch, next_sample=next_sample)
        if not self._send(encode(end)):
            return False
        deadline = time.monotonic() + timeout_s
        while self._under_way and not self._stop() and time.monotonic() < deadline:
            self._hear(_ASK_STOP_S)
        return self._under_way == 0

    def _send(self, frame: bytes) -> bool:
        self._hear(0.0)
        while self._under_way >= self._credit or not self._hub.send(frame):
            if self._stop():
                return False
            # Without a connection there is nothing to hear; wait as well for that to change.
            self._hear(_ASK_STOP_S if self._under_way else 0.01)
        self._under_way += 1
        return True

    def _hear(self, timeout_s: float) -> None:
        if timeout_s:
            wait([self._hub], timeout_s)
        for frame in self._hub.receive():
            try:
                message = decode(frame)
            except WireError:
                continue
            if isinstance(message, Accepted):
                self._under_way = max(0, self._under_way - 1)
                self._credit = message.credit
            elif isinstance(message, Refused):
                raise EndpointError(f"the hub refuses {self._stream}: {message.reason}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._hub.close()
