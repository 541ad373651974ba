"""The beats that the classifier is trained on, and the four parts of their patients.

Four kinds of beats:

* Annotated ones, of the patients of DS1 and of svdb.
* The same, seen in the second lead of their record (`models.data.other_views`).
* Streams in which a patient's own supraventricular beats are the rule, made of the former
  (`models.data.heavy_ectopy`).
* Beats of the Challenge 2017, whose annotators name the rhythm of a record and no beat. In a
  record of normal rhythm all beats are N. In one of atrial fibrillation no beat is a premature
  atrial one, and all but ventricular ones are N.

The last are wearers of another device, some hundreds of people where the other two databases have
61 patients.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.cinc17 import find_labelled
from models.data.detected_beats import DetectedRecord, detect_beats
from models.data.heavy_ectopy import KINDS, LEADING_BEATS, heavy_ectopy
from models.data.measured_beats import measured
from models.data.mitdb import DATABASE, DS1, database_folder
from models.data.other_views import second_lead
from models.data.streamed_beats import find_beats
from pipeline.constants import CLASSES
from pipeline.errors import InputError
from replay.headers import find_records
from replay.records import read_lead

SVDB: Final = "svdb"
CINC17: Final = "cinc17"
DATABASES: Final = (DATABASE, SVDB, CINC17)
"""That there is something to train on in; of mitdb the records are those of DS1."""

ANNOTATED: Final = "annotated"
OTHER_VIEW: Final = "other view"
STREAM: Final = "stream"
NORMAL_RHYTHM: Final = "normal"
FIBRILLATION: Final = "af"
RHYTHMS: Final = (NORMAL_RHYTHM, FIBRILLATION)

FOLDS: Final = (
    ("209", "106", "203", "101", "122"),
    ("201", "119", "118", "115", "215", "230"),
    ("207", "223", "116", "112", "108"),
    ("220", "208", "124", "109", "114", "205"),
)
"""DS1 in four parts, divided by hand so that each has patients with S and with V beats."""

PARTS: Final = len(FOLDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """The beats of a record, or of a stream made of one."""

    name: str
    """Of the record: a stream has that of the patient it is made of."""
    database: str
    kind: str
    """`ANNOTATED`, `OTHER_VIEW`, `STREAM`, or one of `RHYTHMS`."""
    windows: NDArray[np.float32]
    """float32[n, 320]."""
    measures: NDArray[np.float32]
    """float32[n, MEASURES]."""
    classes: NDArray[np.str_]
    usable: NDArray[np.bool_]
    """Whether a beat can be analysed, and is one to learn from."""

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the usable beats of the class with this number in `CLASSES`."""
        return np.flatnonzero(self.usable & (self.classes == CLASSES[number]))


def part_of(name: str, names: Mapping[str, Sequence[str]]) -> int:
    """Return the part of the patients, 0 to 3, that a record belongs to.

    Args:
        name: of the record.
        names: the records by database.
    """
    for part, records in enumerate(FOLDS):
        if name in records:
            return part
    return next(list(of).index(name) for of in names.values() if name in of) % PARTS


def record_names(data: Path, databases: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the records to train on, by database, in order.

    Raises:
        InputError: a database is missing.
    """
    folder = database_folder(data).parent
    names = {DATABASE: DS1}
    if SVDB in databases:
        found = find_records(str(folder / SVDB)) if (folder / SVDB).is_dir() else []
        names[SVDB] = tuple(path.stem for path in found)
    if CINC17 in databases:
        names[CINC17] = tuple(find_labelled(folder / CINC17, *RHYTHMS))
    if not all(names.values()):
        missing = next(database for database, of in names.items() if not of)
        raise InputError(f"{folder / missing} holds no records: `monitor fetch {missing}`")
    return names


def training_records(
    data: Path,
    names: Mapping[str, Sequence[str]],
    on_step: Callable[[str], None] = lambda text: None,
) -> list[TrainingRecord]:
    """Return the records called ``names``, by database, and the streams made of them.

    Raises:
        InputError: a record is missing or unusable.
    """
    folder = database_folder(data).parent
    records: list[TrainingRecord] = []
    for database, of in names.items():
        for name in of:
            on_step(f"{database} {name}")
            path = folder / database / name
            if database == CINC17:
                records += _of_rhythm(path, name)
            else:
                found = detect_beats(path)
                records.append(annotated(found, database))
                records += streams_of(found, database)
                view = second_lead(path)
                if view is not None:
                    records.append(annotated(detect_beats(path, view), database, OTHER_VIEW))
    return records


def annotated(found: DetectedRecord, database: str, kind: str = ANNOTATED) -> TrainingRecord:
    """Return the beats of a record, or of another view of it."""
    return TrainingRecord(
        name=found.name,
        database=database,
        kind=kind,
        windows=found.windows,
        measures=found.measures,
        classes=found.classes,
        usable=found.analysable,
    )


def streams_of(found: DetectedRecord, database: str) -> Iterator[TrainingRecord]:
    """Yield the streams of heavy ectopy that a record's beats make."""
    for seed, kind in enumerate(KINDS):
        rows = heavy_ectopy(found.classes, found.analysable, kind, seed)
        if not rows.size:
            continue
        windows, usable = found.windows[rows], found.analysable[rows]
        measures = measured(found.rr_s[rows], windows, usable)
        usable[:LEADING_BEATS] = False
        yield TrainingRecord(
            name=found.name,
            database=database,
            kind=STREAM,
            windows=windows,
            measures=measures,
            classes=found.classes[rows],
            usable=usable,
        )


def _of_rhythm(path: Path, name: str) -> Iterator[TrainingRecord]:
    """Yield the beats of a record of which the rhythm alone is known, all of class N."""
    info, x = read_lead(path)
    found = find_beats(x, info.fs_hz)
    windows, usable = found.windows[0], found.usable[0]
    if not usable.any():
        return
    measures = measured(found.rr_s, windows, usable)
    yield TrainingRecord(
        name=name,
        database=CINC17,
        kind=name.split("/")[0],
        windows=windows,
        measures=measures,
        classes=np.full(len(windows), "N"),
        usable=usable,
    )
