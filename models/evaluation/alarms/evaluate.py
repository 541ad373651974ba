"""How right the alarms are, on every database that has a reference for them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from models.data.challenge2015 import read_cases
from models.evaluation.alarms.challenge2015 import ChallengeResult, evaluate_challenge
from models.evaluation.alarms.mitdb import MitdbResult, evaluate_mitdb
from models.evaluation.alarms.nstdb import NstdbResult, evaluate_nstdb
from models.evaluation.alarms.vfdb import VfdbResult, evaluate_vfdb
from models.measure.result_json import OMIT_NONE
from pipeline.errors import InputError
from replay.headers import find_records, quoted

T = TypeVar("T")

NOISE_RECORDS: Final = ("118e_6", "118e00", "bw", "em", "ma")
DATABASES: Final = ("challenge2015", "vfdb", "mitdb", "nstdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """The figures of each database; None of those that are missing."""

    challenge2015: ChallengeResult | None = field(default=None, metadata=OMIT_NONE)
    vfdb: VfdbResult | None = field(default=None, metadata=OMIT_NONE)
    mitdb: MitdbResult | None = field(default=None, metadata=OMIT_NONE)
    nstdb: NstdbResult | None = field(default=None, metadata=OMIT_NONE)
    missing: list[str]


def databases(data: Path) -> dict[str, list[str]]:
    """Return the records of every database of `DATABASES` that lies in ``data``.

    Raises:
        InputError: there is none, or one lacks its list of alarms.
    """
    found: dict[str, list[str]] = {}
    for name in DATABASES:
        folder = _folder(data, name)
        if not folder.is_dir():
            continue
        if name == "challenge2015":
            found[name] = [case.record for case in read_cases(folder)]
        elif name == "nstdb":
            found[name] = [r for r in NOISE_RECORDS if (folder / f"{r}.hea").is_file()]
        else:
            found[name] = [path.stem for path in find_records(str(folder))]
    if not found:
        raise InputError(
            f"{quoted(data)} holds none of {', '.join(DATABASES)}: fetch one with "
            "`monitor fetch vfdb`, or name --data"
        )
    return found


def _folder(data: Path, name: str) -> Path:
    """Return where a database lies: in ``data``, or it is ``data`` itself."""
    return data if data.name == name else data / name


def evaluate_alarms(
    data: Path, *, on_step: Callable[[str], None] = lambda text: None
) -> AlarmResult:
    """Return the figures of every database that is there.

    Args:
        data: folder that holds the databases, or one of them.
        on_step: called before each record, as often as there are records in `databases`.

    Raises:
        InputError: no database is there, or a record is missing or unusable.
        ArtifactError: what ships is unusable.
    """
    found = databases(data)

    def measured(
        name: str, evaluate: Callable[[Path, list[str], Callable[[str], None]], T]
    ) -> T | None:
        return evaluate(_folder(data, name), found[name], on_step) if name in found else None

    return AlarmResult(
        challenge2015=measured(
            "challenge2015", lambda folder, _, on_step: evaluate_challenge(folder, on_step)
        ),
        vfdb=measured("vfdb", evaluate_vfdb),
        mitdb=measured("mitdb", evaluate_mitdb),
        nstdb=measured("nstdb", evaluate_nstdb),
        missing=[name for name in DATABASES if name not in found],
    )
