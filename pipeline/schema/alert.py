"""One alert, as part of the public schema in `pipeline.schema.public`.

Fields may be added at the end with a default; none is ever renamed or removed. Pure.
"""

import msgspec

from pipeline.constants import NOTICE, SCHEMA


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went between the arrival of the R sample and the publication, in ms."""

    window: float = 0.0
    """Waiting for the samples after the R peak that the window needs."""
    filter: float = 0.0
    """Waiting for samples beyond the window that the resampling and the detector needed."""
    segment: float = 0.0
    """Filtering, detecting and cutting."""
    queue: float = 0.0
    """Waiting for a batch to fill, for a scorer, and for the way there and back; for an anomalous
    beat a second time, where its class is asked for."""
    score: float = 0.0
    """What the models computed: the student, and the classifier where it was asked."""
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
    """``on`` (the condition is there), ``ack`` (there, and somebody knows), ``latched`` (over, but
    nobody has acknowledged it yet) or ``off``: FHIR's DeviceAlert presence."""
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
    """``N``, ``S``, ``V`` or ``F`` of AAMI EC57; null where no classifier runs."""
    bpm: float | None = None
    latency_ms: Latency = Latency()
    notice: str = NOTICE
    epoch: int = 0
    class_probabilities: dict[str, float] | None = None
    """Probability of each class, of which ``beat_class`` is the most probable."""
    shares: dict[str, float] | None = None
    """What each witness of the live score added to ``score``."""
    count: int | None = None
    """How many anomalous beats, or beginnings of the condition, the episode had so far."""
    episode: str = ""
    """The same for all alerts of one alarm, from its ``on`` to its ``off``."""
    begin_s: float | None = None
    """Where the condition began, in seconds of the stream like ``time_s``."""
    end_s: float | None = None
    """Where it ended; null while it is there."""
    values: dict[str, float] | None = None
    """What was measured, and under ``limit...`` the limits in force that it crossed."""
    event_utc: str = ""
    """When it happened by the source's clock; empty where the source tells no time."""

    @property
    def begins(self) -> bool:
        """Whether it is the first one of its alarm: not one that calls again."""
        return self.state == "on" and self.episode in (
            "",
            episode_of(self.kind, self.epoch, self.sample),
        )


def episode_of(kind: str, epoch: int, sample: int) -> str:
    """Return what an alarm is called of which the first alert says this."""
    return f"{kind}-{epoch}-{sample}"
