"""Model cards say what the reports say, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from models.evaluation.cards.write import save_report, write_cards
from models.evaluation.protocols.beatgan import (
    BeatganResult,
    MeasuredStudent,
    PlainFigures,
    Ranking,
    TeacherResult,
    folds_result,
    student_facts,
)
from models.evaluation.protocols.beats import BeatsResult, figures_of
from models.evaluation.protocols.fold_scores import score_fold
from models.evaluation.protocols.healthy_beats import HealthyFigures
from models.evaluation.protocols.interpatient import (
    COUNTING,
    InterpatientResult,
    NamedStudent,
    unseen_result,
)
from models.evaluation.report.documents import Bullets, Picture, Section
from models.evaluation.report.markdown import markdown
from models.evaluation.report.tables import Strong, Table, Target, number, percent
from models.files.student import save_student
from models.measure.provenance import provenance
from models.measure.result_json import from_json
from models.measure.speed import BeatTime, DeviceTimes
from pipeline.errors import ArtifactError, ConfigError
from tests.models.evaluation.test_beats import beats_of
from tests.support.evaluations import (
    KNOWN,
    classifier_result,
    humps,
    scored_record,
    trained_on,
)
from tests.support.running import CONFIG

SPEED = DeviceTimes(cpu=BeatTime(batch_1=321.4, batch_64=98.6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the two reports that the cards need."""
    beats = humps()
    student = tmp_path / "student.json"
    save_student(trained_on(beats, "0"), student)
    facts = student_facts(student)
    tested = [score_fold(beats, trained_on(beats, fold), device="cpu") for fold in "012"]
    folder = tmp_path / "models"
    save_report(
        folder,
        "beatgan",
        BeatganResult(
            folds=folds_result(tested),
            student=MeasuredStudent(facts=facts, us_per_beat=SPEED),
            machine=provenance(),
        ),
    )
    easy = [("N", True, 0.0, False), ("S", True, 5.0, True)]
    save_report(
        folder,
        "interpatient",
        InterpatientResult(
            student=NamedStudent(name="student-0", facts=facts),
            calibration={"false_alerts_per_hour": 12.0},
            knob=12.0,
            threshold=5.5,
            counting=list(COUNTING),
            unseen=unseen_result([scored_record("100", KNOWN), scored_record("232", easy)]),
            classifier=classifier_result(SPEED),
            machine=provenance(),
        ),
    )
    return folder


def report(folder: Path, name: str) -> dict[str, Any]:
    """Return a report as stored."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def test_cards_hold_the_figures_of_the_reports(folder: Path) -> None:
    """Both protocols, size, speed; what was not measured says so."""
    pages = {file.name: file.read_text() for file in write_cards(folder)}
    beatgan, unseen = report(folder, "beatgan"), report(folder, "interpatient")

    assert set(pages) == {"README.md", "student.md", "live_score.md", "classifier.md"}
    student = pages["student.md"]
    for fold in beatgan["folds"]:
        assert f"| fold {fold['fold']} | {fold['auc']:.4f} | {fold['ap']:.4f} |" in student
    assert f"{beatgan['student']['parameters']:,}" in student
    assert "321 alone, 99 in batches of 64" in student
    assert "| µs a beat on a GPU | not measured |" in student
    live = pages["live_score.md"]
    assert f"| AUC | {unseen['auc']:.4f} |" in live
    assert f"{unseen['false_alerts_per_hour']:.1f} an hour" in live
    assert all(rule in live for rule in COUNTING)
    assert provenance().processor in pages["README.md"]


@pytest.mark.parametrize(
    ("target", "method", "said"),
    [
        ("beat", "none", "to reconstruct normal beats, without a teacher."),
        ("neighbours", "kd+ft", "the five other normal beats nearest to it, by the method kd+ft."),
        ("teacher", "none", "the mean reconstruction of its teachers."),
    ],
)
def test_the_card_of_the_student_says_who_taught_it(
    folder: Path, target: str, method: str, said: str
) -> None:
    """As the artifacts have it, not as the plan was."""
    for name, kind in (("beatgan", BeatganResult), ("interpatient", InterpatientResult)):
        changed = report(folder, name)
        changed["student"]["training"] |= {"target": target, "method": method}
        save_report(folder, name, from_json(kind, changed))
    assert said in write_cards(folder)[1].read_text()


def test_students_trained_differently_are_described_apart(folder: Path) -> None:
    """The one that scores live by its own training, those of the folds by theirs."""
    changed = report(folder, "beatgan")
    changed["student"]["training"] |= {"target": "neighbours", "method": "none"}
    save_report(folder, "beatgan", from_json(BeatganResult, changed))
    text = write_cards(folder)[1].read_text()
    live, folds = text.index("The student that scores live was trained"), text.index("of the folds")
    assert live < text.index("to reconstruct normal beats") < folds
    assert folds < text.index("five other normal beats")


def test_a_changed_report_changes_the_card(folder: Path) -> None:
    """No figure is remembered from elsewhere."""
    before = [file.read_text() for file in write_cards(folder)]
    changed = report(folder, "interpatient")
    changed["auc"] = 0.91234
    save_report(folder, "interpatient", from_json(InterpatientResult, changed))
    after = [file.read_text() for file in write_cards(folder)]

    assert not any("0.9123" in text for text in before)
    assert "| unseen patients: AUC | ≥ 0.9000 | 0.9123 | yes |" in after[0]
    assert before[1] == after[1]


def test_a_target_is_kept_or_not() -> None:
    """The bound itself is kept; what was not measured is neither."""
    assert Target("x", 0.9, 0.9).row() == ("x", "≥ 0.900", "0.900", "yes")
    assert Target("x", 0.89999, 0.9, digits=4).row()[2:] == ("0.9000", Strong("no"))
    assert Target("x", 12.0, 12.0, at_most=True, digits=1).row() == ("x", "≤ 12.0", "12.0", "yes")
    assert Target("x", 12.1, 12.0, at_most=True, digits=1).row()[3] == "no"
    assert Target("x", None, 0.9).row()[2:] == ("not measured", "–")


def test_tables_are_whole(folder: Path) -> None:
    """Every row of a table has as many cells as its header."""
    for file in write_cards(folder):
        for block in file.read_text().split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in rows}) <= 1, rows


def test_links_of_the_cards_lead_to_their_pages(folder: Path) -> None:
    """Pages link one another and the trials; the ablation is named only where there is one."""
    (folder / "trials.md").write_text("# Trials\n")
    (folder.parent / "benchmarks.md").write_text("# Figures\n")
    (folder / "pictures").mkdir()
    for with_ablation in (False, True):
        if with_ablation:
            (folder / "ablation.md").write_text("# Ablation\n")
        texts = [file.read_text() for file in write_cards(folder)]
        links = {link for text in texts for link in re.findall(r"\]\(([^)]+)\)", text)}
        pages = {link for link in links if link.endswith(".md")}
        assert all((folder / link).is_file() for link in pages)
        assert ("ablation.md" in pages) == with_ablation


def test_a_teacher_stands_beside_the_student_of_its_fold(folder: Path) -> None:
    """Where it was measured; the student's figures are those of the same fold."""
    save_report(
        folder,
        "teacher",
        TeacherResult(
            fold="1",
            seed=9,
            teachers=5,
            ranking=Ranking(
                auc=0.5678,
                ap=0.4567,
                normal_beats=1,
                abnormal_beats=1,
                auc_by_class={},
                beats_by_class={},
                auc_by_symbol={},
                beats_by_symbol={},
            ),
            plain=PlainFigures(auc=0.3456, ap=0.2345),
            parameters=1_900_000,
            us_per_beat=DeviceTimes(cpu=BeatTime(batch_1=1100.0, batch_64=190.0)),
            machine=provenance(),
        ),
    )
    text = write_cards(folder)[1].read_text()
    student = report(folder, "beatgan")["folds"][1]

    assert f"| AUC, fold 1 | 0.5678 | {student['auc']:.4f} |" in text
    assert "1,900,000" in text


def test_the_classifier_has_its_card(folder: Path) -> None:
    """Its targets stand there and on the index, kept or not; beats without a name are counted."""
    index, _, _, page = (file.read_text() for file in write_cards(folder))

    assert "| classifier: sensitivity to V, % | ≥ 94.00 | 93.21 | **no** |" in index
    assert "| classifier: sensitivity to S, % | ≥ 72.00 | 72.12 | yes |" in page
    assert "| classifier: positive predictivity of S, % | ≥ 66.00 | not measured | – |" in page
    assert "| V | 20 | 21 | 22 | 23 | 24 |" in page
    assert "| trees | 480 |" in page
    assert "| parameters of the network | 123,456 |" in page


def test_patients_left_out_are_on_the_card_where_they_were_measured(folder: Path) -> None:
    """Parts beside the whole, how often a name is right, false alerts: from the JSON alone."""
    page = write_cards(folder)[3]
    assert "Patients left out" not in page.read_text()
    one, said = beats_of("N" * 20 + "SVVN", "N" * 20 + "SVVN", "." * 24)
    _, by_trees = beats_of("N" * 20 + "SVVN", "N" * 20 + "SVNN", "." * 24)
    apart, of_apart = beats_of("NS", "NN", "..", name="232")
    parts = {"trees": {"one": by_trees, "232": of_apart}}
    found = figures_of([one, apart], {"one": said, "232": of_apart}, CONFIG, parts)
    save_report(
        folder,
        "beats",
        BeatsResult(
            counting=["Each by hand."],
            databases={"mitdb DS2": found},
            healthy=HealthyFigures(
                records=1, flagged_first_10_s=0.0123, false_alerts_per_hour=4.5, hours=1.0
            ),
            machine=provenance(),
        ),
    )
    write_cards(folder)
    text = page.read_text()

    assert "* Each by hand." in text
    assert "| mitdb DS2 | trees alone | 50.0 / 100.0 | 50.0 / 100.0 | 100.0 / 100.0 |" in text
    assert "| mitdb DS2 | N | 0.70 | 0.96 | 23 |" in text
    assert "| false alerts/h, first minute | 0.0 | 0.0 |" in text
    assert "1.2 %" in text
    (folder / "beats.json").write_text("{}")
    with pytest.raises(ArtifactError, match="evaluate beats --json"):
        write_cards(folder)


def test_a_missing_or_broken_report_is_refused_by_name(folder: Path) -> None:
    """One line that says which and how to write it."""
    (folder / "beatgan.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"beatgan\.json is no JSON.*evaluate cards"):
        write_cards(folder)
    (folder / "beatgan.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"beatgan\.json is no report: .* has no 'auc'"):
        write_cards(folder)
    (folder / "beatgan.json").unlink()
    with pytest.raises(ArtifactError, match=r"beatgan\.json"):
        write_cards(folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in its way is one clear line."""
    (tmp_path / "models").write_text("")
    with pytest.raises(ConfigError, match="name another place"):
        save_report(tmp_path / "models", "beatgan", SPEED)


def test_a_document_as_markdown() -> None:
    """Headings, paragraphs, tables with their notes, lists and pictures, one blank line apart."""
    table = Table(
        title="not shown", columns=("", "a"), rows=[("b", Strong("1"))], notes=("* a note",)
    )
    text = markdown(
        [
            Section(title="One", level=1, blocks=["text", "", table]),
            Section(blocks=[Bullets(["x", "y"]), Picture("p", "p.png")]),
        ]
    )

    assert text.split("\n\n") == [
        "# One",
        "text",
        "|  | a |\n| --- | ---: |\n| b | **1** |",
        r"\* a note",
        "* x\n* y",
        "![p](p.png)\n",
    ]


def test_nothing_is_a_dash() -> None:
    """A figure that was not measured is not shown as zero."""
    assert (number(None), percent(None)) == ("–", "–")
    assert (number(0.0), percent(0.0)) == ("0.0000", "0.0 %")
