"""What `monitor evaluate` prints and draws, and how it refuses."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.evaluation.protocols.beatgan import (
    BeatganResult,
    FoldsResult,
    MeasuredStudent,
    folds_result,
    student_facts,
)
from models.evaluation.protocols.fold_scores import score_fold
from models.evaluation.protocols.interpatient import (
    COUNTING,
    InterpatientResult,
    NamedStudent,
    unseen_result,
)
from models.evaluation.report.beatgan import fold_table, kind_table
from models.evaluation.report.documents import Bullets, Picture, Section
from models.evaluation.report.interpatient import interpatient_tables
from models.evaluation.report.pictures import prepare, worst_of_records
from models.evaluation.report.tables import Strong, Table
from models.files.student import SHIPPED_STUDENT, save_student
from models.measure.provenance import provenance
from models.measure.result_json import to_json
from models.measure.speed import BeatTime, DeviceTimes
from monitor.cli import app as cli
from monitor.measure.output import WIDTH, print_json, print_lines, print_sections, terminal_table
from pipeline.errors import ConfigError
from tests.support.evaluations import (
    KNOWN,
    classifier_result,
    humps,
    scored_record,
    trained_on,
)


def folds(*names: str) -> FoldsResult:
    """Return folds of the BeatGAN protocol on a few beats."""
    beats = humps()
    return folds_result(
        [score_fold(beats, trained_on(beats, fold), device="cpu") for fold in names]
    )


@pytest.fixture(scope="module")
def beatgan() -> BeatganResult:
    """Five folds."""
    speed = DeviceTimes(cpu=BeatTime(batch_1=1.0, batch_64=1.0))
    student = MeasuredStudent(facts=student_facts(SHIPPED_STUDENT), us_per_beat=speed)
    return BeatganResult(folds=folds(*"01234"), student=student, machine=provenance())


@pytest.fixture(scope="module")
def unseen() -> InterpatientResult:
    """Two records of unseen patients."""
    return InterpatientResult(
        student=NamedStudent(name="student-0", facts=student_facts(SHIPPED_STUDENT)),
        calibration={},
        knob=6.0,
        threshold=5.0,
        counting=list(COUNTING),
        unseen=unseen_result([scored_record("100", KNOWN), scored_record("232", KNOWN)]),
        classifier=classifier_result(DeviceTimes(cpu=BeatTime(batch_1=1.0, batch_64=1.0))),
        machine=provenance(),
    )


def printed(capsys: pytest.CaptureFixture[str], *tables: Table) -> str:
    """Return what is printed of tables."""
    print_sections([Section(blocks=tables)])
    return capsys.readouterr().out


def test_json_is_one_object_on_one_line(
    capsys: pytest.CaptureFixture[str], beatgan: BeatganResult, unseen: InterpatientResult
) -> None:
    """Exactly the figures, for programs that read them."""
    for result in (beatgan, unseen):
        print_json(result)
        text = capsys.readouterr().out
        assert text.count("\n") == 1
        assert json.loads(text) == to_json(result)


def test_tables_fit_and_hold_the_figures(
    capsys: pytest.CaptureFixture[str], beatgan: BeatganResult, unseen: InterpatientResult
) -> None:
    """At most 100 columns, no cell cut off; a row for every fold and every record."""
    of_unseen = printed(capsys, *interpatient_tables(unseen))
    of_folds = printed(capsys, fold_table(beatgan.folds), kind_table(beatgan.folds))
    for text in (of_unseen, of_folds):
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "…" not in text
    assert all(f"│ {one.record} " in of_unseen for one in unseen.unseen.per_record)
    assert f"{unseen.unseen.gross.false_alerts_per_hour:.1f} false alerts an hour" in of_unseen

    rows = [[cell.strip() for cell in line.split("│")] for line in of_folds.splitlines()]
    for fold in beatgan.folds.folds:
        ranking = fold.ranking
        assert ["", f"fold {fold.fold}", f"{ranking.auc:.4f}", f"{ranking.ap:.4f}", ""] in rows
    auc, ap = beatgan.folds.auc, beatgan.folds.ap
    assert ["", "mean", f"{auc.mean:.4f}", f"{ap.mean:.4f}", ""] in rows
    for kind, over in beatgan.folds.auc_by_class.items():
        assert any(row[1:2] == [f"class {kind}"] and f"{over.mean:.4f}" in row for row in rows)


def test_one_student_has_no_standard_deviation(capsys: pytest.CaptureFixture[str]) -> None:
    """A dash, where there is one fold only."""
    text = printed(capsys, fold_table(folds("3")))
    row = next(line for line in text.splitlines() if line.startswith("│ sd "))

    assert [cell.strip() for cell in row.split("│")] == ["", "sd", "–", "–", ""]


def test_names_in_a_table_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The names of records are of strangers: no markup, no escape sequence."""
    text = printed(capsys, Table(columns=("a", "b"), rows=[("\x1b]0;x", "[bold]1[/bold]")]))

    assert "\x1b" not in text
    assert "[bold]1[/bold]" in text


def test_short_names_have_a_legend_and_a_broken_bound_stands_out() -> None:
    """Below the table, with the notes; headings are left out where there are none."""
    table = Table(
        columns=("", "false alerts/h"),
        rows=[("a name as wide as its legend", "1"), ("all", Strong("2"))],
        totals=1,
        notes=("a note",),
        short={"false alerts/h": "FA/h"},
    )
    console = Console(file=io.StringIO(), width=60, color_system="standard", force_terminal=True)
    console.print(terminal_table(table))
    text = console.file.getvalue()

    assert "FA/h: false alerts/h" in text
    assert "a note" in text
    assert any("2" in part and "1m" in part for part in text.split("│"))
    assert not terminal_table(Table(columns=("", ""), rows=[("a", "1")])).show_header


def test_a_document_is_printed_without_its_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    """Headings, paragraphs and lists as they are."""
    blocks = ["text", Bullets(["x", "y"]), Picture("caption", "file.png")]
    print_sections([Section(title="One", blocks=blocks), Section(blocks=["end"])])

    assert capsys.readouterr().out == "One\ntext\n* x\n* y\n\nend\n"


def test_lines_are_printed_whole_and_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, however long; names of records cannot control a terminal."""
    print_lines("Wrong", ["a" * 150, "b\x1b[31m"])
    assert capsys.readouterr().out == "\nWrong\n" + "a" * 150 + "\nb\ufffd[31m\n"
    print_lines("Wrong", [])
    assert capsys.readouterr().out == ""


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
