"""What a command writes about patients is for its owner alone, under the most open umask."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.cli import app as cli
from monitor.run.processes import child_command
from pipeline.clients.cursor import Position, store_position
from replay.headers import DEMO_RECORD
from tests.support.logs import changed, filled_log


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Forbid nothing, and check that nothing was left forbidden."""
    before = os.umask(0)
    yield
    assert os.umask(before) == 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run a command in this process to its end."""
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments])
    with pytest.raises(SystemExit, match="0"):
        cli.main()


def open_to_others(folder: Path) -> dict[str, str]:
    """Return what lies below a folder that others may read, write or enter, with its mode."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode & 0o777:o}"
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o077
    }


def test_exports_and_annotations_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so are the folders that are made for them."""
    log, out = tmp_path / "log.sqlite", tmp_path / "out"
    filled_log(log)
    forms = ["--csv", str(out / "a" / "a.csv"), "--json", str(out / "b" / "a.json")]
    run(monkeypatch, "log", "export", str(log), *forms, "--wfdb", str(out / "c"))
    samples = 10 * 360
    (tmp_path / "r.hea").write_text(f"r 1 360 {samples}\nr.dat 16 200 11 1024 0 0 0 MLII\n")
    (tmp_path / "r.dat").write_bytes(DEMO_RECORD.with_suffix(".dat").read_bytes()[: 2 * samples])
    run(monkeypatch, "scan", str(tmp_path / "r.hea"), "--annotations", str(out))

    written = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert written == {".csv", ".json", ".alarm", ".mon"}
    assert open_to_others(out) == {}


def test_a_removal_leaves_the_log_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is rewritten, with the mode that it had."""
    log = tmp_path / "log" / "log.sqlite"
    filled_log(log)
    changed(log, "DELETE FROM journal")
    log.parent.chmod(0o700)
    run(monkeypatch, "log", "forget", str(log), "100", "--yes")

    assert {path.name for path in log.parent.iterdir()} == {"log.sqlite"}
    assert open_to_others(tmp_path) == {}


def test_a_position_is_closed_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the file beside it, and also in a program of somebody else's."""
    modes = []
    replace = Path.replace

    def look(path: Path, target: Path) -> Path:
        modes.append(path.stat().st_mode & 0o777)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look)
    store_position(tmp_path / "position", Position("5f0c", 7))

    assert modes == [0o600]
    assert open_to_others(tmp_path) == {}


@pytest.mark.system
def test_the_log_of_a_hub_is_closed_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    """The file, its write-ahead log, their index, the lock, and folders that were not there."""
    log = tmp_path / "state" / "monitor" / "log.sqlite"
    command, environment = child_command(["hub", "--port", "0", "--log", str(log)])
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, umask=0) as hub:
        assert hub.stdout is not None
        assert b"ready" in hub.stdout.readline()
        names = {path.name for path in log.parent.iterdir()}
        found = open_to_others(tmp_path)
        hub.send_signal(signal.SIGTERM)
        hub.wait(60)

    assert names == {f"log.sqlite{end}" for end in ("", "-wal", "-shm", "-lock")}
    assert found == {}


def test_documents_and_databases_are_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are no patient's, and others use them: the user's umask decides."""
    seen = []
    monkeypatch.setattr(cli, "app", lambda **_: seen.append(os.umask(0)))
    for name in ("fetch", "evaluate", "train", "hub", "scan", "log"):
        monkeypatch.setattr(sys, "argv", ["monitor", name])
        with pytest.raises(SystemExit, match="0"):
            cli.main()

    assert seen == [0, 0, 0, 0o077, 0o077, 0o077]
