"""A log whose files somebody removes, replaces, moves or locks while a hub writes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import LogError
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog
from pipeline.log.verify import verify
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.logs import alert, filled_log

pytestmark = pytest.mark.system


def _remove(log: Path) -> None:
    log.unlink()


def _replace(log: Path) -> None:
    filled_log(log.with_name("other"), 3)
    log.with_name("other").replace(log)


def _move_folder(log: Path) -> None:
    log.parent.rename(log.parent.with_name("elsewhere"))


def _remove_wal(log: Path) -> None:
    log.with_name("log-wal").unlink()


@pytest.mark.parametrize("lose", [_remove, _replace, _move_folder, _remove_wal])
def test_log_that_is_lost_is_reported_within_a_second(
    lose: Callable[[Path], None], tmp_path: Path
) -> None:
    """It can be opened no more under its name: nothing is recorded, nothing is acknowledged."""
    (tmp_path / "folder").mkdir()
    log = tmp_path / "folder" / "log"
    with hub_by_hand(log) as one:
        source = one.connect("ingest")
        assert one.accepted(source, chunk(1)).written == 1

        lose(log)
        one.later_s += 1.0
        one.turns(3)

        report, (status,) = one.hub._state()
        assert not report.log.writable
        assert not status.recorded
        assert "while it was" in status.fault
        assert [alarm.kind for alarm in report.alarms] == ["log_not_writable"]
        assert one.accepted(source, chunk(2)).written == 1


def test_log_that_is_put_back_is_written_again(tmp_path: Path) -> None:
    """A file that was moved for a moment loses nothing."""
    log, away = tmp_path / "log", tmp_path / "away"
    with hub_by_hand(log) as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        log.rename(away)
        one.later_s += 1.0
        one.turns(3)
        assert one.accepted(source, chunk(2)).written == 1

        away.rename(log)
        one.later_s += 1.0
        one.turns(3)

        assert one.accepted(source, chunk(3)).written == 3
        assert one.hub._outbox.fault == ""
        with LogReader(log) as reader:
            states = [a.state for a in reader.read(1, 9) if a.kind == "log_not_writable"]
    assert states[0] == "on"
    assert verify(log).damage == []


def test_what_was_committed_is_whole_in_a_log_that_was_moved_away(tmp_path: Path) -> None:
    """It needs no file that stays behind, and none stays that would be read into another log."""
    with AlertLog(tmp_path / "log") as log:
        log.append([alert(1), alert(2)])
        (tmp_path / "log").rename(tmp_path / "away")
        with pytest.raises(LogError, match="removed while it was open"):
            log.append([alert(3)])
        assert (tmp_path / "log-wal").stat().st_size == 0
        shutil.copy(tmp_path / "away", tmp_path / "copy")
        assert verify(tmp_path / "copy").last_seq == 2
        filled_log(tmp_path / "other", 3)
        (tmp_path / "other").rename(tmp_path / "log")
    assert verify(tmp_path / "log").damage == []


@pytest.mark.parametrize("removed", [["log-lock"], ["log"], ["log", "log-lock"]])
def test_second_hub_is_refused_whatever_files_were_removed(
    removed: list[str], tmp_path: Path
) -> None:
    """The log is locked, its lock has a name beside it, and the first hub keeps that name."""
    with hub_by_hand(tmp_path / "log") as one:
        for name in removed:
            (tmp_path / name).unlink()
        if "log" in removed:
            one.later_s += 1.0
            one.turns(2)
        with pytest.raises(LogError, match="another hub writes this log"):
            HubByHand(tmp_path / "log")
        one.later_s += 1.0
        one.turns(2)
        assert one.hub._outbox.fault == "" or "log" in removed
        with pytest.raises(LogError, match="another hub writes this log"):
            HubByHand(tmp_path / "log")


def test_log_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A device or a folder takes no alerts."""
    with pytest.raises(LogError, match="no regular file"):
        AlertLog(Path("/dev/null"))
    with pytest.raises(LogError, match="cannot open the log"):
        AlertLog(tmp_path)
