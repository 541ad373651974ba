"""The alarms of all streams as episodes: each from its beginning to its end is one entry. Pure."""

from dataclasses import dataclass
from typing import Final

from pipeline.schema.public import Alert, PublishedAlert

MAX_EPISODES: Final = 100
"""Kept, of all streams together; of more, the oldest that are over are forgotten first."""

Key = tuple[str, str]
"""Stream and episode."""


@dataclass(frozen=True, slots=True)
class ReceivedAlert:
    """An alert and the time of its arrival, in seconds of the dashboard's clock."""

    alert: Alert
    at: float


@dataclass(frozen=True, slots=True)
class Episode:
    """One alarm, from its first alert to the latest."""

    first: Alert
    """Says why it was raised, and has the latency of that."""
    latest: Alert
    at: float
    """When the first one came."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.latest.state == "off"

    @property
    def begin_s(self) -> float:
        """Where its condition began, in seconds of the stream."""
        return self.first.time_s if self.first.begin_s is None else self.first.begin_s

    @property
    def end_s(self) -> float | None:
        """Where its condition ended; None while it is present."""
        if self.latest.state in ("on", "ack"):
            return None
        return self.latest.time_s if self.latest.end_s is None else self.latest.end_s

    @property
    def count(self) -> int:
        """How often its condition began, or the number of anomalous beats."""
        return self.latest.count or self.first.count or 1


class Episodes:
    """The latest episodes, bounded, whatever arrives."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Episode] = {}
        """In the order in which they began."""

    def take(self, alert: Alert, now: float) -> None:
        """Apply an alert that arrived at ``now``."""
        key = key_of(alert)
        known = self._by_key.get(key)
        if known is not None and not (known.over and alert.state == "on"):
            self._by_key[key] = Episode(known.first, alert, known.at)
            return
        self._by_key.pop(key, None)
        self._by_key[key] = Episode(alert, alert, now)
        if len(self._by_key) > MAX_EPISODES:
            over = (key for key, episode in self._by_key.items() if episode.over)
            del self._by_key[next(over, next(iter(self._by_key)))]

    def record(self, alert: Alert) -> bool:
        """Return whether ``alert`` was known as not recorded; it is recorded now."""
        key = key_of(alert)
        known = self._by_key.get(key)
        if known is None or is_recorded(known.latest) or not _same(known.latest, alert):
            return False
        first = alert if known.first is known.latest else known.first
        self._by_key[key] = Episode(first, alert, known.at)
        return True

    def newest_first(self) -> list[Episode]:
        """Return all, the one that began last at first."""
        return list(reversed(self._by_key.values()))

    def of(self, alert: Alert) -> Episode | None:
        """Return the episode of an alert."""
        return self._by_key.get(key_of(alert))


def key_of(alert: Alert) -> Key:
    """Return by what the alerts of one alarm are known."""
    return alert.stream, alert.episode or alert.kind


def is_recorded(alert: Alert) -> bool:
    """Return whether an alert is in the log, or need not be, as those in a status."""
    return not isinstance(alert, PublishedAlert) or alert.recorded


def _same(one: Alert, other: Alert) -> bool:
    """Return whether two are the same alert, with its number and before it had one."""
    return (one.stream, one.kind, one.episode, one.state, one.epoch, one.sample, one.count) == (
        other.stream, other.kind, other.episode, other.state, other.epoch, other.sample, other.count
    )  # fmt: skip
