"""Which of the active alarms comes first, wherever they are shown. Pure."""

from typing import Final

from pipeline.schema.public import Alert

RANK: Final = {"high": 2, "medium": 1}
"""Of a priority; low, and one that is not known, has 0."""

STATES: Final = ("latched", "ack", "on")
"""Of an active alarm, the least urgent first."""

Urgency = tuple[int, bool, int]


def urgency(alert: Alert) -> Urgency:
    """Return how urgent an active alarm is: by priority, about the heart, not acknowledged.

    One about the signal or the system never comes before one about the heart of its priority.
    """
    return (
        RANK.get(alert.priority, 0),
        alert.category != "technical",
        STATES.index(alert.state) if alert.state in STATES else 0,
    )
