"""The state of the dashboard: what it has received so far, bounded for each stream.

`DashboardState.receive` takes one decoded public message and the time of its arrival; `render` in
`monitor.dashboard.screen` draws the state. The messages are those of any subscriber, and may be
missing, repeated or out of order.

Pure: no sockets, no clock (monotonic seconds are passed in), no terminal. Signal and beats share
the axis of ``time_s``, which starts over with each epoch. Not thread-safe.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from monitor.dashboard.episodes import (
    Episode,
    Episodes,
    Key,
    ReceivedAlert,
    is_recorded,
    key_of,
)
from monitor.dashboard.stream_signal import StreamSignal
from monitor.urgency import RANK, NameOrder, name_order, streams_in_order, urgency
from pipeline.constants import WINDOW_SAMPLES
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Gap,
    Heartbeat,
    LogReplaced,
    Received,
    SignalStrip,
    Status,
    SystemReport,
    Unrecorded,
    WindowView,
)

MAX_BEATS: Final = 300
"""Beats (scores) kept of each stream."""

MAX_STREAMS: Final = 64
"""Streams kept; of further ones only the alarms are shown."""

STALE_AFTER_S: Final = 1.5
"""Older data is stale, and contact with a hub that was silent for so long is lost. With its own
period and 0.1 s of transport, the dashboard says so within two seconds."""

DROP_AFTER_S: Final = 30.0
"""A stream without a status for so long may be removed for a new one; one is due each second."""

BREAK_S: Final = 60.0
"""An alarm about a gap or a replaced log is active for so long; no other message ends it."""

RATE_AFTER_S: Final = 300.0
"""Of less signal, of all streams together, no rate of alarms is shown."""

MAX_ACTIVE: Final = 256
"""Active alarms kept, of all streams together."""

_MAX_TIME_S: Final = 1e9
"""Thirty years of signal; positions beyond are refused before they are multiplied."""


@dataclass(slots=True)
class StreamState:
    """What has been received of one stream."""

    name: str
    status: Status | None = None
    first_status: Status | None = None
    """The first status received of this stream, or of its present run."""
    status_at: float = 0.0
    """When its status came; before that, when its first message came."""
    signal: StreamSignal = field(default_factory=StreamSignal)
    signal_at: float | None = None
    beats: dict[tuple[int, int], BeatNote] = field(default_factory=dict)
    """The last `MAX_BEATS` by (epoch, sample), in order of arrival."""
    window: WindowView | None = None
    """Window of the last anomalous beat; both lists are checked to hold 320 finite numbers."""
    order: NameOrder = field(init=False)
    """Its place among others; found once, for it is asked for with each picture."""

    def __post_init__(self) -> None:
        """Find the place."""
        self.order = name_order(self.name)

    def data_age_s(self, now: float) -> float | None:
        """Return the age of the newest data at ``now``; None before there is any."""
        ages = [now - self.signal_at] if self.signal_at is not None else []
        if self.status is not None:
            ages.append(max(self.status.data_age_s, 0.0) + now - self.status_at)
        return max(min(ages), 0.0) if ages else None

    def is_stale(self, now: float) -> bool:
        """Return whether data or status is overdue at ``now``; an ended stream is never stale."""
        if self.status is not None and self.status.ended:
            return False
        age = self.data_age_s(now)
        silent = self.status is not None and now - self.status_at > STALE_AFTER_S
        return silent or (age is not None and age > STALE_AFTER_S)


class DashboardState:
    """Everything the dashboard shows; bounded, whatever arrives."""

    def __init__(self, started: float) -> None:
        self.started = started
        """Start of the elapsed time, in the clock that is passed to `receive` and `render`."""
        self.received_at: float | None = None
        """When the last message of any kind came."""
        self.log_id = ""
        """Of the monitor's log, as heartbeats name it."""
        self.revision = 0
        """Grows with every message that may change the picture."""
        self.streams: dict[str, StreamState] = {}
        self.more_streams = False
        """Whether there were more than `MAX_STREAMS`."""
        self.episodes = Episodes()
        self.active: dict[Key, ReceivedAlert] = {}
        """The latest alert of every active alarm, by stream and episode, with the time at which the
        alarm came into its present state."""
        self.alerts_received = 0
        self.alarms_raised = 0
        """Alarms that began, of all received."""
        self._raised_since = 0
        """Alarms about the heart that began after the first status of their stream."""
        self._breaks: dict[Key, float] = {}
        """Alarms of `active` that end by themselves, and when they came."""
        self._silenced = (0.0, 0.0)
        """(seconds without sound, as of when)."""
        self._selected: str | None = None

    def receive(self, message: Received, now: float) -> None:
        """Apply one message that arrived at ``now``; unusable content is ignored."""
        self.received_at = now
        self._end_breaks(now)
        self._apply(message, now)
        if isinstance(message, Alert | Unrecorded | Status):
            self._select()

    def _apply(self, message: Received, now: float) -> None:
        if isinstance(message, Heartbeat):
            self.log_id = message.log_id
            return
        if isinstance(message, SystemReport):
            if message.alarms or any(not stream for stream, _ in self.active):
                self.revision += 1
                self._replace_active("", message.alarms, now)
            return
        self.revision += 1
        if isinstance(message, Gap | LogReplaced):
            self._receive_break(message, now)
            return
        if isinstance(message, Alert | Unrecorded):
            alert = message.alert if isinstance(message, Unrecorded) else message
            if not self._record(alert):
                self._receive_alert(alert, now)
            return
        alarmed = False
        if isinstance(message, Status):
            # Of a stream without a place as well: a late dashboard has no alert of its alarms.
            self._silenced = (message.silenced_s, now)
            self._replace_active(message.stream, message.alarms, now)
            alarmed = any(RANK.get(alert.priority, 0) for alert in message.alarms)
        stream = self._stream(message.stream, now, alarmed=alarmed)
        if stream is None:
            return
        if isinstance(message, Status):
            stream.status, stream.status_at = message, now
            first = stream.first_status
            if (
                first is None or message.duration_s < first.duration_s
            ):  # the stream has started again
                stream.first_status = message
        elif isinstance(message, SignalStrip):
            if stream.signal.place(message):
                stream.signal_at = now
        elif isinstance(message, BeatNote):
            if not 0 <= message.time_s <= _MAX_TIME_S:
                return
            stream.beats[message.epoch, message.sample] = message
            if len(stream.beats) > MAX_BEATS:
                del stream.beats[next(iter(stream.beats))]
        elif isinstance(message, WindowView) and _is_window(message):
            stream.window = message

    def silent_s(self, now: float) -> float:
        """Return the time since the last message of any kind."""
        return max(0.0, now - (self.started if self.received_at is None else self.received_at))

    def is_silent(self, now: float) -> bool:
        """Return whether contact with the hub is lost: it sends heartbeats four times a second."""
        return self.silent_s(now) > STALE_AFTER_S

    def selected(self) -> StreamState | None:
        """Return the stream to show in detail: the worst, or None before there is any."""
        if self._selected is not None:
            return self.streams[self._selected]
        return next(iter(self.streams.values()), None)

    def worst_first(self) -> list[StreamState]:
        """Return the streams, those with the most urgent alarms first, then by their names."""
        alarmed = [self.streams[name] for name in self._alarmed() if name in self.streams]
        first = {one.name for one in alarmed}
        calm = [one for one in self.streams.values() if one.name not in first]
        return alarmed + sorted(calm, key=lambda one: one.order)

    def ranks(self) -> dict[str, int]:
        """Return the rank of the worst alarm of each stream that has one."""
        found: dict[str, int] = {}
        for received in self.active.values():
            name, rank = received.alert.stream, RANK.get(received.alert.priority, 0)
            found[name] = max(found.get(name, 0), rank)
        return found

    def in_alarm(self) -> list[str]:
        """Return the names of all streams with an alarm above low priority, the worst first."""
        ranks = self.ranks()
        return [name for name in self._alarmed() if name and ranks[name]]

    def active_alarms(self) -> list[ReceivedAlert]:
        """Return the active alarms: by priority, about the heart, not acknowledged, the newest.

        Equally urgent ones of several streams are in the order of these.
        """
        place = {name: -at for at, name in enumerate(self._alarmed())}
        return sorted(
            self.active.values(),
            key=lambda one: (urgency(one.alert), place[one.alert.stream], one.at),
            reverse=True,
        )

    def silenced_s(self, now: float) -> float:
        """Return for how long the sound is paused."""
        silenced_s, at = self._silenced
        return max(0.0, silenced_s - (now - at)) if math.isfinite(silenced_s) else 0.0

    def alarms_per_hour(self) -> float | None:
        """Return the alarms about the heart that began per hour of signal.

        None before `RATE_AFTER_S` of signal: one alarm in the first minute is not sixty an hour.
        """
        seconds = sum(
            stream.status.duration_s - stream.first_status.duration_s
            for stream in self.streams.values()
            if stream.status and stream.first_status
        )
        known = RATE_AFTER_S <= seconds <= _MAX_TIME_S
        return 3600.0 * self._raised_since / seconds if known else None

    def episodes_to_show(self, n: int) -> list[Episode]:
        """Return at most ``n`` episodes: active ones above low priority first, then the newest."""
        urgent = [
            episode
            for received in self.active_alarms()
            if RANK.get(received.alert.priority, 0)
            and (episode := self.episodes.of(received.alert)) is not None
        ]
        # At least half of the list shows the newest.
        pinned = urgent[: (n + 1) // 2]
        shown = {id(episode) for episode in pinned}
        rest = [one for one in self.episodes.newest_first() if id(one) not in shown]
        return (pinned + rest)[: max(n, 0)]

    def _stream(self, name: str, now: float, *, alarmed: bool = False) -> StreamState | None:
        if name not in self.streams:
            if len(self.streams) >= MAX_STREAMS and not self._drop_one_stream(now, alarmed):
                self.more_streams = True
                return None
            self.streams[name] = StreamState(name, status_at=now)
        return self.streams[name]

    def _drop_one_stream(self, now: float, for_alarm: bool) -> bool:
        """Remove a stream that ended or has no recent status; return whether there was one.

        Where there is none, one without an alarm has to go for a stream in alarm.
        """
        alarmed = {stream for stream, _ in self.active}
        calm = None
        for name, stream in self.streams.items():
            ended = stream.status is not None and stream.status.ended
            if ended or now - stream.status_at > DROP_AFTER_S:
                self._drop(name)
                return True
            if calm is None and name not in alarmed:
                calm = name
        if not for_alarm or calm is None:
            return False
        self._drop(calm)
        self.more_streams = True
        return True

    def _drop(self, name: str) -> None:
        del self.streams[name]
        if self._selected == name:
            self._selected = None

    def _record(self, alert: Alert) -> bool:
        """Return whether ``alert`` was shown as not recorded; it is recorded now."""
        if not is_recorded(alert) or not self.episodes.record(alert):
            return False
        active = self.active.get(key_of(alert))
        if active is not None and not is_recorded(active.alert):
            self.active[key_of(alert)] = ReceivedAlert(alert, active.at)
        return True

    def _receive_alert(self, alert: Alert, now: float) -> None:
        self.alerts_received += 1
        self.episodes.take(alert, now)
        if alert.stream:
            self._stream(alert.stream, now, alarmed=RANK.get(alert.priority, 0) > 0)
        new = key_of(alert) not in self.active
        self._update_alarm(alert, now)
        if alert.state == "off":
            return
        raised = new and alert.state == "on"
        self.alarms_raised += raised
        known = self.streams.get(alert.stream)
        first = known.first_status if known else None
        old = first is not None and (alert.epoch, alert.time_s) < (first.epoch, first.time_s)
        self._raised_since += raised and not old and alert.category != "technical"

    def _receive_break(self, record: Gap | LogReplaced, now: float) -> None:
        """Raise a technical alarm: alerts were lost, or the log was replaced."""
        if isinstance(record, LogReplaced):
            # The new log does not end the alarms of the old one. Statuses name those active now.
            self.active.clear()
            self._breaks.clear()
        alarm = Alert(
            log_id=record.log_id,
            stream=record.stream,
            kind=record.kind,
            category=record.category,
            priority=record.priority,
            sample=0,
            time_s=0.0,
            reason=record.reason,
            episode=f"{record.kind}-{record.seq}",
        )
        self._receive_alert(alarm, now)
        self._breaks[key_of(alarm)] = now

    def _end_breaks(self, now: float) -> None:
        for key in [key for key, at in self._breaks.items() if now - at > BREAK_S]:
            del self._breaks[key]
            self.active.pop(key, None)
            self.revision += 1

    def _update_alarm(self, alert: Alert, now: float) -> None:
        key = key_of(alert)
        if alert.state == "off":
            self.active.pop(key, None)
        elif key in self.active or self._make_place(alert):
            before = self.active.get(key)
            same = before is not None and before.alert.state == alert.state
            if before is not None and same and before.alert.sample == alert.sample:
                return  # a status repeats an alert without its number
            self.active[key] = ReceivedAlert(alert, before.at if before and same else now)

    def _make_place(self, alert: Alert) -> bool:
        """Return whether there is place for an alarm; if need be, remove a less urgent one."""
        if len(self.active) < MAX_ACTIVE:
            return True
        least = min(self.active, key=lambda key: RANK.get(self.active[key].alert.priority, 0))
        if RANK.get(alert.priority, 0) <= RANK.get(self.active[least].alert.priority, 0):
            return False
        del self.active[least]
        return True

    def _replace_active(self, stream: str, alarms: list[Alert], now: float) -> None:
        """Replace the active alarms of a stream by those of its status or report."""
        known = {key_of(alert) for alert in alarms} | set(self._breaks)
        for key in [key for key in self.active if key[0] == stream]:
            if key not in known:
                del self.active[key]
        for alert in alarms:
            if alert.stream == stream:
                self._update_alarm(alert, now)

    def _alarmed(self) -> list[str]:
        """Return the names of the streams with an alarm, the worst first; "" is the system."""
        return streams_in_order((one.alert, one.at) for one in self.active.values())

    def _select(self) -> None:
        """Select the stream with the most urgent alarm; stay where there is none."""
        alarmed = (name for name in self._alarmed() if name in self.streams)
        self._selected = next(alarmed, self._selected)


def _is_window(message: WindowView) -> bool:
    if len(message.window) != WINDOW_SAMPLES or len(message.residual) != WINDOW_SAMPLES:
        return False
    return all(map(math.isfinite, message.window)) and all(map(math.isfinite, message.residual))
