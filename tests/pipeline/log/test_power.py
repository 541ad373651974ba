"""Power cuts and torn files: what was acknowledged is there, and the log is whole."""

import random
import shutil
from pathlib import Path

import pytest

from pipeline.errors import LogError
from pipeline.log.store import AlertLog
from pipeline.log.verify import verify
from tests.support.disk import FILE_CALLS, Disk, Op, record_of_strace, recording_connect, straced
from tests.support.limits import tried
from tests.support.logs import alert
from tests.support.programs.appender import work

pytestmark = pytest.mark.system


def recorded(folder: Path, synchronous: str, commits: int) -> Disk:
    """Return what the log did to its files, on a file system that writes everything down."""
    disk = Disk()
    folder.mkdir()
    log = AlertLog(folder / "log", recording_connect(disk))
    log.rows(f"PRAGMA synchronous = {synchronous}")
    work(log, commits, 1, lambda line: disk.ops.append(Op("mark", data=line.encode())))
    log.close()
    return disk


def outcome(disk: Disk, at: int, chance: random.Random, folder: Path) -> str:
    """Cut the power there, begin again, and return what became of the log."""
    found, mark = disk.after_cut(at, chance)
    acked_seq, acked_entry = map(int, mark.split()) if mark else (0, 0)
    folder.mkdir()
    for name, content in found.items():
        (folder / name).write_bytes(content)
    try:
        with AlertLog(folder / "log") as log:
            if log.last_seq < acked_seq or log.last_entry < acked_entry:
                return "lost"
            held = log.read(1, 10**6)
            log.append([alert(1)])
    except LogError:
        return "unusable"
    if not verify(folder / "log").intact:
        return "damaged"
    assert [one.sample for one in held] == [one.seq for one in held]
    shutil.rmtree(folder)
    return "whole"


def outcomes(disk: Disk, folder: Path, cuts: int) -> list[str]:
    """Return what becomes of the log in cuts at any point, each with its own luck."""
    chance = random.Random(300)
    return [
        outcome(disk, chance.randrange(len(disk.ops) + 1), chance, folder / f"cut{n}")
        for n in range(cuts)
    ]


@tried(60, 300)
def test_no_power_cut_loses_what_was_acknowledged(tmp_path: Path, times: int) -> None:
    """Of all cuts 0 lose an acknowledged row, 0 leave a log that is not whole."""
    disk = recorded(tmp_path / "log", "FULL", 60)

    assert outcomes(disk, tmp_path, times) == ["whole"] * times


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
@tried(60, 300)
def test_no_power_cut_loses_what_the_process_acknowledged(tmp_path: Path, times: int) -> None:
    """The same for the system calls of a process with the SQLite that ships, and its folder."""
    folder, trace = tmp_path / "log", tmp_path / "trace"
    folder.mkdir()
    straced(folder / "log", trace, 60, FILE_CALLS)
    disk = record_of_strace(trace, folder)

    assert sum(op.what == "mark" for op in disk.ops) == 60
    assert outcomes(disk, tmp_path, times) == ["whole"] * times


@tried(60, 300)
def test_power_cuts_lose_rows_where_commits_are_not_synced(tmp_path: Path, times: int) -> None:
    """The test can fail: without FULL, acknowledged rows are lost; without syncs, worse."""
    normal, off = (
        outcomes(recorded(tmp_path / synchronous, synchronous, 60), tmp_path / synchronous, times)
        for synchronous in ("NORMAL", "OFF")
    )

    assert normal.count("lost") > times // 10
    assert normal.count("lost") + normal.count("whole") == times
    assert off.count("whole") < normal.count("whole")


@tried(80, 400)
def test_write_ahead_log_cut_anywhere_is_a_clean_prefix(tmp_path: Path, times: int) -> None:
    """Of any length: what is read is the state after one of the commits, never half of one."""
    source, folder = tmp_path / "source", tmp_path / "cut"
    source.mkdir()
    states = {0}
    chance = random.Random(400)
    with AlertLog(source / "log") as log:
        log.checkpoint()
        for n in range(40):
            log.append([alert(n) for _ in range(chance.choice([1, 3, 30]))])
            states.add(log.last_seq)
        length = log.wal_bytes
        for _ in range(times):
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*-shm"))
            with (folder / "log-wal").open("r+b") as wal:
                wal.truncate(chance.randrange(length))
            with AlertLog(folder / "log") as torn:
                assert torn.last_seq in states
                assert len(torn.read(1, 10**6)) == torn.last_seq
            assert verify(folder / "log").intact
            shutil.rmtree(folder)


@tried(40, 200)
def test_write_ahead_log_with_a_flipped_bit_is_a_clean_prefix(tmp_path: Path, times: int) -> None:
    """Damage in what is not folded into the file yet costs commits, and never gives wrong ones."""
    source, folder = tmp_path / "source", tmp_path / "flipped"
    source.mkdir()
    states = {0}
    chance = random.Random(200)
    with AlertLog(source / "log") as log:
        log.checkpoint()
        for n in range(40):
            log.append([alert(n)])
            states.add(log.last_seq)
        for _ in range(times):
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*-shm"))
            with (folder / "log-wal").open("r+b") as wal:
                at = chance.randrange(log.wal_bytes)
                wal.seek(at)
                byte = wal.read(1)[0]
                wal.seek(at)
                wal.write(bytes([byte ^ 1 << chance.randrange(8)]))
            with AlertLog(folder / "log") as torn:
                assert torn.last_seq in states
            assert verify(folder / "log").intact
            shutil.rmtree(folder)
