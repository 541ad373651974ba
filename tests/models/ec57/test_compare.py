"""`monitor evaluate ec57`: which records, which figures, and one line for what cannot be used."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from models.ec57.compare import choose_records, compare_records
from monitor.cli import app as cli
from monitor.measure.output import WIDTH
from pipeline.errors import InputError
from replay.annotations import read_annotations
from replay.records import write_beats

FS_HZ = 128
BEATS = np.arange(100, 320 * FS_HZ, 100)
"""A beat every 0.78 s, for 320 s: the first 300 are for learning."""

COUNTED = BEATS[BEATS >= 300 * FS_HZ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records ``a`` and ``b`` at 128 Hz: spikes, a reference, and a test that is 2 samples late."""
    spikes = np.zeros(320 * FS_HZ)
    for offset, height in ((-2, 100), (-1, 200), (0, 300), (1, 150), (2, -100)):
        spikes[BEATS + offset] = height
    for name in ("a", "b"):
        (tmp_path / f"{name}.hea").write_text(
            f"{name} 1 {FS_HZ} {spikes.size}\n{name}.dat 16 200 16 0 0 0 0 II\n"
        )
        spikes.astype("<i2").tofile(tmp_path / f"{name}.dat")
        write_beats(tmp_path, name, "atr", BEATS, ["N"] * BEATS.size, FS_HZ)
    write_beats(tmp_path, "a", "late", BEATS[:-1] + 2, ["V"] * (BEATS.size - 1), FS_HZ)
    return tmp_path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``monitor evaluate ec57`` and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", "ec57", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_records_are_those_that_have_both_annotators(folder: Path) -> None:
    """Unless they are named; then each has to have what is asked for."""
    assert [path.stem for path in choose_records(folder, "atr", None, None)] == ["a", "b"]
    assert [path.stem for path in choose_records(folder, "atr", "late", None)] == ["a"]
    assert [path.stem for path in choose_records(folder, "atr", None, ["b"])] == ["b"]
    for names in (["b"], ["a", "b"], ["none"], []):
        with pytest.raises(InputError, match=r"no annotator|no record|no header"):
            choose_records(folder, "atr", "late", names)


def test_files_are_compared_without_signals(folder: Path) -> None:
    """A constant delay is no error of the position; it is reported separately."""
    (folder / "a.dat").unlink()
    record, gross, average = compare_records([folder / "a.hea"], "atr", "late")

    assert record.beats.qrs.tps == gross.beats.qrs.tps == COUNTED.size - 1
    assert record.beats.qrs.fn == 1
    assert record.matrix["N"]["v"] == COUNTED.size - 1
    assert record.position_offset_ms == pytest.approx(2000 / FS_HZ)
    assert record.rms_position_error_ms == gross.rms_position_error_ms == 0
    assert average.beats.qrs.positive_predictivity == 100


def test_position_errors_are_pooled_over_beats(folder: Path) -> None:
    """Each record's own offset is removed; what remains is squared and averaged over all beats."""
    shaken = BEATS + np.where(np.arange(BEATS.size) % 2, 3, -1)
    write_beats(folder, "a", "x", shaken, ["N"] * BEATS.size, FS_HZ)
    write_beats(folder, "b", "x", BEATS + 5, ["N"] * BEATS.size, FS_HZ)
    first, second, gross, _ = compare_records([folder / "a.hea", folder / "b.hea"], "atr", "x")
    errors = (shaken - BEATS)[-COUNTED.size :] * 1000 / FS_HZ

    assert first.rms_position_error_ms == pytest.approx(errors.std())
    assert second.rms_position_error_ms == pytest.approx(0)
    assert gross.rms_position_error_ms == pytest.approx(errors.std() / np.sqrt(2))


def test_the_detector_is_compared_at_the_records_rate(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object a line; what it found is written, and compares as it did."""
    data = ("--data", str(folder), "--records", "a", "--json")
    extra = ("--against", "detector", "--annotations", str(folder), "--lead", "all")
    assert command(monkeypatch, *data, *extra) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert command(monkeypatch, *data, "--test", "det") == 0
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [line["kind"] for line in lines] == ["record", "gross", "average"]
    assert [line.pop("leads", None) for line in lines] == [["II"], {"II": 1}, None]
    assert [line.pop("leads", None) for line in again] == [[], {}, None]
    assert lines == again
    assert lines[0]["qrs"]["sensitivity"] == lines[0]["qrs"]["positive_predictivity"] == 100
    assert read_annotations(folder / "a", "det").fs == FS_HZ


def test_tables_fit_and_hold_the_figures(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes and runs only where the annotator names classes."""
    assert command(monkeypatch, "--data", str(folder), "--test", "late") == 0
    named = capsys.readouterr().out
    assert command(monkeypatch, "--data", str(folder), "--against", "detector") == 0
    detected = capsys.readouterr().out

    assert max(map(len, (named + detected).splitlines())) <= WIDTH
    assert f"{100 * (COUNTED.size - 1) / COUNTED.size:.2f}" in named
    assert "Ventricular runs" in named
    assert "V Se" in named
    assert "100.00" in detected
    assert "Leads (records): II (2)." in detected
    assert "Leads" not in named
    assert "Ventricular runs" not in detected
    assert "V Se" not in detected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--test", "late", "--against", "detector"), "--test EXT or --against detector"),
        ((), "--test EXT or --against detector"),
        (("--test", "late", "--annotations", "."), "add --against detector"),
        (("--against", "detector", "--annotations", "nowhere"), "create it"),
        (("--test", "late", "--lead", "all"), "add --against detector"),
        (("--against", "detector", "--lead", "aVF"), "no record has the leads 'aVF'"),
        (("--test", "none"), "has an annotator"),
        (("--test", "../late"), "letters, digits"),
        (("--test", "late", "--records", "b"), "no annotator 'late'"),
        (("--test", "late", "--records", "../../etc/c"), "no record"),
        (("--test", "late", "--reference", "none"), "has an annotator"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    """Exit code 2, nothing on stdout."""
    assert command(monkeypatch, "--data", str(folder), *options) == 2
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_record_that_ends_while_learning_is_one_line(folder: Path) -> None:
    """It says which record, and how to leave it out."""
    (folder / "a.hea").write_text(f"a 1 {FS_HZ} 1000\na.dat 16\n")
    with pytest.raises(InputError, match=r"a\.hea.*--records"):
        list(compare_records([folder / "a.hea"], "atr", "late"))
