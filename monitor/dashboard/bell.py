"""When the terminal's bell rings for the active alarms.

Bursts follow IEC 60601-1-8 as the literature quotes it: high priority has ten pulses (3 and 2,
twice) every 10 s, medium three every 20 s, low one, once. A terminal chooses pitch, length and
loudness of its bell, so melody, rise time and a pitch for each priority are not possible.
Acknowledged alarms are silent, latched ones ring. An audio pause silences everything; the first
burst after it starts from its beginning.

Pure: the time is an argument.
"""

from collections.abc import Sequence
from typing import Final

from monitor.urgency import RANK
from pipeline.schema.public import Alert

_HIGH: Final = tuple(
    round(half * 2.4 + at, 3) for half in (0, 1) for at in (0.0, 0.2, 0.4, 0.9, 1.1)
)
BURSTS: Final = {2: _HIGH, 1: (0.0, 0.3, 0.6), 0: (0.0,)}
"""Seconds of the pulses within a burst, by rank."""

EVERY_S: Final = {2: 10.0, 1: 20.0, 0: float("inf")}
"""Seconds from one burst to the next, by rank."""


class Bells:
    """The burst that is being rung, and the alarms that have rung."""

    def __init__(self) -> None:
        self._rank: int | None = None
        self._burst_at = 0.0
        self._rung = 0
        self._known: set[tuple[str, str]] = set()

    def due(self, active: Sequence[Alert], silenced_s: float, now: float) -> int:
        """Return how many pulses are due since the last call.

        Args:
            active: the latest alert of every active alarm.
            silenced_s: for how long the sound is paused.
            now: seconds of any steady clock.
        """
        ringing = {
            (a.stream, a.episode): RANK.get(a.priority, 0)
            for a in active
            if a.state in ("on", "latched")
        }
        new = set(ringing) - self._known
        self._known = set(ringing)
        rank = max(ringing.values(), default=None)
        if rank is None or silenced_s > 0:
            self._rank = None
            return 0
        highest_new = max((ringing[key] for key in new), default=-1)
        if self._rank is None or rank > self._rank or highest_new >= rank:
            self._rank, self._burst_at, self._rung = rank, now, 0
        elif rank < self._rank:
            # The more urgent alarm has ended: the others continue with their next burst.
            self._rank, self._burst_at, self._rung = rank, now, len(BURSTS[rank])
        if now - self._burst_at >= EVERY_S[rank]:
            self._burst_at, self._rung = now, 0
        due = sum(at <= now - self._burst_at for at in BURSTS[rank]) - self._rung
        self._rung += due
        return due
