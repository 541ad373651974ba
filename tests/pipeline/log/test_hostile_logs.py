"""A damaged or made-up log: every command and the hub fail in one line, and never hang."""

import contextlib
import sqlite3
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from monitor.cli import app as cli
from pipeline.errors import LogError, MonitorError
from pipeline.log.reader import LogReader
from pipeline.log.schema import Meta, checksum
from pipeline.log.store import AlertLog, Commit
from pipeline.log.verify import verify
from pipeline.schema.messages import Opened
from pipeline.schema.public import encode_json
from tests.support.hub_by_hand import chunk, hub_by_hand
from tests.support.logs import alert, changed, filled_log, strip

pytestmark = pytest.mark.system

PAGE = 4096


def opened_by_a_hub(path: Path) -> None:
    """Open a log as a hub does, and ask what it goes by."""
    with AlertLog(path) as log:
        log.snapshots()
        log.entries()
        log.active_alarms(lambda error: None)
        log.raised(100)
        log.sizes(100)
        log.without_strip(100)


def read_by_others(path: Path) -> None:
    """Read a log as `log export` and `show` do."""
    with LogReader(path) as log:
        for seq in (1, 2, 40):
            log.alert(seq)
            log.strip(seq)


def verified(path: Path) -> None:
    """Check a log as `log verify` does."""
    verify(path)


@pytest.mark.parametrize("use", [opened_by_a_hub, read_by_others, verified])
def test_a_flipped_bit_in_what_holds_it_together_is_an_error_of_ours(
    tmp_path: Path, use: Callable[[Path], None]
) -> None:
    """Each bit of the pages' headers and of the first cells' places, and what is declared."""
    whole = tmp_path / "whole.sqlite"
    filled_log(whole, alerts=12)
    data = whole.read_bytes()
    headers = [page + i for page in range(0, len(data), PAGE) for i in range(16)]
    declared = range(PAGE - 1_500, PAGE, 11)
    target = tmp_path / "log.sqlite"
    for at in [*headers, *declared]:
        for bit in (0x01, 0x02, 0x80):
            damaged = bytearray(data)
            damaged[at] ^= bit
            target.write_bytes(damaged)
            for beside in ("-wal", "-shm"):
                target.with_name(target.name + beside).unlink(missing_ok=True)
            with contextlib.suppress(MonitorError):
                use(target)


ENDLESS = (
    "ALTER TABLE meta RENAME TO gone",
    "CREATE VIEW meta AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT max(x) AS version, '' AS log_id, 0 AS last_seq FROM n",
)
SWALLOWING = (
    "CREATE TRIGGER t BEFORE INSERT ON alert BEGIN SELECT RAISE(IGNORE); END",
)  # fmt: skip


@pytest.mark.parametrize("statements", [ENDLESS, SWALLOWING], ids=["view", "trigger"])
def test_a_log_that_computes_is_refused(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """A view in a table's place never ends, a trigger drops alerts that were acknowledged."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    changed(log, *statements)

    for use in (opened_by_a_hub, read_by_others, verified):
        with pytest.raises(LogError, match="more than tables"):
            use(log)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """Half a gigabyte of zeros is a few bytes of SQL."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    with LogReader(log) as reader, pytest.raises(LogError, match="too big"):
        reader.rows("SELECT zeroblob(500000000)")


@pytest.mark.parametrize(
    "change",
    [
        {"last_seq": -1},
        {"last_seq": 2**60},
        {"last_seq": 1.5},
        {"low_water_seq": "a"},
        {"low_water_seq": -5},
        {"chain": "text"},
        {"low_water_chain": "text"},
        {"log_id": b"bytes"},
        {"log_id": "\x1b[2J\u202e"},
        {"bytes_held": 1e300},
    ],
    ids=str,
)
def test_meta_of_other_types_is_damaged_though_its_sum_is_right(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """Whoever can compute a CRC-32 can make up anything."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    with LogReader(log) as reader:
        meta = reader.meta()
    made_up = Meta(**{name: getattr(meta, name) for name in Meta.__slots__} | change)
    ((column, value),) = change.items()
    db = sqlite3.connect(log)
    db.execute(f"UPDATE meta SET {column} = ?, crc32 = ?", (value, made_up.checksum))
    db.commit()
    db.close()

    for use in (opened_by_a_hub, read_by_others, verified):
        with pytest.raises(LogError, match="meta is damaged"):
            use(log)


def test_a_link_that_is_no_bytes_is_a_finding(tmp_path: Path) -> None:
    """It breaks the chain; it does not break the check."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    changed(log, "UPDATE alert SET chain = 'text' WHERE seq = 3")

    assert any("alert 3: the chain breaks" in one for one in verify(log).damage)


def test_alerts_without_a_body_are_removed_like_others(tmp_path: Path) -> None:
    """What keeps the log short goes over them."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    changed(
        log,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'body BLOB NOT NULL', 'body BLOB')",
    )
    changed(log, "UPDATE alert SET body = NULL WHERE seq < 4", "UPDATE strip SET body = NULL")

    with AlertLog(log) as writer:
        assert writer.raised(4)[:3] == ["", "", ""]
        assert len(writer.sizes(10)) == 10
        writer.commit(Commit(strips=[(4, strip(4))]))
        writer.remove_before(5)


def test_a_strip_longer_than_all_that_the_log_says_it_holds_is_replaced(tmp_path: Path) -> None:
    """What remains is no less than nothing: the log can be opened again."""
    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.append([alert(1)])
        writer.commit(Commit(strips=[(1, strip(1))]))
    changed(log, "UPDATE strip SET body = zeroblob(200000)")

    with AlertLog(log) as writer:
        writer.commit(Commit(strips=[(1, strip(2))]))
    with AlertLog(log) as writer:
        assert (writer.strip(1), writer.bytes_held) == (strip(2), 0)


TORN = {"type": "chunk", "stream": "s", "first_sample": 360, "fs_hz": 360.0, "samples": b"abc"}
ABSURD = msgspec.to_builtins(Opened(stream="t", fs_hz=1e308, lead="", epoch=0, first_sample=0))


@pytest.mark.parametrize("event", [TORN, ABSURD, b"rubbish"], ids=["torn", "absurd", "rubbish"])
def test_a_hub_begins_whatever_its_journal_holds(tmp_path: Path, event: object) -> None:
    """With the right checksum; what it says of the streams is then nothing to go on from."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        one.accepted(one.connect("ingest"), chunk(1))
    body = event if isinstance(event, bytes) else msgspec.msgpack.encode([0.0, event])
    db = sqlite3.connect(log)
    ((last,),) = db.execute("SELECT max(n) FROM journal")
    row = (last + 1, checksum(last + 1, body), body)
    db.execute("INSERT INTO journal VALUES (?, ?, ?)", row)
    db.commit()
    db.close()

    with hub_by_hand(log) as one:
        report, _ = one.hub._state()
        assert "start over" in report.fault
        one.accepted(one.connect("ingest"), chunk(1, session="b", epoch=1))


@pytest.mark.parametrize("state", [b"", b"abc", b"\xff" * 8, b"\x00" * 8, b"\x00" * 7 + b"\x7f"])
def test_a_hub_begins_whatever_the_state_of_a_stream(tmp_path: Path, state: bytes) -> None:
    """Too short, a rate that is no number or none that a signal can have: it starts over."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        one.accepted(one.connect("ingest"), chunk(1))
    db = sqlite3.connect(log)
    row = ("t", 1, checksum("1 t", state), state)
    db.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?)", row)
    db.commit()
    db.close()

    with hub_by_hand(log) as one:
        assert "t starts over" in one.hub._state()[0].fault
        assert "s" in one.hub._streams.sessions


@pytest.mark.parametrize("fs_hz", [0.0, 5e-324, 1e-300, -1.0, 1e300])
def test_a_strip_at_no_rate_is_shown_as_none(
    tmp_path: Path,
    fs_hz: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`monitor show` divides by it."""
    log = tmp_path / "log.sqlite"
    filled_log(log)
    text = encode_json(strip(4)).replace(b'"fs_hz":360.0', f'"fs_hz":{fs_hz}'.encode())
    body = zlib.compress(text)
    db = sqlite3.connect(log)
    db.execute("UPDATE strip SET crc32 = ?, body = ? WHERE seq = 4", (checksum(4, body), body))
    db.commit()
    db.close()

    monkeypatch.setattr(sys, "argv", ["monitor", "show", "4", "--log", str(log)])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "none was kept" in capsys.readouterr().out


def test_a_new_log_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """It holds signal; the files beside it are opened as it is."""
    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.append([])
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
