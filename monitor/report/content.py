"""What a report says, as numbers; page, JSON and table are made of it. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import numpy as np

from monitor.api.analysis import Analysis
from monitor.api.beat_table import BeatTable
from monitor.api.events import Alarm, date_of
from monitor.api.summary import Summary
from monitor.api.trend_table import FiveMinutes
from monitor.report.ectopy import Ectopy, ectopy_of
from monitor.report.hours import Hour, hours_of
from pipeline.alarms.kinds import HIGH, KINDS, PHYSIOLOGICAL
from pipeline.alarms.rate_rules import RATE_BEATS
from pipeline.alarms.settings import AlarmSettings
from pipeline.constants import CLASSES, NOTICE
from pipeline.trends.rates import rates_over

LONGEST_SHOWN: Final = 5
"""This many of the longest intervals are listed."""

STRIPS_SHOWN: Final = 100
"""This many alarms of high priority are shown with their strip; of more, the most urgent kinds."""

_URGENCY: Final = {name: place for place, name in enumerate(KINDS)}
"""The most urgent kind is the first."""

LIMITS: Final = (
    "One to twelve leads are analysed by their beats; ST segments, QT intervals and ischaemia are "
    "not assessed, and a P wave is looked for only to recognise atrial fibrillation.",
    "Beats are named normal (N), supraventricular (S), ventricular (V) or fusion (F). "
    "Supraventricular beats that are hardly early and look like the others are often missed.",
    "Paced beats are not recognised as paced. Atrial flutter with irregular conduction counts as "
    "atrial fibrillation, and with regular conduction as a regular rhythm.",
    "What is not analysable was not watched, except for fibrillation of the ventricles where the "
    "signal allows it.",
)
"""What the system cannot see; the model cards have figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """A rate or an interval, and when it was."""

    value: float
    time_s: float
    time: datetime | None


def value_of(extreme: Extreme | None) -> float | None:
    """Return the rate or the interval; None where none is known."""
    return None if extreme is None else extreme.value


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCount:
    """The alarms of one kind."""

    kind: str
    text: str
    priority: str
    episodes: int
    total_s: float
    longest_s: float
    first_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The report of one recording."""

    summary: Summary
    software: str
    lowest_bpm: Extreme | None
    highest_bpm: Extreme | None
    """Over eight intervals, at the last of them."""
    longest_rr: list[Extreme]
    """The longest intervals between beats, seconds, the longest first."""
    pauses: int
    """Intervals as long as `AlarmSettings.pause_s` or longer."""
    ectopy: dict[str, Ectopy]
    """Of supraventricular and of ventricular beats."""
    hours: list[Hour]
    five_minutes: list[FiveMinutes]
    alarms: list[AlarmCount]
    high: list[Alarm]
    """Every alarm of high priority about the heart, in order of time."""
    settings: AlarmSettings
    threshold: float | None
    """Of the live score, above which a beat is anomalous."""
    limits: Sequence[str] = LIMITS
    notice: str = NOTICE

    @property
    def shown(self) -> list[Alarm]:
        """Those of ``high`` that are shown, in order of time: all, or the most urgent."""
        return most_urgent(self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as what JSON can hold; times are ISO 8601."""
        found: dict[str, Any] = plain(asdict(self))
        for own, one in zip(self.five_minutes, found["five_minutes"], strict=True):
            if own.variability is not None:
                one["variability"]["lf_hf"] = own.variability.lf_hf
        return found

    def row(self) -> dict[str, Any]:
        """Return one row for a table of many recordings."""
        summary = self.summary
        ventricular, supraventricular = self.ectopy["V"], self.ectopy["S"]
        return {
            "recording": summary.name,
            "start": "" if summary.start is None else summary.start.isoformat(),
            "hours": round(summary.duration_s / 3600.0, 3),
            "leads": " ".join(summary.leads),
            "analysable_percent": round(100.0 * summary.analysable_share, 1),
            "beats": summary.beats,
            "bpm_min": summary.bpm_min,
            "bpm_mean": summary.bpm_mean,
            "bpm_max": summary.bpm_max,
            "longest_rr_s": self.longest_rr[0].value if self.longest_rr else None,
            "pauses": self.pauses,
            "v_beats": ventricular.beats,
            "v_percent": round(100.0 * ventricular.share, 2),
            "v_couplets": ventricular.couplets,
            "v_runs": ventricular.runs,
            "s_beats": supraventricular.beats,
            "s_percent": round(100.0 * supraventricular.share, 2),
            "s_runs": supraventricular.runs,
            "af_percent": None
            if summary.atrial_fibrillation_share is None
            else round(100.0 * summary.atrial_fibrillation_share, 1),
            "anomalous_beats": summary.anomalous,
            **high_counts(self.alarms),
        }


def content_of(analysis: Analysis, settings: AlarmSettings, software: str) -> Content:
    """Return the report of an analysed recording."""
    beats, summary = analysis.beats, analysis.summary
    lowest, highest = _extreme_rates(beats, summary.start)
    scored = beats["threshold"][np.isfinite(beats["threshold"])]
    one_lead = len(summary.leads) == 1
    return Content(
        summary=summary,
        software=software,
        lowest_bpm=lowest,
        highest_bpm=highest,
        longest_rr=_longest(beats, summary.start),
        pauses=int(np.sum(beats["rr_s"] >= settings.pause_s)),
        ectopy={name: ectopy_of(beats, name) for name in ("V", "S")},
        hours=hours_of(
            beats, analysis.rhythms, summary.duration_s, summary.start, CLASSES, one_lead=one_lead
        ),
        five_minutes=list(analysis.five_minutes),
        alarms=counts_of(analysis.alarms),
        high=high_of(analysis.alarms),
        settings=settings,
        threshold=float(scored[-1]) if len(scored) else None,
    )


def high_of(alarms: Sequence[Alarm]) -> list[Alarm]:
    """Return the alarms of high priority about the heart, in order of time."""
    return [one for one in alarms if one.priority == HIGH and one.category == PHYSIOLOGICAL]


def most_urgent(alarms: Sequence[Alarm]) -> list[Alarm]:
    """Return those of which the strips are shown, in order of time."""
    last = len(_URGENCY)
    urgent = sorted(alarms, key=lambda alarm: _URGENCY.get(alarm.kind, last))[:STRIPS_SHOWN]
    return sorted(urgent, key=lambda alarm: alarm.begin_s)


def high_counts(alarms: Sequence[AlarmCount]) -> dict[str, int]:
    """Return the episodes of each kind of alarm of high priority."""
    episodes = {one.kind: one.episodes for one in alarms}
    return {name: episodes.get(name, 0) for name, kind in KINDS.items() if kind.priority == HIGH}


def _extreme_rates(
    beats: BeatTable, start: datetime | None
) -> tuple[Extreme | None, Extreme | None]:
    known = beats[np.isfinite(beats["rr_s"])]
    over = rates_over(known["rr_s"])
    if not len(over):
        return None, None
    times = known["time_s"][RATE_BEATS - 1 :]
    return tuple(  # type: ignore[return-value]
        _extreme(round(float(over[at]), 1), float(times[at]), start)
        for at in (int(over.argmin()), int(over.argmax()))
    )


def _longest(beats: BeatTable, start: datetime | None) -> list[Extreme]:
    known = beats[np.isfinite(beats["rr_s"])]
    order = np.argsort(-known["rr_s"], kind="stable")[:LONGEST_SHOWN]
    return [
        _extreme(
            round(float(known["rr_s"][at]), 3),
            float(known["time_s"][at] - known["rr_s"][at]),
            start,
        )
        for at in order
    ]


def _extreme(value: float, time_s: float, start: datetime | None) -> Extreme:
    return Extreme(value=value, time_s=round(time_s, 3), time=date_of(start, time_s))


def counts_of(alarms: Sequence[Alarm]) -> list[AlarmCount]:
    """Return the alarms by kind, the most urgent kind first."""
    counts = []
    for kind in KINDS.values():
        of_kind = [alarm for alarm in alarms if alarm.kind == kind.name]
        if not of_kind:
            continue
        lasted = [alarm.end_s - alarm.begin_s for alarm in of_kind if alarm.end_s is not None]
        counts.append(
            AlarmCount(
                kind=kind.name,
                text=kind.text,
                priority=kind.priority,
                episodes=len(of_kind),
                total_s=round(sum(lasted), 1),
                longest_s=round(max(lasted, default=0.0), 1),
                first_s=round(of_kind[0].begin_s, 3),
            )
        )
    return counts


def plain(value: Any) -> Any:
    """Return a value of a report as what JSON can hold; times are ISO 8601."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else value


COLUMNS: Final = tuple(field.name for field in fields(Hour) if field.name != "classes")
"""Of the hourly table as CSV; the counts of the classes follow."""


def hour_rows(name: str, start: datetime | None, hours: Sequence[Hour]) -> list[dict[str, Any]]:
    """Return the hourly table of a recording of that name, a dictionary for each hour."""
    rows = []
    for hour in hours:
        row: dict[str, Any] = {"recording": name}
        begin = date_of(start, hour.begin_s)
        row["begin"] = "" if begin is None else begin.isoformat()
        row |= {name: getattr(hour, name) for name in COLUMNS}
        row |= {f"{name.lower()}_beats": count for name, count in hour.classes.items()}
        rows.append(row)
    return rows
