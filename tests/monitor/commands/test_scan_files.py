"""Files of all kinds through `monitor.analyze` and `monitor scan`: the same beats."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import monitor
from monitor.commands.scan import scan_records
from pipeline.errors import ConfigError, InputError
from replay.files.stated import NOTHING, Stated
from replay.headers import DEMO_RECORD, load_header
from replay.lead_sets.frames import read_frames
from tests.monitor.run.test_system import command, environment
from tests.support import recordings

pytestmark = pytest.mark.system

SECONDS = 60


@pytest.fixture(scope="module")
def adc() -> NDArray[np.int64]:
    """Return a minute of the demo, int [n, 1]."""
    header = load_header(DEMO_RECORD)
    return read_frames(header, [0], 0, SECONDS * recordings.RATE_HZ)[0][:, np.newaxis]


def scan(*records: Path, stated: Stated = NOTHING, recursive: bool = False) -> None:
    """Scan records as the command does, printing their beats."""
    scan_records(
        list(map(str, records)), lead=None, false_alerts_per_hour=None, alarms=None,
        pseudonyms=None, as_json=False, beats=True, annotations=None, stated=stated,
        recursive=recursive,
    )  # fmt: skip


def test_the_same_record_gives_the_same_beats_through_every_format(
    tmp_path: Path, adc: NDArray[np.int64]
) -> None:
    """R peaks, classes and alarms of EDF, CSV, npy and the others are those of the WFDB record."""
    expected = monitor.analyze(recordings.wfdb_record(tmp_path, adc)[0])
    assert len(expected.beats) > 60
    for kind in ("EDF", "EDF by hand", "EDF+", "BDF", "CSV with times", "NumPy", "Parquet"):
        path, stated = recordings.WRITERS[kind](tmp_path, adc)
        renamed = {{"fs_hz": "fs"}.get(name, name): value for name, value in stated.items()}
        found = monitor.analyze(path, **renamed)

        for field in ("sample", "beat_class", "anomalous", "analysable"):
            np.testing.assert_array_equal(found.beats[field], expected.beats[field], kind)
        np.testing.assert_allclose(found.beats["score"], expected.beats["score"], rtol=1e-3)
        assert [(a.kind, a.begin_s) for a in found.alarms] == [
            (a.kind, a.begin_s) for a in expected.alarms
        ], kind


def test_what_a_file_does_not_say_is_stated_in_python(
    tmp_path: Path, adc: NDArray[np.int64]
) -> None:
    """Rate, unit and columns; what is missing is asked for by the names of Python's arguments."""
    path, _ = recordings.csv_without_names(tmp_path, np.hstack([adc, adc // 2]))
    found = monitor.analyze(path, 360, unit="uV", columns=["1", "0"])
    assert found.summary.leads == ("column 1", "column 0")
    assert found.summary.name == "n"
    with pytest.raises(ValueError, match=r"does not state its unit: give it with unit mV, uV or V"):
        monitor.analyze(path, 360)
    with pytest.raises(ValueError, match=r"rate and its unit: give them with fs in Hz and unit mV"):
        monitor.analyze(path)
    (note,) = monitor.analyze(path, 360, unit="uV").summary.notes
    assert note.endswith("; leads= takes another")


def test_a_folder_is_scanned_to_its_end_whatever_is_in_it(
    tmp_path: Path, adc: NDArray[np.int64], capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad record is skipped with its reason; names have spaces and umlauts; below, if asked."""
    below = tmp_path / "Zoë Müller"
    below.mkdir()
    recordings.csv_with_times(below, adc)[0].rename(below / "nächste Nacht.csv")
    recordings.edf(tmp_path, adc)
    (tmp_path / "cut.edf").write_bytes((tmp_path / "e.edf").read_bytes()[:5000])
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")

    scan(tmp_path, recursive=True)

    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert summary["streams"] == ["n_chste_Nacht", "e"]
    assert summary["beats"] > 120
    assert {Path(path).name for path in summary["skipped"]} == {"cut.edf", "x.h5"}
    assert "skipped cut.edf: EDF file" in err
    assert "truncated" in err
    assert "skipped x.h5: an HDF5 file; export it as EDF or CSV" in err


def test_a_record_of_a_folder_that_cannot_be_read_to_its_end_ends_no_scan(
    tmp_path: Path, adc: NDArray[np.int64], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and the next one is scanned; named by itself it is an error."""
    good, stated = recordings.csv_without_names(tmp_path, adc)
    bad = tmp_path / "a bad one.csv"
    bad.write_text(good.read_text() + "broken\n")

    scan(tmp_path, stated=Stated.of(**stated))

    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert summary["streams"] == ["a_bad_one", "n"]
    assert list(summary["skipped"]) == [str(bad)]
    assert "skipped a bad one.csv: text" in err
    with pytest.raises(InputError, match="broken"):
        scan(bad, stated=Stated.of(**stated))


def test_an_amplitude_that_no_heart_has_is_noted(
    tmp_path: Path, adc: NDArray[np.int64], capsys: pytest.CaptureFixture[str]
) -> None:
    """A hundredfold amplitude is a question on stderr; the scan goes on."""
    path, _ = recordings.npy(tmp_path, adc)
    np.save(path, 100 * recordings.mv(adc))
    scan(path, stated=Stated.of(fs_hz=360, unit="mV"))

    assert re.search(r"a: QRS of \d+ mV: is the gain 20, not 200", capsys.readouterr().err)


def test_the_command_refuses_in_one_line(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Exit code 2, a line on stderr that says what to do, and nothing on stdout."""
    path, _ = recordings.npy(tmp_path, adc)
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for words, reason in (
        (["scan", str(path)], "give them with --fs"),
        (["replay", str(path), "--fs", "360", "--unit", "bar"], "write mV, uV or V"),
        (["scan", str(tmp_path / "x.h5")], "an HDF5 file"),
    ):
        run = subprocess.run(
            command(*words), env=environment(tmp_path),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1), run.stderr
        assert reason in run.stderr


def test_a_file_is_replayed_as_it_is_scanned(
    tmp_path: Path, adc: NDArray[np.int64], capsys: pytest.CaptureFixture[str]
) -> None:
    """The options reach the process that reads the file, and every beat arrives."""
    path, _ = recordings.csv_without_names(tmp_path, adc)
    stated = ["--fs", "360", "--unit", "uV"]
    run = subprocess.run(
        command("replay", str(path), *stated, "--speed", "max", "--json", "--port", "0"),
        env=environment(tmp_path), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    scan(path, stated=Stated.of(360, "uV"))

    assert run.returncode == 0, run.stderr
    replayed = json.loads(run.stdout.splitlines()[-1])
    scanned = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (replayed["beats"], replayed["alerts"]) == (scanned["beats"], scanned["alerts"])


def test_options_are_passed_on_as_they_were_given() -> None:
    """What a run states to its source is what was stated to the run."""
    stated = Stated.of(511.543, "uV", "a b,c")
    words = stated.arguments()
    assert Stated.of(float(words[1]), words[3], words[5]) == stated
    assert NOTHING.arguments() == []
    with pytest.raises(ConfigError):
        Stated.of(columns="")
