"""A subscriber's side: every alert exactly once and in order, whatever was missed.

Live messages come from the hub's PUB socket, which drops for slow and late listeners; the
replay socket fills in by sequence number. `Subscriber` joins both sockets with a `Sequencer`,
which keeps the books, and with a stored position, from which it goes on after its own death.

What was handed over and what is stored are two things: see `Subscriber`.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from pipeline.clients.cursor import load_position, store_position
from pipeline.clients.sequencer import Record, Sequencer
from pipeline.errors import ConfigError, EndpointError, WireError
from pipeline.schema.position import Gap, LogReplaced, Position
from pipeline.schema.public import Alert, Heartbeat, Received, decode_public, encode_json
from pipeline.schema.requests import (
    ControlReply,
    ControlRequest,
    decode_control_reply,
    decode_replay_page,
)
from pipeline.transport.addresses import check_address
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, Subscription, wait

REPLAY_ABOVE: Final = 1
"""The replay socket is so many ports above the alerts."""

CONTROL_ABOVE: Final = 2
"""And the control socket."""

_PAGE_BYTES: Final = 8 * 1024 * 1024
_PAGES_AT_ONCE: Final = 4
"""Pages taken before what they hold is handed on; the hub keeps the others back meanwhile."""

_TURN_S: Final = 0.25
_STORE_S: Final = 1.0
"""Alerts that come thick and fast are not stored one by one, but at least so often."""


def endpoint_above(alerts: str, ports: int) -> str:
    """Return the address so many ports above that of the alerts.

    Raises:
        ConfigError: the address is malformed.
    """
    check_address(alerts, keys=True)  # whether there are any is for the sockets to ask
    host, _, port = alerts.rpartition(":")
    if not 1 <= int(port) <= 65535 - ports:
        raise ConfigError(f"{alerts}: the port must be 1 to {65535 - ports}")
    return f"{host}:{int(port) + ports}"


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
    raise EndpointError(
        f"nothing answers at {control}, two ports above the alerts: is a monitor running there?"
    )


class Subscriber:
    """Listen to a running monitor; a context manager, one thread.

    ::

        with Subscriber("tcp://127.0.0.1:5570", position=Path("position.json")) as subscriber:
            for alert in subscriber:
                print(alert.seq, alert.reason)

    Iterating gives every alert exactly once and in order, for ever, whether it came live or out of
    the log, and whether the monitor was there all the time. Where the log cannot give one it gives
    a `Gap` in its place, and where the log is not the one it was a `LogReplaced`; both say why in
    ``reason`` and have the ``kind``, ``stream``, ``log_id`` and ``seq`` of an alert.

    Over its own death there are two ways to keep the position:

    * a file: written once the loop has asked for the next record, at the latest when there is none
      or a second has passed, and on leaving. Nothing is missed; what was dealt with since the last
      write, a second's worth at most, comes again. On a ``with`` block left by an exception, the
      record that was under way counts as not dealt with.
    * by yourself: write ``subscriber.position`` in the transaction in which you apply the record,
      and begin with it the next time. Then every alert is applied exactly once.
    """

    def __init__(
        self,
        alerts: str,
        replay: str | None = None,
        *,
        from_seq: int | None = None,
        position: Path | Position | None = None,
        topics: Iterable[str] = (),
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect.

        Args:
            alerts: address of the live alerts.
            replay: address of the replay socket; None for one port above the alerts.
            from_seq: first alert wanted where there is no position yet. None for the oldest one,
                or, where no position is kept, for what comes from now on.
            position: where to go on; a file to read that from and to keep it in, or the position.
            topics: beginnings of further topics (``beat/``, ``status/``), for `receive` only.
            keys: what to show a hub that asks for keys.

        Raises:
            ConfigError: an address is malformed, ``from_seq`` is below 1, or the file holds no
                position or cannot be written.
        """
        if from_seq is not None and from_seq < 1:
            raise ConfigError(f"no alert has the number {from_seq}: they count from 1")
        replay = replay or endpoint_above(alerts, REPLAY_ABOVE)
        self._file = position if isinstance(position, Path) else None
        if self._file is not None:
            position = load_position(self._file)
            store_position(self._file, position)
        known = isinstance(position, Position) and position.log_id != ""
        if isinstance(position, Position) and known:
            self._follower = Sequencer(have=position.seq, log_id=position.log_id)
        elif from_seq is None and position is None:
            self._follower = Sequencer(have=None)
        else:
            self._follower = Sequencer(have=(from_seq or 1) - 1)
        self._given: Position | None = position if isinstance(position, Position) else None
        self._dealt_with = self._stored = self._given
        self._stored_at = time.monotonic()
        self._ready: deque[Received] = deque()
        self.last_seq: int | None = None
        """The newest alert there is, as far as is known; None before the first heartbeat."""
        self.heartbeats = 0
        """Heartbeats heard."""
        self._heard_at = time.monotonic()
        self._live = Subscription(alerts, ["alert/", "heartbeat", *topics], keys=keys)
        try:
            self._replay = Dealer(replay, max_frame=_PAGE_BYTES, queue=_PAGES_AT_ONCE, keys=keys)
        except BaseException:
            self._live.close(linger_ms=0)
            raise

    @property
    def complete(self) -> bool:
        """Whether every alert there is was handed over, as far as is known."""
        have = self._follower.have or 0
        return self.last_seq is not None and have >= self.last_seq and not self._ready

    @property
    def position(self) -> Position:
        """Where whoever has dealt with all that was handed over stands."""
        if self._given is not None:
            return self._given
        return Position(log_id=self._follower.log_id, seq=self._follower.have or 0)

    @property
    def silent_s(self) -> float:
        """Seconds since anything was heard: after two there is no connection."""
        return time.monotonic() - self._heard_at

    def __iter__(self) -> Iterator[Record]:
        """Yield alerts, gaps and replaced logs, for ever."""
        while True:
            for message in self.receive(_TURN_S):
                if isinstance(message, Alert | Gap | LogReplaced):
                    yield message
                    self._dealt_with = self.position
                    if time.monotonic() - self._stored_at >= _STORE_S:
                        self._store()
            self._store()

    def receive(self, timeout_s: float) -> Iterator[Received]:
        """Yield what has arrived, after waiting at most ``timeout_s`` for something.

        What is not taken from the iterator is yielded by the next call. The position file is left
        alone: call `store`.

        Raises:
            EndpointError: the monitor refuses these keys.
        """
        if not self._ready:
            wait([self._live, self._replay], timeout_s)
            self._take_in()
        while self._ready:
            message = self._ready.popleft()
            if isinstance(message, Alert | Gap | LogReplaced):
                self._given = Position(log_id=message.log_id, seq=message.seq)
            yield message

    def store(self) -> None:
        """Write to the position file that all that was handed over has been dealt with.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._dealt_with = self._given
        self._store()

    def _store(self) -> None:
        self._stored_at = time.monotonic()
        if self._file is not None and self._dealt_with not in (None, self._stored):
            assert self._dealt_with is not None
            store_position(self._file, self._dealt_with)
            self._stored = self._dealt_with

    def _take_in(self) -> None:
        now = time.monotonic()
        # Pages first: a heartbeat behind a long queue must not give up an answer that is there.
        for frame in self._replay.receive(_PAGES_AT_ONCE):
            try:
                page = decode_replay_page(frame)
            except WireError:
                continue
            self._heard_at = now
            self._ready += self._follower.on_page(page, now)
        for topic, body in self._live.receive():
            try:
                message = decode_public(topic, body)
            except WireError:
                continue
            self._heard_at = now
            if isinstance(message, Alert):
                self.last_seq = max(self.last_seq or 0, message.seq)
                self._ready += self._follower.on_alert(message)
            elif isinstance(message, Heartbeat):
                self.last_seq = message.last_seq
                self.heartbeats += 1
                self._follower.on_heartbeat(message)
                self._ask(now)
                self._ready.append(message)
            else:
                self._ready.append(message)

    def _ask(self, now: float) -> None:
        request = self._follower.wanted(self.last_seq or 0, now)
        if request is not None and not self._replay.send(encode_json(request)):
            self._follower.not_asked()

    def close(self) -> None:
        """Leave; the position file keeps what was last written to it."""
        self._live.close(linger_ms=0)
        self._replay.close(linger_ms=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        try:
            if kind is None:
                self.store()
            else:
                self._store()
        finally:
            self.close()
