"""What the report of a log says of one stream, as numbers. Pure.

It is made of what the log keeps: alerts, and what each minute came to. Beats are not in a log, so
what needs every beat is named as missing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from monitor.api.events import Alarm, date_of
from monitor.api.trend_table import FiveMinutes, five_minutes_of
from monitor.report.content import (
    LIMITS,
    AlarmCount,
    Extreme,
    counts_of,
    high_counts,
    high_of,
    most_urgent,
    plain,
    value_of,
)
from monitor.report.hours import DAY_S, HOUR_S, Hour, edges_of
from monitor.report.log_book import Clock, LogBook
from pipeline.constants import CLASSES, NOTICE
from pipeline.schema.public import Trend

_MONTH_S: Final = 31 * DAY_S

WITHOUT_BEATS: Final = (
    "Single beats and intervals: so there is no tachogram beat by beat, no histogram of intervals, "
    "no Poincaré plot, and no count of single ectopic beats, couplets and runs beyond the alarms. "
    "Watch with --record, and the report of the recording has them.",
    "Signal beyond the ten seconds around an alarm.",
    "The alarm settings of the hub, but for limits that an alarm crossed or a person changed.",
)
"""What no log holds."""

WITHOUT_MINUTES: Final = (
    "Rates, ectopic beats and shares minute by minute: an older version wrote this log, or no "
    "minute was complete."
)


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of the stream."""

    begin_s: float
    """On the time axis of the report."""
    trend: Trend


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All minutes of a stream together."""

    signal_s: float
    """Time with samples."""
    analysable_s: float
    """Time in which beats could be analysed."""
    atrial_fibrillation_s: float
    """Time in atrial fibrillation."""
    beats: int
    not_analysable: int
    anomalous: int
    classes: dict[str, int]
    pauses: int
    bpm_mean: float | None
    lowest_bpm: Extreme | None
    highest_bpm: Extreme | None
    longest_rr: Extreme | None
    """Each at the minute in which it was."""

    def share(self, beat_class: str) -> float | None:
        """Return the share of a class of the beats that can be analysed."""
        analysable = self.beats - self.not_analysable
        return self.classes.get(beat_class, 0) / analysable if analysable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContent:
    """The report of one stream of a log."""

    stream: str
    log: str
    """Name of the file."""
    log_id: str
    software: str
    start: datetime | None
    by_source: bool
    """Whether times of day are by the source's clock."""
    duration_s: float
    """From the first alert or minute that the log holds to the last."""
    leads: tuple[str, ...]
    whole: Whole | None
    """None where the log has no minutes."""
    minutes: list[Minute]
    hours: list[Hour]
    five_minutes: list[FiveMinutes]
    alarms: list[AlarmCount]
    all_alarms: list[Alarm]
    high: list[Alarm]
    """Those of high priority about the heart."""
    acknowledged: dict[str, str]
    """When each alarm that was acknowledged was so, by its episode; ISO 8601 in UTC."""
    limits: list[str]
    """Limits that alarms crossed, in words."""
    changes: list[str]
    """Changes of limits by a person, in words."""
    system: dict[str, int]
    """Alarms of the system itself, of each kind."""
    missing: list[str]
    """What the log does not hold."""
    cannot: Sequence[str] = LIMITS
    notice: str = NOTICE

    @property
    def shown(self) -> list[Alarm]:
        """Those of ``high`` that are shown, in order of time: all, or the most urgent."""
        return most_urgent(self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as what JSON can hold; minutes are those of `monitor log export`."""
        found: dict[str, Any] = {
            name: plain(getattr(self, name)) for name in self.__slots__ if name not in _NESTED
        }
        found["whole"] = None if self.whole is None else plain(asdict(self.whole))
        for name in ("hours", "five_minutes", "alarms", "high"):
            found[name] = [plain(asdict(one)) for one in getattr(self, name)]
        return found

    def row(self) -> dict[str, Any]:
        """Return one row for a table of many, with the columns of a recording's row."""
        whole = self.whole
        af = None
        if whole is not None and whole.analysable_s:
            af = round(100.0 * whole.atrial_fibrillation_s / whole.analysable_s, 1)
        return {
            "recording": self.stream,
            "start": "" if self.start is None else self.start.isoformat(),
            "hours": round(self.duration_s / HOUR_S, 3),
            "leads": " ".join(self.leads),
            "analysable_percent": whole and round(100.0 * whole.analysable_s / self.duration_s, 1),
            "beats": whole and whole.beats,
            "bpm_min": whole and value_of(whole.lowest_bpm),
            "bpm_mean": whole and whole.bpm_mean,
            "bpm_max": whole and value_of(whole.highest_bpm),
            "longest_rr_s": whole and value_of(whole.longest_rr),
            "pauses": whole and whole.pauses,
            "v_beats": whole and whole.classes.get("V", 0),
            "v_percent": whole and _percent(whole.share("V")),
            "v_couplets": None,
            "v_runs": None,
            "s_beats": whole and whole.classes.get("S", 0),
            "s_percent": whole and _percent(whole.share("S")),
            "s_runs": None,
            "af_percent": af,
            "anomalous_beats": whole and whole.anomalous,
            **high_counts(self.alarms),
        }


_NESTED: Final = ("whole", "minutes", "hours", "five_minutes", "alarms", "all_alarms", "high")


def log_content_of(
    book: LogBook,
    *,
    log: str,
    log_id: str,
    software: str,
    leads: tuple[str, ...],
    system: dict[str, int],
) -> LogContent:
    """Return the report of a stream of a log; ``leads`` are empty where nobody knows them."""
    clock = book.clock()
    alarms = book.alarms(clock)
    minutes = _placed(book.trends, clock)
    acknowledged = {alarm.episode: utc for alarm in alarms if (utc := book.acknowledged(alarm))}
    return LogContent(
        stream=book.stream,
        log=log,
        log_id=log_id,
        software=software,
        start=clock.start,
        by_source=clock.of_source,
        duration_s=round(clock.duration_s, 3),
        leads=leads,
        whole=_whole(minutes, clock.start) if minutes else None,
        minutes=minutes,
        hours=_hours(minutes, clock.duration_s, clock.start) if minutes else [],
        five_minutes=five_minutes_of(
            ((one.begin_s, one.trend) for one in minutes), clock.duration_s
        ),
        alarms=counts_of(alarms),
        all_alarms=alarms,
        high=high_of(alarms),
        acknowledged=acknowledged,
        limits=[
            f"{kind.replace('_', ' ')} {' or '.join(f'{one:g}' for one in sorted(values))} {unit}"
            for (kind, unit), values in sorted(book.limits.items())
        ],
        changes=[f"{alert.utc}: {alert.reason}" for alert in book.changes],
        system=system,
        missing=[*([] if minutes else [WITHOUT_MINUTES]), *WITHOUT_BEATS],
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100.0 * share, 2)


def _placed(trends: Sequence[Trend], clock: Clock) -> list[Minute]:
    """Return the minutes at their times on the axis, in order, each once."""
    once = {(trend.epoch, trend.time_s): trend for trend in trends}
    placed = [
        Minute(round(clock.at(trend.epoch, trend.time_s), 3), trend) for trend in once.values()
    ]
    return sorted(placed, key=lambda one: one.begin_s)


def _mean_bpm(trends: Sequence[Trend]) -> float | None:
    """Return the mean rate over all intervals: each minute's counts by its beats."""
    known = [(one.beats, one.bpm_mean) for one in trends if one.bpm_mean and one.beats]
    beats = sum(count for count, _ in known)
    return round(beats / sum(count / bpm for count, bpm in known), 1) if beats else None


def _whole(minutes: Sequence[Minute], start: datetime | None) -> Whole:
    def extreme(name: str, sign: int) -> Extreme | None:
        known = [
            (sign * value, one.begin_s)
            for one in minutes
            if (value := getattr(one.trend, name)) is not None
        ]
        if not known:
            return None
        value, time_s = max(known, key=lambda pair: pair[0])
        return Extreme(value=round(sign * value, 3), time_s=time_s, time=date_of(start, time_s))

    trends = [one.trend for one in minutes]
    return Whole(
        signal_s=round(sum(one.signal_s for one in trends), 3),
        analysable_s=round(sum(one.analysable_s for one in trends), 3),
        atrial_fibrillation_s=round(sum(one.atrial_fibrillation_s for one in trends), 3),
        beats=sum(one.beats for one in trends),
        not_analysable=sum(one.beats_not_analysable for one in trends),
        anomalous=sum(one.anomalous for one in trends),
        classes={name: sum(one.classes.get(name, 0) for one in trends) for name in CLASSES},
        pauses=sum(one.pauses for one in trends),
        bpm_mean=_mean_bpm(trends),
        lowest_bpm=extreme("bpm_min", -1),
        highest_bpm=extreme("bpm_max", 1),
        longest_rr=extreme("longest_rr_s", 1),
    )


def _hours(minutes: Sequence[Minute], duration_s: float, start: datetime | None) -> list[Hour]:
    """Return the hourly table; a minute belongs to the hour in which it begins.

    Beyond a month it is one of days.
    """
    edges = edges_of(duration_s, HOUR_S if duration_s <= _MONTH_S else DAY_S, start)
    hours, first = [], 0
    for begin_s, end_s in pairwise(edges):
        last = first
        while last < len(minutes) and (minutes[last].begin_s < end_s or end_s == edges[-1]):
            last += 1
        some = minutes[first:last]
        first = last
        whole = _whole(some, start)
        lost_s = end_s - begin_s - whole.analysable_s
        hours.append(
            Hour(
                begin_s=begin_s,
                end_s=end_s,
                beats=whole.beats,
                bpm_min=value_of(whole.lowest_bpm),
                bpm_mean=whole.bpm_mean,
                bpm_max=value_of(whole.highest_bpm),
                classes=whole.classes,
                anomalous=whole.anomalous,
                longest_rr_s=value_of(whole.longest_rr),
                atrial_fibrillation_s=whole.atrial_fibrillation_s,
                lost_s=round(max(0.0, lost_s), 3),
            )
        )
    return hours
