"""The subscriber's side: every alert exactly once and in order, whatever was missed.

Live messages come from the hub's PUB socket, which drops messages for slow and late subscribers;
the replay socket fills in by sequence number. A `Subscriber` joins both with a `Sequencer`; after
its own death it continues from a stored `Position`.

An alert that was yielded is not at once a stored position: see `Subscriber`.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from pipeline.clients.cursor import Position as Position
from pipeline.clients.cursor import load_position, store_position
from pipeline.clients.sequencer import Record, Sequencer
from pipeline.errors import ConfigError, EndpointError, WireError
from pipeline.schema.public import (
    Gap,
    Heartbeat,
    LogReplaced,
    PublishedAlert,
    Received,
    decode_public,
    encode_json,
)
from pipeline.schema.public import Unrecorded as Unrecorded
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
"""The replay socket has the port of the alerts plus this."""

CONTROL_ABOVE: Final = 2
"""The control socket has the port of the alerts plus this."""

_PAGE_BYTES: Final = 8 * 1024 * 1024
_PAGES_AT_ONCE: Final = 4
"""Pages taken before their alerts are yielded; the hub holds back the others meanwhile."""

_TURN_S: Final = 0.25
_STORE_S: Final = 1.0
"""While alerts arrive fast, the position is stored not for each of them, but at least this
often."""


def endpoint_above(alerts: str, ports: int) -> str:
    """Return the address ``ports`` ports above that of the alerts.

    Raises:
        ConfigError: the address is malformed.
    """
    check_address(alerts, keys=True)  # the sockets check whether there are any
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
    """Send a request to the control socket of a running monitor; return the answer.

    Raises:
        EndpointError: nothing answers, or the monitor refuses these keys.
        ConfigError: the address is malformed, or off loopback without keys.
    """
    deadline = time.monotonic() + timeout_s
    sent = False
    with Dealer(connect=control, max_frame=_PAGE_BYTES, keys=keys) as monitor:
        while (remaining_s := deadline - time.monotonic()) > 0:
            sent = sent or monitor.send(encode_json(request))
            # Without a connection nothing wakes the wait: look again soon.
            wait([monitor], remaining_s if sent else min(remaining_s, 0.02))
            for frame in monitor.receive():
                try:
                    return decode_control_reply(frame)
                except WireError:
                    continue
    raise EndpointError(
        f"nothing answers at {control}, two ports above the alerts: is a monitor running there?"
    )


class Subscriber:
    """Receives the alerts of a running monitor; a context manager, one thread.

    ::

        with Subscriber("tcp://127.0.0.1:5570", position=Path("position.json")) as subscriber:
            for alert in subscriber:
                print(alert.seq, alert.reason)

    Iterating yields every alert exactly once and in order, for ever: live or from the log, and also
    over a monitor that dies and comes back. For alerts that the log cannot give it yields a `Gap`
    in their place; where the log is another one, or an older copy, a `LogReplaced`. Both have a
    ``reason``, and the ``kind``, ``stream``, ``log_id`` and ``seq`` of an alert.

    While the log cannot be written, alerts have no number yet: each is yielded at once as
    `Unrecorded`, and again as an alert once it is in the log. `recorded` says whether it can be.

    There are two ways to keep the position over the subscriber's own death:

    * A file. It is written once the loop has asked for the next record: when none is ready, or a
      second has passed, and at the end. Nothing is missed; records that were processed since the
      last write, a second's worth at most, come again. If an exception ends the ``with`` block, the
      record under way counts as not processed.
    * By yourself: write ``subscriber.position`` in the transaction in which you apply the record,
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
            from_seq: first alert wanted where no position is stored yet. None for the oldest one,
                or, without ``position``, for what comes from now on.
            position: where to continue; a file that keeps the position, or the position itself.
            topics: prefixes of further topics (``beat/``, ``status/``), for `receive` only.
            keys: what to present to a hub that asks for keys.

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
            self._sequencer = Sequencer(
                have=position.seq, log_id=position.log_id, link=position.link
            )
        elif from_seq is None and position is None:
            self._sequencer = Sequencer(have=None)
        else:
            self._sequencer = Sequencer(have=(from_seq or 1) - 1)
        self._yielded: Position | None = position if isinstance(position, Position) else None
        self._processed = self._stored = self._yielded
        self._stored_at = time.monotonic()
        self._ready: deque[Received] = deque()
        self.last_seq: int | None = None
        """The newest alert known to exist; None before the first heartbeat."""
        self.heartbeats = 0
        """Heartbeats received."""
        self.recorded = True
        """Whether the log can be written; as of the last heartbeat."""
        self.log_fault = ""
        """Why it cannot; empty while it can."""
        self._received_at = time.monotonic()
        self._topics = set(topics)
        self._live = Subscription(alerts, ["alert/", "heartbeat", *self._topics], keys=keys)
        try:
            self._replay = Dealer(replay, max_frame=_PAGE_BYTES, queue=_PAGES_AT_ONCE, keys=keys)
        except BaseException:
            self._live.close(linger_ms=0)
            raise

    @property
    def complete(self) -> bool:
        """Whether every alert that is known to exist was yielded."""
        have = self._sequencer.have or 0
        return self.last_seq is not None and have >= self.last_seq and not self._ready

    @property
    def position(self) -> Position:
        """The position after everything that was yielded."""
        if self._yielded is not None:
            return self._yielded
        one = self._sequencer
        return Position(log_id=one.log_id, seq=one.have or 0, link=one.link)

    @property
    def silent_s(self) -> float:
        """Seconds since anything arrived: after two the connection is lost."""
        return time.monotonic() - self._received_at

    def __iter__(self) -> Iterator[Record | Unrecorded]:
        """Yield alerts, gaps, replaced logs, and alerts that are not recorded, for ever."""
        while True:
            for message in self.receive(_TURN_S):
                if isinstance(message, Unrecorded):
                    yield message
                elif isinstance(message, PublishedAlert | Gap | LogReplaced):
                    yield message
                    self._processed = self.position
                    if time.monotonic() - self._stored_at >= _STORE_S:
                        self._store()
            self._store()

    def receive(self, timeout_s: float) -> Iterator[Received]:
        """Yield what has arrived, after waiting at most ``timeout_s`` for something.

        Messages that are not taken from the iterator are yielded by the next call. This does not
        write the position file: call `store`.

        Raises:
            EndpointError: the monitor refuses these keys.
        """
        if not self._ready:
            wait([self._live, self._replay], timeout_s)
            self._receive_all()
        while self._ready:
            message = self._ready.popleft()
            if isinstance(message, PublishedAlert | Gap | LogReplaced):
                link = message.link if isinstance(message, PublishedAlert) else ""
                self._yielded = Position(log_id=message.log_id, seq=message.seq, link=link)
            yield message

    def follow(self, topics: Iterable[str]) -> None:
        """Receive further topics with these prefixes from now on, and no others.

        What was sent before may still come. A hub makes the messages of ``signal/``, ``window/``
        and ``beat/`` only while somebody follows them.
        """
        wanted = set(topics)
        for topic in wanted - self._topics:
            self._live.subscribe(topic)
        for topic in self._topics - wanted:
            self._live.unsubscribe(topic)
        self._topics = wanted

    def store(self) -> None:
        """Write to the position file that everything yielded so far has been processed.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._processed = self._yielded
        self._store()

    def _store(self) -> None:
        self._stored_at = time.monotonic()
        if self._file is not None and self._processed not in (None, self._stored):
            assert self._processed is not None
            store_position(self._file, self._processed)
            self._stored = self._processed

    def _receive_all(self) -> None:
        now = time.monotonic()
        # Pages first: a heartbeat must not make it ask again while the answer waits in a queue.
        for frame in self._replay.receive(_PAGES_AT_ONCE):
            try:
                page = decode_replay_page(frame)
            except WireError:
                continue
            self._received_at = now
            self._ready += self._sequencer.on_page(page, now)
        for topic, body in self._live.receive():
            try:
                message = decode_public(topic, body)
            except WireError:
                continue
            self._received_at = now
            if isinstance(message, PublishedAlert) and not message.recorded:
                self._ready.append(Unrecorded(alert=message))
            elif isinstance(message, PublishedAlert):
                self.last_seq = max(self.last_seq or 0, message.seq)
                self._ready += self._sequencer.on_alert(message)
            elif isinstance(message, Heartbeat):
                self.last_seq = message.last_seq
                self.heartbeats += 1
                self.recorded, self.log_fault = message.recorded, message.fault
                self._sequencer.on_heartbeat(message)
                self._ask(now)
                self._ready.append(message)
            else:
                self._ready.append(message)

    def _ask(self, now: float) -> None:
        request = self._sequencer.wanted(self.last_seq or 0, now)
        if request is not None and not self._replay.send(encode_json(request)):
            self._sequencer.not_asked()

    def close(self) -> None:
        """Disconnect; the position file keeps what was last written to it."""
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
