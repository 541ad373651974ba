"""Strips of signal on their way into the log: only pictures are lost with it, and few of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.alarms.settings import DEFAULTS
from pipeline.hub.journal import Journal
from pipeline.hub.outbox import Outbox
from pipeline.log.maintenance import Retention
from pipeline.log.store import AlertLog
from pipeline.log.verify import verify
from pipeline.stream.streams import Streams
from pipeline.transport.sockets import Publisher
from pipeline.transport.wakeup import Wakeup
from tests.support.held_disk import HeldDisk
from tests.support.logs import alert, filled_log, strip
from tests.support.running import CONFIG


class Clerk:
    """An outbox with its journal, of a hub without streams, on a disk that a test holds."""

    def __init__(self, log: AlertLog, publisher: Publisher) -> None:
        self.now = 0.0
        self.log = log
        self.disk = HeldDisk(log)
        self.outbox = Outbox(publisher, log, lambda: self.now, Retention())
        self.journal = Journal(log, Streams(CONFIG, DEFAULTS, lambda: self.now))

    def commit(self) -> int:
        """Commit what waits; return how many alerts of the log have a strip then."""
        self.now += 1.0
        self.outbox.commit(self.journal)
        return self.strips

    @property
    def strips(self) -> int:
        """How many alerts of the log have a strip."""
        return self.log.last_seq - len(self.log.without_strip(1_000))


@pytest.fixture
def clerk(tmp_path: Path) -> Iterator[Clerk]:
    """One whose log has 300 alerts."""
    with AlertLog(tmp_path / "log") as log, Publisher("tcp://127.0.0.1:0") as publisher:
        log.append([alert(n) for n in range(300)])
        yield Clerk(log, publisher)


def test_strips_are_written_a_few_with_each_commit(clerk: Clerk, tmp_path: Path) -> None:
    """However many come at once; with nothing else to write, too, and all at the end."""
    clerk.outbox.add_strips([(n, strip(n)) for n in range(1, 201)])
    clerk.outbox.add_alerts([alert(301)])
    assert [clerk.commit() for _ in range(2)] == [64, 128]
    assert clerk.log.last_seq == 301
    clerk.outbox.close(clerk.journal)
    assert clerk.strips == 200
    assert all(clerk.log.strip(n) == strip(n) for n in (1, 65, 200))
    assert verify(tmp_path / "log").damage == []


def test_strips_wait_for_a_log_that_takes_nothing_the_newest_ones(clerk: Clerk) -> None:
    """No alert waits for them; those of a commit that fails, and beyond the limit, are lost."""
    clerk.disk.failing = True
    clerk.outbox.add_strips([(1, strip(1))])
    clerk.outbox.add_alerts([alert(301)])
    assert clerk.commit() == 0
    assert "disk I/O error" in clerk.outbox.unwritable
    clerk.outbox.add_strips([(n, strip(n)) for n in range(2, 301)])
    assert clerk.commit() == 0
    clerk.disk.failing = False
    assert (clerk.commit(), clerk.log.last_seq) == (0, 301)
    assert [clerk.commit() for _ in range(5)][-2:] == [256, 256]
    assert [clerk.log.strip(n) is None for n in (1, 44, 45, 300)] == [True, True, False, False]
    assert clerk.outbox.unwritable == ""


def test_strips_that_come_while_a_commit_is_under_way_are_in_the_next(clerk: Clerk) -> None:
    """Though that one fails, and those that were in it are lost."""
    clerk.disk.failing = True
    clerk.outbox.add_strips([(1, strip(1))])
    with Wakeup() as wakeup:
        clerk.outbox.commit(clerk.journal, wakeup)
        clerk.outbox.add_strips([(2, strip(2))])
        assert clerk.outbox.committed(clerk.journal, must_wait=True) == []
    clerk.disk.failing = False
    clerk.outbox.add_alerts([alert(301)])
    assert [clerk.commit(), clerk.commit()] == [0, 1]


@pytest.mark.parametrize("aside", [False, True])
def test_a_log_that_takes_no_strips_takes_all_else_at_once(tmp_path: Path, aside: bool) -> None:
    """The page that holds them is damaged; at the end, too."""
    filled_log(path := tmp_path / "log")
    damage_root_page(path, "strip")
    with (
        AlertLog(path) as log,
        Publisher("tcp://127.0.0.1:0") as publisher,
        Wakeup() as wakeup,
    ):
        clerk, before = Clerk(log, publisher), log.last_seq
        for n in range(1, 4):
            clerk.outbox.add_strips([(1, strip(1))])
            clerk.outbox.add_alerts([alert(n)])
            if clerk.outbox.commit(clerk.journal, wakeup if aside else None) is None:
                clerk.outbox.committed(clerk.journal, must_wait=True)
            assert (log.last_seq, clerk.outbox.unwritable) == (before + n, "")
        clerk.outbox.add_strips([(1, strip(1))])
        clerk.outbox.add_alerts([alert(4)])
        clerk.outbox.close(clerk.journal)
        assert (log.last_seq, clerk.outbox.unwritable) == (before + 4, "")


def damage_root_page(path: Path, table: str) -> None:
    """Overwrite the first page of a table of a log."""
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((page,),), ((size,),) = db.execute(query, (table,)), db.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
