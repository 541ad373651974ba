"""One alert, the most important message of the public schema, and the ways to derive another.

As everywhere in `pipeline.schema.public`, fields may be added at the end with a default; none is
ever renamed or removed. Pure in memory.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from pipeline.constants import NOTICE, SCHEMA


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went between the arrival of the R sample and the publication, in ms."""

    window: float = 0.0
    """Waiting for the samples after the R peak that the window needs."""
    filter: float = 0.0
    """Waiting for samples beyond the window that the resampling and the detector need."""
    segment: float = 0.0
    """Filtering, detecting and cutting."""
    queue: float = 0.0
    """Waiting for a batch to fill, for a scorer, and for the way there and back."""
    score: float = 0.0
    """Computing in the scorer: of the score and of the class."""
    deliver: float = 0.0
    """Baseline, rules, waiting for the beats before, commit to the log, publication."""
    total: float = 0.0
    """The sum of the others."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, as logged and published on ``alert/<stream>``."""

    schema: int = SCHEMA
    log_id: str = ""
    seq: int = 0
    """Contiguous from 1 within one ``log_id``."""
    stream: str
    kind: str
    category: str
    """``physiological`` (about the heart) or ``technical`` (about the signal or the system)."""
    priority: str
    """``high``, ``medium`` or ``low``."""
    state: str = "on"
    """``on`` (the condition is present), ``ack`` (present and acknowledged), ``latched`` (over, not
    acknowledged yet) or ``off``: FHIR's DeviceAlert presence."""
    sample: int
    """Where it happened, counted from 0 in the source's own sampling rate."""
    time_s: float
    utc: str = ""
    """When it was raised."""
    score: float | None = None
    threshold: float | None = None
    reason: str
    ticks: list[int] | None = None
    """[first, last] of the 320 samples of the window that look wrong."""
    beat_class: str | None = None
    """``N``, ``S``, ``V`` or ``F`` of AAMI EC57; null of an alarm that is about no single beat."""
    bpm: float | None = None
    latency_ms: Latency = Latency()
    notice: str = NOTICE
    epoch: int = 0
    class_probabilities: dict[str, float] | None = None
    """Probability of each class, of which ``beat_class`` is the most probable."""
    shares: dict[str, float] | None = None
    """What each component of the live score contributed to ``score``."""
    count: int | None = None
    """Anomalous beats, or beginnings of the condition, in the episode so far."""
    episode: str = ""
    """The same in all alerts of one alarm, from its ``on`` to its ``off``."""
    begin_s: float | None = None
    """Where the condition began, in seconds of the stream like ``time_s``."""
    end_s: float | None = None
    """Where it ended; null while it is present."""
    values: dict[str, float] | None = None
    """The measured values, and under ``limit...`` the limits in force that they crossed."""
    event_utc: str = ""
    """When it happened by the source's clock; empty where the source sends no stamps."""
    leads: dict[str, str] | None = None
    """What each of several leads said when the alarm began, in a word, by its name; null where
    there is one, and of an alarm that is not about what leads show."""

    @property
    def begins(self) -> bool:
        """Whether it is the first one of its alarm, not a repeated call."""
        return self.state == "on" and self.episode in (
            "",
            episode_of(self.kind, self.epoch, self.sample),
        )


class PublishedAlert(Alert, frozen=True, kw_only=True):
    """An alert as subscribers receive it: with its place in the chain of the log.

    Two logs of one ``log_id`` that went apart, because one of them is an older copy that went on,
    have other links from there on: so ``link`` proves which of them ``seq`` counts in.
    """

    link: str = ""
    """Of the chain, after this alert; 16 hexadecimal digits."""
    link_before: str = ""
    """Of the chain, after the alert before; empty where that is not known."""
    recorded: bool = True
    """False where the log cannot take it: it has no number yet, ``seq`` is 0, and it comes again
    with one once the log can."""


_Alert = TypeVar("_Alert", bound=Alert)


def link_text(link: bytes) -> str:
    """Return a link of the chain as messages have it: its first eight bytes."""
    return link[:8].hex()


def published(alert: Alert, link: str, link_before: str) -> PublishedAlert:
    """Return an alert of the log with its place in the chain."""
    return PublishedAlert(**msgspec.structs.asdict(alert), link=link, link_before=link_before)


def unrecorded(alert: Alert, log_id: str) -> PublishedAlert:
    """Return an alert as it is published while the log, of that identity, cannot take it."""
    facts = msgspec.structs.asdict(alert) | {"log_id": log_id, "seq": 0}
    return PublishedAlert(**facts, recorded=False)


def episode_of(kind: str, epoch: int, sample: int) -> str:
    """Return the name of an alarm, given kind, epoch and sample of its first alert."""
    return f"{kind}-{epoch}-{sample}"


def utc_text(utc_s: float) -> str:
    """Return seconds since 1970 as messages have them: ISO 8601 to the millisecond, UTC."""
    text = datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def numbered(alert: Alert, log_id: str, seq: int) -> Alert:
    """Return ``alert`` with its place in the log."""
    return msgspec.structs.replace(alert, log_id=log_id, seq=seq)


def followed_by(alert: Alert, **changes: Any) -> Alert:
    """Return the next alert of the same alarm, not logged yet, with ``changes``.

    The findings in the beat that raised the alarm are dropped.
    """
    fresh = {
        "log_id": "",
        "seq": 0,
        "utc": "",
        "latency_ms": Latency(),
        "score": None,
        "threshold": None,
        "ticks": None,
        "shares": None,
        "beat_class": None,
        "class_probabilities": None,
        **changes,
    }
    return msgspec.structs.replace(alert, **fresh)


def timed(alert: _Alert, latency: Latency, *, utc: str | None = None) -> _Alert:
    """Return ``alert`` with its latency breakdown, and the time it was raised where given."""
    return msgspec.structs.replace(alert, latency_ms=latency, utc=utc or alert.utc)


def happened_at(alert: Alert, event_utc: str) -> Alert:
    """Return ``alert`` with the time at which it happened by the source's clock."""
    return msgspec.structs.replace(alert, event_utc=event_utc) if event_utc else alert
