"""The rhythms that the annotations of a record name, as stretches of time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.annotations import read_annotations

FIBRILLATION_NOTES: Final = ("VF", "VFL", "VFIB")
"""What annotators write for ventricular fibrillation and ventricular flutter."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the reference."""

    name: str
    begin_s: float
    end_s: float


def read_rhythms(record: Path, last_s: float) -> list[Stretch]:
    """Return the rhythms that the notes of a record name, each to the next note.

    The last one ends at ``last_s``, seconds; a record without such notes names none.

    Raises:
        InputError: the annotations cannot be read.
    """
    found = read_annotations(record, "atr")
    notes = [
        (sample / found.fs, note.strip("\0 ")[1:])
        for sample, note in zip(found.sample.tolist(), found.aux_note, strict=True)
        if note.startswith("(")
    ]
    ends = [*(at for at, _ in notes), last_s][1:]
    return [Stretch(name, at, end) for (at, name), end in zip(notes, ends, strict=True)]
