"""The position of a subscriber: what is stored when, and what a file may hold."""

import json
import os
import select
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.client import Subscriber
from pipeline.clients.cursor import Position, load_position, store_position
from pipeline.clients.sequencer import Record
from pipeline.errors import ConfigError
from pipeline.hub.hub import Hub
from pipeline.log.store import AlertLog
from pipeline.schema.public import Gap
from tests.support.limits import BUSY_S
from tests.support.programs.alert_hub import made
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system

TOTAL = 1_200
"""More than two pages."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with `TOTAL` alerts in its log."""
    with AlertLog(tmp_path / "log") as log:
        log.append([made(n, 0.0) for n in range(1, TOTAL + 1)])
    with running_hub(tmp_path / "log") as hub:
        yield hub


def listen(hub: Hub, position: Path | Position | None, from_seq: int | None = None) -> Subscriber:
    """Return a subscriber that begins at a position."""
    ends = hub.endpoints
    return Subscriber(ends["alerts"], ends["replay"], position=position, from_seq=from_seq)


def take(subscriber: Subscriber, n: int) -> list[Record]:
    """Return the next ``n`` records, and leave the loop in the body of the last one."""
    taken: list[Record] = []
    for record in subscriber:
        taken.append(record)
        if len(taken) == n:
            break
    return taken


def numbers(records: list[Record]) -> list[int]:
    """Return the numbers of records."""
    return [record.seq for record in records]


def test_messages_that_a_loop_did_not_take_come_in_the_next(hub: Hub) -> None:
    """A ``break`` loses nothing of what had arrived already."""
    with listen(hub, None, from_seq=1) as subscriber:
        assert numbers(take(subscriber, 3)) == [1, 2, 3]
        assert numbers(take(subscriber, TOTAL - 3)) == list(range(4, TOTAL + 1))
        assert subscriber.complete


def test_a_file_begins_with_the_oldest_alert_and_continues_where_the_block_ended(
    hub: Hub, tmp_path: Path
) -> None:
    """Left without an exception, the last record was dealt with."""
    with listen(hub, tmp_path / "p") as subscriber:
        assert numbers(take(subscriber, 5)) == [1, 2, 3, 4, 5]
    position = load_position(tmp_path / "p")
    assert position == subscriber.position
    assert (position.log_id, position.seq, len(position.link)) == (log_id(tmp_path), 5, 16)
    with listen(hub, tmp_path / "p", from_seq=700) as subscriber:
        assert numbers(take(subscriber, 2)) == [6, 7]


def test_a_record_that_raised_comes_again(hub: Hub, tmp_path: Path) -> None:
    """What an exception interrupted was not dealt with; what came before it was."""

    def fail_at(seq: int) -> None:
        with listen(hub, tmp_path / "p") as subscriber:
            for record in subscriber:
                if record.seq == seq:
                    raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_at(4)
    with listen(hub, tmp_path / "p") as subscriber:
        assert numbers(take(subscriber, 1)) == [4]


def test_the_file_is_written_before_the_loop_waits_for_more(hub: Hub, tmp_path: Path) -> None:
    """Whoever is killed while it waits has nothing to do again."""
    code = (
        "import sys; from pathlib import Path; from pipeline.client import Subscriber\n"
        "with Subscriber(sys.argv[1], sys.argv[2], position=Path(sys.argv[3])) as subscriber:\n"
        "    for record in subscriber: pass"
    )
    ends = hub.endpoints
    command = [sys.executable, "-c", code, ends["alerts"], ends["replay"], str(tmp_path / "p")]
    process = subprocess.Popen(command)
    try:
        until(lambda: pause() or load_position(tmp_path / "p").seq == TOTAL)
    finally:
        process.kill()
        process.wait()


def pause() -> None:
    """Give another process a moment."""
    select.select([], [], [], 0.02)


def test_a_given_position_is_where_it_continues(hub: Hub, tmp_path: Path) -> None:
    """The pair that a record carries is all there is to keep."""
    with listen(hub, Position()) as subscriber:
        last = take(subscriber, 9)[-1]
    with listen(hub, Position(last.log_id, last.seq)) as subscriber:
        assert numbers(take(subscriber, 1)) == [10]


def test_without_a_position_it_begins_with_what_comes(hub: Hub) -> None:
    """The position is known before any alert came."""
    with listen(hub, None) as subscriber:
        while not subscriber.heartbeats:
            assert not [m for m in subscriber.receive(0.1) if hasattr(m, "seq")]
        assert subscriber.position.seq == TOTAL
        assert subscriber.silent_s < BUSY_S


def test_damaged_rows_are_gaps_and_the_rest_is_given(tmp_path: Path) -> None:
    """Bit rot in the log keeps nobody from the alerts around it, and the hub says so itself."""
    with AlertLog(tmp_path / "log") as log:
        log.append([made(n, 0.0) for n in range(1, TOTAL + 1)])
    with sqlite3.connect(tmp_path / "log") as db:
        db.execute("UPDATE alert SET body = replace(body, 'R', 'S') WHERE seq IN (3, 4, 900)")
    db.close()
    with running_hub(tmp_path / "log") as hub, listen(hub, Position()) as subscriber:
        records = take(subscriber, TOTAL - 1)

    assert numbers(records) == [1, 2, 4, *range(5, TOTAL + 1)]
    gaps = [(r.from_seq, r.to_seq) for r in records if isinstance(r, Gap)]
    assert gaps == [(3, 4), (900, 900)]


def test_newest_alert_is_a_gap_where_it_is_damaged(tmp_path: Path) -> None:
    """Also for who has all before it, and though nothing follows."""
    with AlertLog(tmp_path / "log") as log:
        log.append([made(n, 0.0) for n in range(1, 4)])
    with sqlite3.connect(tmp_path / "log") as db:
        db.execute("UPDATE alert SET crc32 = crc32 + 1 WHERE seq = 3")
    db.close()
    with running_hub(tmp_path / "log") as hub, listen(hub, None, from_seq=3) as subscriber:
        (record,) = take(subscriber, 1)
    assert isinstance(record, Gap)
    assert (record.from_seq, record.to_seq) == (3, 3)


def log_id(folder: Path) -> str:
    """Return the identity of the log in a folder."""
    db = sqlite3.connect(folder / "log")
    try:
        return str(db.execute("SELECT log_id FROM meta").fetchone()[0])
    finally:
        db.close()


def test_a_position_is_stored_as_an_object_and_read_back(tmp_path: Path) -> None:
    """It can be read with any JSON reader, and nothing is left beside it."""
    store_position(tmp_path / "p", Position("5f0c", 12))
    store_position(tmp_path / "p", Position("5f0c", 13, "ab12"))

    written = {"log_id": "5f0c", "seq": 13, "link": "ab12"}
    assert json.loads((tmp_path / "p").read_text()) == written
    assert load_position(tmp_path / "p") == Position("5f0c", 13, "ab12")
    assert os.listdir(tmp_path) == ["p"]


def test_a_position_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has no link: its number counts."""
    (tmp_path / "p").write_text('{"log_id": "5f0c", "seq": 13}')
    assert load_position(tmp_path / "p") == Position("5f0c", 13)


def test_no_file_is_the_position_of_one_who_has_read_nothing(tmp_path: Path) -> None:
    """It is no error: the first start looks like this."""
    assert load_position(tmp_path / "p") == Position("", 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}x",
        b"[]",
        b'{"log_id": 5}',
        b'{"log_id": "", "seq": 1, "link": 5}',
        b'{"seq": -1}',
        b'{"seq": 1e99}',
        b"\xff",
        b"{" * 9000,
    ],
)
def test_what_is_no_position_is_refused_by_name(tmp_path: Path, body: bytes) -> None:
    """A file of something else is neither read from nor written over."""
    (tmp_path / "p").write_bytes(body)
    with pytest.raises(ConfigError, match="holds no position"):
        Subscriber("tcp://127.0.0.1:5570", position=tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == body


def test_a_position_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Not after the first alert."""
    with pytest.raises(ConfigError, match="cannot write the position"):
        Subscriber("tcp://127.0.0.1:5570", position=tmp_path / "nowhere" / "p")
