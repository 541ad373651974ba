"""What the hub says of itself: the public `SystemReport`, and the histograms in it.

Part of the schema in `pipeline.schema.public`: fields may be added at the end with a default; none
is ever renamed or removed. Totals over all streams, without a stream's name in them. Pure.
"""

import msgspec

from pipeline.constants import SCHEMA
from pipeline.schema.alert import Alert

STAGES = ("window", "filter", "segment", "queue", "score", "deliver", "total")
"""The parts of `pipeline.schema.public.Latency`, in the order of a beat's way."""


class StageHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage took, over all beats with a score since the hub began."""

    cumulative: list[int]
    """Beats that took no longer than each of the report's ``buckets_ms``."""
    count: int
    """All beats, those beyond the last bucket included."""
    sum_ms: float


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the log stands."""

    log_id: str
    name: str
    """Of the file, without its folder."""
    last_seq: int
    low_water_seq: int
    bytes: int
    wal_bytes: int
    """Of the write-ahead log beside the file."""
    writable: bool


class SystemReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the whole system stands, published each second on ``system``.

    Counters of samples and windows belong to the streams and go on with them where a hub goes on
    after its end; the others, and the histograms, count from this hub's beginning.
    """

    schema: int = SCHEMA
    utc: str = ""
    version: str = ""
    """Of the program."""
    commit: str = ""
    """Of its source, where it is known."""
    uptime_s: float
    resident_bytes: int | None = None
    """Memory of the hub; null where the system does not tell."""
    streams: dict[str, int]
    """How many streams there are in each state, ``ended`` among them."""
    scorers: int
    received_samples: int
    """All that came in chunks that were taken, repeats included."""
    duplicate_samples: int
    out_of_order_samples: int
    """Came after later ones, and were put in their place."""
    gap_samples: int
    late_samples: int
    """Came when the hole they belong in had been given up; they are among the duplicates."""
    shed_samples: int
    """That sources had to drop, because the monitor had no room for them."""
    produced_windows: int
    """Beats that wanted a score: always ``scored`` + ``pending`` + ``refused``."""
    scored_windows: int
    pending_windows: int
    refused_windows: int
    """Given up, and counted, without a score."""
    redelivered_windows: int
    """Handed out again because a scorer did not answer."""
    rejected_frames: int
    alerts: dict[str, int]
    """Alarms that began and are in the log, by kind."""
    buckets_ms: list[float]
    latency_ms: dict[str, StageHistogram]
    """By stage: those of ``latency_ms`` of alerts."""
    log: LogReport
    fault: str = ""
    """What is wrong with the log, or with what the hub goes on from; empty for nothing."""
    alarms: list[Alert] = []
    """The latest alert of every alarm about the system that stands, not about a stream."""

    @property
    def unaccounted_windows(self) -> int:
        """Windows of which nobody knows what became; 0 unless the program is wrong."""
        accounted = self.scored_windows + self.pending_windows + self.refused_windows
        return self.produced_windows - accounted
