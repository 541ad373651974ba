"""Two checkouts are measured in turns, each by its own code, and their figures compared."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.measure.result_json import to_json
from monitor.measure.beside import Comparison, compare, comparison_table, figures_of, in_turns
from pipeline.errors import ConfigError
from tests.monitor.run.test_system import command, environment
from tests.support.paths import ROOT

MACHINE = {"processor": "P", "cores": 2, "python": "3.12", "date": "2026-01-01T00:00:00+00:00"}

PROGRAM = """
import json, os, sys
from pathlib import Path

root = Path(__file__).parents[1]
if sys.argv[1] == "bench" and sys.argv[-1] != "--help":
    with Path({calls!r}).open("a") as calls:
        calls.write(json.dumps([{commit!r}, os.getcwd(), sys.argv[1:]]) + chr(10))
    print("measuring kernels ...", file=sys.stderr)
    rounds = sorted(root.glob("round-*.json"))
    print(rounds[0].read_text())
    rounds[0].unlink()
    print("monitor: a warning", file=sys.stderr)
"""
REFUSING = """
import sys
if sys.argv[1] != "bench":
    sys.exit("compiles before it knows that it is of use")
sys.exit("monitor: bench: no such option: --core; see monitor bench --help")
"""


def result(commit: str, **parts: object) -> dict[str, Any]:
    """Return what `monitor bench --json` prints at a commit."""
    return {"machine": {**MACHINE, "commit": commit}, **parts}


def checkout(folder: Path, program: str) -> Path:
    """Write a checkout whose command is a program."""
    package = folder / "monitor"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(program)
    return folder


def measured(tmp_path: Path, commit: str, *rounds: dict[str, object]) -> Path:
    """Write a checkout whose `monitor bench` prints the parts of each round, and is noted."""
    program = PROGRAM.format(commit=commit, calls=str(tmp_path / "calls"))
    folder = checkout(tmp_path / commit, program)
    for n, parts in enumerate(rounds):
        (folder / f"round-{n}.json").write_text(json.dumps(result(commit, **parts)))
    return folder


def kernels(*values: float) -> list[dict[str, object]]:
    """Return rounds with one figure."""
    return [{"kernels": {"ns_per_sample": value}} for value in values]


def test_checkouts_are_measured_in_turns_each_by_its_own_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There, here, here, there, each in its own folder, with the same options and data."""
    data = tmp_path / "data"
    data.mkdir()
    there = measured(tmp_path, "aaa", *kernels(100.0, 110.0, 130.0))
    here = measured(tmp_path, "bbb", *kernels(50.0, 77.0, 52.0))
    kept = tmp_path / "kept.json"

    compare(there, ["--core"], rounds=3, data=data, as_json=True, json_file=kept, here=here)

    printed = capsys.readouterr()
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == ["aaa", "bbb", "bbb", "aaa", "aaa", "bbb"]
    assert {(call[0], call[1]) for call in calls} == {("aaa", str(there)), ("bbb", str(here))}
    assert all(call[2] == ["bench", "--json", "--data", str(data), "--core"] for call in calls)
    found = json.loads(printed.out)
    assert found == json.loads(kept.read_text())
    assert (found["there"]["commit"], found["here"]["commit"]) == ("aaa", "bbb")
    assert found["figures"] == [
        {
            "part": "kernels", "what": "ns per sample", "there": 110.0, "here": 52.0,
            "here_over_there": 0.4727, "lowest": 0.4, "highest": 0.7,
            "there_rounds": [100.0, 110.0, 130.0], "here_rounds": [50.0, 77.0, 52.0],
        }
    ]  # fmt: skip
    assert "round 2 of 3 here" in printed.err
    assert printed.err.count("measuring kernels ...\nmonitor: a warning\n") == 6


def test_both_measure_the_databases_of_this_folder_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies beside the other checkout: its default would be another folder."""
    monkeypatch.delenv("MONITOR_DATA", raising=False)
    work = tmp_path / "work" / "folder"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    used = []
    for folder in ("none", "data"):
        other = measured(tmp_path / folder, "aaa", *kernels(1.0, 1.0))
        (other / "data").mkdir()
        compare(other, [], rounds=1, data=None, as_json=True, json_file=None, here=other)
        calls = (tmp_path / folder / "calls").read_text().splitlines()
        used.append({json.loads(line)[2][-1] for line in calls})
        (work / "data").mkdir(exist_ok=True)

    assert used == [{os.devnull}, {str(work / "data")}]


def test_the_table_names_both_commits_and_what_only_one_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row for each figure of both; a text is no figure, nor is a part that was skipped."""
    old = {"live": {"signal": "mitdb 208", "beats": 400}, "replay": {"alerts": 0}}
    new = {"live": {"signal": "mitdb 208", "beats": 400}, "replay": {"alerts": 2}}
    there = measured(tmp_path, "aaa", {**old, "scan": {"wall_s": 20.0}, "night": {"page_kb": 4}})
    here = measured(tmp_path, "bbb", {**new, "scan": {"skipped": "no mitdb"}, "start": {"s": 1.5}})

    compare(there, [], rounds=1, data=None, as_json=False, json_file=None, here=here)

    shown = capsys.readouterr().out
    assert "there commit aaa, here commit bbb" in " ".join(shown.split())
    rows = [line.replace("│", " ").split() for line in shown.splitlines() if "│" in line]
    assert rows == [
        ["live", "beats", "400", "400", "1.000", "1.000", "1.000"],
        ["replay", "alerts", "0", "2", "–", "–", "–"],
    ]
    assert "Only there: scan wall s, night page kb." in shown
    assert "Only here: start s." in shown


def test_cases_are_compared_by_what_they_are() -> None:
    """Not by their place: streams, source and chunk name a case, and are no figures."""
    case = {"streams": 64, "source": "record", "chunk_ms": 20.0, "hub_percent": 12.5}
    fast = {"streams": 50, "source": "record", "chunk_ms": None, "hub_percent": None, "patients": 9}
    devices = case | {"source": "devices", "hub_percent": 25.0}

    assert figures_of({"cases": [case, devices, fast]}) == {
        ("64 record 20 ms", "hub percent"): 12.5,
        ("64 devices 20 ms", "hub percent"): 25.0,
        ("50 record full speed", "patients"): 9,
    }
    there = [result("aaa", cases=[case, fast])]
    here = [result("bbb", cases=[fast, devices, case | {"hub_percent": 10.0}])]
    compared = Comparison.of(["--scale"], there, here)
    assert [(row[0], row[4]) for row in comparison_table(compared).rows] == [
        ("50 record full speed", "1.000"),
        ("64 record 20 ms", "0.800"),
    ]
    assert compared.only_here == ["64 devices 20 ms hub percent"]


def test_a_figure_of_some_rounds_is_none() -> None:
    """A latency of which a round had no message would compare other rounds than the rest."""
    full, without = {"beats": 4, "p50_ms": 9.0}, {"beats": 4}
    there = [result("aaa", live=full), result("aaa", live=full)]
    here = [result("bbb", live=full), result("bbb", live=without)]

    compared = to_json(Comparison.of([], there, here))

    assert compared["only_there"] == ["live p50 ms"]
    assert compared["only_here"] == []


def test_what_changed_meanwhile_is_not_compared() -> None:
    """The rounds of a checkout are of one commit, or the table would name a wrong one."""
    there = [result("aaa"), result("aaa-dirty")]

    with pytest.raises(ConfigError, match="changed while it was measured: aaa and aaa-dirty"):
        Comparison.of([], there, [result("bbb"), result("bbb")])


def test_turns_begin_with_the_other_and_then_with_this_one() -> None:
    """So a machine that becomes slower does so for both."""
    assert list(in_turns(4)) == [0, 1, 1, 0, 0, 1, 1, 0]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """Before anything runs."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="no checkout of this project"):
            compare(folder, [], rounds=1, data=None, as_json=True, json_file=None)


def test_a_checkout_that_prints_something_else_is_refused(tmp_path: Path) -> None:
    """Figures without machine and commit are not compared."""
    for n, printed in enumerate(("", "{}", '{"machine": {}}', "[1]")):
        other = checkout(tmp_path / str(n), f"print({printed!r})")
        with pytest.raises(ConfigError, match="printed no figures in JSON"):
            compare(other, [], rounds=1, data=None, as_json=True, json_file=None, here=other)


def test_an_option_that_this_command_does_not_know_ends_in_its_words(tmp_path: Path) -> None:
    """The words of the real command, of this very checkout, before anything is compiled."""
    here = measured(tmp_path, "bbb", *kernels(1.0))

    with pytest.raises(ConfigError) as refused:
        compare(ROOT, ["--later"], rounds=1, data=None, as_json=True, json_file=None, here=here)

    assert "no such option: --later" in str(refused.value)
    assert str(ROOT) in str(refused.value)
    assert not (tmp_path / "calls").exists()


def test_the_command_states_in_one_line_what_an_older_checkout_does_not_know(
    tmp_path: Path,
) -> None:
    """Exit code 2, nothing on stdout; and a report is of one checkout."""
    other = checkout(tmp_path / "old", REFUSING)

    def bench(*options: str) -> "subprocess.CompletedProcess[str]":
        words = ["bench", "--core", "--beside", str(other), *options]
        return subprocess.run(
            command(*words), env=environment(tmp_path), capture_output=True, text=True, check=False
        )

    refused = bench()
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("no such option: --core") == 1
    assert "compil" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("monitor: `monitor bench --core ")
    assert str(other) in refused.stderr.splitlines()[-1]
    reported = bench("--report", str(tmp_path / "report.md"))
    assert reported.returncode == 2
    assert "--report" in reported.stderr
