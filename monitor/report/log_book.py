"""What an alert log holds of one stream, gathered alert by alert and minute by minute. Pure.

Times in a log are seconds of an epoch; a stream that began again has several. `Clock` puts them all
on one axis: the source's stamps where there are some, else the hub's clock, which stamps what it
records. A replay that was faster or slower than real time has no time of day: its epochs follow
each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from monitor.api.events import Alarm, AlarmBook
from pipeline.schema.public import Alert, Trend

MINUTE_S: Final = 60.0

LIMITS_CHANGED: Final = "limits_changed"

_LIMITS: Final = {"limit_bpm": "bpm", "limit_s": "s"}

_YEARS: Final = (1970, 2200)
"""Of a time by which a report goes; a log may say anything."""

LATEST_S: Final = 1e9
"""Thirty years of signal: nothing is later in any stream."""

_PACE_S: Final = 120.0
_PACE_SHARE: Final = 0.02
"""Real time is where the hub's clock and the signal went on alike, give or take a share of the time
and what a minute waits for its last beat."""


@dataclass(slots=True)
class _Epoch:
    """What is known of the times of an epoch."""

    first_s: float = float("inf")
    last_s: float = 0.0
    """Of its signal, in seconds from its position 0."""
    stamped: float | None = None
    """When position 0 was by the source's clock, seconds since 1970."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """Time in the signal, and when it was recorded less that time: first, least, latest."""

    def cover(self, begin_s: float, end_s: float) -> None:
        """Note that the epoch reaches so far."""
        self.first_s, self.last_s = min(self.first_s, begin_s), max(self.last_s, end_s)

    def stamp(self, time_s: float, utc: str, event_utc: str, event_s: float) -> None:
        """Note when a time was recorded, and when it was."""
        if self.stamped is None and (event := _seconds(event_utc)) is not None:
            self.stamped = event - event_s
        if (recorded := _seconds(utc)) is None:
            return
        now = (time_s, recorded - time_s)
        first, least, _ = self.lags or (now, now, now)
        self.lags = [first, min(least, now, key=lambda one: one[1]), now]

    @property
    def began(self) -> float | None:
        """When position 0 was, seconds since 1970; None where the signal had another pace."""
        if self.stamped is not None or not self.lags:
            return self.stamped
        (first_s, first), (_, least), (last_s, last) = self.lags
        keeps_pace = abs(last - first) <= _PACE_S + _PACE_SHARE * abs(last_s - first_s)
        return least if keeps_pace else None


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the epochs of a stream lie on the axis of its report."""

    start: datetime | None
    """The begin of the axis, UTC; None where it is not known."""
    of_source: bool
    """Whether the source said so; else it is by the hub's clock."""
    offsets: Mapping[int, float]
    """What is added to a time of each epoch."""
    duration_s: float

    def at(self, epoch: int, time_s: float) -> float:
        """Return a time of an epoch on the axis."""
        return time_s + self.offsets[epoch]


class LogBook:
    """All that a log holds of one stream."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.trends: list[Trend] = []
        self.changes: list[Alert] = []
        """Alerts that are about no alarm: changes of limits."""
        self.limits: dict[tuple[str, str], set[float]] = {}
        """Limits that alarms crossed, as they were in force, by kind of alarm and unit."""
        self._alarms = AlarmBook(None)
        self._seqs: dict[str, list[int]] = {}
        self._epoch_of: dict[str, int] = {}
        self._acknowledged: dict[str, str] = {}
        self._epochs: dict[int, _Epoch] = {}

    def take_alert(self, alert: Alert) -> None:
        """Add an alert of the stream; `ValueError` for one at no time of a signal."""
        if not all(
            abs(time_s) <= LATEST_S
            for time_s in (alert.time_s, alert.begin_s or 0, alert.end_s or 0)
        ):
            raise ValueError(f"alert {alert.seq} is at no time of a signal")
        epoch = self._epochs.setdefault(alert.epoch, _Epoch())
        begin_s = alert.time_s if alert.begin_s is None else alert.begin_s
        end_s = alert.time_s if alert.end_s is None else alert.end_s
        epoch.cover(begin_s, max(alert.time_s, end_s))
        if alert.state == "on":  # what follows may wait for a person
            epoch.stamp(alert.time_s, alert.utc, alert.event_utc, alert.time_s)
        if not alert.episode or alert.kind == LIMITS_CHANGED:
            if alert.state == "on":  # it is over at once
                self.changes.append(alert)
            return
        self._alarms.take(alert)
        self._seqs.setdefault(alert.episode, []).append(alert.seq)
        self._epoch_of.setdefault(alert.episode, alert.epoch)
        if alert.reason == "acknowledged":
            self._acknowledged.setdefault(alert.episode, alert.utc)
        for name, value in (alert.values or {}).items():
            if unit := _LIMITS.get(name):
                self.limits.setdefault((alert.kind, unit), set()).add(value)

    def take_trend(self, trend: Trend) -> None:
        """Add a minute of the stream; `ValueError` for one at no time of a signal."""
        if not 0 <= trend.time_s <= LATEST_S:
            raise ValueError(f"a minute at {trend.time_s:g} s is at no time of a signal")
        epoch, end_s = self._epochs.setdefault(trend.epoch, _Epoch()), trend.time_s + MINUTE_S
        epoch.cover(trend.time_s, trend.time_s + min(MINUTE_S, max(0.0, trend.signal_s)))
        epoch.stamp(end_s, trend.utc, trend.event_utc, trend.time_s)
        self.trends.append(trend)

    def clock(self) -> Clock:
        """Return where its epochs lie."""
        began = {number: epoch.began for number, epoch in self._epochs.items()}
        known = {number: utc for number, utc in began.items() if utc is not None}
        if known and len(known) == len(began):
            begin = min(utc + self._epochs[number].first_s for number, utc in known.items())
            offsets = {number: utc - begin for number, utc in known.items()}
            start: datetime | None = datetime.fromtimestamp(round(begin, 3), UTC)
        else:
            offsets, after, start = {}, 0.0, None
            for number, epoch in sorted(self._epochs.items()):
                offsets[number] = after - epoch.first_s
                after += epoch.last_s - epoch.first_s
        ends = (offsets[number] + epoch.last_s for number, epoch in self._epochs.items())
        return Clock(
            start=start,
            of_source=all(epoch.stamped is not None for epoch in self._epochs.values()),
            offsets=offsets,
            duration_s=max(1.0, *ends, 1.0),
        )

    def alarms(self, clock: Clock) -> list[Alarm]:
        """Return its alarms on the axis of ``clock``, in order of time."""
        moved = []
        for alarm in self._alarms.alarms:
            offset = clock.offsets[self._epoch_of[alarm.episode]]
            end_s = None if alarm.end_s is None else alarm.end_s + offset
            moved.append(
                replace(
                    alarm, begin_s=alarm.begin_s + offset, known_s=alarm.known_s + offset,
                    end_s=end_s,
                )
            )  # fmt: skip
        return sorted(moved, key=lambda alarm: (alarm.begin_s, alarm.episode))

    def epoch_of(self, alarm: Alarm) -> int:
        """Return the epoch of an alarm."""
        return self._epoch_of[alarm.episode]

    def seqs_of(self, alarm: Alarm) -> list[int]:
        """Return the numbers of the alerts of an alarm, the first one first."""
        return self._seqs[alarm.episode]

    def acknowledged(self, alarm: Alarm) -> str:
        """Return when an alarm was acknowledged, ISO 8601 in UTC; empty where it was not."""
        return self._acknowledged.get(alarm.episode, "")


def _seconds(utc: str) -> float | None:
    """Return a time of a message, seconds since 1970; None where it is none."""
    try:
        moment = datetime.fromisoformat(utc)
    except ValueError:
        return None
    if moment.tzinfo is None or not _YEARS[0] <= moment.year <= _YEARS[1]:
        return None
    return moment.timestamp()
