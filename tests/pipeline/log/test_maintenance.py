"""What is kept of a log, and how long its files get."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, LogError
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub
from pipeline.hub.outbox import Outbox
from pipeline.log.maintenance import (
    CHECKPOINT_S,
    MAX_WAL_BYTES,
    LogMaintenance,
    Retention,
    too_many,
    too_old,
)
from pipeline.log.store import AlertLog, Commit
from pipeline.log.verify import verify
from pipeline.schema.alert import utc_text
from pipeline.schema.public import encode_json
from pipeline.schema.requests import ReplayRequest, decode_replay_page
from pipeline.transport.sockets import Dealer, Publisher
from tests.support.logs import alert, old_log, strip, trend
from tests.support.running import CONFIG, until

DAY_S = 86_400.0
NOW_S = 1_800_000_000.0


def raised(days_ago: float, **changes: str) -> object:
    """Return an alert that was raised so long ago."""
    return alert(1, utc=utc_text(NOW_S - days_ago * DAY_S), **changes)


@given(
    days=st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=20), limit=st.integers(1, 20)
)
def test_only_what_is_too_old_goes(days: list[int | None], limit: int) -> None:
    """Only old alerts go, and the rest begins with one that is not old, or of unknown age."""
    texts = ["" if n is None else utc_text(NOW_S - n * DAY_S) for n in days]

    count = too_old(texts, utc_text(NOW_S - limit * DAY_S), utc_text(NOW_S))

    assert all(n is None or n > limit for n in days[:count])
    if count:
        assert days[count - 1] is not None
    dated = [n for n in days[count:] if n is not None]
    assert not dated or dated[0] <= limit


def test_a_clock_that_was_ahead_keeps_nothing_for_ever() -> None:
    """An alert of the year 2077 goes with the old ones behind it, and not without them."""
    old, ahead, young = (utc_text(NOW_S - n * DAY_S) for n in (40, -18_000, 2))
    before, now = utc_text(NOW_S - 30 * DAY_S), utc_text(NOW_S)
    assert too_old([old, ahead, old, young], before, now) == 3
    assert too_old([old, ahead, young, old], before, now) == 1
    assert too_old([ahead, ahead], before, now) == 0


ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 100)), max_size=20).map(sorted)


@given(alerts=ROWS, trends=ROWS, excess=st.integers(-50, 900))
def test_as_few_go_as_make_room(
    alerts: list[tuple[str, int]], trends: list[tuple[str, int]], excess: int
) -> None:
    """What goes is enough, the oldest of both; without the last of it it would not be."""
    of_alerts, of_trends = too_many(alerts, trends, excess)

    gone = sorted(alerts[:of_alerts] + trends[:of_trends])
    kept = alerts[of_alerts:] + trends[of_trends:]
    total = sum(size for _, size in gone)
    assert total >= excess or not kept
    assert not gone or total - max(size for utc, size in gone if utc == gone[-1][0]) < excess
    assert not gone or all(utc >= gone[-1][0] for utc, _ in kept)


def test_trends_are_kept_within_the_limits_too(tmp_path: Path) -> None:
    """Old minutes go by days as alerts do; where there is no room, whichever is older goes."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        times = [utc_text(NOW_S - days * DAY_S) for days in (9, 8, 6, 1)]
        log.commit(Commit(trends=[trend(n, utc=utc) for n, utc in enumerate(times)]))
        LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S).run(0.0)
        assert [one.time_s for _, one in log.trends()] == [120.0, 180.0]
        log.append([raised(3)])
        older, newer = (size for _, size in log.oldest_trends(2))

        counts = too_many([("", 10)], [("a", older), ("b", newer)], 11)

    assert counts == (1, 1)
    assert verify(path).damage == []


def test_old_alerts_are_removed_and_the_low_water_mark_rises(tmp_path: Path) -> None:
    """Alerts of more than so many days are removed with their strips; the rest is whole."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([raised(n) for n in (9, 8, 7.1, 6.9, 1)])
        log.commit(Commit(strips=[(n, strip(n)) for n in (1, 3, 5)]))
        care = LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S)

        care.run(0.0)

        assert log.low_water_seq == 4
        assert [one.seq for one in log.read(1, 10)] == [4, 5]
        assert [log.strip(n) is not None for n in (1, 3, 5)] == [False, False, True]
    found = verify(path)
    assert (found.damage, found.first_seq, found.alerts, found.strips) == ([], 4, 2, 1)
    with AlertLog(path) as log:
        assert (log.low_water_seq, log.last_seq) == (4, 5)
        assert log.append([alert(6)])[0].seq == 6


def test_all_alerts_may_go_and_the_numbers_go_on(tmp_path: Path) -> None:
    """An empty log knows its last number, and the chain goes on from there."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([raised(9), raised(8)])
        LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S).run(0.0)
        assert (log.low_water_seq, log.last_seq, log.bytes_held) == (3, 2, 0)
    assert verify(path).intact
    with AlertLog(path) as log:
        assert (log.low_water_seq, log.last_seq) == (3, 2)
        assert log.append([alert(6)])[0].seq == 3
    assert verify(path).intact


def test_active_alarms_are_kept_whatever_their_age(tmp_path: Path) -> None:
    """The latest alert of an active alarm can be read after its row was removed."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([raised(9, episode="e"), raised(8)])
        (on,) = log.read(1, 1)
        log.commit(Commit(strips=[(1, strip(1))]))
        LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S).run(0.0)

        assert log.read(1, 10) == []
        assert (log.active_alarms(), log.alert(1), log.strip(1)) == ([on], on, strip(1))
    assert verify(path).damage == []
    with AlertLog(path) as log:
        log.append([raised(0, episode="e", state="off"), raised(9), raised(0)])
        assert log.active_alarms() == []
        log.remove_before(5)
        assert log.strip(1) is None
    assert verify(path).damage == []


def test_size_is_kept_in_steps_of_one_a_second(tmp_path: Path) -> None:
    """Beyond so many MB the oldest go, at most 500 a second, until it is enough."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(n, reason="x" * 1000) for n in range(2000)])
        care = LogMaintenance(log, Retention(mb=1), utc=lambda: NOW_S)

        care.run(0.0)
        care.run(0.5)
        assert log.low_water_seq == 501
        for second in range(1, 6):
            care.run(float(second))

        assert 0.99e6 < log.bytes_held <= 1e6
        assert len(log.read(1, 2000)) == log.last_seq - log.low_water_seq + 1
    assert verify(path).intact


def test_without_limits_everything_is_kept(tmp_path: Path) -> None:
    """Nothing is removed that was not asked for."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        log.append([raised(9e3)])
        LogMaintenance(log, Retention(), utc=lambda: NOW_S).run(0.0)
        assert log.low_water_seq == 1


def test_clock_that_jumps_ages_nothing(tmp_path: Path) -> None:
    """Age is counted by a clock that never steps: an hour later nothing is a year old."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        care = LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S)
        log.append([raised(0)])
        care.run(1000.0)
        log.append([alert(2, utc=utc_text(NOW_S + 400 * DAY_S))])
        care.run(4600.0)
        assert log.low_water_seq == 1


def test_damaged_alert_does_not_stay_for_ever(tmp_path: Path) -> None:
    """One that cannot be read goes with the next one that is too old."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([raised(9), raised(8), raised(1)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alert SET body = x'00' WHERE seq = 1")
        db.commit()
    with AlertLog(path) as log:
        LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S).run(0.0)
        assert log.low_water_seq == 3


def test_file_gets_shorter_when_alerts_go(tmp_path: Path) -> None:
    """Pages that hold nothing go back to the file system, a few at a time."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(n, reason="x" * 3000) for n in range(4000)])
        log.checkpoint()
        long = path.stat().st_size
        log.remove_before(3900)
        care = LogMaintenance(log, Retention(), utc=lambda: NOW_S)
        lengths = []
        for second in range(20):
            care.run(float(second))
            log.checkpoint()
            lengths.append(path.stat().st_size)

        assert long - lengths[0] == 256 * 4096
        assert lengths[-1] == lengths[-2] < long / 2
    assert verify(path).intact


def test_log_of_an_older_version_does_not_grow_again_where_alerts_went(tmp_path: Path) -> None:
    """An upgraded log keeps its length; new alerts take the place of the old ones."""
    path = tmp_path / "log.sqlite"
    old_log(path, 2)
    with AlertLog(path) as log:
        log.append([alert(n, reason="x" * 3000) for n in range(2000)])
        log.checkpoint()
        long = path.stat().st_size
        log.remove_before(1900)
        LogMaintenance(log, Retention(), utc=lambda: NOW_S).run(0.0)
        log.append([alert(n, reason="x" * 3000) for n in range(1500)])
        log.checkpoint()
        assert path.stat().st_size <= long
    assert verify(path).intact


def test_write_ahead_log_is_folded_into_the_file(tmp_path: Path) -> None:
    """After 30 s the write-ahead log is empty, and never near 64 MiB before that."""
    with AlertLog(tmp_path / "log.sqlite") as log:
        care, longest = LogMaintenance(log, Retention(), utc=lambda: NOW_S), 0
        care.run(0.0)
        for n in range(100):
            log.commit(Commit(entries=[bytes(1 << 20)], entries_needed_from=n))
            longest = max(longest, log.wal_bytes)
        assert 0 < longest < MAX_WAL_BYTES // 4
        care.run(CHECKPOINT_S)
        assert (log.wal_bytes, care.fault) == (0, "")


def test_reader_that_stays_in_a_transaction_is_reported_and_delays_nothing(tmp_path: Path) -> None:
    """The log is written on, the fault says what to do, and is over when the reader has ended."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        care = LogMaintenance(log, Retention(), utc=lambda: NOW_S)
        log.append([alert(1)])
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM alert").fetchall()
        care.run(0.0)
        for n in range(65):
            log.commit(Commit(entries=[bytes(1 << 20)], entries_needed_from=n))
        care.run(CHECKPOINT_S)

        assert log.wal_bytes > MAX_WAL_BYTES
        assert "stays in a transaction" in care.fault
        assert log.append([alert(2)])[0].seq == 2

        reader.execute("COMMIT")
        care.run(2 * CHECKPOINT_S)
        assert (log.wal_bytes, care.fault) == (0, "")


def test_fault_of_the_maintenance_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be removed now, the hub goes on, and a second later it is tried again."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        log.append([raised(9), raised(1)])
        care = LogMaintenance(log, Retention(days=7), utc=lambda: NOW_S)
        other.execute("BEGIN IMMEDIATE")
        log.rows("PRAGMA busy_timeout = 10")
        care.run(0.0)
        assert "locked" in care.fault
        assert log.low_water_seq == 1
        other.execute("ROLLBACK")
        care.run(1.0)
        assert (log.low_water_seq, care.fault) == (2, "")


def test_hub_removes_what_is_too_old_and_answers_with_the_low_water_mark(tmp_path: Path) -> None:
    """A subscriber that asks for removed alerts learns from which number on there are any."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        log.append([alert(n, utc=f"2020-01-0{n}T00:00:00.000Z") for n in (1, 2)])
        log.append([alert(3, utc="2095-01-01T00:00:00.000Z")])
    config = HubConfig(log=path, live_score=CONFIG, keep=Retention(days=7))
    with (
        Hub(config, time.monotonic) as hub,
        Dealer(hub.endpoints["replay"], max_frame=2**20) as reader,
    ):
        hub.turn()
        until(lambda: reader.send(encode_json(ReplayRequest(from_seq=1))) or bool(hub.turn()))
        frames: list[bytes] = []
        until(lambda: bool(hub.turn() or frames.extend(reader.receive()) or frames))
        page = decode_replay_page(frames[0])

    assert page.low_water_seq == 3
    assert [one.seq for one in page.alerts][:1] == [3]
    assert verify(path).intact


def test_hub_reports_what_is_wrong_with_the_files_of_its_log(tmp_path: Path) -> None:
    """A write-ahead log that some reader keeps from being folded in is a fault in the status."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        log.append([alert(1)])
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM alert").fetchall()
        for n in range(65):
            log.commit(Commit(entries=[bytes(1 << 20)], entries_needed_from=n))
        with Publisher("tcp://127.0.0.1:0") as publisher:
            outbox = Outbox(publisher, log, lambda: 0.0, Retention())
            outbox.maintain(0.0)
            assert "stays in a transaction" in outbox.fault


@pytest.mark.parametrize("limits", [{"days": 0}, {"days": -1}, {"mb": 0.5}, {"mb": float("nan")}])
def test_limits_that_keep_nothing_are_refused(limits: dict[str, float]) -> None:
    """No log of no days."""
    with pytest.raises(ConfigError):
        Retention(**limits)


def test_removal_that_fails_removes_nothing(tmp_path: Path) -> None:
    """The mark moves with the rows, or neither does."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        log.append([alert(1), alert(2)])
        other.execute("BEGIN IMMEDIATE")
        log.rows("PRAGMA busy_timeout = 10")
        with pytest.raises(LogError):
            log.remove_before(2)
        other.execute("ROLLBACK")
        assert (log.low_water_seq, len(log.read(1, 10))) == (1, 2)
    assert verify(path).intact


def test_a_clock_that_was_ahead_at_the_beginning_and_put_right_removes_nothing_fresh(
    tmp_path: Path,
) -> None:
    """By the clock of the beginning they were a year old."""
    now = [NOW_S + 365 * DAY_S]
    with AlertLog(tmp_path / "log") as log:
        care = LogMaintenance(log, Retention(days=7), utc=lambda: now[0])
        care.run(0.0)
        now[0] = NOW_S
        log.append([raised(1.0), raised(0.1)])
        care.run(10.0)
        assert log.low_water_seq == 1
