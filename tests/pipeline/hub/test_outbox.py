"""Strips of signal on their way into the log: only pictures are lost with it, and few of them."""

from collections.abc import Iterator
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
from tests.support.logs import alert, strip
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
    """No alert waits for them; what is beyond the limit is lost."""
    clerk.disk.failing = True
    clerk.outbox.add_strips([(n, strip(n)) for n in range(1, 301)])
    clerk.outbox.add_alerts([alert(301)])
    assert clerk.commit() == 0
    assert "disk I/O error" in clerk.outbox.unwritable
    clerk.disk.failing = False
    assert (clerk.commit(), clerk.log.last_seq) == (0, 301)
    assert [clerk.commit() for _ in range(5)][-2:] == [256, 256]
    assert [clerk.log.strip(n) is None for n in (1, 44, 45, 300)] == [True, True, False, False]
    assert clerk.outbox.unwritable == ""


def test_strips_that_come_while_a_commit_is_under_way_are_in_the_next(clerk: Clerk) -> None:
    """Those of one that fails are tried again with them, once the log takes alerts."""
    clerk.disk.failing = True
    clerk.outbox.add_strips([(1, strip(1))])
    with Wakeup() as wakeup:
        clerk.outbox.commit(clerk.journal, wakeup)
        clerk.outbox.add_strips([(2, strip(2))])
        assert clerk.outbox.committed(clerk.journal, must_wait=True) == []
    clerk.disk.failing = False
    clerk.outbox.add_alerts([alert(301)])
    assert [clerk.commit(), clerk.commit()] == [0, 2]
