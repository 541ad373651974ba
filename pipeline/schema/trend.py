"""What one minute of a stream comes to; as `pipeline.schema.public`, fields are only added."""

import msgspec

from pipeline.constants import SCHEMA


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of a stream, published on ``trend/<stream>`` when all of it is known.

    Minutes count from position 0 of an epoch, by the samples: the same samples give the same
    minutes. A minute without any sample has no trend; the first one and the last one may hold less
    than a minute of signal.
    """

    schema: int = SCHEMA
    kind: str = "trend"
    stream: str
    epoch: int = 0
    sample: int
    """Where the minute begins, counted from 0 in the source's own sampling rate."""
    time_s: float
    """Where the minute begins, in seconds."""
    utc: str = ""
    """When it was recorded."""
    event_utc: str = ""
    """When it began by the source's clock; empty where the source sends no stamps."""
    signal_s: float
    """Seconds of the minute with samples."""
    analysable_s: float
    """Seconds in which beats could be analysed."""
    atrial_fibrillation_s: float
    """Seconds of atrial fibrillation that lasted for the alarm's on-delay."""
    bpm_min: float | None = None
    """The lowest heart rate over eight intervals; null with fewer."""
    bpm_mean: float | None = None
    """The mean heart rate over all intervals; null without any."""
    bpm_max: float | None = None
    """The highest heart rate over eight intervals; null with fewer."""
    beats: int = 0
    beats_not_analysable: int = 0
    anomalous: int = 0
    classes: dict[str, int] = {}
    """Beats of each class: ``N``, ``S``, ``V`` and ``F``; those not analysable have none."""
    pauses: int = 0
    """Intervals as long as the alarm's ``pause_s`` or longer."""
    longest_rr_s: float | None = None
    sdnn_ms: float | None = None
    """This and what follows is about the five minutes that end with this one, in the minute with
    which each whole five minutes of the stream end; null in the others, in atrial fibrillation, and
    where too few intervals are known. Only intervals between two normal beats count, and for the
    spectrum the others are replaced (Task Force of the ESC and NASPE, 1996)."""
    rmssd_ms: float | None = None
    pnn50: float | None = None
    """Share, 0 to 1."""
    lf_ms2: float | None = None
    """Power from 0.04 to 0.15 Hz."""
    hf_ms2: float | None = None
    """Power from 0.15 to 0.4 Hz."""
    lf_hf: float | None = None


def recorded_at(trend: Trend, utc: str) -> Trend:
    """Return a trend with the time at which it is recorded."""
    return msgspec.structs.replace(trend, utc=utc)
