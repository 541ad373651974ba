"""A subscriber's side: every alert exactly once and in order, whatever was missed.

Live messages come from the hub's PUB socket, which drops for slow and late listeners; the
replay socket fills in by sequence number. `Follower` is the bookkeeping without sockets;
`Subscriber` joins it with both sockets.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from pipeline.curve import ClientKeys
from pipeline.errors import EndpointError, WireError
from pipeline.public import (
    Alert,
    ControlReply,
    ControlRequest,
    Heartbeat,
    Public,
    ReplayPage,
    ReplayRequest,
    decode_control_reply,
    decode_public,
    decode_replay_page,
    encode_json,
)
from pipeline.transport import Dealer, Subscription, wait

_PAGE_BYTES: Final = 8 * 1024 * 1024
_MOST_HELD: Final = 10_000
_PATIENCE: Final = 8
"""Heartbeats, 250 ms apart, after which an unanswered question is asked again."""


@dataclass(slots=True)
class Follower:
    """Which alerts were delivered, and which must be asked for.

    ``have`` is the last sequence number delivered; None until it is known where to begin.
    """

    have: int | None
    log_id: str = ""
    missed: int = 0
    """Alerts that the log no longer held when they were asked for."""
    replaced: int = 0
    """How often the log was found to be another one."""
    asking: bool = False
    _unanswered: int = 0
    _held: dict[int, Alert] = field(default_factory=dict)

    def on_alert(self, alert: Alert) -> list[Alert]:
        """Take an alert from either socket; return what can be delivered, in order."""
        self._check_log(alert.log_id)
        if self.have is None:
            self.have = alert.seq - 1
        if alert.seq > self.have and len(self._held) < _MOST_HELD:
            self._held[alert.seq] = alert
        delivered = []
        while (following := self._held.pop(self.have + 1, None)) is not None:
            self.have = following.seq
            delivered.append(following)
        return delivered

    def on_heartbeat(self, beat: Heartbeat) -> None:
        """Take note of what there is by now."""
        self._check_log(beat.log_id)
        if self.have is None:
            self.have = beat.last_seq
        self._unanswered = self._unanswered + 1 if self.asking else 0
        if self._unanswered >= _PATIENCE:
            # The question or its answer went down with a connection.
            self.asking = False

    def on_page(self, page: ReplayPage) -> list[Alert]:
        """Take a page of old alerts; return what can be delivered, in order."""
        self._check_log(page.log_id)
        self._unanswered = 0
        delivered = []
        if self.have is not None and page.low_water_seq > self.have + 1:
            self.missed += page.low_water_seq - 1 - self.have
            self.have = page.low_water_seq - 1
        for alert in page.alerts:
            delivered += self.on_alert(alert)
        if page.end:
            self.asking = False
        return delivered

    def wanted(self, last_seq: int) -> ReplayRequest | None:
        """Return what to ask for, given the last number there is, or None."""
        if self.have is None or self.asking or (self.have >= last_seq and not self._held):
            return None
        self.asking = True
        return ReplayRequest(log_id=self.log_id, from_seq=self.have + 1)

    def _check_log(self, log_id: str) -> None:
        if self.log_id and log_id != self.log_id:
            # Numbers of another log mean nothing: read the new one from its beginning.
            self.replaced += 1
            self.have = 0
            self._held.clear()
            self.asking = False
        self.log_id = log_id


def ask(
    control: str,
    request: ControlRequest,
    timeout_s: float = 3.0,
    *,
    keys: ClientKeys | None = None,
) -> ControlReply:
    """Ask a running monitor for something on its control socket; return the answer.

    Raises:
        EndpointError: nobody answers, or not to these keys.
        ConfigError: the address is malformed, or off loopback without keys.
    """
    deadline = time.monotonic() + timeout_s
    sent = False
    with Dealer(connect=control, max_frame=_PAGE_BYTES, keys=keys) as monitor:
        while (left_s := deadline - time.monotonic()) > 0:
            sent = sent or monitor.send(encode_json(request))
            # Without a connection nothing comes; wait as well for that to change.
            wait([monitor], left_s if sent else min(left_s, 0.02))
            for frame in monitor.receive():
                try:
                    return decode_control_reply(frame)
                except WireError:
                    continue
    raise EndpointError(f"nothing answers at {control}: is a monitor running, on this port?")


class Subscriber:
    """Listen to a running monitor; a context manager, one thread."""

    def __init__(
        self,
        alerts: str,
        replay: str,
        *,
        from_seq: int | None = None,
        topics: Iterable[str] = (),
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect.

        Args:
            alerts: address of the live alerts.
            replay: address of the replay socket.
            from_seq: first alert wanted; None for what comes from now on.
            topics: beginnings of further topics (``beat/``, ``status/``) to be yielded as well.
            keys: what to show a hub that asks for keys.
        """
        self.follower = Follower(have=None if from_seq is None else max(0, from_seq - 1))
        self.last_seq: int | None = None
        """The newest alert there is, as far as is known; None before the first heartbeat."""
        self.heartbeats = 0
        """Heartbeats heard."""
        self._live = Subscription(alerts, ["alert/", "heartbeat", *topics], keys=keys)
        self._replay = Dealer(connect=replay, max_frame=_PAGE_BYTES, keys=keys)

    @property
    def complete(self) -> bool:
        """Whether every alert there is was delivered, as far as is known."""
        return self.last_seq is not None and (self.follower.have or 0) >= self.last_seq

    def receive(self, timeout_s: float) -> Iterator[Public]:
        """Yield what has arrived, after waiting at most ``timeout_s`` for something.

        Raises:
            EndpointError: the monitor refuses these keys.
        """
        wait([self._live, self._replay], timeout_s)
        for topic, body in self._live.receive():
            try:
                message = decode_public(topic, body)
            except WireError:
                continue
            if isinstance(message, Alert):
                self.last_seq = max(self.last_seq or 0, message.seq)
                yield from self.follower.on_alert(message)
            elif isinstance(message, Heartbeat):
                self.last_seq = message.last_seq
                self.heartbeats += 1
                self.follower.on_heartbeat(message)
                self._ask()
            else:
                yield message
        for frame in self._replay.receive():
            try:
                page = decode_replay_page(frame)
            except WireError:
                continue
            yield from self.follower.on_page(page)

    def _ask(self) -> None:
        request = self.follower.wanted(self.last_seq or 0)
        if request is not None and not self._replay.send(encode_json(request)):
            self.follower.asking = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.close(linger_ms=0)
        self._replay.close(linger_ms=0)
