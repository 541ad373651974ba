"""The alert log: contiguous numbers, committed whole, damage noticed."""

import sqlite3
import threading
from pathlib import Path

import pytest

from pipeline.errors import LogError
from pipeline.log.links import read_published
from pipeline.log.store import AlertLog, Commit
from pipeline.log.verify import verify
from pipeline.schema.alert import numbered
from tests.support.held_disk import HeldDisk
from tests.support.logs import alert, strip
from tests.support.running import DEADLINE_S


def test_numbers_are_contiguous_across_batches_and_reopening(tmp_path: Path) -> None:
    """The log goes on counting where it stopped, under the same id."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        first = log.append([alert(1), alert(2)])
        log_id = log.log_id
    with AlertLog(path) as log:
        second = log.append([alert(3)])
        read = log.read(1, 10)

        assert [one.seq for one in first + second] == [1, 2, 3]
        assert [one.sample for one in read] == [1, 2, 3]
        assert {one.log_id for one in read} == {log_id}
        assert (log.last_seq, log.low_water_seq) == (3, 1)


def test_alert_read_back_is_the_alert_that_was_logged(tmp_path: Path) -> None:
    """Nothing of an alert changes in the log."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        logged = log.append([alert(7)])

        assert read_published(log, 1, 10) == logged
        assert log.read(1, 10) == [numbered(alert(7), log.log_id, 1)]


def test_read_returns_pages_in_order(tmp_path: Path) -> None:
    """A page begins where it was asked to and is no longer than asked."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        log.append([alert(n) for n in range(1, 11)])

        assert [one.seq for one in log.read(4, 3)] == [4, 5, 6]


def test_commits_survive_power_cuts_by_setting(tmp_path: Path) -> None:
    """The log runs with a write-ahead log and syncs every commit."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        (journal,) = log._db.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = log._db.execute("PRAGMA synchronous").fetchone()

        assert (journal, synchronous) == ("wal", 2)


def test_failed_commit_writes_nothing_and_leaves_the_log_usable(tmp_path: Path) -> None:
    """After a failure the numbers go on without a hole."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(1)])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        log._db.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(LogError):
            log.append([alert(2), alert(3)])
        other.execute("ROLLBACK")
        other.close()

        assert [one.seq for one in log.append([alert(2)])] == [2]


def test_flipped_bit_in_a_row_is_noticed(tmp_path: Path) -> None:
    """A row whose body changed is refused by name, not passed on."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(1)])
    other = sqlite3.connect(path)
    other.execute("UPDATE alert SET body = replace(body, 'premature', 'premature!')")
    other.commit()
    other.close()

    with AlertLog(path) as log, pytest.raises(LogError, match="alert 1 is damaged"):
        log.read(1, 10)


def test_foreign_file_is_refused_and_not_changed(tmp_path: Path) -> None:
    """A file that is no log is not overwritten."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Willem,\n" * 200)

    with pytest.raises(LogError, match="no alert log"):
        AlertLog(path)
    assert path.read_text().startswith("Dear Willem")


def test_log_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A log written by a later version is not touched."""
    path = tmp_path / "log.sqlite"
    AlertLog(path).close()
    other = sqlite3.connect(path)
    other.execute("UPDATE meta SET version = 99")
    other.commit()
    other.close()

    with pytest.raises(LogError, match="version 99"):
        AlertLog(path)


def test_what_is_committed_together_is_there_together(tmp_path: Path) -> None:
    """Alerts, entries and snapshots of one commit come back after reopening, or none of them."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.commit(Commit(alerts=[alert(1)], entries=[b"a", b"b"]))
        log.commit(Commit(entries=[b"c"], snapshots={"100": b"state"}))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        log._db.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(LogError):
            log.commit(Commit(alerts=[alert(2)], entries=[b"d"], snapshots={"100": b"later"}))
        other.execute("ROLLBACK")
        other.close()
    with AlertLog(path) as log:
        assert log.entries() == [(1, b"a"), (2, b"b"), (3, b"c")]
        assert log.snapshots() == {"100": (3, b"state")}
        assert (log.last_seq, log.last_entry) == (1, 3)


def test_entries_no_longer_needed_are_dropped_and_their_numbers_never_reused(
    tmp_path: Path,
) -> None:
    """The journal goes on counting, even where only a snapshot remains."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.commit(Commit(entries=[b"a", b"b"]))
        log.commit(Commit(entries=[b"c"], snapshots={"100": b"x"}, entries_needed_from=4))
    with AlertLog(path) as log:
        assert log.entries() == []
        log.commit(Commit(entries=[b"d"], removed=["100"]))
        assert log.entries() == [(4, b"d")]
        assert log.snapshots() == {}
        log.forget_streams()
        assert log.entries() == []


@pytest.mark.parametrize("rows", [0, 1, 3, 127, 128, 129, 300])
def test_a_commit_of_any_length_is_there_whole_and_takes_few_statements(
    tmp_path: Path, rows: int
) -> None:
    """As if each of its rows had been a commit of its own, active alarms included."""
    alerts = [
        alert(n, episode=f"e-{n % 40}" if n % 3 else "", state=("on", "ack", "off")[n % 4 % 3])
        for n in range(rows)
    ]
    entries = [b"entry %d" % n for n in range(rows)]
    statements: list[str] = []
    with AlertLog(tmp_path / "together") as log, AlertLog(tmp_path / "each") as each:
        log._db.set_trace_callback(statements.append)
        logged = log.commit(Commit(alerts=alerts, entries=entries))
        log._db.set_trace_callback(None)
        for one, entry in zip(alerts, entries, strict=True):
            each.commit(Commit(alerts=[one], entries=[entry]))
        assert read_published(log, 1, 1_000) == logged
        assert log.entries() == each.entries() == list(enumerate(entries, 1))
        expected = [numbered(one, log.log_id, one.seq) for one in each.active_alarms()]
        assert log.active_alarms() == expected
        assert log.bytes_held == each.bytes_held
    assert len(statements) < 30
    assert verify(tmp_path / "together").damage == []


def test_a_commit_that_waits_in_a_thread_counts_once_it_is_durable(tmp_path: Path) -> None:
    """Until it was asked for the log ends where it did; then as if it had been waited for."""
    ended = threading.Event()
    with AlertLog(tmp_path / "aside") as log, AlertLog(tmp_path / "waits") as other:
        disk = HeldDisk(log)
        disk.hold()
        log.begin(Commit(alerts=[alert(1), alert(2)], entries=[b"a"]), ended.set)
        assert disk.reached.wait(DEADLINE_S)
        assert (log.last_seq, log.last_entry, log.ended()) == (0, 0, None)
        with pytest.raises(AssertionError, match="under way"):
            log.append([alert(3)])
        disk.release()
        assert ended.wait(DEADLINE_S)
        assert log.last_seq == 0
        logged = log.ended(must_wait=True)
        assert logged is not None
        assert [one.seq for one in logged] == [1, 2]
        assert (log.last_seq, log.last_entry) == (2, 1)
        assert read_published(log, 1, 10) == logged
        other.commit(Commit(alerts=[alert(1), alert(2)], entries=[b"a"]))
        assert other.entries() == log.entries()
        assert [one.seq for one in log.append([alert(3)])] == [3]


def test_who_reads_waits_for_the_commit_under_way(tmp_path: Path) -> None:
    """No row is read that a power cut may still take away."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        disk = HeldDisk(log)
        disk.hold()
        log.begin(Commit(alerts=[alert(1)]), lambda: None)
        timer = threading.Timer(0.05, disk.release)
        timer.start()
        assert [one.sample for one in log.read(1, 10)] == [1]
        assert disk.released
        assert log.ended() is not None


def test_a_commit_that_fails_in_a_thread_wrote_nothing(tmp_path: Path) -> None:
    """The fault is raised where it is asked for; the next one takes its numbers."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        disk = HeldDisk(log)
        disk.failing = True
        log.begin(Commit(alerts=[alert(1)], entries=[b"a"]), lambda: None)
        with pytest.raises(LogError, match="disk I/O error"):
            log.ended(must_wait=True)
        disk.failing = False
        assert (log.last_seq, log.last_entry, log.entries()) == (0, 0, [])
        assert [one.seq for one in log.append([alert(2)])] == [1]


def test_rows_that_a_thread_cannot_write_are_a_fault_of_that_commit(tmp_path: Path) -> None:
    """It is begun all the same: its rows are written in the thread, too."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log._db.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        log.begin(Commit(alerts=[alert(1)], entries=[b"a"]), lambda: None)
        with pytest.raises(LogError, match="another program holds it locked"):
            log.ended(must_wait=True)
        other.close()
        log.begin(Commit(alerts=[alert(2)], entries=[b"b"]), lambda: None)
        logged = log.ended(must_wait=True)
        assert logged is not None
        assert [(one.seq, one.sample) for one in logged] == [(1, 2)]
        assert log.entries() == [(1, b"b")]


def test_strips_are_held_once_each_however_often_they_are_written(tmp_path: Path) -> None:
    """In one commit or in several, in a thread or not, the last one of an alert counts."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(1), alert(2), alert(3)])
        log.commit(Commit(strips=[(1, strip(1)), (2, strip(2)), (1, strip(10))]))
        log.begin(Commit(alerts=[alert(4)], strips=[(2, strip(20)), (3, strip(30))]), lambda: None)
        log.ended(must_wait=True)
        assert [log.strip(n) for n in (1, 2, 3)] == [strip(10), strip(20), strip(30)]
    found = verify(path)
    assert (found.damage, found.strips) == ([], 3)


def fails_to_start(thread: threading.Thread) -> None:
    """Do as a thread where there are too many."""
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_started_the_commit_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without threads left has a log all the same."""
    ended = threading.Event()
    with AlertLog(tmp_path / "log.sqlite") as log:
        monkeypatch.setattr(threading.Thread, "start", fails_to_start)
        log.begin(Commit(alerts=[alert(1)]), ended.set)
        assert ended.is_set()
        monkeypatch.undo()
        assert log.ended() is not None
        assert [one.sample for one in log.read(1, 10)] == [1]


def test_where_no_thread_can_be_started_any_failure_is_raised_where_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the log would wait for ever as it closes."""

    def fails(*arguments: object) -> None:
        raise MemoryError

    with AlertLog(tmp_path / "log.sqlite") as log:
        monkeypatch.setattr(threading.Thread, "start", fails_to_start)
        monkeypatch.setattr("pipeline.log.store.write_commit", fails)
        log.begin(Commit(alerts=[alert(1)]), lambda: None)
        monkeypatch.undo()
        with pytest.raises(MemoryError):
            log.ended()


def test_what_is_dropped_is_not_written_once_more(tmp_path: Path) -> None:
    """Long entries leave their pages as they are: the write-ahead log stays short."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        log.commit(Commit(entries=[bytes(20_000)] * 500))
        log.checkpoint()
        log.commit(Commit(entries_needed_from=501))
        assert log.entries() == []
        assert log.wal_bytes < 1 << 20
