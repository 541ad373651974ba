"""From a cluster to subscribers: what a hub serves, of alerts that workers have written.

A bridge reads the alerts of all partitions, each once, and appends them to an alert log of its own,
which numbers them; its position in the cluster is written in the same transaction. So subscribers,
dashboards and whatever else speaks with a hub speak with it, and a bridge that was killed goes on
without a gap and without a repeat. Beats, status and signal are passed on where workers write them.
An acknowledgement goes to the cluster, and comes back as an alert. There may be several bridges,
each with a log and numbers of its own. One thread.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Self

from pipeline.constants import MAX_STREAMS
from pipeline.errors import ConfigError, LogError, WireError
from pipeline.hub.catchup import CatchUp
from pipeline.hub.control import Control
from pipeline.hub.sockets import LIMITS, queue_of
from pipeline.hub.status import resident_bytes
from pipeline.kafka.alerts import AlertReader, PartitionPosition, positions_of, positions_text
from pipeline.kafka.brokers import Cluster, failures_in_a_line
from pipeline.kafka.figures import Figure, Figures
from pipeline.kafka.skipped import Skipped
from pipeline.kafka.topics import partition_of
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.alert import followed_by, unrecorded, utc_text
from pipeline.schema.limits import Limits
from pipeline.schema.messages import Acknowledged
from pipeline.schema.partition_log import encode_acknowledged, encode_batch, encode_limits
from pipeline.schema.public import (
    Alert,
    Heartbeat,
    LogReport,
    Public,
    PublishedAlert,
    Status,
    SystemReport,
    decode_public,
    encode_json,
    passed_on,
)
from pipeline.transport.access_list import ALERTS, CONTROL, REPLAY
from pipeline.transport.auth import Authenticator
from pipeline.transport.sockets import CONTROL_FRAME_BYTES, Publisher, Router, wait

if TYPE_CHECKING:
    from confluent_kafka import Message

logger = logging.getLogger(__name__)

_POSITIONS: Final = "kafka:"
"""Under this name, the identity of the topic behind it, the log keeps the positions."""

_WAIT_S: Final = 0.02
_HEARTBEAT_S: Final = 0.25
_STATUS_S: Final = 1.0
_RETRY_S: Final = 1.0
_DELIVERY_S: Final = 5.0

_STALE_S: Final = 10.0
"""A stream of which no status came for so long is shown no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeConfig:
    """Where a bridge listens."""

    endpoints: Mapping[str, str]
    """Addresses of ``alerts``, ``replay`` and ``control``."""
    pattern: str = "*"
    """Of the streams whose beats, status and signal are passed on."""
    version: str = ""
    auth: Authenticator | None = None


@dataclass(slots=True)
class _Unwritten:
    """Alerts that the log does not take, and their positions in the cluster."""

    alerts: list[Alert] = field(default_factory=list)
    announced: int = 0
    """So many of them, the first, were published as not recorded."""
    fault: str = ""
    retry_at: float = 0.0


class Bridge:
    """Serves the alerts of a cluster from ``log``; a context manager."""

    def __init__(
        self,
        cluster: Cluster,
        log: AlertLog,
        config: BridgeConfig,
        on_report: Callable[[SystemReport, Figures], None] = lambda report, figures: None,
    ) -> None:
        """Bind the sockets, and continue where the log ends; ``on_report`` is called each second.

        Raises:
            ConfigError: topics are missing, the log belongs to another cluster, or an address is
                off loopback without keys.
            EndpointError: no broker answers, or an address is in use.
            LogError: the log cannot be read.
        """
        self._cluster = cluster
        self._topics = cluster.topics
        self._log = log
        self._config = config
        self._on_report = on_report
        self._name = _POSITIONS + cluster.topics.alerts
        self._unwritten = _Unwritten()
        self._skipped = Skipped(cluster.topics.live)
        self._recorded = 0
        self._statuses: dict[str, tuple[Status, float]] = {}
        self._alarms: Counter[str] = Counter()
        self._began = time.monotonic()
        self._due = {"heartbeat": 0.0, "status": 0.0}
        with contextlib.ExitStack() as opened:
            # Positions in alerts that are read, and are not in the log yet, are the reader's.
            self._reader = opened.enter_context(AlertReader(cluster, self._stored()))
            self._live = cluster.reader()
            opened.callback(self._live.close)
            self._partitions = cluster.partitions(list(cluster.topics.settings()))
            self._follow_live()
            self._producer = cluster.producer()
            self._open_sockets(opened)
            self._catch_up = CatchUp(self._replay, log)
            self._control = Control(
                self._control_socket, log, self._change, self._state, lambda died: None
            )
            self._opened = opened.pop_all()

    def _open_sockets(self, opened: contextlib.ExitStack) -> None:
        at, auth = self._config.endpoints, self._config.auth
        self._alerts = opened.enter_context(Publisher(at[ALERTS], auth=auth, socket_name=ALERTS))

        def router(name: str) -> Router:
            made = Router(
                at[name],
                max_frame=CONTROL_FRAME_BYTES,
                queue=queue_of(name, MAX_STREAMS),
                auth=auth,
                socket_name=name,
                limits=LIMITS[name],
            )
            return opened.enter_context(made)

        self._replay, self._control_socket = router(REPLAY), router(CONTROL)
        if auth is not None:
            auth.watch(self.endpoints)

    def _stored(self) -> dict[int, PartitionPosition]:
        known = self._log.snapshots()
        others = [name for name in known if name != self._name]
        if others or (self._log.last_seq and self._name not in known):
            raise ConfigError(f"{self._log.path} is the log of something else: name another --log")
        if self._name not in known:
            return {}
        try:
            return positions_of(known[self._name][1])
        except ValueError as error:
            raise LogError(f"{self._log.path}: {error}") from None

    def _follow_live(self) -> None:
        from confluent_kafka import OFFSET_END, TopicPartition

        topic = self._topics.live
        self._live.assign([TopicPartition(topic, p, OFFSET_END) for p in range(self._partitions)])

    @property
    def endpoints(self) -> dict[str, str]:
        """The addresses in use, by name."""
        sockets = {ALERTS: self._alerts, REPLAY: self._replay, CONTROL: self._control_socket}
        return {name: socket.endpoint for name, socket in sockets.items()}

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` returns true.

        Raises:
            EndpointError: the cluster cannot be used.
            AuthenticationError: the sockets are no longer protected by their keys.
        """
        with failures_in_a_line():
            while not stop():
                self.turn()

    def turn(self) -> None:
        """Take what has come, write it down, publish it, and answer clients."""
        if self._config.auth is not None:
            self._config.auth.check()
        wait([self._replay, self._control_socket], 0.0 if self._catch_up.under_way else _WAIT_S)
        now = time.monotonic()
        errors = [*self._catch_up.serve(), *self._control.serve(now)]
        for error in errors:
            logger.warning("%s", error)
        logged = self._take_alerts(now)
        self._control.reply(logged, logged, self._unwritten.fault)
        for message in self._live.consume(1_000, 0.0):
            self._pass_on(message, now)
        self._publish_regularly(now)
        self._producer.poll(0)

    # --- alerts ------------------------------------------------------------------------------

    def _take_alerts(self, now: float) -> list[PublishedAlert]:
        """Append what was read to the log, then publish it; return it as logged."""
        waiting = self._unwritten
        if waiting.fault and now < waiting.retry_at:
            return []
        if not waiting.fault:  # else what is read would only wait here
            waiting.alerts += [one.alert for one in self._reader.read(0.0)]
        if not waiting.alerts:
            return []
        text = positions_text(self._reader.positions).encode()
        try:
            logged = self._log.commit(Commit(alerts=waiting.alerts, snapshots={self._name: text}))
        except LogError as error:
            self._on_unwritable(error, now)
            return []
        self._unwritten = _Unwritten()
        self._recorded += len(logged)
        for alert in logged:
            self._alarms[alert.kind] += alert.begins
            self._publish(f"alert/{alert.stream}", alert)
        return logged

    def _on_unwritable(self, error: LogError, now: float) -> None:
        waiting = self._unwritten
        if waiting.fault != str(error):
            logger.error("%s", error)
        waiting.fault, waiting.retry_at = str(error), now + _RETRY_S
        for alert in waiting.alerts[waiting.announced :]:
            self._publish(f"alert/{alert.stream}", unrecorded(alert, self._log.log_id))
        waiting.announced = len(waiting.alerts)

    # --- beats, status, signal ---------------------------------------------------------------

    def _pass_on(self, message: "Message", now: float) -> None:
        """Publish what a worker has written for screens, as it was checked."""
        if message.error() is not None:
            return
        topic = message.key() or b""
        stream = topic.partition(b"/")[2].decode("ascii", "replace")
        try:
            content = decode_public(topic, message.value() or b"")
            if isinstance(content, PublishedAlert | Heartbeat | SystemReport):
                raise WireError(f"{type(content).__name__} on the topic of screens")
            if content.stream != stream:
                raise WireError(f"{topic[:80]!r} about another stream")
        except WireError as error:
            self._skipped.add(message.partition(), message.offset(), error)
            return
        if isinstance(content, Status):
            content = passed_on(content, silenced_s=self._control.silenced_s(now))
            self._statuses[stream] = (content, now)
        if fnmatchcase(stream, self._config.pattern):
            self._publish(topic.decode("ascii"), content)

    def _publish_regularly(self, now: float) -> None:
        if now >= self._due["heartbeat"]:
            self._due["heartbeat"] = now + _HEARTBEAT_S
            self._publish("heartbeat", self._heartbeat())
        if now >= self._due["status"]:
            self._due["status"] = now + _STATUS_S
            report = self._state()[0]
            self._publish("system", report)
            self._on_report(report, self._figures())

    def _publish(self, topic: str, message: Public) -> None:
        self._alerts.publish(topic, encode_json(message))

    def _heartbeat(self) -> Heartbeat:
        log, fault = self._log, self._unwritten.fault
        return Heartbeat(
            log_id=log.log_id,
            last_seq=log.last_seq,
            low_water_seq=log.low_water_seq,
            link=log.link,
            recorded=not fault,
            waiting=len(self._unwritten.alerts),
            fault=fault,
        )

    def _figures(self) -> Figures:
        return [
            Figure("messages_total", self._reader.messages),
            Figure("message_bytes_total", self._reader.bytes),
            Figure("lag_messages", self._reader.lag),
            Figure("partitions", self._partitions),
            Figure("alerts_total", self._recorded),
            Figure("skipped_total", self._reader.skipped.count + self._skipped.count),
            Figure("time_s", time.time()),
        ]

    # --- requests of clients -----------------------------------------------------------------

    def _change(self, change: Acknowledged | Limits) -> list[Alert]:
        """Write a change to the cluster; of an acknowledgement return the alerts to come.

        The worker of a stream checks its limits, and says in an alert which are in force.

        Raises:
            LogError: the brokers do not take it now.
        """
        if isinstance(change, Limits):
            number = partition_of(change.stream, self._partitions)
            self._write({number}, encode_batch([encode_limits(change)]))
            return []
        stream, episode = change.stream, change.episode
        concerned = [
            alert
            for alert in self._log.active_alarms()
            if stream in ("", alert.stream) and episode in ("", alert.episode)
        ]
        concerned = [alert for alert in concerned if alert.state in ("on", "latched")]
        if not concerned:
            return []
        numbers = {partition_of(alert.stream, self._partitions) for alert in concerned}
        self._write(numbers, encode_batch([encode_acknowledged(stream, episode)]))
        state = {"on": "ack", "latched": "off"}
        return [followed_by(alert, state=state[alert.state]) for alert in concerned]

    def _write(self, partitions: set[int], value: bytes) -> None:
        try:
            for number in partitions:
                self._producer.produce(self._topics.chunks, value, partition=number)
            waiting = self._producer.flush(_DELIVERY_S)
        except BufferError:
            waiting = 1
        if waiting:
            raise LogError("the brokers take nothing now: try again")

    def _state(self) -> tuple[SystemReport, list[Status]]:
        now = time.monotonic()
        self._statuses = {
            name: (one, at) for name, (one, at) in self._statuses.items() if now - at < _STALE_S
        }
        silenced_s = self._control.silenced_s(now)
        statuses = [  # the next one is awaited; beyond that, its worker may be gone
            passed_on(one, silenced_s=silenced_s, older_s=max(0.0, now - at - _STATUS_S))
            for one, at in self._statuses.values()
        ]
        return self._report(statuses, now), statuses

    def _report(self, statuses: Sequence[Status], now: float) -> SystemReport:
        """Return what is known here: the counters of the streams are those of their workers."""
        log, fault = self._log, self._unwritten.fault
        return SystemReport(
            utc=utc_text(time.time()),
            version=self._config.version,
            uptime_s=round(now - self._began, 3),
            resident_bytes=resident_bytes(),
            streams=dict(Counter("ended" if s.ended else s.state for s in statuses)),
            scorers=max((one.scorers for one in statuses), default=0),
            received_samples=0,
            duplicate_samples=sum(one.duplicate_samples for one in statuses),
            out_of_order_samples=0,
            gap_samples=sum(one.gap_samples for one in statuses),
            late_samples=sum(one.late_samples for one in statuses),
            shed_samples=sum(one.shed_samples for one in statuses),
            produced_windows=0,
            scored_windows=0,
            pending_windows=0,
            refused_windows=0,
            redelivered_windows=0,
            rejected_frames=self._reader.skipped.count + self._skipped.count,
            alerts=dict(self._alarms),
            buckets_ms=[],
            latency_ms={},
            log=LogReport(
                log_id=log.log_id,
                name=log.path.name,
                last_seq=log.last_seq,
                low_water_seq=log.low_water_seq,
                bytes=log.bytes_held,
                wal_bytes=log.wal_bytes,
                writable=not fault,
            ),
            fault=fault,
            unreadable_lines=sum(one.unreadable_lines for one in statuses),
        )

    def close(self) -> None:
        """Close the sockets, and disconnect."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
