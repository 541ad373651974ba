"""The counters of one stream. Pure."""

from typing import Final

from pipeline.schema.state import State, field

MOST: Final = 2**62
"""Numbers that sources state, or cause by jumps, are counted up to here: states and reports can be
written and read whatever they are."""


def counted(number: int, more: int) -> int:
    """Return ``number`` and ``more`` together, at most `MOST`."""
    return min(MOST, number + more)


class Counters(State):
    """What went through a stream, over all epochs."""

    samples: int = 0
    beats: int = 0
    beats_not_analysable: int = 0
    anomalous: int = 0
    alerts: int = 0
    gap_samples: int = 0
    duplicate_samples: int = 0
    late_samples: int = 0
    """Samples that came when the hole they belong in had been given up."""
    out_of_order_samples: int = 0
    """Samples that came after later ones, and were put in order."""
    windows: int = 0
    """Beats that wanted a score."""
    scored_windows: int = 0
    refused_windows: int = 0
    """Windows given up without a score."""
    alerts_by_kind: dict[str, int] = field(default_factory=dict)
    unreadable_lines: int = 0
    """Lines or packets of a device that its source could not read."""
