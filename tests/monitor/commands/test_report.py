"""`monitor report`: pages, JSON and tables of records."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from pipeline.errors import ConfigError, InputError, LogError
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.alert import episode_of
from replay.demo import write_demo
from tests.monitor.report.test_log_content import minute
from tests.support.logs import alert, changed, strip

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


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log of two streams: an alarm with its strip, and one of medium priority."""
    path = tmp_path / "hub.sqlite"
    with AlertLog(path) as writer:
        facts = {"stream": "bed/1", "kind": "asystole", "priority": "high"}
        episode = episode_of("asystole", 0, 7200)
        writer.append([alert(7200, episode=episode, begin_s=16.0, end_s=None, **facts)])
        writer.commit(Commit(strips=[(1, strip(3600 + 1800))]))
        writer.append([alert(7200, stream="bed 2", kind="pause", episode="pause-0-7200")])
        writer.commit(Commit(trends=[minute(n, stream="bed 2") for n in range(1201)]))
        writer.append([alert(0, stream="", kind="process_died", episode="process_died-0-0")])
    return path


def test_a_log_has_a_page_for_each_stream(log: Path, tmp_path: Path) -> None:
    """All streams, or the one that is named; with the strips that the log keeps."""
    pages = tmp_path / "pages"
    pages.mkdir()
    printed = report(log, "--out", pages).splitlines()
    assert [Path(line).name for line in printed] == ["bed 2.html", "bed_1.html"]

    report(log, "--stream", "bed/1", "--out", tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert text == (pages / "bed_1.html").read_text(encoding="utf-8")
    assert text.count("</svg>") == 1
    assert "What this log does not hold" in text
    assert "1 process died" in text
    assert "Its signal is not kept" not in text

    rows = list(csv.DictReader(report(log, "--summary").splitlines()))
    assert [(row["recording"], row["asystole"], row["v_beats"]) for row in rows] == [
        ("bed 2", "0", "1201"),
        ("bed/1", "1", ""),
    ]
    hours = csv.DictReader(report(log, "--csv").splitlines())
    assert sum(int(hour["v_beats"]) for hour in hours if hour["recording"] == "bed 2") == 1201
    (content,) = map(json.loads, report(log, "--stream", "bed/1", "--json").splitlines())
    assert content["high"][0]["kind"] == "asystole"
    assert content["whole"] is None


def test_what_is_no_log_or_not_in_it_is_refused(log: Path, tmp_path: Path) -> None:
    """One line, with what the log holds."""
    with pytest.raises(InputError, match="nothing of 'bed 3'; it holds bed 2, bed/1"):
        report(log, "--stream", "bed 3", "--json")
    with pytest.raises(ConfigError, match="report on them apart"):
        report(log, "demo")
    with pytest.raises(ConfigError, match="is no log"):
        report("demo", "--stream", "bed 1")
    with pytest.raises(ConfigError, match="none applies"):
        report(log, "--lead", "II")
    with pytest.raises(ConfigError, match="create it"):
        report(log, "--out", tmp_path / "missing")
    changed(log, "UPDATE alert SET body = x'00' WHERE seq = 1")
    with pytest.raises(LogError, match="alert 1 is damaged"):
        report(log, "--json")
