"""What is said of a write that SQLite refuses, and what to do about it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import LogError
from pipeline.log.store import AlertLog, Commit
from tests.support.logs import alert, changed


def _full(log: AlertLog, path: Path) -> sqlite3.Connection | None:
    ((pages,),) = log.rows("PRAGMA page_count")
    log.rows(f"PRAGMA max_page_count = {pages}")
    return None


def _locked(log: AlertLog, path: Path) -> sqlite3.Connection | None:
    log.rows("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def _written_by_another(log: AlertLog, path: Path) -> sqlite3.Connection | None:
    changed(path, "INSERT INTO alert (seq, stream, crc32, body) VALUES (1, '', 0, '')")
    return None


def _read_only(log: AlertLog, path: Path) -> sqlite3.Connection | None:
    log.rows("PRAGMA query_only = ON")
    return None


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_full, "free space on its disk"),
        (_locked, "another program holds it locked"),
        (_written_by_another, "another program wrote into it"),
        (_read_only, "check the permissions"),
    ],
)
def test_each_fault_of_a_write_has_its_own_words(
    plant: Callable[[AlertLog, Path], sqlite3.Connection | None], said: str, tmp_path: Path
) -> None:
    """The advice to free space is given for a full disk alone."""
    with AlertLog(tmp_path / "log") as log:
        other = plant(log, tmp_path / "log")
        with pytest.raises(LogError, match=said) as error:
            log.commit(Commit(alerts=[alert(n) for n in range(500)]))
        if other is not None:
            other.close()
    assert ("free space" in str(error.value)) == (plant is _full)
