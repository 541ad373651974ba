"""`monitor report`: pages, JSON and tables of records."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from pipeline.errors import ConfigError, InputError
from replay.demo import write_demo

pytestmark = pytest.mark.system


def report(*arguments: str | Path) -> str:
    """Run the command; return what it printed."""
    result = CliRunner().invoke(app, ["report", "--jobs", "1", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.stdout


def test_a_page_a_row_and_json_of_each_record(tmp_path: Path) -> None:
    """A folder of records gives a page each; one row and one object each, with the same figures."""
    nights = tmp_path / "nights"
    nights.mkdir()
    write_demo(nights, ["V1"])
    pages = tmp_path / "pages"
    pages.mkdir()

    assert report(nights, "--out", pages).splitlines() == [str(pages / "demo.html")]
    assert "<h1>ECG report</h1>" in (pages / "demo.html").read_text(encoding="utf-8")

    (content,) = map(json.loads, report("demo", "--json").splitlines())
    (row,) = csv.DictReader(report("demo", "--summary").splitlines())
    hours = list(csv.DictReader(report("demo", "--csv").splitlines()))
    assert int(row["beats"]) == content["summary"]["beats"] == sum(int(h["beats"]) for h in hours)
    assert float(row["bpm_mean"]) == content["summary"]["bpm_mean"]


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    """One line, with what to do."""
    with pytest.raises(ConfigError, match=r"a page ends in \.html"):
        report("demo", "--out", tmp_path / "night.pdf")
    with pytest.raises(ConfigError, match="create it"):
        report("demo", "demo", "--out", tmp_path / "missing")
    with pytest.raises(ConfigError, match="create it"):
        report("demo", "--out", tmp_path / "missing" / "night.html")
    assert not (tmp_path / "missing").exists()
    with pytest.raises(ConfigError, match="give one of them"):
        report("demo", "--json", "--csv")
    with pytest.raises(InputError, match="no record"):
        report(tmp_path / "nothing")


def test_each_record_has_a_page_of_its_own_under_its_own_name(tmp_path: Path) -> None:
    """With spaces and umlauts; of the same names, the folders come first, and then a number."""
    for name in ("Müller Nacht", "Möller Nacht", "a/night", "b/night"):
        path = tmp_path / "in" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("II [mV]\n" + "0.1\n0\n" * 700)
    twice = tmp_path / "in" / "b" / "night.tsv"
    twice.write_bytes(path.read_bytes())
    pages = tmp_path / "pages"
    pages.mkdir()

    printed = report(
        tmp_path / "in", "--recursive", "--fs", 250, "--summary", "--out", pages
    ).splitlines()
    names = ["Möller Nacht", "Müller Nacht", "a night", "b night", "b night-2"]
    assert [row["recording"] for row in csv.DictReader(printed)] == names
    assert sorted(page.stem for page in pages.iterdir()) == names
    assert "<td>Müller Nacht</td>" in (pages / "Müller Nacht.html").read_text(encoding="utf-8")


def test_an_amplitude_of_no_heart_is_asked_about(tmp_path: Path) -> None:
    """On stderr as well: a row has no place for it."""
    beat = "0\n" * 240 + "20\n40\n20\n" + "0\n" * 7
    (tmp_path / "night.csv").write_text("II [mV]\n" + beat * 15)
    result = CliRunner().invoke(
        app, ["report", str(tmp_path / "night.csv"), "--fs", "250", "--summary", "--jobs", "1"]
    )
    assert "is the gain" in result.stderr
