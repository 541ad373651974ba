"""What a log takes in one transaction. Pure in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.schema.public import Alert, EncodedStrip, SignalStrip, Trend


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is written in one transaction."""

    alerts: Sequence[Alert] = ()
    trends: Sequence[Trend] = ()
    """Each with the time at which it is recorded."""
    strips: Sequence[tuple[int, SignalStrip | EncodedStrip]] = ()
    """Signal around alerts that are in the log before, each with the number of its alert."""
    entries: Sequence[bytes] = ()
    """For the journal, numbered on from `AlertLog.last_entry`."""
    snapshots: Mapping[str, bytes] = field(default_factory=dict)
    """State of streams by name, after every entry of this commit."""
    removed: Sequence[str] = ()
    """Streams whose snapshot is dropped, before new ones are written."""
    entries_needed_from: int | None = None
    """Entries before this number are dropped: the snapshots of all streams concerned hold them."""
