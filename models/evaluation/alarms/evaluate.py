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
from models.evaluation.alarms.side_by_side import FalseOfLeads, Measured, false_side_by_side
from models.measure.result_json import INLINE, OMIT_NONE
from pipeline.errors import InputError
from replay.headers import find_records, quoted
from replay.lead_sets.asked import has_leads
from replay.lead_sets.choice import ALL

OnStep: TypeAlias = Callable[[str], None]


class Evaluate(Protocol):
    """Measures records of a folder."""

    def __call__(
        self, folder: Path, records: Sequence[str], on_step: OnStep, leads: str = ..., /
    ) -> Measured:
        """Return the figures; without ``leads`` those of one lead, which the database names.

        ``on_step`` is called before each record.
        """


class Database(NamedTuple):
    """What is measured on the records of a folder."""

    folder: str
    """Its name; several evaluations may share one."""
    records: Callable[[Path], list[str]]
    """Names the records of the folder; empty where there are none."""
    evaluate: Evaluate
    """Measures those records."""
    several_leads: bool = False
    """Whether its records have more than one."""


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
    "challenge2015": Database("challenge2015", _cases, evaluate_challenge, several_leads=True),
    "vfdb": Database("vfdb", _all_records, evaluate_vfdb, several_leads=True),
    "cu": Database("cu", _read_by_eye, evaluate_cu),
    "mitdb": Database("mitdb", _all_records, evaluate_mitdb, several_leads=True),
    "svdb": Database("svdb", _all_records, evaluate_svdb, several_leads=True),
    "nstdb": Database("nstdb", _noise, evaluate_nstdb, several_leads=True),
    "cinc17": Database("cinc17", _normals, evaluate_wearers),
    "mitdb rhythms": Database("mitdb", _all_records, evaluate_rhythms, several_leads=True),
    "cinc17 labels": Database("cinc17", find_labelled, evaluate_labels),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllLeads:
    """The figures of all leads of each database whose records have several."""

    databases: dict[str, Measured] = field(metadata=INLINE)
    false_lethal: dict[str, FalseOfLeads]
    """By database, those of one lead too, and `models.evaluation.alarms.side_by_side.TOGETHER`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """The figures of each database that was there, by its name in `DATABASES`."""

    databases: dict[str, Measured] = field(metadata=INLINE)
    """Of one lead, or of ``leads``."""
    leads: str | None = field(default=None, metadata=OMIT_NONE)
    """Those that were asked for."""
    all_leads: AllLeads | None = field(default=None, metadata=OMIT_NONE)
    """None where leads were asked for, or no record has several."""
    missing: list[str]


def databases(data: Path, leads: str | None = None) -> dict[str, list[str]]:
    """Return the records of every database of `DATABASES` that lies in ``data``.

    With ``leads`` only the records that have them.

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
    if leads is None:
        return found
    having = {
        name: [one for one in records if has_leads(folder_of(data, name) / one, leads)]
        for name, records in found.items()
    }
    if not any(having.values()):
        raise InputError(f"no record in {quoted(data)} has the leads {quoted(leads)}")
    return {name: records for name, records in having.items() if records}


def steps(found: Mapping[str, Sequence[str]], leads: str | None = None) -> int:
    """Return how often `evaluate_alarms` calls ``on_step`` with what `databases` found."""
    return sum(
        len(records) * (1 + (leads is None and DATABASES[name].several_leads))
        for name, records in found.items()
    )


def folder_of(data: Path, name: str) -> Path:
    """Return where a database lies: in ``data``, or it is ``data`` itself."""
    folder = DATABASES[name].folder
    return data if data.resolve().name == folder else data / folder


def evaluate_alarms(
    data: Path, *, leads: str | None = None, on_step: OnStep = lambda text: None
) -> AlarmResult:
    """Return the figures of every database that is there, of one lead and of all side by side.

    Args:
        data: folder that holds the databases, or one of them.
        leads: those to watch alone, as `replay.lead_sets.asked` reads them.
        on_step: called before each record that is watched: `steps` times.

    Raises:
        InputError: no database is there, or a record is missing or unusable.
        ArtifactError: what ships is unusable.
    """
    found = databases(data, leads)

    def measured(name: str, *asked: str) -> Measured:
        return DATABASES[name].evaluate(folder_of(data, name), found[name], on_step, *asked)

    one = {name: measured(name, *([] if leads is None else [leads])) for name in found}
    several = [name for name in found if leads is None and DATABASES[name].several_leads]
    every = {name: measured(name, ALL) for name in several}
    return AlarmResult(
        databases=one,
        leads=leads,
        all_leads=AllLeads(databases=every, false_lethal=false_side_by_side(one, every))
        if every
        else None,
        missing=[name for name in DATABASES if name not in found],
    )
