"""When the terminal's bell rings for the alarms that stand.

Bursts after IEC 60601-1-8 as the literature quotes it: high is ten pulses (3 and 2, twice) every
10 s, medium three every 20 s, low one, once. A terminal bell has one pitch, length and loudness,
chosen by the terminal: the melody, the rise of a pulse and the difference between the priorities
by pitch are not to be had. What was acknowledged is silent; what latched still calls. An audio
pause silences everything; a burst that begins after it begins from the start.

Pure: the time is an argument.
"""

from collections.abc import Sequence
from typing import Final

from monitor.dashboard.state import RANK
from pipeline.schema.public import Alert

_PULSE_S: Final = 0.2
_HIGH: Final = tuple(
    round(half * 2.4 + at, 3) for half in (0, 1) for at in (0.0, 0.2, 0.4, 0.9, 1.1)
)
BURSTS: Final = {2: _HIGH, 1: (0.0, 0.3, 0.6), 0: (0.0,)}
"""Seconds of the pulses within a burst, by rank."""

EVERY_S: Final = {2: 10.0, 1: 20.0, 0: float("inf")}
"""From one burst to the next."""


class Bells:
    """What was rung so far."""

    def __init__(self) -> None:
        self._rank: int | None = None
        self._began = 0.0
        self._rung = 0
        self._known: set[tuple[str, str]] = set()

    def due(self, standing: Sequence[Alert], silenced_s: float, now: float) -> int:
        """Return how many pulses are due since the last call.

        Args:
            standing: the latest alert of every alarm that stands.
            silenced_s: for how long there will be no sound.
            now: seconds of any steady clock.
        """
        calling = {
            (a.stream, a.episode): RANK.get(a.priority, 0)
            for a in standing
            if a.state in ("on", "latched")
        }
        new = set(calling) - self._known
        self._known = set(calling)
        rank = max(calling.values(), default=None)
        if rank is None or silenced_s > 0:
            self._rank = None
            return 0
        highest_new = max((calling[key] for key in new), default=-1)
        if self._rank is None or rank > self._rank or highest_new >= rank:
            self._rank, self._began, self._rung = rank, now, 0
        elif rank < self._rank:
            # The graver one is gone: what is left goes on at its own pace.
            self._rank, self._began, self._rung = rank, now, len(BURSTS[rank])
        if now - self._began >= EVERY_S[rank]:
            self._began, self._rung = now, 0
        due = sum(at <= now - self._began for at in BURSTS[rank]) - self._rung
        self._rung += due
        return due
