"""What the comparisons `bxb` and `rxr` are given, and what they give: annotators and scores.

Pure: arrays in, tuples out.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Annotator(Protocol):
    """What one annotator says of a record; `wfdb.Annotation` is one."""

    @property
    def sample(self) -> NDArray[np.int64]:
        """Positions, integers[n], in any order."""

    @property
    def symbol(self) -> Sequence[str]:
        """As many WFDB symbols; those without a meaning here are passed over."""

    @property
    def subtype(self) -> Sequence[int] | NDArray[np.int64]:
        """As many integers; that of a ``~`` says which signals are noisy or unreadable."""

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


class Score(NamedTuple):
    """How many of the reference's were found, and how many of the found are the reference's."""

    tps: int
    """True positives among the reference's."""
    fn: int
    """False negatives: of the reference's, those that were missed."""
    tpp: int
    """True positives among those that were found; of beats as many as ``tps``, of runs not."""
    fp: int
    """False positives: of those that were found, those that are none."""

    @property
    def sensitivity(self) -> float | None:
        """Return the share of the reference's that were found, %; None where there are none."""
        return percent(self.tps, self.tps + self.fn)

    @property
    def positive_predictivity(self) -> float | None:
        """Return the share of the found that are right, %; None where nothing was found."""
        return percent(self.tpp, self.tpp + self.fp)


def percent(part: float, whole: float) -> float | None:
    """Return ``part`` of ``whole`` in %, None where there is no whole."""
    return 100.0 * part / whole if whole > 0 else None


def events_of(annotator: Annotator) -> list[Event]:
    """Return the annotations of an annotator, in their own order.

    Raises ValueError for positions or subtypes that are no one-dimensional array of integers,
    and for columns of different length.
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
    """Raise ValueError for a sampling rate below 1 Hz, or a record that ends while learning."""
    if not 1 <= fs_hz < float("inf"):
        raise ValueError(f"sampling rate {fs_hz}: a finite one of at least 1 Hz is needed")
    if length is not None and 0 < length < learning:
        raise ValueError(f"the record ends at sample {length}, before the {learning} for learning")
