"""What the dashboard has heard so far, one bounded memory per stream.

`DashboardState.hear` takes one decoded public message and the time it arrived; `render` in
`monitor.dashboard.screen` draws the result. The view holds no truth: it is filled from what any
subscriber receives, and messages may be missing, repeated or out of order.

Pure in memory: no sockets, no clock (monotonic seconds are passed in), no terminal. Signal and
beats share the axis of ``time_s``, which starts anew with each epoch. Not thread-safe.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from monitor.dashboard.stream_signal import StreamSignal
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
    WindowView,
)

MAX_BEATS: Final = 300
"""Beats (scores) kept of each stream."""

MAX_ALERTS: Final = 100
"""Alerts kept, of all streams together."""

MAX_STREAMS: Final = 64
"""Streams kept; of further ones only the alerts are shown."""

STALE_AFTER_S: Final = 1.5
"""Older data is called stale, and a hub that was silent for so long lost: so that the picture says
so within two seconds, its own period and a tenth of a second on the way included."""

GONE_AFTER_S: Final = 30.0
"""A stream without a status for so long, where there is one each second, is not there any more."""

BREAK_S: Final = 60.0
"""So long an alarm stands that the numbers of the alerts broke off: nobody ends it."""

HOLD_S: Final = 10.0
"""So long the selected stream stays selected after its last alert, lest the picture jump about."""

MAX_STANDING: Final = 256
"""Standing alarms kept, of all streams together."""

RANK: Final = {"high": 2, "medium": 1}
"""Order of the priorities; low, and any unknown one, is 0."""

_MAX_TIME_S: Final = 1e9
"""Thirty years of signal; positions beyond are refused before they are multiplied."""


@dataclass(slots=True)
class StreamState:
    """What has been heard of one stream."""

    name: str
    status: Status | None = None
    first_status: Status | None = None
    """Where this stream was when it was first heard of."""
    status_at: float = 0.0
    """When its status, or anything of it at all, was heard of."""
    signal: StreamSignal = field(default_factory=StreamSignal)
    signal_at: float | None = None
    beats: dict[tuple[int, int], BeatNote] = field(default_factory=dict)
    """The last `MAX_BEATS` by (epoch, sample), in order of arrival."""
    window: WindowView | None = None
    """Window of the last anomalous beat, both its lists checked to hold 320 finite numbers."""
    alarmed_at: float | None = None
    alarm_rank: int = 0

    def data_age_s(self, now: float) -> float | None:
        """Return how old the newest data is at ``now``, or None before any was heard of."""
        ages = [now - self.signal_at] if self.signal_at is not None else []
        if self.status is not None:
            ages.append(max(self.status.data_age_s, 0.0) + now - self.status_at)
        return max(min(ages), 0.0) if ages else None

    def is_stale(self, now: float) -> bool:
        """Say whether data should have come by ``now``: an ended stream is not stale.

        An old status is stale even while signal flows: the state it shows may be over.
        """
        if self.status is not None and self.status.ended:
            return False
        age = self.data_age_s(now)
        silent = self.status is not None and now - self.status_at > STALE_AFTER_S
        return silent or (age is not None and age > STALE_AFTER_S)


@dataclass(frozen=True, slots=True)
class ReceivedAlert:
    """An alert and when it was heard, in seconds of the dashboard's clock."""

    alert: Alert
    at: float


class DashboardState:
    """Everything the dashboard shows; its memory is bounded whatever arrives."""

    def __init__(self, started: float) -> None:
        self.started = started
        """Start of the elapsed time, in the clock that is passed to `hear` and `render`."""
        self.heard_at: float | None = None
        """When the last message of any kind came."""
        self.revision = 0
        """Grows with every message that may change the picture."""
        self.streams: dict[str, StreamState] = {}
        self.more_streams = False
        """Whether there were more than `MAX_STREAMS`."""
        self.alerts: deque[ReceivedAlert] = deque(maxlen=MAX_ALERTS)
        """The newest last; the client has put them in order and dropped repeats."""
        self.standing: dict[tuple[str, str], ReceivedAlert] = {}
        """The latest alert of every alarm that stands, by stream and episode; it is kept with
        the time at which the alarm began to be in the state that it is in."""
        self.alerts_heard = 0
        self.alarms_raised = 0
        self._raised_since = 0
        """Those that began after their stream was first heard of."""
        """Alarms that began in this run."""
        self._breaks: dict[tuple[str, str], float] = {}
        """Alarms of `standing` that end by themselves, and when they were heard."""
        self._silenced = (0.0, 0.0)
        """(seconds of silence left, when that was heard)."""
        self._selected: str | None = None

    def hear(self, message: Received, now: float) -> None:
        """Take in one message that arrived at ``now``; unusable contents are left out."""
        self.heard_at = now
        self._end_breaks(now)
        if isinstance(message, Heartbeat):
            return
        if isinstance(message, SystemReport):
            if message.alarms or any(not stream for stream, _ in self.standing):
                self.revision += 1
                self._take_standing("", message.alarms, now)
            return
        self.revision += 1
        if isinstance(message, Gap | LogReplaced):
            self._hear_break(message, now)
            return
        if isinstance(message, Alert):
            self._hear_alert(message, now)
            return
        stream = self._stream(message.stream, now)
        if stream is None:
            return
        if isinstance(message, Status):
            stream.status, stream.status_at = message, now
            first = stream.first_status
            if first is None or message.duration_s < first.duration_s:  # it has begun anew
                stream.first_status = message
            self._silenced = (message.silenced_s, now)
            self._take_standing(message.stream, message.alarms, now)
        elif isinstance(message, SignalStrip):
            if stream.signal.place(message):
                stream.signal_at = now
        elif isinstance(message, BeatNote):
            if not 0 <= message.time_s <= _MAX_TIME_S:
                return
            stream.beats[message.epoch, message.sample] = message
            if len(stream.beats) > MAX_BEATS:
                del stream.beats[next(iter(stream.beats))]
        elif _is_window(message):
            stream.window = message

    def silent_s(self, now: float) -> float:
        """Return for how long nothing at all has come."""
        return max(0.0, now - (self.started if self.heard_at is None else self.heard_at))

    def is_silent(self, now: float) -> bool:
        """Say whether the hub is lost: it speaks four times a second, whatever its streams do."""
        return self.silent_s(now) > STALE_AFTER_S

    def selected(self) -> StreamState | None:
        """Return the stream to show in detail: the last that alarmed, else the first, or None."""
        if self._selected is not None:
            return self.streams[self._selected]
        return next(iter(self.streams.values()), None)

    def standing_alarms(self) -> list[ReceivedAlert]:
        """Return the alarms that stand: the most urgent first, about the heart first, newest."""
        return sorted(
            self.standing.values(),
            key=lambda heard: (
                RANK.get(heard.alert.priority, 0),
                heard.alert.state in ("on", "ack"),
                heard.alert.category != "technical",
                heard.at,
            ),
            reverse=True,
        )

    def silenced_s(self, now: float) -> float:
        """Return for how long there will be no sound."""
        left_s, at = self._silenced
        return max(0.0, left_s - (now - at)) if math.isfinite(left_s) else 0.0

    def alarms_per_hour(self) -> float | None:
        """Return how many alarms began in an hour of signal heard; None before a minute of it."""
        seconds = sum(
            stream.status.duration_s - stream.first_status.duration_s
            for stream in self.streams.values()
            if stream.status and stream.first_status
        )
        return 3600.0 * self._raised_since / seconds if 60.0 <= seconds <= _MAX_TIME_S else None

    def alerts_to_show(self, n: int) -> list[ReceivedAlert]:
        """Return at most ``n`` alerts: standing ones above low priority first, then the newest."""
        pinned = [h for h in self.standing_alarms() if RANK.get(h.alert.priority, 0)]
        # Most of the list stays what it is: a list of what came last.
        pinned = pinned[: (n + 1) // 2]
        led = {id(h.alert) for h in pinned}
        rest = [h for h in reversed(self.alerts) if id(h.alert) not in led]
        return (pinned + rest)[: max(n, 0)]

    def _stream(self, name: str, now: float) -> StreamState | None:
        if name not in self.streams:
            if len(self.streams) >= MAX_STREAMS and not self._forget_one(now):
                self.more_streams = True
                return None
            self.streams[name] = StreamState(name, status_at=now)
        return self.streams[name]

    def _forget_one(self, now: float) -> bool:
        """Make room for a stream by one that is over, or of which the hub speaks no more."""
        for name, stream in self.streams.items():
            over = stream.status is not None and stream.status.ended
            if over or now - stream.status_at > GONE_AFTER_S:
                del self.streams[name]
                if self._selected == name:
                    self._selected = None
                return True
        return False

    def _hear_alert(self, alert: Alert, now: float) -> None:
        heard = ReceivedAlert(alert, now)
        self.alerts_heard += 1
        self.alerts.append(heard)
        new = self._key(alert) not in self.standing
        self._stand(alert, now)
        if alert.state == "off":
            return
        raised = new and alert.state == "on"
        self.alarms_raised += raised
        known = self.streams.get(alert.stream)
        first = known.first_status if known else None
        old = first is not None and (alert.epoch, alert.time_s) < (first.epoch, first.time_s)
        self._raised_since += raised and not old
        if alert.state == "on" and alert.stream:
            self._select(alert.stream, RANK.get(alert.priority, 0), now)

    def _hear_break(self, record: Gap | LogReplaced, now: float) -> None:
        """Raise a technical alarm: alerts were lost, or the log is another one."""
        if isinstance(record, LogReplaced):
            # Nobody ends what stood in the old log; the statuses know what stands now.
            self.standing.clear()
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
        self._hear_alert(alarm, now)
        self._breaks[self._key(alarm)] = now

    def _end_breaks(self, now: float) -> None:
        for key in [key for key, at in self._breaks.items() if now - at > BREAK_S]:
            del self._breaks[key]
            self.standing.pop(key, None)
            self.revision += 1

    @staticmethod
    def _key(alert: Alert) -> tuple[str, str]:
        return alert.stream, alert.episode or alert.kind

    def _stand(self, alert: Alert, now: float) -> None:
        key = self._key(alert)
        if alert.state == "off":
            self.standing.pop(key, None)
        elif key in self.standing or self._room_for(alert):
            before = self.standing.get(key)
            same = before is not None and before.alert.state == alert.state
            if before is not None and same and before.alert.sample == alert.sample:
                return  # a status repeats what was heard, without its number
            self.standing[key] = ReceivedAlert(alert, before.at if before and same else now)

    def _room_for(self, alert: Alert) -> bool:
        """Make room for an alarm where there is none, by one that is less urgent."""
        if len(self.standing) < MAX_STANDING:
            return True
        least = min(self.standing, key=lambda key: RANK.get(self.standing[key].alert.priority, 0))
        if RANK.get(alert.priority, 0) <= RANK.get(self.standing[least].alert.priority, 0):
            return False
        del self.standing[least]
        return True

    def _take_standing(self, stream: str, alarms: list[Alert], now: float) -> None:
        """Believe a status or report: it knows all alarms of its stream that stand."""
        known = {self._key(alert) for alert in alarms} | set(self._breaks)
        for key in [key for key in self.standing if key[0] == stream]:
            if key not in known:
                del self.standing[key]
        for alert in alarms:
            if alert.stream == stream:
                self._stand(alert, now)

    def _select(self, name: str, rank: int, now: float) -> None:
        """Turn to the alarming stream, unless the one shown has alarmed as urgently just now."""
        stream = self._stream(name, now)
        if stream is None:
            return
        if stream.alarmed_at is not None and now - stream.alarmed_at <= HOLD_S:
            rank = max(rank, stream.alarm_rank)
        stream.alarmed_at, stream.alarm_rank = now, rank
        shown = self.streams[self._selected] if self._selected is not None else None
        calm = shown is None or shown.alarmed_at is None or now - shown.alarmed_at > HOLD_S
        if calm or (shown is not None and rank > shown.alarm_rank):
            self._selected = name


def _is_window(view: WindowView) -> bool:
    if len(view.window) != WINDOW_SAMPLES or len(view.residual) != WINDOW_SAMPLES:
        return False
    return all(map(math.isfinite, view.window)) and all(map(math.isfinite, view.residual))
