"""Which streams have entries in the journal that are not in their snapshots.

Those are applied again after a restart, and so the state of a stream is due to be written once
there are many of them, or the first is old. Pure in memory. Units: seconds of the hub's clock.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

SNAPSHOT_EVENTS: Final = 256
"""After so many events the state of a stream is due: they take a tenth of a second to apply."""

SNAPSHOT_S: Final = 10.0
"""After so long, too; of more than some thousand streams each comes later (`_OLD_A_COMMIT`)."""

_OLD_A_COMMIT: Final = 4
"""States written because of their age: they must not hold up the alerts."""

_LONG_A_COMMIT: Final = 16
"""States written because of many events. Streams that began together come to them together: the
states of hundreds in one commit would make a write-ahead log of a hundred megabytes."""


@dataclass(slots=True)
class Events:
    """The events of a stream that are not in its snapshot."""

    first: int
    """Number of the first one,"""
    count: int
    """how many there are,"""
    since: float
    """and since when."""


class Unsaved:
    """The streams with such events."""

    def __init__(self) -> None:
        self._streams: dict[str, Events] = {}
        """The one with the oldest event first."""
        self._long: dict[str, None] = {}
        """Those of them with so many events that their state is due, in that order."""

    @property
    def streams(self) -> set[str]:
        """Their names."""
        return set(self._streams)

    def add(self, name: str, number: int, at: float, count: int = 1) -> None:
        """Count an event of a stream, the entry of that number; or so many from there on."""
        if (events := self._streams.get(name)) is None:
            events = self._streams[name] = Events(number, 0, at)
        events.count += count
        if events.count >= SNAPSHOT_EVENTS:
            self._long[name] = None

    def due(self, now: float) -> set[str]:
        """Return the streams whose state is to be written with the next commit."""
        oldest = islice(self._streams.items(), _OLD_A_COMMIT)
        old = {name for name, events in oldest if now - events.since >= SNAPSHOT_S}
        return old.union(islice(self._long, _LONG_A_COMMIT))

    def first(self, but: Collection[str]) -> int | None:
        """Return the number of the first such entry of all streams ``but`` these; None for none."""
        left = (events.first for name, events in self._streams.items() if name not in but)
        return next(left, None)

    def take(self, names: Iterable[str]) -> dict[str, Events]:
        """Take streams out whose state is being written, and return them."""
        taken = {}
        for name in names:
            self._long.pop(name, None)
            if (events := self._streams.pop(name, None)) is not None:
                taken[name] = events
        return taken

    def give_back(self, taken: dict[str, Events]) -> None:
        """Take in again, with what came since, streams whose state was not written after all."""
        for name, events in taken.items():
            since = self._streams.get(name)
            self._streams[name] = Events(events.first, 0, events.since)
            self.add(name, events.first, events.since, events.count + (since.count if since else 0))
        self._streams = dict(sorted(self._streams.items(), key=lambda one: one[1].first))
