"""A hub whose loop and clock a test moves by hand, and which dies when the test says so."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pipeline.errors import EndpointError
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Message, decode, encode
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait
from tests.support.running import CONFIG, DEADLINE_S, SUPERVISOR

_Answer = TypeVar("_Answer", bytes, Accepted)


class HubByHand:
    """A hub, its clients, and its clock."""

    def __init__(self, log: Path, **config: Any) -> None:
        self.later_s = 0.0
        """How far its clock is ahead of that of the machine."""
        self._stopped_at: float | None = None
        self.log = log
        self.connections: list[Dealer] = []
        settings: dict[str, Any] = {"live_score": CONFIG, "supervisor": SUPERVISOR, **config}
        self.hub = self._begun(HubConfig(log=log, **settings))

    def _begun(self, config: HubConfig) -> Hub:
        """Return a hub; one before it may still hold the address, as libzmq closes in a thread."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return Hub(config, self._clock)
            except EndpointError:
                if config.ingest.endswith(":0") or time.monotonic() > deadline:
                    raise
                wait([], 0.01)

    def _clock(self) -> float:
        now = time.monotonic() if self._stopped_at is None else self._stopped_at
        return now + self.later_s

    def stop_clock(self) -> None:
        """Let its clock move with ``later_s`` alone, however slow the machine is."""
        self._stopped_at = time.monotonic()

    def connect(
        self, socket_name: str, keys: ClientKeys | None = None, kind: type[Dealer] = Dealer
    ) -> Dealer:
        """Return a new connection to one of the hub's sockets."""
        endpoint = self.hub.endpoints[socket_name]
        self.connections.append(kind(connect=endpoint, max_frame=1 << 23, keys=keys))
        return self.connections[-1]

    def turns(self, n: int = 3) -> None:
        """Run some turns of the hub's loop."""
        for _ in range(n):
            self.hub.turn()

    def ask(self, client: Dealer, frame: bytes) -> bytes:
        """Send a frame, and return the last frame that comes back."""
        return self._asked(client, frame, lambda frames: frames)[-1]

    def request(self, client: Dealer, message: Message) -> Any:
        """Send a message, and return the answer."""
        return decode(self.ask(client, encode(message)))

    def accepted(self, client: Dealer, message: Hello | Chunk | End) -> Accepted:
        """Send a message that the hub has to take, and return the answer to it.

        Answers to messages before it, which may still be under way, are passed over.
        """
        number = 0 if isinstance(message, Hello) else message.number

        def own(frames: list[bytes]) -> list[Accepted]:
            answers = [decode(frame) for frame in frames]
            accepted = [answer for answer in answers if isinstance(answer, Accepted)]
            assert accepted == answers, answers
            return [one for one in accepted if (one.stream, one.number) == (message.stream, number)]

        return self._asked(client, encode(message), own)[-1]

    def _asked(
        self, client: Dealer, frame: bytes, answers_in: Callable[[list[bytes]], list[_Answer]]
    ) -> list[_Answer]:
        """Send a frame, and return the answers to it, once there are any."""
        deadline = time.monotonic() + DEADLINE_S
        while not client.send(frame):
            wait([client], 0.01)
            assert time.monotonic() < deadline
        while time.monotonic() < deadline:
            self.hub.turn()
            if answers := answers_in(list(client.receive())):
                return answers
        raise AssertionError("no answer")

    def killed(self) -> None:
        """End as by kill -9: nothing more is written."""
        for client in self.connections:
            client.close(linger_ms=0)
        self.hub._log._shut()
        self.hub._sockets.close()

    def closed(self) -> None:
        """End in order."""
        for client in self.connections:
            client.close(linger_ms=0)
        with self.hub:
            pass


@contextmanager
def hub_by_hand(log: Path, **config: Any) -> Iterator[HubByHand]:
    """Yield a hub that is killed in the end."""
    one = HubByHand(log, **config)
    try:
        yield one
    finally:
        one.killed()


def chunk(number: int, samples: ArrayLike | None = None, **fields: Any) -> Chunk:
    """Return the ``number``-th second of zeros, or of ``samples``, of a source's session."""
    x = np.zeros(360, "<f4") if samples is None else np.asarray(samples, "<f4")
    facts: dict[str, Any] = {
        "stream": "s", "first_sample": 360 * (number - 1), "fs_hz": 360.0, "session": "a"
    }  # fmt: skip
    return Chunk(samples=x, number=number, **{**facts, **fields})
