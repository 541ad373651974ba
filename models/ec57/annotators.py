"""Annotators, which `bxb` and `rxr` compare, and scores, which they return.

Pure: arrays in, values out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Annotator(Protocol):
    """The annotations of one annotator of a record; `wfdb.Annotation` is one."""

    @property
    def sample(self) -> NDArray[np.int64]:
        """Positions, integers[n], in any order."""

    @property
    def symbol(self) -> Sequence[str]:
        """As many WFDB symbols; those that have no meaning here are ignored."""

    @property
    def subtype(self) -> Sequence[int] | NDArray[np.int64]:
        """As many integers; at a ``~`` the bits say which signals are noisy or unreadable."""

    @property
    def aux_note(self) -> Sequence[str]:
        """As many texts; that of a ``+`` names the rhythm that begins."""


class Event(NamedTuple):
    """One annotation."""

    at: int
    symbol: str
    subtype: int = 0
    note: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether this marks that no signal can be read from here on (both of bits 4 and 5)."""
        return self.symbol == "~" and self.subtype & 0x30 == 0x30


@dataclass(frozen=True, slots=True)
class Score:
    """How many events of the reference were found, and how many of those found are right."""

    tps: int
    """True positives, counted in the reference."""
    fn: int
    """False negatives: events of the reference that were missed."""
    tpp: int
    """True positives, counted in the test; of beats as many as ``tps``, of runs not."""
    fp: int
    """False positives: events of the test that are not in the reference."""
    sensitivity: float | None = field(init=False)
    """Share of the reference that was found, %; None where the reference has no event."""
    positive_predictivity: float | None = field(init=False)
    """Share of the test that is right, %; None where the test has no event."""

    def __post_init__(self) -> None:
        """Work out the shares; a frozen dataclass sets its own fields like this."""
        object.__setattr__(self, "sensitivity", percent(self.tps, self.tps + self.fn))
        object.__setattr__(self, "positive_predictivity", percent(self.tpp, self.tpp + self.fp))

    def __add__(self, other: "Score") -> "Score":
        """Return the score of both together."""
        return Score(
            self.tps + other.tps, self.fn + other.fn, self.tpp + other.tpp, self.fp + other.fp
        )


@dataclass(frozen=True, slots=True)
class VebScore(Score):
    """Of ventricular ectopic beats ``bxb`` counts the true negatives as well."""

    tn: int
    """Beats of other classes that were not called V."""
    false_positive_rate: float | None = field(init=False)
    """Share of the beats of other classes that were called V, %."""

    def __post_init__(self) -> None:
        """Work out the shares."""
        Score.__post_init__(self)
        object.__setattr__(self, "false_positive_rate", percent(self.fp, self.fp + self.tn))


def percent(part: float, whole: float) -> float | None:
    """Return ``part`` of ``whole`` in %; None where ``whole`` is 0."""
    return 100.0 * part / whole if whole > 0 else None


def events_of(annotator: Annotator) -> list[Event]:
    """Return the annotations of an annotator, in their own order.

    Raises:
        ValueError: positions or subtypes are no one-dimensional array of integers, or the columns
            differ in length.
    """
    samples = _integers(annotator.sample, "positions")
    subtypes = _integers(annotator.subtype, "subtypes")
    symbols, notes = annotator.symbol, annotator.aux_note
    if not len(samples) == len(symbols) == len(subtypes) == len(notes):
        raise ValueError(
            f"{len(samples)} positions, {len(symbols)} symbols, {len(subtypes)} subtypes, "
            f"{len(notes)} texts: an annotator has as many of each"
        )
    return list(map(Event, samples, symbols, subtypes, notes))


def _integers(values: Sequence[int] | NDArray[np.int64], what: str) -> list[int]:
    """Return a column of integers as Python's, which do not overflow."""
    column = np.asarray(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "iu"):
        raise ValueError(f"{what}: a list of integers is needed, not {column.dtype} {column.shape}")
    whole: list[int] = column.tolist()
    return whole


def check_extent(fs_hz: float, learning: int, length: int | None) -> None:
    """Raise ValueError for a rate below 1 Hz, or a record that ends in the learning period."""
    if not 1 <= fs_hz < float("inf"):
        raise ValueError(f"sampling rate {fs_hz}: a finite one of at least 1 Hz is needed")
    if length is not None and 0 < length < learning:
        raise ValueError(f"the record ends at sample {length}, before the {learning} for learning")
