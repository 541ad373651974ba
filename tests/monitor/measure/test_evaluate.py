"""What `monitor evaluate` prints and draws, and how it refuses."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.table import Table

from models.evaluation.protocols.beatgan import fold_figures
from models.evaluation.protocols.fold_scores import score_fold
from models.evaluation.protocols.interpatient import figures_of
from models.evaluation.report.pictures import prepare, worst_of_records
from models.files.student import save_student
from monitor.cli import app as cli
from monitor.measure.evaluate import WIDTH, beatgan_tables, interpatient_tables, tell
from pipeline.errors import ConfigError
from tests.support.evaluations import KNOWN, humps, judged, trained_on

Tables = Callable[[dict[str, Any]], Iterator[Table]]


@pytest.fixture(scope="module")
def beatgan() -> dict[str, Any]:
    """Five folds of the BeatGAN protocol on a few beats."""
    beats = humps()
    tested = [score_fold(beats, trained_on(beats, fold), device="cpu") for fold in "01234"]
    return {"protocol": "beatgan", "database": "mitdb", **fold_figures(tested)}


@pytest.fixture(scope="module")
def unseen() -> dict[str, Any]:
    """Two records of unseen patients."""
    return {"protocol": "interpatient", **figures_of([judged("100", KNOWN), judged("232", KNOWN)])}


def printed(
    capsys: pytest.CaptureFixture[str], figures: dict[str, Any], tables: Tables, *, as_json: bool
) -> str:
    """Return what is printed of figures."""
    tell(figures, tables, as_json=as_json)
    return capsys.readouterr().out


def test_json_is_one_object_on_one_line(
    capsys: pytest.CaptureFixture[str], beatgan: dict[str, Any], unseen: dict[str, Any]
) -> None:
    """Exactly the figures, for whoever reads them with a program."""
    for figures, tables in ((beatgan, beatgan_tables), (unseen, interpatient_tables)):
        text = printed(capsys, figures, tables, as_json=True)
        assert text.count("\n") == 1
        assert json.loads(text) == figures


def test_tables_fit_and_hold_the_figures(
    capsys: pytest.CaptureFixture[str], beatgan: dict[str, Any], unseen: dict[str, Any]
) -> None:
    """At most 100 columns, no cell cut off; a row for every fold figure and every record."""
    for figures, tables in ((beatgan, beatgan_tables), (unseen, interpatient_tables)):
        text = printed(capsys, figures, tables, as_json=False)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "…" not in text
    assert all(f"│ {one['record']} " in text for one in unseen["per_record"])
    assert f"{unseen['false_alerts_per_hour']:.1f} false alerts an hour" in text

    text = printed(capsys, beatgan, beatgan_tables, as_json=False)
    row = next(line for line in text.splitlines() if line.startswith("│ AUC "))
    assert [f"{fold['auc']:.4f}" for fold in beatgan["folds"]] == row.split("│")[2].split() + [
        cell.strip() for cell in row.split("│")[3:7]
    ]
    assert f"{beatgan['auc']['mean']:.4f}" in row


def test_one_student_has_no_standard_deviation(
    capsys: pytest.CaptureFixture[str], beatgan: dict[str, Any]
) -> None:
    """A dash, where there is one fold only."""
    beats = humps()
    tested = [score_fold(beats, trained_on(beats, "3"), device="cpu")]
    figures = {"database": "mitdb", **fold_figures(tested)}
    text = printed(capsys, figures, beatgan_tables, as_json=False)
    row = next(line for line in text.splitlines() if line.startswith("│ AP "))

    assert [cell.strip() for cell in row.split("│")][4] == "-"


@pytest.mark.parametrize(
    ("protocol", "split", "said"),
    [("beatgan", "ds1", "whole patients"), ("interpatient", "2", "not on the patients of DS1")],
)
def test_a_student_of_the_wrong_split_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    protocol: str,
    split: str,
    said: str,
) -> None:
    """Each protocol takes the students that have not seen its test beats."""
    student = tmp_path / "student.json"
    save_student(trained_on(humps(), split), student)
    arguments = ["evaluate", protocol, "--data", str(tmp_path), "--student", str(student)]
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments, "--json"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    captured = capsys.readouterr()

    assert left.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("monitor: the student was trained")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_worst_beats_come_from_different_records() -> None:
    """The first of each record, in order, no more than asked for."""
    order = np.array([4, 3, 2, 1, 0])
    records = np.array(["a", "b", "b", "a", "a"])

    assert worst_of_records(order, records, 3).tolist() == [4, 2]
    assert worst_of_records(order, records, 1).tolist() == [4]
    assert worst_of_records(order[:0], records, 3).tolist() == []


def test_a_folder_that_cannot_hold_pictures_is_refused_first(tmp_path: Path) -> None:
    """Before minutes of work; a folder that is not there yet is made."""
    prepare(tmp_path / "new" / "pictures")
    assert (tmp_path / "new" / "pictures").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="name another"):
        prepare(tmp_path / "file" / "pictures")
