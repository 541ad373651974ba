"""A hub that is put back to an older copy of its log: its sources and its subscribers go on."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pipeline.client import Position, Subscriber
from pipeline.clients.ingest import IngestClient
from pipeline.log.store import AlertLog
from pipeline.schema.public import LogReplaced
from pipeline.signal.samples import SampleBlock
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.logs import alert
from tests.support.running import running_hub, thread, until

pytestmark = pytest.mark.system

SECOND = 360


def back_up(log: Path, copy: Path) -> None:
    """Copy a log that a hub writes, as the manual says."""
    with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def put_back(copy: Path, log: Path) -> None:
    """Replace a log by its copy."""
    for name in ("log", "log-wal", "log-shm", "log-lock"):
        log.with_name(name).unlink(missing_ok=True)
    copy.rename(log)


class Source:
    """A source in a thread: its n-th call sends a second, and waits until that is acknowledged."""

    def __init__(self, hub: HubByHand) -> None:
        self.ingest = hub.hub.endpoints["ingest"]
        self.sent = 0
        """Seconds that are acknowledged."""
        self.finished = False
        self._wanted = threading.Semaphore(0)
        self._end = False

    def run(self, stop: Callable[[], bool]) -> None:
        """Send what is wanted until the end is."""
        with IngestClient(
            self.ingest, stream="s", fs_hz=float(SECOND), lead="", stop=stop
        ) as client:
            while not stop():
                if not self._wanted.acquire(timeout=0.1):
                    continue
                if self._end:
                    self.finished = client.finish()
                    return
                samples = np.zeros(SECOND, np.float32)
                assert client.send(SampleBlock(SECOND * self.sent, samples))
                assert client._pump_until(lambda: not client._buffer)
                self.sent += 1

    def send(self, hub: HubByHand, seconds: int) -> None:
        """Send so many seconds, while ``hub`` runs."""
        wanted = self.sent + seconds
        for _ in range(seconds):
            self._wanted.release()
        self._turn(hub, lambda: self.sent == wanted)

    def finish(self, hub: HubByHand) -> None:
        """End the stream."""
        self._end = True
        self._wanted.release()
        self._turn(hub, lambda: self.finished)

    def _turn(self, hub: HubByHand, done: Callable[[], bool]) -> None:
        def turned() -> bool:
            hub.turns(1)
            hub.later_s += 0.01  # a hub waits for two seconds of its clock for an earlier source
            return done()

        until(turned)


@pytest.mark.parametrize("more", [2, 0])
def test_what_a_source_no_longer_has_becomes_a_gap(more: int, tmp_path: Path) -> None:
    """The copy ends at 3 s, the source was at 6 s: 3 s are a gap, and the stream goes on."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        source = Source(one)
        with thread(source.run):
            source.send(one, 3)
            back_up(log, tmp_path / "copy")
            source.send(one, 3)
            one.killed()
            put_back(tmp_path / "copy", log)
            with hub_by_hand(log, ingest=source.ingest) as two:
                source.send(two, more)
                source.finish(two)
                session = two.hub._streams.sessions["s"]
                assert session.stream.next_sample == SECOND * (6 + more if more else 3)
                assert session.stream.counters.samples == SECOND * (3 + more)
                assert session.stream.counters.gap_samples == 3 * SECOND
                assert session.ended


@pytest.mark.parametrize("before", ["nothing", "an earlier session"])
def test_a_source_that_the_copy_does_not_know_goes_on(before: str, tmp_path: Path) -> None:
    """The copy was made before this source began, or while another one sent the same stream."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        if before != "nothing":
            earlier = Source(one)
            with thread(earlier.run):
                earlier.send(one, 2)
            one.later_s += 3.0
        back_up(log, tmp_path / "copy")
        source = Source(one)
        with thread(source.run):
            source.send(one, 3)
            one.killed()
            put_back(tmp_path / "copy", log)
            with hub_by_hand(log, ingest=source.ingest) as two:
                source.send(two, 2)
                source.finish(two)
                session = two.hub._streams.sessions["s"]
                assert session.stream.next_sample == SECOND * 5
                assert session.stream.epoch == (before != "nothing")
                assert session.ended


def read_to(log: Path, last: int, position: Path | Position) -> list[object]:
    """Return numbers and breaks, up to alert ``last``, as a subscriber at ``position`` has them."""
    records: list[object] = []
    with (
        running_hub(log) as hub,
        Subscriber(
            hub.endpoints["alerts"], hub.endpoints["replay"], position=position
        ) as subscriber,
    ):
        for record in subscriber:
            records.append(type(record) if isinstance(record, LogReplaced) else record.seq)
            if record.seq == last:
                return records
    return records


@pytest.mark.parametrize("at", [26, 95])
def test_subscriber_of_an_older_copy_that_went_on_misses_nothing(at: int, tmp_path: Path) -> None:
    """The log had 26 alerts, was put back to 4 and has 95 now: none of the new ones is skipped.

    Also where the subscriber had read exactly as many as there are now.
    """
    log, copy, position = tmp_path / "log", tmp_path / "copy", tmp_path / "position"
    with AlertLog(log) as one:
        one.append([alert(n) for n in range(1, 5)])
        back_up(log, copy)
        one.append([alert(n) for n in range(5, at + 1)])
    assert read_to(log, at, position) == list(range(1, at + 1))
    put_back(copy, log)
    with AlertLog(log) as one:
        one.append([alert(n + 1000) for n in range(5, 96)])

    assert read_to(log, 95, position) == [LogReplaced, *range(1, 96)]
    assert read_to(log, 95, Position(*_identity(log), 94)) == [95]


def _identity(log: Path) -> tuple[str]:
    with AlertLog(log) as one:
        return (one.log_id,)
