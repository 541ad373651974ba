"""``--record``: a run that is recorded, and killed, is played back with the same alarms."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.scan import scan_records
from replay.annotations import BEAT_SYMBOLS, read_annotations
from tests.monitor.run.test_killed_processes import kill
from tests.monitor.run.test_system import (
    DEADLINE_S,
    alerts_and_summary,
    finish,
    first_line,
    running,
    until,
)

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return the header of the recording of a run whose hub was killed, and the run's alerts."""
    folder = tmp_path_factory.mktemp("run")
    options = ["--speed", "20", "--json", "--port", "0", "--record", str(folder / "recording")]
    with running(folder, "replay", "demo", *options) as run:
        output = first_line(run)
        kill(run, "hub")
        output += run.communicate(timeout=2 * DEADLINE_S)[0]
    assert run.returncode == 0
    (header,) = (folder / "recording").glob("*.hea")
    return header, alerts_and_summary(output)[0]


@pytest.mark.timeout(300)
def test_a_recording_of_a_run_whose_hub_is_killed_has_the_same_beats_and_alarms(
    tmp_path: Path,
    killed: tuple[Path, list[str]],
    scanned: tuple[list[str], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Scanned, it gives what a scan of the record gives, and what the run itself gave."""
    header, recorded = killed
    assert [one for one in recorded if json.loads(one)["kind"] != "no_data"] == scanned[0]
    assert header.read_text().split()[3] == "43200"

    scan_records(
        [str(header.parent)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=True, beats=False, annotations=tmp_path,
    )  # fmt: skip

    alerts, summary = alerts_and_summary(capsys.readouterr().out.encode())
    assert alerts == scanned[0]
    for name in ("duration_s", "beats", "beats_not_analysable", "alerts"):
        assert summary[name] == scanned[1][name]
    shutil.copy(tmp_path / "demo.mon", header.with_suffix(".scan"))
    live, scan = (read_annotations(header, annotator) for annotator in ("mon", "scan"))
    marks = [
        [m for m in zip(one.sample.tolist(), one.symbol, strict=True) if m[1] in BEAT_SYMBOLS]
        for one in (live, scan)
    ]
    assert marks[0] == marks[1]
    assert len(marks[0]) == scanned[1]["beats"]


@pytest.mark.timeout(300)
def test_a_recording_is_played_through_the_whole_system_and_recorded_again(
    tmp_path: Path, killed: tuple[Path, list[str]], scanned: tuple[list[str], dict[str, Any]]
) -> None:
    """The same alarms and, in the copy, the same bytes; it is written as EDF+, too."""
    header, _ = killed
    copy = ["--record", str(tmp_path / "copy"), "--record-format", "edf"]

    run = finish(
        tmp_path, "replay", str(header.parent), "--speed", "max", "--json", "--port", "0", *copy
    )

    assert run.returncode == 0
    alerts, summary = alerts_and_summary(run.stdout)
    assert alerts == scanned[0]
    assert summary["beats"] == scanned[1]["beats"]
    (copied,) = (tmp_path / "copy").glob("*.dat")
    assert copied.read_bytes() == header.with_suffix(".dat").read_bytes()
    assert until(copied.with_suffix(".edf").exists, DEADLINE_S)
    assert {path.stat().st_mode & 0o077 for path in copied.parent.iterdir()} == {0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record-keep", "7d"], "go with --record DIR"),
        (["--record-format", "edf"], "go with --record DIR"),
        (["--record", "DIR", "--record-keep", "much"], "write 7d, 12h, 20GB, or 7d,20GB"),
        (["--record", "DIR", "--record-keep", "0d"], "write 7d, 12h, 20GB, or 7d,20GB"),
        (["--record", "FILE"], "name another folder with --record"),
    ],
)
def test_a_recording_that_cannot_begin_is_refused_in_one_line(
    tmp_path: Path, options: list[str], message: str
) -> None:
    """Exit code 2, before anything is started."""
    (tmp_path / "file").write_text("")
    named = {"DIR": str(tmp_path / "d"), "FILE": str(tmp_path / "file")}
    words = [named.get(word, word) for word in options]

    run = finish(tmp_path, "replay", "demo", "--plain", "--port", "0", *words)

    assert (run.returncode, run.stdout) == (2, b"")
    assert len(run.stderr.splitlines()) == 1
    assert message in run.stderr.decode()
