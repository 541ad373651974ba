"""Comparisons are those of the WFDB programs, to the letter of what these print.

The golden files come from ``bxb -r R -a atr T``, ``rxr -r R -a atr T``,
``bxb -r R -a atr T -L bxb.T.out sd.T.out`` for ten records R of mitdb, and ``sumstats bxb.T.out``.
T is ``qrs``, what ``gqrs`` found, or ``tst``, the reference perturbed.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from models.ec57.bxb import BeatComparison, compare_beats
from models.ec57.rxr import compare_runs
from monitor.cli import app as cli
from replay.annotations import Annotations, read_annotations, record_extent
from tests.support.databases import database
from tests.support.ec57_text import (
    BEATS_HEAD,
    SHUTDOWN_HEAD,
    beats_line,
    beats_report,
    runs_report,
    shutdown_line,
    sumstats_report,
)
from tests.support.paths import ROOT

RECORDS = ("100", "105", "108", "114", "119", "200", "203", "207", "222", "232")
TESTS = ("qrs", "tst")


def golden() -> Path:
    """Return the folder of golden files, which lies beside the databases, or skip the test."""
    for root in (os.environ.get("MONITOR_DATA"), ROOT.parent / "shared" / "data"):
        if root and (folder := Path(root).parent / "golden" / "ec57").is_dir():
            return folder
    pytest.skip("no golden files: a folder golden/ec57 beside the one that MONITOR_DATA names")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Headers, references and test annotators of the ten records in one folder, no signals."""
    mitdb, outputs, together = database("mitdb"), golden(), tmp_path_factory.mktemp("ec57")
    for record in RECORDS:
        files = [mitdb / f"{record}.hea", mitdb / f"{record}.atr"]
        for file in (*files, *(outputs / f"{record}.{test}" for test in TESTS)):
            shutil.copyfile(file, together / file.name)
    return together


Beats = dict[tuple[str, str], BeatComparison]
Comparable = tuple[Annotations, Annotations, float, int | None]


def annotators(folder: Path, record: str, test: str) -> Comparable:
    """Return reference, test annotator, rate and length of a record."""
    rate_hz, frames = record_extent(folder / record)
    true, found = (read_annotations(folder / record, name) for name in ("atr", test))
    return true, found, rate_hz, frames


@pytest.fixture(scope="module")
def beats(folder: Path) -> Beats:
    """All comparisons beat by beat."""
    return {
        (record, test): compare_beats(*annotators(folder, record, test))
        for record in RECORDS
        for test in TESTS
    }


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("record", RECORDS)
def test_beats_are_those_of_bxb(beats: Beats, record: str, test: str) -> None:
    """Matrix, statistics and shutdown of one record, S counted as N."""
    expected = (golden() / f"{record}.{test}.bxb.txt").read_text()

    assert beats_report(record, test, beats[record, test]) == expected


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("record", RECORDS)
def test_runs_are_those_of_rxr(folder: Path, record: str, test: str) -> None:
    """Both matrices and the statistics of ventricular runs."""
    expected = (golden() / f"{record}.{test}.rxr.txt").read_text()
    got = compare_runs(*annotators(folder, record, test))

    assert runs_report(record, test, got) == expected


@pytest.mark.parametrize("test", TESTS)
def test_lines_with_sveb_are_those_of_bxb(beats: Beats, test: str) -> None:
    """Counts with S apart, RR errors and the beats missed in shutdown."""
    got = {record: beats[record, test] for record in RECORDS}
    lines = BEATS_HEAD + "".join(beats_line(record, one) for record, one in got.items())
    shutdown = SHUTDOWN_HEAD + "".join(shutdown_line(record, one) for record, one in got.items())

    assert lines == (golden() / f"bxb.{test}.out").read_text()
    assert shutdown == (golden() / f"sd.{test}.out").read_text()


@pytest.mark.parametrize("test", TESTS)
def test_gross_and_average_are_those_of_sumstats(beats: Beats, test: str) -> None:
    """Sums, gross and average lines over ten records."""
    got = {record: beats[record, test] for record in RECORDS}

    assert sumstats_report(got) == (golden() / f"sumstats.{test}.txt").read_text()


def test_command_prints_the_figures_of_the_programs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`monitor evaluate ec57 --json`: a line a record, then gross and average."""
    options = ["--data", str(folder), "--test", "tst", "--records", "203,207", "--json"]
    monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", "ec57", *options])
    with pytest.raises(SystemExit) as left:
        cli.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert left.value.code == 0
    assert [line["kind"] for line in lines] == ["record", "record", "gross", "average"]
    assert lines[1]["matrix"]["S"]["s"] == 104
    assert lines[1]["long_runs"]["tpp"] == 2
    assert round(lines[1]["rms_rr_error_ms"], 2) == 168.22
    assert lines[2]["veb"]["tps"] == 365 + 105
