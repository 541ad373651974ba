"""`monitor evaluate alarms`: what the alarms are worth, on every database that can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from models.data.challenge2015 import read_cases
from models.evaluation.alarms.challenge2015 import evaluate_challenge
from models.evaluation.alarms.rhythms import evaluate_mitdb, evaluate_noise, evaluate_vfdb
from pipeline.errors import InputError
from replay.headers import find_records, quoted

NOISE_RECORDS: Final = ("118e_6", "118e00", "bw", "em", "ma")
DATABASES: Final = ("challenge2015", "vfdb", "mitdb", "nstdb")


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
) -> dict[str, Any]:
    """Return the figures of every database that is there, by its name.

    Args:
        data: folder that holds the databases, or one of them.
        on_step: called before each record, as often as there are records in `databases`.

    Raises:
        InputError: no database is there, or a record is missing or unusable.
        ArtifactError: what ships is unusable.
    """
    figures: dict[str, Any] = {}
    for name, records in databases(data).items():
        folder = _folder(data, name)
        if name == "challenge2015":
            figures[name] = evaluate_challenge(folder, on_step)
        elif name == "vfdb":
            figures[name] = evaluate_vfdb(folder, records, on_step)
        elif name == "mitdb":
            figures[name] = evaluate_mitdb(folder, records, on_step)
        else:
            figures[name] = evaluate_noise(folder, records, on_step)
    figures["missing"] = [name for name in DATABASES if name not in figures]
    return figures
