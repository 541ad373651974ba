"""Signal as subscribers and readers of the log see it. Pure in memory."""

from typing import Final

import msgspec
from msgspec import UNSET
from msgspec import Raw as Raw

from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ, SCHEMA


class SignalStrip(msgspec.Struct, frozen=True, kw_only=True):
    """Recent samples of a stream, published on ``signal/<stream>`` for pictures only."""

    schema: int = SCHEMA
    stream: str
    epoch: int = 0
    first_sample: int
    """Position of the first value, counted at ``fs_hz``: divided by it, the ``time_s`` of beats."""
    fs_hz: float
    """Rate of the values, whatever the source's own."""
    mv: list[float | None]
    """The band-passed signal of the first lead; null where it is masked."""
    leads: list[str] | msgspec.UnsetType = UNSET
    """The names of several leads, that of ``mv`` the first; absent of one lead."""
    more_mv: list[list[float | None]] | msgspec.UnsetType = UNSET
    """The signal of each further lead, as long as ``mv``; absent of one lead."""
    lead: str | msgspec.UnsetType = UNSET
    """The lead in use where the strip ends, in the log at the alert; absent of one lead."""

    @property
    def signals(self) -> list[list[float | None]]:
        """The signal of every lead, the first one's first."""
        return [self.mv, *(self.more_mv or [])]

    @property
    def in_use(self) -> int:
        """The lead in use, by its number."""
        names = self.leads or []
        return names.index(self.lead) if self.lead in names else 0


class EncodedStrip(msgspec.Struct, frozen=True, kw_only=True):
    """A `SignalStrip` on its way out, the same in JSON: its values are written already.

    No object is made of each.
    """

    schema: int = SCHEMA
    stream: str
    epoch: int = 0
    first_sample: int
    fs_hz: float
    mv: Raw
    leads: list[str] | msgspec.UnsetType = UNSET
    more_mv: list[Raw] | msgspec.UnsetType = UNSET
    lead: str | msgspec.UnsetType = UNSET


_LATEST_S: Final = 1e9
"""Thirty years of signal; positions beyond are refused before they are multiplied."""


def is_signal(strip: SignalStrip) -> bool:
    """Return whether a strip holds values, at a rate and a position that a signal can have.

    Of several leads each must have a name and as many values.
    """
    lowest, highest = SAMPLING_RATE_LIMITS_HZ
    if not (strip.mv and lowest <= strip.fs_hz <= highest):
        return False
    signals = strip.signals
    if len(signals) > MOST_LEADS or len(strip.leads or [""]) != len(signals):
        return False
    if any(len(mv) != len(strip.mv) for mv in signals):
        return False
    return 0 <= strip.first_sample <= _LATEST_S * strip.fs_hz
