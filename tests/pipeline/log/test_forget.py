"""`monitor log forget`: everything of one stream is gone, and the log says that it was removed."""

import itertools
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.cli import app as cli
from pipeline.client import Position, Subscriber
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import InputError, LogError
from pipeline.log.forget import NOTHING, StreamEraser, without_stream
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog, Commit
from pipeline.log.tombstones import FORGOTTEN, RECORD, record, tombstone
from pipeline.log.verify import Verification, verify
from pipeline.log.writing import STRIP_LEVEL
from pipeline.schema.messages import (
    Acknowledged,
    End,
    Entry,
    Event,
    GivenUp,
    Opened,
    ScoreReply,
    decode_entry,
    encode_entry,
)
from pipeline.schema.public import Alert, Gap, LogReplaced, SignalStrip, encode_json
from pipeline.stream.snapshot import pack
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.logs import alert, changed, old_log
from tests.support.running import until

ANNA, OTHER = "anna-k", "bed-7"
SIGNAL = np.linspace(-0.371, 0.913, 360).astype("<f4")
"""A second whose bytes are nowhere else."""


def events() -> list[Event]:
    """Return an event of each kind, about one stream, the other, and both."""
    ids = [(ANNA, 0, 500), (OTHER, 0, 500), (ANNA, 0, 900)]
    windows = np.stack([SIGNAL[:WINDOW_SAMPLES]] * 3)
    of_one = [
        (
            Opened(stream=name, fs_hz=360.0, lead="II", epoch=0, first_sample=0),
            chunk(1, SIGNAL, stream=name),
            Acknowledged(stream=name, episode="asystole-0-1"),
            End(stream=name, next_sample=360),
        )
        for name in (ANNA, OTHER)
    ]
    scores = np.ones(3, "<f4")
    classes = np.full((3, 4), 0.25, "<f4")
    of_both: list[Event] = [
        ScoreReply(
            ids=ids[:n],
            scores=scores[:n],
            residuals=windows[:n],
            probabilities=classes[:n],
            compute_ms=1.0,
        )
        for n in (3, 1)
    ]
    of_both += [
        GivenUp(ids=ids),
        Acknowledged(stream="", episode=""),
    ]
    return [*itertools.chain(*of_one), *of_both]


def strip_of(stream: str, first_sample: int) -> SignalStrip:
    """Return a second of signal of a stream."""
    mv = [round(float(v) + first_sample, 3) for v in SIGNAL]
    return SignalStrip(stream=stream, first_sample=first_sample, fs_hz=360.0, mv=mv)


def filled(log: AlertLog, *, rounds: int = 6) -> None:
    """Write something of both streams into every table, and replace some of it."""
    for n in range(1, rounds + 1):
        for name in (ANNA, OTHER):
            log.commit(
                Commit(
                    alerts=[
                        alert(n, stream=name, episode=f"asystole-0-{n}", state=state)
                        for state in (("on",) if n == rounds else ("on", "off"))
                    ],
                    snapshots={name: f"state {n} of {name}".encode() * 40},
                )
            )
            log.commit(Commit(strips=[(log.last_seq, strip_of(name, n))]))
    log.append([alert(0, stream="", kind="no_scorer")])
    entries = [encode_entry(Entry(float(n), event)) for n, event in enumerate(events())]
    log.commit(Commit(entries=entries))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a log of both streams, as it was at a power cut: with its WAL."""
    folder = tmp_path_factory.mktemp("power")
    with AlertLog(folder / "running" / "log.sqlite") as log:
        filled(log)
        cut = folder / "cut"
        shutil.copytree(log.path.parent, cut, ignore=shutil.ignore_patterns("*-lock"))
    assert (cut / "log.sqlite-wal").stat().st_size > 0
    return cut


@pytest.fixture
def path(cut: Path, tmp_path: Path) -> Path:
    """Return a copy of that log, alone in its folder."""
    shutil.copytree(cut, tmp_path / "log")
    return tmp_path / "log" / "log.sqlite"


def all_bytes(path: Path) -> bytes:
    """Return every file beside a log and the log itself, and their names."""
    files = sorted(path.parent.iterdir())
    return b"".join(file.name.encode() + file.read_bytes() for file in files)


def traces(stream: str) -> list[bytes]:
    """Return bytes by which a stream can be recognised."""
    bodies = [encode_json(strip_of(stream, n)) for n in range(1, 7)]
    strips = [zlib.compress(body, STRIP_LEVEL)[8:40] for body in bodies]
    return [stream.encode(), f"state 1 of {stream}".encode(), *strips]


def forgotten(path: Path, stream: str = ANNA) -> int:
    """Remove a stream as the command does; return the number of the alert that records it."""
    with StreamEraser(path) as log:
        assert log.holdings(stream)
        seq = log.forget(stream)
        log.remove_bytes()
    return seq


def test_no_byte_of_a_forgotten_stream_is_left_in_any_file(path: Path) -> None:
    """Neither its name nor its signal nor old versions of its state, in log, WAL or other files."""
    before, signal = all_bytes(path), SIGNAL[:WINDOW_SAMPLES].tobytes()
    assert [trace for trace in traces(ANNA) if trace not in before] == []
    assert before.count(signal) > 2

    forgotten(path)

    after = all_bytes(path)
    assert [trace for trace in traces(ANNA) if trace in after] == []
    assert after.count(signal) == 2  # the other's chunk, and the reply about its beat
    assert sorted(file.name for file in path.parent.iterdir()) == ["log.sqlite"]


def test_all_else_stays_as_it_was(path: Path) -> None:
    """Alerts, strips, state and events of the other stream, and the numbers of all."""

    def others() -> list[Any]:
        with LogReader(path) as log:
            alerts = [one for one in log.read(1, 100) if one.kind not in (FORGOTTEN, RECORD)]
            kept = [one for one in alerts if one.stream != ANNA]
            return [
                kept,
                [log.strip(one.seq) for one in kept],
                [one for one in log.active_alarms() if one.stream != ANNA],
                log.rows("SELECT * FROM snapshot WHERE stream <> 'anna-k'"),
            ]

    before = others()
    with LogReader(path) as log:
        last_seq, log_id = log.meta().last_seq, log.meta().log_id

    seq = forgotten(path)

    assert others() == before
    with AlertLog(path) as log:
        read = log.read(1, 100)
        entries = [decode_entry(data).event for _, data in log.entries()]
    assert [one.seq for one in read] == list(range(1, last_seq + 2))
    assert {one.log_id for one in read} == {log_id}
    assert read[-1].kind == RECORD
    assert (read[-1].seq, read[-1].count) == (seq, sum(one.kind == FORGOTTEN for one in read))
    assert len(entries) == len(events())
    assert not any(ANNA in repr(event) for event in entries)


def test_the_log_is_intact_and_says_how_many_were_forgotten(path: Path) -> None:
    """Also after another stream was, after a hub went on, and after old alerts were removed."""
    forgotten(path)
    first = verify(path)
    assert (first.damage, first.forgotten, first.alerts) == ([], 11, 24)
    assert "11 alerts were removed on request" in first.counts()

    with AlertLog(path) as log:
        filled(log, rounds=1)
    forgotten(path)
    forgotten(path, OTHER)
    last = verify(path)
    assert (last.damage, last.forgotten) == ([], 11 + 1 + 12)

    with AlertLog(path) as log:
        log.remove_before(8)
    assert (verify(path).damage, verify(path).forgotten) == ([], 11 + 1 + 12 - 7)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            ["UPDATE alert SET body = replace(body, 'on request', 'by chance') WHERE seq = 1"],
            "alert 1 is damaged: checksum differs",
        ),
        (["DELETE FROM alert WHERE seq = 24"], "alert 24 to 24: missing"),
        (
            ["UPDATE alert SET chain = zeroblob(32) WHERE seq = 2"],
            "alert 3: the chain breaks here",
        ),
        (["DELETE FROM alert WHERE seq = 1"], "alert 1: missing"),
    ],
    ids=["changed", "record removed", "link changed", "removed"],
)
def test_a_change_to_what_is_left_is_found(
    path: Path, statements: list[str], expected: str
) -> None:
    """Tombstones, their links and their record are as safe as any row."""
    forgotten(path)
    changed(path, *statements)

    assert expected in verify(path).damage


def buried(path: Path, seq: int, record_seq: int) -> Verification:
    """Put a valid tombstone in the place of an alert; return what is found."""
    with LogReader(path) as log:
        body = encode_json(tombstone(log.meta().log_id, seq, record_seq)).decode()
    assert "'" not in body
    changed(
        path,
        f"UPDATE alert SET stream = '', crc32 = {zlib.crc32(body.encode())}, body = '{body}'"
        f" WHERE seq = {seq}",
    )
    return verify(path)


def test_an_alert_that_nobody_asked_to_forget_is_missed(path: Path) -> None:
    """A row that was made a tombstone by hand has no record, or one too many."""
    assert any("alert 5: forgotten, and no alert records" in d for d in buried(path, 5, 24).damage)


def test_one_tombstone_too_many_is_found(path: Path) -> None:
    """The record counts them."""
    seq = forgotten(path)

    found = buried(path, 4, seq)

    assert f"alert {seq}: it records that 11 alerts were forgotten, 12 are" in found.damage


def test_no_other_text_passes_for_a_tombstone(path: Path) -> None:
    """Else a row could be changed at will, under the name of a removal."""
    seq = forgotten(path)
    with LogReader(path) as log:
        log_id = log.meta().log_id
    body = encode_json(tombstone(log_id, 1, seq)).decode().replace("alert 24", "nobody")
    crc32 = zlib.crc32(body.encode())
    changed(path, f"UPDATE alert SET crc32 = {crc32}, body = '{body}' WHERE seq = 1")

    assert "alert 1: the chain breaks here" in verify(path).damage


@given(stream=st.sampled_from([ANNA, OTHER, "nobody"]), at=st.integers(0, len(events()) - 1))
def test_events_of_others_are_untouched_and_stay_readable(stream: str, at: int) -> None:
    """What is left of an event can be read back, and has all that it had of other streams."""
    event = events()[at]

    left = without_stream(event, stream)

    again = decode_entry(encode_entry(Entry(0.0, left))).event
    assert stream not in repr(again)
    if stream not in repr(event):
        assert left is event
    elif not isinstance(event, ScoreReply | GivenUp):
        assert left is NOTHING
    else:
        kept = [row for row, one in enumerate(event.ids) if one[0] != stream]
        assert left.ids == [event.ids[row] for row in kept]  # type: ignore[union-attr]
        if isinstance(left, ScoreReply):
            assert isinstance(event, ScoreReply)
            assert np.array_equal(left.residuals, event.residuals[kept])
            assert np.array_equal(left.probabilities, event.probabilities[kept])


def test_strips_of_alarms_older_than_the_log_are_removed_too(tmp_path: Path) -> None:
    """The strip of an active alarm outlives its alert; later only the strip names its stream."""
    path = tmp_path / "log.sqlite"
    with AlertLog(path) as log:
        for name in (ANNA, OTHER):
            log.append([alert(1, stream=name, episode="asystole-0-1")])
            log.commit(Commit(strips=[(log.last_seq, strip_of(name, 1))]))
        log.remove_before(3)
        log.append(
            [alert(2, stream=name, episode="asystole-0-1", state="off") for name in (ANNA, OTHER)]
        )

    forgotten(path)

    assert [trace for trace in traces(ANNA) if trace in all_bytes(path)] == []
    with AlertLog(path) as log:
        assert log.strip(1) is None
        assert log.strip(2) == strip_of(OTHER, 1)
    assert verify(path).damage == []


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_logs_of_every_version_can_forget(version: int, tmp_path: Path) -> None:
    """An older one is upgraded first, as a hub would do it."""
    path = tmp_path / "log.sqlite"
    old_log(path, version)
    changed(path, *(["DELETE FROM journal"] if version >= 3 else []))
    with LogReader(path) as log:
        streams = [one.stream for one in log.read(1, 10)]
    name = max(streams)

    forgotten(path, name)

    assert (verify(path).damage, verify(path).forgotten) == ([], streams.count(name))
    assert f'"stream":"{name}"'.encode() not in all_bytes(path)


def test_a_log_in_use_is_refused_and_left_alone(path: Path) -> None:
    """The line says what to do first."""
    with AlertLog(path) as log:
        before = log.read(1, 100)
        with pytest.raises(LogError, match=r"a hub has .* open: end it first"):
            StreamEraser(path)
        assert log.read(1, 100) == before
        log.append([alert(1)])


def test_a_hub_that_did_not_end_in_order_is_still_seen(path: Path) -> None:
    """The alarm about it belongs to the next hub, not to this command."""
    forgotten(path)
    with AlertLog(path) as log:
        assert log.interrupted
    forgotten(path, OTHER)
    with AlertLog(path) as log:
        assert not log.interrupted


def test_bytes_that_a_first_attempt_left_are_removed_by_the_next(path: Path) -> None:
    """A power cut between the two steps, or a full disk: the rows are gone, the bytes are not."""
    with StreamEraser(path) as log:
        log.forget(ANNA)
        reader = LogReader(path)
        reader._db.execute("BEGIN")
        reader._db.execute("SELECT count(*) FROM alert").fetchone()
        with pytest.raises(LogError, match="still in the file"):
            log.remove_bytes()
        reader.close()
    assert verify(path).damage == []

    with StreamEraser(path) as log:
        assert not log.holdings(ANNA)
        log.remove_bytes()

    assert [trace for trace in traces(ANNA) if trace in all_bytes(path)] == []


def test_temporary_files_lie_beside_the_log_and_are_closed_to_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signals of all others pass through them: an encrypted volume must hold them, too."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("no list of open files here")
    seen: dict[str, int] = {}

    def look() -> None:
        for name in os.listdir("/proc/self/fd"):
            try:
                file = os.readlink(f"/proc/self/fd/{name}")
                if "etilqs" in file or "log.sqlite" in file:
                    seen[file.removesuffix(" (deleted)")] = os.stat(f"/proc/self/fd/{name}").st_mode
            except OSError:
                continue

    before = os.umask(0)
    try:
        with StreamEraser(path) as log:
            log._db.set_progress_handler(look, 20)
            log.forget(ANNA)
            log.remove_bytes()
            log._db.set_progress_handler(None, 0)
    finally:
        os.umask(before)

    assert len(seen) >= 3
    assert {Path(file).parent for file in seen} == {path.parent}
    assert {mode & 0o077 for mode in seen.values()} == {0}


@pytest.fixture
def command(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that runs ``monitor log forget LOG ...`` and returns its exit code."""

    def run(*arguments: str, answer: str | None = None) -> int:
        monkeypatch.setattr(sys, "argv", ["monitor", "log", "forget", str(path), *arguments])
        monkeypatch.setattr(sys.stdin, "isatty", lambda: answer is not None, raising=False)
        monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
        try:
            cli.main()
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    return run


def test_command_asks_first(path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal it asks; elsewhere it wants --yes. Nothing but a yes removes anything."""
    before = path.read_bytes()
    assert command(ANNA) == 2
    assert "--yes" in capsys.readouterr().err
    for answer in ("", "\n", "n\n", "anna\n"):
        assert command(ANNA, answer=answer) == 2
    assert "11 alerts, 6 strips" in capsys.readouterr().err
    assert verify(path).forgotten == 0
    assert command(ANNA, answer="y\n") == 0
    assert capsys.readouterr().out.startswith("removed 11 alerts, 6 strips of signal, 1 active")
    assert verify(path).forgotten == 11
    assert before != path.read_bytes()


def test_command_prints_one_object_and_names_what_there_is(
    path: Path, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that was mistyped is an error: nobody must believe that something was removed."""
    assert command("anna", "--yes") == 2
    assert "holds nothing of 'anna'; it holds anna-k, bed-7" in capsys.readouterr().err
    assert command("", "--yes") == 2
    capsys.readouterr()
    assert command(ANNA, "--yes", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert {name: facts[name] for name in ("stream", "alerts", "strips", "snapshots")} == {
        "stream": ANNA, "alerts": 11, "strips": 6, "snapshots": 1,
    }  # fmt: skip
    assert facts["record_seq"] == 24
    assert command(ANNA, "--yes") == 2


def test_what_is_no_log_is_not_created(tmp_path: Path) -> None:
    """Unlike a hub, which begins one."""
    with pytest.raises(InputError, match="no log"):
        StreamEraser(tmp_path / "log.sqlite")
    assert list(tmp_path.iterdir()) == []


def remembered(hub: HubByHand) -> tuple[Any, ...]:
    """Return what a hub knows of the other stream, but for times by its own clock."""
    session = hub.hub._streams.sessions[OTHER]
    return session.progress, session.alarms, pack(session.state.recorder)


def test_a_hub_and_its_subscribers_go_on(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """The other stream continues where the hub was killed; a subscriber misses no number."""
    path = tmp_path / "log.sqlite"
    seconds = [*demo[: 8 * 360].reshape(8, 360), *np.zeros((8, 360), np.float32)]
    with hub_by_hand(path) as hub:
        source = hub.connect("ingest")
        for number, x in enumerate(seconds, 1):
            for name in (ANNA, OTHER):
                hub.accepted(source, chunk(number, x, stream=name))
        assert hub.hub._log.last_seq > 1
    shutil.copy(path, tmp_path / "copy.sqlite")
    with hub_by_hand(tmp_path / "copy.sqlite") as hub:
        undisturbed = remembered(hub)
    (tmp_path / "copy.sqlite").unlink()

    seq = forgotten(path)

    assert ANNA.encode() not in all_bytes(path)
    assert verify(path).damage == []
    received: list[Any] = []
    with hub_by_hand(path) as hub:
        assert set(hub.hub._streams.sessions) == {OTHER}
        assert remembered(hub) == undisturbed
        ends, position = hub.hub.endpoints, Position(hub.hub._log.log_id, 1)
        with Subscriber(ends["alerts"], ends["replay"], position=position) as ear:

            def caught_up() -> bool:
                hub.turns(1)
                received.extend(ear.receive(0.01))
                return ear.complete

            until(caught_up)
    records = [one for one in received if isinstance(one, Alert | Gap | LogReplaced)]
    assert all(isinstance(one, Alert) for one in records)
    assert [one.seq for one in records] == list(range(2, len(records) + 2))
    assert records[seq - 2].kind == RECORD
    assert {one.stream for one in records} <= {OTHER, ""}


def test_a_record_is_what_it_says() -> None:
    """It names no stream."""
    said = record("id", 9, 4, "2026-01-01T00:00:00.000Z")
    assert (said.stream, said.count, said.begins) == ("", 4, False)
    assert "4 alerts of one stream" in said.reason
