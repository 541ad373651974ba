"""``--record``: a run that is recorded, and killed, is played back with the same alarms."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

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


def test_a_recording_of_a_run_whose_hub_is_killed_has_the_same_beats_and_alarms(
    tmp_path: Path, scanned: tuple[list[str], dict[str, Any]]
) -> None:
    """Played through the whole system and scanned: as the record that was recorded."""
    folder = tmp_path / "recording"
    options = ["--speed", "20", "--json", "--port", "0", "--record", str(folder)]
    with running(tmp_path, "replay", "demo", *options) as run:
        output = first_line(run)
        kill(run, "hub")
        output += run.communicate(timeout=2 * DEADLINE_S)[0]
    assert run.returncode == 0
    recorded, _ = alerts_and_summary(output)
    assert [one for one in recorded if json.loads(one)["kind"] != "no_data"] == scanned[0]
    (header,) = folder.glob("*.hea")
    assert header.read_text().split()[3] == "43200"

    played = ["replay", str(folder), "--speed", "max", "--json", "--port", "0"]
    copy = ["--record", str(tmp_path / "copy"), "--record-format", "edf"]
    again = finish(tmp_path, *played, *copy)
    offline = finish(tmp_path, "scan", str(folder), "--json", "--annotations", str(tmp_path))

    assert (again.returncode, offline.returncode, offline.stderr) == (0, 0, b"")
    for run_again in (again, offline):
        alerts, summary = alerts_and_summary(run_again.stdout)
        assert alerts == scanned[0]
        for name in ("duration_s", "beats", "beats_not_analysable", "alerts"):
            assert summary[name] == scanned[1][name]
    os.replace(tmp_path / "demo.mon", folder / f"{header.stem}.scan")
    live, scan = (read_annotations(header, annotator) for annotator in ("mon", "scan"))
    marks = [
        [m for m in zip(one.sample.tolist(), one.symbol, strict=True) if m[1] in BEAT_SYMBOLS]
        for one in (live, scan)
    ]
    assert marks[0] == marks[1]
    assert len(marks[0]) == scanned[1]["beats"]
    # A recording of the recording has the same bytes, and here is written as EDF+, too.
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
