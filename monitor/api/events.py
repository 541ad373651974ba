"""What becomes known of a signal: beats, alarms, and stretches of a rhythm.

Times are seconds of the signal from its first sample; where its start is known, dates as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from pipeline.alarms.kinds import KINDS, PHYSIOLOGICAL
from pipeline.schema.public import Alert, BeatNote

RHYTHMS: Final = frozenset(
    kind.name for kind in KINDS.values() if kind.category == PHYSIOLOGICAL and not kind.hold_s
) | {"lead_off", "not_analysable"}
"""Kinds of alarms that last exactly as long as their condition, and are stretches of a rhythm, or
of a signal in which none can be seen. Others hold for ten seconds beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A detected beat."""

    time_s: float
    sample: int
    """The R peak, counted from 0 at the rate of the signal."""
    rr_s: float | None
    """Interval to the beat before; None where that is not known."""
    beat_class: str | None
    """``N``, ``S``, ``V`` or ``F`` of AAMI EC57, of every beat that can be analysed."""
    probabilities: dict[str, float] | None
    """Of each class."""
    score: float | None
    """How unusual the beat is in this patient; above ``threshold`` it is anomalous."""
    threshold: float | None
    anomalous: bool
    analysable: bool
    reason: str
    """Why it is anomalous; empty where it is not."""
    lead: str
    """In which it is seen."""
    time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm, when it begins and when it is over; in an `Analysis`, over."""

    kind: str
    """One of the names in docs/alarms.md."""
    category: str
    """``physiological`` or ``technical``."""
    priority: str
    """``high``, ``medium`` or ``low``."""
    state: Literal["on", "off"]
    message: str
    """What a person reads; of one that is acknowledged or off, what was read before."""
    begin_s: float
    """Where the condition began."""
    known_s: float
    """Where the alarm was raised, which may be later."""
    end_s: float | None
    """Where the condition ended; None while it is present."""
    count: int
    """How often the condition began, or the number of anomalous beats."""
    values: dict[str, float] = field(default_factory=dict)
    """What was measured, and under ``limit...`` the limits that it crossed."""
    ended: str = ""
    """Why it is over; empty while it is not."""
    episode: str = ""
    """The same in all events of one alarm."""
    begin: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """A stretch of a rhythm, or of signal that cannot be analysed."""

    kind: str
    """Of `RHYTHMS`."""
    begin_s: float
    end_s: float
    message: str
    begin: datetime | None = None
    end: datetime | None = None


Event = Beat | Alarm
"""What `monitor.stream` yields."""


def date_of(start: datetime | None, time_s: float | None) -> datetime | None:
    """Return the date of a time of the signal; None where one of the two is not known."""
    return None if start is None or time_s is None else start + timedelta(seconds=time_s)


def beat_of(note: BeatNote, start: datetime | None) -> Beat:
    """Return a published beat; its date is by the source's clock where the source has one."""
    stamped = datetime.fromisoformat(note.event_utc) if note.event_utc else None
    return Beat(
        time_s=note.time_s,
        sample=note.sample,
        rr_s=note.rr_s,
        beat_class=note.beat_class,
        probabilities=note.class_probabilities,
        score=note.score,
        threshold=note.threshold,
        anomalous=note.anomalous,
        analysable=note.analysable,
        reason=note.reason,
        lead=note.lead,
        time=stamped or date_of(start, note.time_s),
    )


class AlarmBook:
    """The alarms of one stream, made of its alerts: one `Alarm` for each episode."""

    def __init__(self, start: datetime | None, offsets_s: Sequence[float] = ()) -> None:
        """Begin; ``offsets_s`` are what is added to the times of each epoch, where not nothing."""
        self._start = start
        self._offsets_s = offsets_s
        self._latest: dict[str, Alarm] = {}

    def take(self, alert: Alert) -> Alarm:
        """Return the alarm that an alert is about, as it is from then on."""
        before = self._latest.get(alert.episode)
        on, start = alert.state in ("on", "ack"), self._start
        if alert.event_utc:  # the source has a clock
            start = datetime.fromisoformat(alert.event_utc) - timedelta(seconds=alert.time_s)
        offset_s = self._offsets_s[alert.epoch] if self._offsets_s else 0.0
        known_s = round(alert.time_s + offset_s, 4)
        begin_s = known_s if alert.begin_s is None else round(alert.begin_s + offset_s, 4)
        end_s = known_s if alert.end_s is None else round(alert.end_s + offset_s, 4)
        now = Alarm(
            kind=alert.kind,
            category=alert.category,
            priority=alert.priority,
            state="on" if on else "off",
            message=alert.reason if alert.state == "on" or before is None else before.message,
            begin_s=begin_s,
            known_s=known_s if before is None else before.known_s,
            end_s=None if on else end_s,
            count=alert.count or 1,
            values=alert.values or {},
            ended="" if on else alert.reason,
            episode=alert.episode,
            begin=date_of(start, begin_s),
            end=date_of(start, None if on else end_s),
        )
        self._latest[alert.episode] = now
        return now

    @property
    def alarms(self) -> list[Alarm]:
        """All alarms as they are now, in order of their beginning."""
        return sorted(self._latest.values(), key=lambda alarm: (alarm.begin_s, alarm.episode))


def rhythms_in(
    alarms: list[Alarm],
    pauses_s: Sequence[tuple[float, float]] = (),
    start: datetime | None = None,
) -> list[Rhythm]:
    """Return the stretches of rhythms in alarms that are over, in order of their beginning.

    Pauses in which nothing was recorded are stretches that cannot be analysed.
    """
    pauses = [
        Rhythm(
            kind="not_analysable",
            begin_s=round(begin_s, 4),
            end_s=round(end_s, 4),
            message="nothing was recorded",
            begin=date_of(start, begin_s),
            end=date_of(start, end_s),
        )
        for begin_s, end_s in pauses_s
    ]
    found = [
        Rhythm(
            kind=alarm.kind,
            begin_s=alarm.begin_s,
            end_s=alarm.end_s,
            message=alarm.message,
            begin=alarm.begin,
            end=alarm.end,
        )
        for alarm in alarms
        if alarm.kind in RHYTHMS and alarm.end_s is not None
    ]
    return sorted([*found, *pauses], key=lambda rhythm: rhythm.begin_s)
