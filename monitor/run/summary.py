"""What a run or a scan has processed and found, printed at its end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from monitor.text import lead_words, safe_text
from pipeline.constants import NOTICE, SCHEMA

_NAMED: Final = 8
"""Streams with the same leads, or the same alarm, that the summary names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlarm:
    """An alarm that was active at the end of a run."""

    stream: str
    kind: str
    state: str
    episode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """The summary of `monitor scan`; its fields are those of its JSON, in order."""

    schema: int = SCHEMA
    kind: str = "summary"
    duration_s: float
    """Of the signal, over all streams."""
    wall_s: float
    beats: int
    beats_not_analysable: int
    alerts: dict[str, int]
    """Alarms that began, by kind."""
    streams: list[str]
    notice: str = NOTICE
    leads: dict[str, str] = field(default_factory=dict)
    """The leads of each stream, with commas between them."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Files of folders that were not scanned, or not to their end, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The summary of `monitor replay` and `live`; its fields are those of its JSON, in order."""

    schema: int = SCHEMA
    kind: str = "summary"
    duration_s: float
    """Of the signal, over all streams."""
    wall_s: float
    beats: int
    beats_not_analysable: int
    alerts: dict[str, int]
    """Alarms that began, by kind."""
    alerts_missing: int
    """Alerts that were published and cannot be read any more."""
    standing: list[ActiveAlarm]
    streams: list[str]
    gap_samples: int
    redelivered: int
    """Beats handed out again because a scorer did not answer."""
    scorer_restarts: int
    restarts: dict[str, int]
    """How often each process was started again, by its name."""
    log: str
    notice: str = NOTICE
    leads: dict[str, str] = field(default_factory=dict)
    """The leads of each stream, with commas between them."""
    unreadable_lines: int = 0
    """Lines of devices that could not be read."""
    alerts_unrecorded: int = 0
    """Alerts that the log had not taken when the run ended."""
    lead_states: dict[str, dict[str, str]] = field(default_factory=dict)
    """The last state of each lead in a word, of each stream with several."""


Summary = ScanSummary | RunSummary


def summary_json(summary: Summary) -> str:
    """Return the summary as one JSON object."""
    return json.dumps(asdict(summary))


def summary_lines(summary: Summary) -> list[str]:
    """Return the summary for people."""
    minutes, seconds = divmod(summary.duration_s, 60.0)
    alerts = summary.alerts.items()
    kinds = ", ".join(f"{n} {safe_text(kind).replace('_', ' ')}" for kind, n in alerts)
    unread = summary.beats_not_analysable
    streams = ", ".join(safe_text(name) for name in summary.streams) or "nothing"
    return [
        f"signal   {int(minutes)} min {seconds:.0f} s of {streams}, in {summary.wall_s:.1f} s",
        f"beats    {summary.beats}" + (f", {unread} of them not analysable" if unread else ""),
        f"alerts   {kinds or _no_alerts(summary)}",
        *(_run_lines(summary) if isinstance(summary, RunSummary) else _scan_lines(summary)),
        f"notice   {NOTICE}",
    ]


def _scan_lines(summary: ScanSummary) -> list[str]:
    skipped = [f"skipped  {len(summary.skipped)} files"] if summary.skipped else []
    return [*_lead_lines(summary.leads), *skipped]


def _lead_lines(leads: Mapping[str, str]) -> list[str]:
    """Return which leads were watched of streams with several; streams of the same share a line."""
    streams: dict[str, list[str]] = {}
    for stream, names in leads.items():
        if ", " in names:
            streams.setdefault(names, []).append(safe_text(stream))
    return [f"leads    {safe_text(names)} of {_named(of)}" for names, of in streams.items()]


def _no_alerts(summary: Summary) -> str:
    unrecorded = isinstance(summary, RunSummary) and summary.alerts_unrecorded
    return "none in the log" if unrecorded else "none"


def _run_lines(summary: RunSummary) -> list[str]:
    missing, unread = summary.alerts_missing, summary.unreadable_lines
    waiting = summary.alerts_unrecorded
    return [
        *(
            [f"waiting  {waiting} alerts that the log has not taken: NOT RECORDED"]
            if waiting
            else []
        ),
        *([f"missing  {missing} alerts that the log no longer holds"] if missing else []),
        *([f"unread   {unread} lines of the device"] if unread else []),
        *_active_lines(summary.standing),
        *(
            f"leads    {safe_text(stream)}: {lead_words(of)}"
            for stream, of in summary.lead_states.items()
        ),
        f"log      {summary.log}",
    ]


def _active_lines(alarms: Sequence[ActiveAlarm]) -> list[str]:
    """Return which alarms were active at the end, and of which streams."""
    streams: dict[str, list[str]] = {}
    for alarm in alarms:
        what = safe_text(f"{alarm.kind} ({alarm.state})").replace("_", " ")
        streams.setdefault(what, []).append(safe_text(alarm.stream) or "the system")
    return [f"active   {what} of {_named(of)}" for what, of in streams.items()]


def _named(streams: Sequence[str]) -> str:
    """Return the first `_NAMED` names of streams, and how many there are besides."""
    more = len(streams) - _NAMED
    return ", ".join(streams[:_NAMED]) + (f" and {more} more" if more > 0 else "")
