"""One source against all others: nothing that it sends changes a stream that is not its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import LogError
from pipeline.hub.admission import (
    CHUNKS_UNDER_WAY,
    MOST_ROOM,
    SHORT_UNDER_WAY,
    NoCreditError,
)
from pipeline.log.reader import LogReader
from pipeline.schema.messages import (
    MAX_CHUNK_S,
    Accepted,
    Chunk,
    End,
    Hello,
    Refused,
    encode,
)
from pipeline.schema.public import Alert
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.transport.sockets import Dealer
from tests.pipeline.hub.test_hub_survives import all_scored, scored
from tests.support.hub_by_hand import chunk, hub_by_hand
from tests.support.running import CONFIG, TrivialScorer, comparable, until

pytestmark = pytest.mark.system

FS = 360
SESSION, STRANGER = "a", "b"
"""`chunk` makes those of the first."""


@pytest.fixture(scope="module")
def honest(demo: NDArray[np.float32]) -> NDArray[np.float32]:
    """Forty seconds of the bundled record, which raise alarms, then a heart that stands still."""
    return np.concatenate((demo[: 40 * FS], np.zeros(10 * FS, np.float32)))


@pytest.fixture(scope="module")
def undisturbed(honest: NDArray[np.float32]) -> list[tuple[object, ...]]:
    """The alerts of that signal in one process, without a hub."""
    runner = EmbeddedRunner("s", float(FS), TrivialScorer(), CONFIG)
    outcomes = runner.run(in_blocks(honest, FS))
    return sorted((comparable(a) for one in outcomes for a in one.alerts), key=repr)


def alerts_of(log: Path, stream: str) -> list[tuple[object, ...]]:
    """Return what a log holds of a stream."""
    with LogReader(log) as reader:
        alerts = [alert for alert in reader.read(1, 10_000) if alert.stream == stream]
    return sorted(map(comparable, alerts), key=repr)


def longest_of_a_racing_heart() -> NDArray[np.float32]:
    """Return the longest chunk there may be, of 240 QRS a minute."""
    t = np.arange(round(MAX_CHUNK_S * FS)) / FS
    return np.exp(-0.5 * (((t % 0.25) - 0.1) / 0.01) ** 2).astype(np.float32)


def flood(source: Dealer, frames: list[bytes]) -> None:
    """Send what the connection takes, and read nothing."""
    while frames and source.send(frames[0]):
        del frames[0]


def test_a_source_that_ignores_its_credit_harms_no_other(
    tmp_path: Path, honest: NDArray[np.float32], undisturbed: list[tuple[object, ...]]
) -> None:
    """What it sends beyond its room is dropped and counted; the other's alerts stay the same."""
    racing = longest_of_a_racing_heart()
    frames = [
        encode(Chunk(stream="rude", first_sample=n * racing.size, fs_hz=float(FS), samples=racing))
        for n in range(40)
    ]
    with hub_by_hand(tmp_path / "log") as one:
        source, rude, worker = (one.connect(name) for name in ("ingest", "ingest", "work"))
        number = 0
        for block in in_blocks(honest, FS):
            flood(rude, frames)
            number += 1
            answer = one.accepted(source, chunk(number, block.samples))
            assert answer.written == number
            one.later_s += 1.0
            if number > 20:  # until then no scorer is there
                scored(one, worker)
        assert not frames
        one.accepted(
            source, End(stream="s", next_sample=honest.size, session=SESSION, number=number + 1)
        )
        most = 2 * MOST_ROOM + round(MAX_CHUNK_S * 5)
        assert one.hub._streams.sessions["rude"].stream.pending <= most
        all_scored(one, worker)
        one.turns(3)
        report, statuses = one.hub._state()
        counted = {status.stream: status.uncredited_chunks for status in statuses}
        assert (counted["s"], counted["rude"] > 20) == (0, True)
        assert report.uncredited_chunks == counted["rude"]
        assert not report.fault
    assert alerts_of(tmp_path / "log", "s") == undisturbed


def test_of_a_turn_no_more_than_the_credit_is_taken(tmp_path: Path) -> None:
    """The rest is dropped before it costs anything; what is sent again after an answer is taken."""
    with hub_by_hand(tmp_path / "log") as one:
        source, admission = one.connect("ingest"), one.hub._admission
        one.accepted(source, chunk(1))
        for _ in range(CHUNKS_UNDER_WAY):
            admission.require_credit("s", 0.0)
            admission.on_taken("s", 360.0, [360])
        with pytest.raises(NoCreditError):
            admission.require_credit("s", 0.0)
        source.send(encode(chunk(2)))
        until(lambda: bool(one.turns(1)) or one.hub._counters.uncredited_chunks == 1)
        assert one.hub._streams.sessions["s"].state.number == 1
        for _ in range(CHUNKS_UNDER_WAY):
            admission.on_answered("s", SHORT_UNDER_WAY)

        for number in range(2, 31):
            assert source.send(encode(chunk(number)))
        before = 1
        for _ in range(20):
            one.turns(1)
            now = one.hub._streams.sessions["s"].state.number
            assert now - before <= CHUNKS_UNDER_WAY
            before = now
        there = one.accepted(source, Hello(stream="s", session=SESSION))
        for number in range(there.written + 1, 31):
            assert one.accepted(source, chunk(number)).written == number


def test_a_state_that_does_not_fit_costs_its_own_stream_alone(
    tmp_path: Path, demo: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All alerts are committed; that stream begins again after a crash, and an alarm says so."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        size = 0
        for stream, seconds in (("wide", demo), ("s", np.zeros(demo.size, np.float32))):
            for number in range(1, 13):
                samples = seconds[(number - 1) * FS : number * FS]
                one.accepted(source, chunk(number, samples, stream=stream))
            body = one.hub._journal._packed({stream: one.hub._streams.sessions[stream]})[stream]
            size = max(size, len(body))
        assert len(body) < size
        monkeypatch.setattr("pipeline.hub.journal.LONGEST_STATE", (size + len(body)) // 2)
        one.later_s = 11.0
        one.turns(3)
        assert set(one.hub._log.snapshots()) == {"s"}
        assert one.hub._log.entries() == []
        report = one.hub._state()[0]
        assert (report.unsaved_states, report.log.writable) == (1, True)
        (alarm,) = [alert for alert in report.alarms if alert.kind == "state_not_saved"]
        assert "wide" in alarm.reason
        assert one.hub._log.alert(alarm.seq) or any(
            alert.kind == "state_not_saved" for alert in one.hub._log.read(1, 100)
        )
        assert one.accepted(source, chunk(13, stream="s")).written == 13
        assert one.accepted(source, chunk(13, stream="wide")).written == 13
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        assert one.accepted(source, Hello(stream="s", session="a")).written == 13
        lost = one.accepted(source, Hello(stream="wide", session="a"))
        assert (lost.known, lost.written) == (False, 0)
        again = one.accepted(source, chunk(14, stream="wide", unkept=True))
        assert again.written == 14
        monkeypatch.undo()
        one.later_s = 11.0
        one.turns(3)
        assert set(one.hub._log.snapshots()) == {"s", "wide"}
        assert not one.hub._journal.unsaved


STRANGE: tuple[dict[str, Any], ...] = (
    {"session": "", "number": 0},
    {"session": "", "number": 3},
    {"session": STRANGER, "number": 1},
    {"session": STRANGER, "number": 3},
    {"session": SESSION, "number": 0},
)
"""Sessions and numbers that are not those of the stream's next message."""


def test_nobody_but_its_source_ends_a_stream(tmp_path: Path) -> None:
    """Also a silent one: its alarm goes on, and what was refused is counted."""
    with hub_by_hand(tmp_path / "log") as one:
        source, stranger = one.connect("ingest"), one.connect("ingest")
        for number in (1, 2):
            one.accepted(source, chunk(number))
        for silent_s in (0.0, 30.0):
            one.later_s += silent_s
            one.turns(3)
            for fields in STRANGE:
                end = End(stream="s", next_sample=720, **fields)
                assert isinstance(one.request(stranger, end), Refused), fields
            one.turns(3)
            (status,) = one.hub._state()[1]
            assert not status.ended
            assert ("no_data" in {alarm.kind for alarm in status.alarms}) == (silent_s > 2.0)
        assert status.rejected_frames == 2 * len(STRANGE)
        one.accepted(source, End(stream="s", next_sample=720, session=SESSION, number=3))
        one.turns(3)
        assert one.hub._state()[1][0].ended


def test_nobody_but_its_source_continues_a_stream_that_is_sent(tmp_path: Path) -> None:
    """Whatever session and number say, in this epoch and the next."""
    with hub_by_hand(tmp_path / "log") as one:
        source, stranger = one.connect("ingest"), one.connect("ingest")
        for number in (1, 2):
            one.accepted(source, chunk(number))
        before = one.hub._log.last_entry
        for fields in STRANGE:
            for epoch in (0, 1):
                message = Chunk(
                    stream="s", epoch=epoch, first_sample=720, fs_hz=float(FS),
                    samples=np.ones(FS, np.float32), **fields,
                )  # fmt: skip
                assert isinstance(one.request(stranger, message), Refused), fields
        assert one.hub._log.last_entry == before
        assert one.accepted(source, chunk(3)).next_sample == 1080


def test_the_session_of_a_source_that_is_there_is_not_given_away(tmp_path: Path) -> None:
    """Who goes on for a source learns its session once the connection of that one is gone."""
    with hub_by_hand(tmp_path / "log") as one:
        source, stranger = one.connect("ingest"), one.connect("ingest")
        one.accepted(source, chunk(1))
        asks = Hello(stream="s", session=STRANGER, resume=True)
        refused = one.request(stranger, asks)
        assert isinstance(refused, Refused)
        assert refused.busy
        looked_for: list[bytes] = []
        until(lambda: looked_for.extend(source.receive()) or bool(looked_for))
        assert isinstance(one.request(stranger, asks), Refused)  # and no message to the source
        assert one.accepted(source, Hello(stream="s", session=SESSION)).written == 1
        assert one.accepted(source, chunk(2)).written == 2

        source.close(linger_ms=0)
        answers: list[object] = []

        def resumed() -> bool:
            one.later_s += 1.0
            one.hub._streams.sessions["s"].arrived_at = one.hub._clock()
            answers.append(one.request(stranger, asks))
            return isinstance(answers[-1], Accepted)

        until(resumed)
        assert isinstance(answers[-1], Accepted)
        assert (answers[-1].session, answers[-1].written) == (SESSION, 2)


def test_a_source_that_was_held_up_keeps_its_stream(tmp_path: Path) -> None:
    """A hub that stood still finds all sources silent: who is connected goes on."""
    with hub_by_hand(tmp_path / "log") as one:
        source, stranger = one.connect("ingest"), one.connect("ingest")
        one.accepted(source, chunk(1))
        one.later_s = 5.0
        for message in (Hello(stream="s", session=STRANGER), chunk(1, session=STRANGER, epoch=1)):
            refused = one.request(stranger, message)
            assert isinstance(refused, Refused)
            assert refused.busy
        source.close(linger_ms=0)
        answers: list[object] = []

        def begun() -> bool:
            one.later_s += 1.0
            one.hub._streams.sessions["s"].arrived_at = one.hub._clock() - 3.0
            answers.append(one.request(stranger, chunk(1, session=STRANGER, epoch=1)))
            return isinstance(answers[-1], Accepted)

        until(begun)


def test_a_silent_stream_tells_a_new_source_no_session(tmp_path: Path) -> None:
    """It may begin there; it may not continue as the one before."""
    with hub_by_hand(tmp_path / "log") as one:
        source, other = one.connect("ingest"), one.connect("ingest")
        one.accepted(source, chunk(1))
        one.later_s = 11.0
        for question in (Hello(stream="s", session=STRANGER), chunk(9, session=STRANGER, epoch=1)):
            answer = one.accepted(other, question)
            assert (answer.session, answer.written, answer.known) == ("", 0, True)
        assert one.accepted(other, chunk(1, session=STRANGER, epoch=1)).session == STRANGER


def test_records_and_a_device_without_a_scorer_give_up_only_what_is_theirs(
    tmp_path: Path, honest: NDArray[np.float32], undisturbed: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The records wait and lose nothing; the device that begins after them is always taken."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 10)
    records = ("one", "two", "three")
    with hub_by_hand(tmp_path / "log") as one:
        ends = {name: one.connect("ingest") for name in records}
        sent = dict.fromkeys(records, 0)
        blocks = list(in_blocks(honest, FS))

        def send_records() -> None:
            for name, source in ends.items():
                while sent[name] < len(blocks):
                    there = one.accepted(source, Hello(stream=name, session=SESSION))
                    sent[name] = there.written
                    if not there.credit or there.written == len(blocks):
                        one.later_s += 0.5
                        break
                    number = there.written + 1
                    message = chunk(number, blocks[number - 1].samples, stream=name)
                    source.send(encode(message))
                    one.turns(1)

        send_records()
        assert all(one.hub._streams.sessions[name].stream.pending >= 10 for name in records)
        device = one.connect("ingest")
        for number, block in enumerate(blocks, 1):
            one.later_s += 1.0
            message = chunk(number, block.samples, stream="bed", stamp_s=1e9 + number)
            answer = one.accepted(device, message)
            assert (answer.written, answer.credit) == (number, CHUNKS_UNDER_WAY)
        assert "asystole" in {a.kind for a in one.hub._log.read(1, 1_000) if a.stream == "bed"}
        refused = one.hub._streams.sessions["bed"].stream.counters.refused_windows
        assert refused > 5

        worker = one.connect("work")
        while min(sent.values()) < len(blocks):
            scored(one, worker)
            send_records()
        for name, source in ends.items():
            end = End(stream=name, next_sample=honest.size, session=SESSION, number=len(blocks) + 1)
            one.accepted(source, end)
        all_scored(one, worker)
        one.turns(3)
        report = one.hub._state()[0]
        assert (report.refused_windows, report.unaccounted_windows) == (refused, 0)
        renamed = [
            tuple(str(field).replace("'s'", f"'{name}'") for field in alert)
            for name in records
            for alert in undisturbed
        ]
    # While a record waits its source sends nothing.
    found = [alert for name in records for alert in alerts_of(tmp_path / "log", name)]
    found = [alert for alert in found if "'no_data'" not in alert]
    assert sorted(found, key=repr) == sorted(renamed, key=repr)


def test_a_log_that_takes_nothing_stops_records_before_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules on a device's signal go on; a record can wait for the log."""
    monkeypatch.setattr("pipeline.hub.admission.MAX_PENDING", 1)
    still = np.zeros(FS, np.float32)

    def full(commit: object) -> list[Alert]:
        raise LogError("the disk is full")

    with hub_by_hand(tmp_path / "log") as one:
        record, device = one.connect("ingest"), one.connect("ingest")
        one.accepted(record, chunk(1, stream="record"))
        one.accepted(device, chunk(1, still, stamp_s=1e9))
        monkeypatch.setattr(one.hub._log, "commit", full)
        for number in range(2, 14):
            one.later_s += 1.0
            answer = one.accepted(device, chunk(number, still, stamp_s=1e9 + number))
            assert answer.credit == CHUNKS_UNDER_WAY
        waits = one.accepted(record, Hello(stream="record", session=SESSION))
        assert (waits.credit, waits.known) == (0, True)
        begins = one.accepted(device, chunk(1, stream="bed2", stamp_s=1e9))
        assert begins.credit == CHUNKS_UNDER_WAY
        kinds = {pending.alert.kind for pending in one.hub._outbox._pending}
        assert "asystole" in kinds
        assert one.hub._streams.sessions["s"].stream.counters.samples == 13 * FS
        monkeypatch.undo()
        one.later_s += 2.0
        one.turns(3)
        assert one.accepted(record, Hello(stream="record", session=SESSION)).credit
