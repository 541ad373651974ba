"""How right the alarms are, on every database that has a reference for them.

`DATABASES` is the list: a database is added by a line there, and one in
`models.evaluation.report.alarms.sections` for its tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from models.data.challenge2015 import read_cases
from models.data.cinc17 import find_labelled
from models.data.readings import read_readings
from models.evaluation.alarms.annotated import evaluate_mitdb, evaluate_svdb
from models.evaluation.alarms.atrial_fibrillation import evaluate_labels, evaluate_rhythms
from models.evaluation.alarms.challenge2015 import evaluate_challenge
from models.evaluation.alarms.cinc17 import evaluate_wearers
from models.evaluation.alarms.episodes import evaluate_cu, evaluate_vfdb
from models.evaluation.alarms.nstdb import WITH_HEART, WITHOUT, evaluate_nstdb
from models.evaluation.alarms.wrong import WrongCall
from models.measure.result_json import INLINE
from pipeline.errors import InputError
from replay.headers import find_records, quoted

OnStep: TypeAlias = Callable[[str], None]


class Measured(Protocol):
    """The figures of a database: a dataclass of its own."""

    @property
    def wrong(self) -> Sequence[WrongCall]:
        """What was called wrongly, each by name and with its reason."""


class Database(NamedTuple):
    """What is measured on the records of a folder."""

    folder: str
    """Its name; several evaluations may share one."""
    records: Callable[[Path], list[str]]
    """Names the records of the folder; empty where there are none."""
    evaluate: Callable[[Path, Sequence[str], OnStep], Measured]
    """Measures those records, and calls its last argument before each."""


def _all_records(folder: Path) -> list[str]:
    return [path.stem for path in find_records(str(folder))]


def _cases(folder: Path) -> list[str]:
    return [case.record for case in read_cases(folder)]


def _read_by_eye(folder: Path) -> list[str]:
    return [one.record for one in read_readings(folder)]


def _normals(folder: Path) -> list[str]:
    return find_labelled(folder, "normal")


def _noise(folder: Path) -> list[str]:
    return [r for r in (*WITH_HEART, *WITHOUT) if (folder / f"{r}.hea").is_file()]


DATABASES: Final[Mapping[str, Database]] = {
    "challenge2015": Database("challenge2015", _cases, evaluate_challenge),
    "vfdb": Database("vfdb", _all_records, evaluate_vfdb),
    "cu": Database("cu", _read_by_eye, evaluate_cu),
    "mitdb": Database("mitdb", _all_records, evaluate_mitdb),
    "svdb": Database("svdb", _all_records, evaluate_svdb),
    "nstdb": Database("nstdb", _noise, evaluate_nstdb),
    "cinc17": Database("cinc17", _normals, evaluate_wearers),
    "mitdb rhythms": Database("mitdb", _all_records, evaluate_rhythms),
    "cinc17 labels": Database("cinc17", find_labelled, evaluate_labels),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """The figures of each database that was there, by its name in `DATABASES`."""

    databases: dict[str, Measured] = field(metadata=INLINE)
    missing: list[str]


def databases(data: Path) -> dict[str, list[str]]:
    """Return the records of every database of `DATABASES` that lies in ``data``.

    Raises:
        InputError: there is none, or one lacks its list of alarms or readings.
    """
    found = {
        name: database.records(folder)
        for name, database in DATABASES.items()
        if (folder := folder_of(data, name)).is_dir()
    }
    if not found:
        raise InputError(
            f"{quoted(data)} holds none of {', '.join(DATABASES)}: fetch one with "
            "`monitor fetch vfdb`, or name --data"
        )
    return found


def folder_of(data: Path, name: str) -> Path:
    """Return where a database lies: in ``data``, or it is ``data`` itself."""
    folder = DATABASES[name].folder
    return data if data.resolve().name == folder else data / folder


def evaluate_alarms(data: Path, *, on_step: OnStep = lambda text: None) -> AlarmResult:
    """Return the figures of every database that is there.

    Args:
        data: folder that holds the databases, or one of them.
        on_step: called before each record, as often as there are records in `databases`.

    Raises:
        InputError: no database is there, or a record is missing or unusable.
        ArtifactError: what ships is unusable.
    """
    found = databases(data)
    return AlarmResult(
        databases={
            name: DATABASES[name].evaluate(folder_of(data, name), records, on_step)
            for name, records in found.items()
        },
        missing=[name for name in DATABASES if name not in found],
    )
