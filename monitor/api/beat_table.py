"""The beats of a recording as one array."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES
from pipeline.schema.public import BeatNote

if TYPE_CHECKING:
    import pandas as pd


_NOTES_KEPT: Final = 4096


class BeatTable(np.ndarray[Any, Any]):
    """A structured array with an entry for each beat, in order of time.

    ======================  ==============  ==============================================
    field                   type            meaning
    ======================  ==============  ==============================================
    ``time_s``              float64         R peak, seconds from the first sample
    ``time``                datetime64[us]  the same as a date, UTC where the start has a
                                            time zone; NaT where no start is known
    ``sample``              int64           R peak, counted from 0 at the signal's rate
    ``rr_s``                float64         interval to the beat before; NaN if not known
    ``beat_class``          str             ``N``, ``S``, ``V`` or ``F``; empty where the
                                            beat cannot be analysed
    ``N S V F``             float32         probability of each class, NaN as above
    ``score``               float64         how unusual it is in this patient, NaN as above
    ``threshold``           float64         above which it is anomalous
    ``anomalous``           bool
    ``analysable``          bool
    ``lead``                str             the lead in which it is seen
    ======================  ==============  ==============================================

    ``table["rr_s"]`` is a plain array, ``table[table["beat_class"] == "V"]`` a table.
    """

    def __getitem__(self, key: Any) -> Any:
        """Return a field as a plain array, some beats as a table, and one beat as a record."""
        found = super().__getitem__(key)
        plain = isinstance(found, BeatTable) and found.dtype.names is None
        return found.view(np.ndarray) if plain else found

    def to_pandas(self) -> "pd.DataFrame":
        """Return a `pandas.DataFrame` with a column for each field."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        return pd.DataFrame({name: self[name] for name in self.dtype.names or ()})

    @classmethod
    def of(
        cls,
        notes: Sequence[BeatNote],
        start: datetime | None,
        offsets: Sequence[int] = (0,),
        fs_hz: float = 1.0,
    ) -> Self:
        """Return the table of published beats of a signal that began at ``start``.

        ``offsets`` are what is added to the positions of each epoch, at a rate of ``fs_hz``.
        """
        longest = max((len(note.lead) for note in notes), default=1) or 1
        table = np.zeros(len(notes), dtype=_fields(longest))
        table["time_s"] = [note.time_s for note in notes]
        table["sample"] = [note.sample for note in notes]
        if any(offsets):
            table["sample"] += np.array(offsets)[[note.epoch for note in notes]]
            table["time_s"] = np.round(table["sample"] / fs_hz, 4)
        table["rr_s"] = [_number(note.rr_s) for note in notes]
        table["beat_class"] = [note.beat_class or "" for note in notes]
        unknown = dict.fromkeys(CLASSES, np.nan)
        probabilities = [note.class_probabilities or unknown for note in notes]
        for name in CLASSES:
            table[name] = [one[name] for one in probabilities]
        table["score"] = [_number(note.score) for note in notes]
        table["threshold"] = [_number(note.threshold) for note in notes]
        table["anomalous"] = [note.anomalous for note in notes]
        table["analysable"] = [note.analysable for note in notes]
        table["lead"] = [note.lead for note in notes]
        table["time"] = dates_of(table["time_s"], start)
        return table.view(cls)


class BeatBook:
    """Gathers the beats of a long recording: a note takes ten times the memory of an entry."""

    def __init__(
        self, start: datetime | None, offsets: Sequence[int] = (0,), fs_hz: float = 1.0
    ) -> None:
        """Begin before the first beat; the arguments are those of `BeatTable.of`."""
        self._facts = (start, offsets, fs_hz)
        self._notes: list[BeatNote] = []
        self._tables: list[BeatTable] = []

    def take(self, notes: Sequence[BeatNote]) -> None:
        """Add beats, in order."""
        self._notes += notes
        if len(self._notes) >= _NOTES_KEPT:
            self._tables.append(BeatTable.of(self._notes, *self._facts))
            self._notes = []

    def table(self) -> BeatTable:
        """Return all of them: the table that `BeatTable.of` makes of all notes."""
        last = BeatTable.of(self._notes, *self._facts)
        return np.concatenate([*self._tables, last]).view(BeatTable) if self._tables else last


def dates_of(times_s: NDArray[np.float64], start: datetime | None) -> NDArray[np.datetime64]:
    """Return datetime64[us] of times of a signal, UTC; NaT where no start is known."""
    if start is None:
        return np.full(len(times_s), np.datetime64("NaT", "us"))
    plain = start if start.tzinfo is None else start.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(plain, "us") + np.rint(1e6 * times_s).astype("timedelta64[us]")


def _fields(longest_lead: int) -> list[tuple[str, str]]:
    return [
        ("time_s", "f8"),
        ("time", "M8[us]"),
        ("sample", "i8"),
        ("rr_s", "f8"),
        ("beat_class", "U1"),
        *((name, "f4") for name in CLASSES),
        ("score", "f8"),
        ("threshold", "f8"),
        ("anomalous", "?"),
        ("analysable", "?"),
        ("lead", f"U{longest_lead}"),
    ]


def _number(value: float | None) -> float:
    return np.nan if value is None else value
