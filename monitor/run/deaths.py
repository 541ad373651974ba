"""Reports of the deaths of a run's processes to its hub."""

from collections import deque
from collections.abc import Callable
from typing import Final

from pipeline.errors import WireError
from pipeline.schema.public import encode_json
from pipeline.schema.requests import Died, decode_control_reply
from pipeline.transport.sockets import Dealer

_REPLY_S: Final = 2.0
"""A report without a reply for this long is sent again."""

_MAX_REPORTS: Final = 1_000


class DeathReporter:
    """Reports deaths to the hub in order, each until the hub has replied. One thread."""

    def __init__(self, control: str, clock: Callable[[], float], token: str = "") -> None:
        """Connect to the hub's control socket; ``token`` is the secret that it was started with."""
        self._token = token
        self._hub = Dealer(connect=control)
        self._clock = clock
        self.unreported: deque[Died] = deque(maxlen=_MAX_REPORTS)
        """Deaths without a reply from the hub, oldest first."""
        self._sent_at = float("-inf")

    def add(self, died: Died) -> None:
        """Queue a death; `update` sends it."""
        self.unreported.append(died)

    def update(self) -> None:
        """Take replies and send what is due, without waiting."""
        for frame in self._hub.receive():
            try:
                decode_control_reply(frame)
            except WireError:
                continue
            if self.unreported and self._sent_at > float("-inf"):
                self.unreported.popleft()
            self._sent_at = float("-inf")
        now = self._clock()
        if not self.unreported or now - self._sent_at <= _REPLY_S:
            return
        died = self.unreported[0]
        report = Died(process=died.process, code=died.code, times=died.times, token=self._token)
        if self._hub.send(encode_json(report)):
            self._sent_at = now

    def close(self) -> None:
        """Close the connection."""
        self._hub.close(linger_ms=0)
