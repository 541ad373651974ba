"""Which of the active alarms, and of the streams, comes first, wherever they are shown. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from pipeline.schema.public import Alert

RANK: Final = {"high": 2, "medium": 1}
"""Of a priority; low, and one that is not known, has 0."""

STATES: Final = ("latched", "ack", "on")
"""Of an active alarm, the least urgent first."""

Urgency = tuple[int, bool, int]
NameOrder = tuple[tuple[object, ...], str]


def urgency(alert: Alert) -> Urgency:
    """Return how urgent an active alarm is: by priority, about the heart, not acknowledged.

    One about the signal or the system never comes before one about the heart of its priority.
    """
    return (
        RANK.get(alert.priority, 0),
        alert.category != "technical",
        STATES.index(alert.state) if alert.state in STATES else 0,
    )


def streams_in_order(active: Iterable[tuple[Alert, float]]) -> list[str]:
    """Return the names of the streams with an alarm, the worst first.

    They are in the order of the most urgent alarm of each. Of equally urgent ones the first is the
    one that has waited longest, so that a new alarm moves nothing but those that are less urgent.

    Args:
        active: the active alarms, each with when it came into its present state.
    """
    worst: dict[str, tuple[Urgency, float]] = {}
    for alert, at in active:
        found = urgency(alert), -at
        worst[alert.stream] = max(worst.get(alert.stream, found), found)
    return sorted(worst, key=lambda name: worst[name], reverse=True)


def name_order(name: str) -> NameOrder:
    """Return by what streams are sorted by name: bed-2, Bed-3, bed-10; numbers by their value."""
    parts: list[object] = re.split(r"([0-9]+)", name.casefold())
    for i in range(1, len(parts), 2):  # the digits between the texts; of any length
        digits = str(parts[i]).lstrip("0")
        parts[i] = (len(digits), digits)
    return tuple(parts), name
