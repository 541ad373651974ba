"""`monitor evaluate alarms`: its reference, its score, its table; the databases where they are."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from models.data.challenge2015 import read_cases
from models.data.rhythms import read_rhythms
from models.evaluation.alarms.challenge2015 import evaluate_challenge
from models.evaluation.alarms.episodes import EpisodeResult
from models.evaluation.alarms.evaluate import DATABASES, databases, evaluate_alarms
from models.evaluation.alarms.evaluate import steps as count_steps
from models.evaluation.report.alarms.sections import (
    alarm_sections,
    wrong_lines,
    wrong_lines_of_all_leads,
)
from models.evaluation.report.markdown import markdown
from models.measure.provenance import provenance
from models.measure.result_json import to_json
from pipeline.errors import InputError
from tests.support.databases import database


def silent(text: str) -> None:
    """Ignore a step."""


def test_rhythms_of_a_record_follow_each_other() -> None:
    """Each lasts to the next note; record 424 holds fibrillation and asystole."""
    named = read_rhythms(database("vfdb") / "424", 2100.0)
    assert {"VFIB", "ASYS"} <= {stretch.name for stretch in named}
    for one, following in pairwise(named):
        assert one.end_s == following.begin_s
    assert named[-1].end_s == 2100.0


def test_a_missed_alarm_of_the_challenge_is_named(tmp_path: Path) -> None:
    """Of four alarms one is missed: 3 right of 3 + 5."""
    folder = database("challenge2015")
    cases = {"b124s": "Bradycardia,1", "b126s": "Bradycardia,1", "b231l": "Bradycardia,0"}
    cases["a105l"] = "Ventricular_Flutter_Fib,1"  # it is not, and we raise no alarm of it
    for record in cases:
        for suffix in (".hea", ".mat"):
            (tmp_path / f"{record}{suffix}").symlink_to(folder / f"{record}{suffix}")
    lines = [f"{record},{alarm}" for record, alarm in cases.items()]
    (tmp_path / "ALARMS").write_text("\n".join(lines) + "\n")

    result = evaluate_challenge(tmp_path, list(cases), silent)

    first = result.first_lead.all
    assert (first.tp + first.tn, first.fp, first.fn) == (3, 0, 1)
    assert first.score.value == pytest.approx(100 * 3 / 8)
    (missed,) = result.wrong
    assert missed.record == "challenge2015/a105l"
    assert missed.wrong.startswith("missed Ventricular Flutter Fib")
    assert "beats" in missed.ours


def test_the_leads_that_are_asked_for_take_the_place_of_the_first(tmp_path: Path) -> None:
    """One alarm of the challenge with both ECG leads: no figure of another lead beside them."""
    folder = database("challenge2015")
    for suffix in (".hea", ".mat"):
        (tmp_path / f"b124s{suffix}").symlink_to(folder / f"b124s{suffix}")
    (tmp_path / "ALARMS").write_text("b124s,Bradycardia,1\n")

    result = evaluate_challenge(tmp_path, ["b124s"], silent, "all")

    assert [(row.lead, row.fired) for row in result.rows] == [("II,V", True)]
    assert result.first_lead.all.tp == 1
    assert (result.second_lead, result.either_lead) == (None, None)


def test_records_without_the_leads_that_are_asked_for_are_left_out(tmp_path: Path) -> None:
    """By name or by number; where none has them, that is an error."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for name, leads in {"a": ("MLII", "V1"), "b": ("V5",)}.items():
        rows = [f"{name}.dat 16 200/mV 16 0 0 0 0 {lead}" for lead in leads]
        text = [f"{name} {len(leads)} 360 3600", *rows]
        (folder / f"{name}.hea").write_text("\n".join(text) + "\n")
        (folder / f"{name}.dat").write_bytes(bytes(2 * 3600 * len(leads)))
    assert databases(tmp_path)["mitdb"] == ["a", "b"]
    assert databases(tmp_path, "V1")["mitdb"] == databases(tmp_path, "1")["mitdb"] == ["a"]
    assert databases(tmp_path, "all")["mitdb"] == ["a", "b"]
    assert count_steps({"mitdb": ["a", "b"]}, "all") == 2
    with pytest.raises(InputError, match="has the leads 'aVF'"):
        databases(tmp_path, "aVF")


def test_a_database_is_found_in_its_folder_and_as_the_folder(tmp_path: Path) -> None:
    """`--data` names the folder that holds it, or it."""
    (tmp_path / "cinc17" / "normal").mkdir(parents=True)
    (tmp_path / "cinc17" / "normal" / "A1.hea").touch()
    found = {"cinc17": ["normal/A1"], "cinc17 labels": ["normal/A1"]}
    assert databases(tmp_path) == databases(tmp_path / "cinc17") == found


@pytest.mark.parametrize(
    "line", ["a1,Asystole", "a1,Fever,1", "a1,Asystole,2", "../a1,Asystole,1", "/a,Asystole,1"]
)
def test_list_of_alarms_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    """With the line and what belongs there."""
    (tmp_path / "ALARMS").write_text(line)
    with pytest.raises(InputError, match="is no alarm"):
        read_cases(tmp_path)


def test_folder_without_any_database_says_what_to_fetch(tmp_path: Path) -> None:
    """Nothing to measure is an error, not a table of nothing."""
    with pytest.raises(InputError, match="monitor fetch"):
        databases(tmp_path)


def test_what_is_there_is_measured_and_written(tmp_path: Path) -> None:
    """A record of vfdb, with one lead and with all: its figures as JSON and as Markdown.

    Both episodes of fibrillation or flutter are alarmed within ten seconds.
    """
    source = database("vfdb")
    (tmp_path / "vfdb").mkdir()
    for suffix in (".hea", ".dat", ".atr"):
        (tmp_path / "vfdb" / f"424{suffix}").symlink_to(source / f"424{suffix}")
    steps: list[str] = []

    result = evaluate_alarms(tmp_path, on_step=steps.append)

    assert steps == ["vfdb 424", "vfdb 424"]
    assert len(steps) == count_steps(databases(tmp_path))
    measured = result.databases["vfdb"]
    assert isinstance(measured, EpisodeResult)
    assert measured.rhythms["vf"].own_alarm.found_within_10_s == 2
    assert result.missing == [name for name in DATABASES if name != "vfdb"]
    assert list(to_json(result)) == ["vfdb", "all_leads", "missing"]
    assert list(to_json(result)["all_leads"]) == ["vfdb", "false_lethal"]
    lines = wrong_lines(result) + wrong_lines_of_all_leads(result)
    assert all(line.startswith("vfdb/424@") for line in lines)
    json.dumps(to_json(result), allow_nan=False)
    page = markdown(alarm_sections(result, provenance()))
    assert "One lead and all leads" in page
    assert "| vfdb | fibrillation, flutter: found within 10 s by its own alarm | 2 of 2 | 2" in page
    assert "Malignant Ventricular Ectopy" in page
    assert "Not there, and not measured: challenge2015, cu, mitdb, svdb, nstdb, cinc17, " in page
