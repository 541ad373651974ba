"""`monitor log verify`: whatever is wrong with a log is found, and what is whole is said to be."""

import json
import random
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from monitor.cli import app as cli
from pipeline.errors import LogError, MonitorError
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog, Commit
from pipeline.log.verify import verify
from tests.support.logs import alert, changed, filled_log, old_log, seen, strip, trend


def checked(path: Path) -> list[str]:
    """Return what is found, an error that ends the check included."""
    try:
        return verify(path).damage
    except MonitorError as error:
        return [str(error)]


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments])
    try:
        cli.main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_whole_log_is_intact(tmp_path: Path) -> None:
    """Nothing is found in a log that nobody touched, and everything is counted."""
    path = tmp_path / "log.sqlite"
    filled_log(path)

    found = verify(path)

    assert found.damage == []
    assert (found.alerts, found.first_seq, found.last_seq) == (40, 1, 40)
    assert (found.strips, found.standing, found.entries, found.snapshots) == (10, 3, 6, 3)


DAMAGE = {
    "changed": (
        "UPDATE alert SET body = replace(body, '31 %', '13 %') WHERE seq = 7",
        ["alert 7 is damaged: checksum differs", "alert 7: the chain breaks here"],
    ),
    "removed": ("DELETE FROM alert WHERE seq = 7", ["alert 7: missing"]),
    "a minute changed": (
        "UPDATE trend SET body = replace(body, '70.1', '60.1') WHERE n = 7",
        ["trend 7 is damaged: checksum differs"],
    ),
    "removed at the end": (
        "DELETE FROM alert WHERE seq > 38",
        ["alert 39 to 40: missing", "meta: the chain does not end as it should"],
    ),
    "removed at the beginning": ("DELETE FROM alert WHERE seq < 3", ["alert 1 to 2: missing"]),
    "put in": (
        "INSERT INTO alert SELECT 41, stream, crc32, body, chain FROM alert WHERE seq = 40",
        ["alert 41: beyond 1 to 40"],
    ),
    "under another stream": (
        "UPDATE alert SET stream = '101' WHERE seq = 7",
        ["alert 7: its row says another stream, 101"],
    ),
    "strip of another alert": (
        "UPDATE strip SET seq = 5 WHERE seq = 4",
        ["strip 5 is damaged: checksum differs"],
    ),
    "strip of none": ("UPDATE strip SET seq = 50 WHERE seq = 4", ["strip 50"]),
    "strip removed": ("DELETE FROM strip WHERE seq = 4", ["meta: bytes_held is"]),
    "entry changed": ("UPDATE journal SET body = x'00' WHERE n = 38", ["entry 38 is damaged"]),
    "entry removed": ("DELETE FROM journal WHERE n = 38", ["entry 38: missing"]),
    "snapshot of another": (
        "UPDATE snapshot SET n = n - 1 WHERE stream = '1'",
        ["snapshot of 1 is damaged"],
    ),
    "alarm made active": (
        "INSERT INTO standing SELECT stream, 'asystole-0-1', seq, crc32, body FROM alert"
        " WHERE seq = 3",
        ["standing: 100 asystole-0-1 does not follow from the alerts"],
    ),
    "alarm hidden": (
        "DELETE FROM standing WHERE seq = 40",
        ["standing: 100 asystole-0-13 does not follow from the alerts"],
    ),
    "newest number": ("UPDATE meta SET last_seq = 39", ["meta is damaged: checksum differs"]),
    "second meta": ("INSERT INTO meta SELECT * FROM meta", ["meta: more than one row"]),
    "another table": ("CREATE TABLE x (y)", ["structure: the table x is not declared as it was"]),
    "application": ("PRAGMA application_id = 7", ["the header does not say"]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    """A row that was changed, removed, put in or moved is found, and the line says where."""
    statement, expected = DAMAGE[case]
    path = tmp_path / "log.sqlite"
    filled_log(path)
    changed(path, statement)

    found = checked(path)

    for line in expected:
        assert any(line in one for one in found), found


def test_rewritten_row_with_its_checksum_breaks_the_chain(tmp_path: Path) -> None:
    """Whoever changes a row and makes its checksum fit is found by the chain."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    with closing(sqlite3.connect(path)) as db:
        from zlib import crc32

        (body,) = db.execute("SELECT body FROM alert WHERE seq = 7").fetchone()
        forged = body.replace(b"31 %", b"13 %")
        db.execute("UPDATE alert SET body = ?, crc32 = ? WHERE seq = 7", (forged, crc32(forged)))
        db.commit()

    assert checked(path)[0] == "alert 7: the chain breaks here"


def test_exchanged_rows_are_found(tmp_path: Path) -> None:
    """Two alerts in each other's place are not what was written."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    changed(
        path,
        "UPDATE alert SET seq = -7 WHERE seq = 7",
        "UPDATE alert SET seq = 7 WHERE seq = 8",
        "UPDATE alert SET seq = 8 WHERE seq = -7",
    )

    found = checked(path)

    assert "alert 7 is damaged: it says that it is 8" in found
    assert "alert 8: the chain breaks here" in found


def test_log_put_together_from_another_is_found(tmp_path: Path) -> None:
    """Alerts of another log do not pass for this one's, though their own chain is whole."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for path in (mine, other):
        with AlertLog(path) as log:
            log.append([alert(n) for n in range(5)])
    changed(
        mine,
        f"ATTACH '{other}' AS other",
        "DELETE FROM alert",
        "INSERT INTO alert SELECT * FROM other.alert",
    )

    assert "alert 1: the chain breaks here" in checked(mine)


def test_every_flip_that_a_reader_would_see_is_found(tmp_path: Path) -> None:
    """Bits of a checkpointed file are flipped until 200 were found: no other one changes a thing.

    What is not found lies in those parts of pages that hold nothing, about half of so small a log.
    """
    path, bad = tmp_path / "log.sqlite", tmp_path / "bad.sqlite"
    filled_log(path)
    whole, before = path.read_bytes(), seen(path)
    random_number, found, flips = random.Random(1), 0, 0
    while found < 200:
        at, flips = random_number.randrange(len(whole)), flips + 1
        flip = 1 << random_number.randrange(8)
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        if checked(bad):
            found += 1
        else:
            assert seen(bad) == before, f"byte {at} ^ {flip:#x} is not noticed"

    assert flips < 800


def test_flips_in_rows_are_all_found(tmp_path: Path) -> None:
    """Of 200 flips within the bodies of alerts, 200 are found: there is no luck in it."""
    path, bad = tmp_path / "log.sqlite", tmp_path / "bad.sqlite"
    filled_log(path)
    whole, random_number = path.read_bytes(), random.Random(3)
    with LogReader(path) as reader:
        bodies = [body for (body,) in reader.rows("SELECT body FROM alert")]
    for _ in range(200):
        body = random_number.choice(bodies)
        at = whole.index(body) + random_number.randrange(len(body))
        flip = 1 << random_number.randrange(8)
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        assert checked(bad), f"byte {at} ^ {flip:#x}"


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_older_log_is_read_as_it_is_and_upgraded_whole(version: int, tmp_path: Path) -> None:
    """A log of any version so far is intact before and after it is opened for writing."""
    path = tmp_path / "log.sqlite"
    old_log(path, version)
    before = verify(path)
    with LogReader(path) as reader:
        alerts, standing, kept = reader.read(1, 10), reader.active_alarms(), reader.strip(1)
        trends = reader.trends()

    with AlertLog(path) as log:
        assert (log.read(1, 10), log.active_alarms(), log.strip(1)) == (alerts, standing, kept)
        log.commit(Commit(alerts=[alert(9)], trends=[trend(9)]))
        assert log.trends() == [*trends, (len(trends) + 1, trend(9))]
        log.commit(Commit(strips=[(4, strip(9))]))
    after = verify(path)

    assert (before.version, before.damage, before.alerts) == (version, [], 3)
    assert (after.version, after.damage, after.alerts) == (4, [], 4)
    assert len(trends) == (1 if version == 4 else 0)
    assert len(standing) == (0 if version == 1 else 1)
    assert (kept is not None) == (version > 1)


def test_damaged_row_of_an_older_log_stays_damaged_through_the_upgrade(tmp_path: Path) -> None:
    """Upgrading blesses nothing: what was wrong before is found after."""
    path = tmp_path / "log.sqlite"
    old_log(path, 2)
    changed(
        path,
        "UPDATE alert SET body = replace(body, 'asystole', 'asystolf') WHERE seq = 2",
        "UPDATE strip SET body = x'00'",
    )
    AlertLog(path).close()

    found = checked(path)

    assert "alert 2 is damaged: checksum differs" in found
    assert "strip 1 is damaged: checksum differs" in found


def test_log_of_a_newer_version_is_refused_by_its_number(tmp_path: Path) -> None:
    """Neither the writer nor a reader touches what it cannot know."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    changed(path, "UPDATE meta SET version = 5")

    for opened in (AlertLog, LogReader, verify):
        with pytest.raises(LogError, match="version 5, this program reads up to 4"):
            opened(path)


def test_check_leaves_no_trace(tmp_path: Path) -> None:
    """A log that nobody writes is only read: no file beside it, not a byte changed."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    before = path.read_bytes()

    assert verify(path).intact

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_check_of_a_log_that_is_being_written_sees_what_is_committed(tmp_path: Path) -> None:
    """What is only in the write-ahead log yet counts, and the writer does not notice."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(n) for n in range(1200)])
        for _ in range(3):
            assert verify(path).alerts == log.last_seq
            log.append([alert(1)])
        log.checkpoint()
        assert log.wal_bytes == 0


def test_alerts_removed_during_the_check_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that removes old alerts as it should does not make the check cry wolf."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(n, episode="e") for n in range(2000)])

        def on_progress(done: int, total: int) -> None:
            if done == 500:
                log.remove_before(1501)

        found = verify(path, on_progress)

    assert found.damage == []
    assert found.alerts == 500 + 500


def test_reader_notices_a_writer_that_begins(tmp_path: Path) -> None:
    """A log that nobody had open when it was opened is read right when a hub goes on with it."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    with LogReader(path) as reader, AlertLog(path) as log:
        log.append([alert(1)])
        assert reader.meta().last_seq == 41
        log.checkpoint()
        log.append([alert(2)])
        assert [one.seq for one in reader.read(41, 10)] == [41, 42]


def test_log_in_a_folder_that_is_read_only_can_be_read(tmp_path: Path) -> None:
    """An archive need not be writable."""
    folder = tmp_path / "archive"
    folder.mkdir()
    filled_log(folder / "log.sqlite")
    folder.chmod(0o500)
    try:
        assert verify(folder / "log.sqlite").intact
    finally:
        folder.chmod(0o700)


def test_command_lists_the_damage_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 and one line for a whole log; exit 2 and a line for each finding otherwise."""
    path = tmp_path / "log.sqlite"
    filled_log(path)
    assert exit_code(monkeypatch, "log", "verify", str(path)) == 0
    assert capsys.readouterr().out.endswith("\nintact\n")

    changed(path, "DELETE FROM alert WHERE seq = 7")
    assert exit_code(monkeypatch, "log", "verify", str(path)) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("alert 7: missing\n")
    assert printed.err.count("\n") == 1
    assert "is damaged" in printed.err

    assert exit_code(monkeypatch, "log", "verify", str(path), "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["damage"][0] == "alert 7: missing"
    assert not found["intact"]


@pytest.mark.parametrize("what", ["nothing", "a letter", "half a log", "an empty file"])
def test_what_is_no_log_is_refused_with_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and a line that says what is wrong, whatever file is named."""
    path = tmp_path / "log.sqlite"
    if what == "a letter":
        path.write_text("Dear reader,\n" * 500)
    elif what == "half a log":
        filled_log(tmp_path / "whole")
        shutil.copy(tmp_path / "whole", path)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    elif what == "an empty file":
        path.touch()

    assert exit_code(monkeypatch, "log", "verify", str(path)) == 2
    assert capsys.readouterr().err.count("\n") == 1
