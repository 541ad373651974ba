"""What must not end a hub, exhaust it, or make it forget: hostile input, bad luck, and death."""

import dataclasses
import fcntl
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.commands.running.status import troubles
from pipeline.clients.scorer import answer
from pipeline.errors import LogError
from pipeline.log.lock import LogLock
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog
from pipeline.schema.messages import (
    SCORING_VERSION,
    Accepted,
    End,
    Entry,
    Hello,
    Ready,
    Refused,
    ScoreReply,
    ScoreRequest,
    decode,
    decode_entry,
    encode,
    encode_entry,
)
from pipeline.schema.public import Alert, encode_json
from pipeline.schema.requests import Acknowledge, Died, Show, State, decode_control_reply
from pipeline.signal.samples import SampleBlock
from pipeline.stream import snapshot
from pipeline.stream.stream import Stream
from pipeline.stream.streams import FORGOTTEN_S
from pipeline.transport.sockets import Dealer
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.monitor.run.test_system import command, environment
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.running import (
    CONFIG,
    DEADLINE_S,
    SUPERVISOR,
    TrivialScorer,
    until,
)

pytestmark = pytest.mark.system

READY = Ready(model="m", device="cpu", version=SCORING_VERSION)
DIED = encode_json(Died(process="source", code=-9, times=1, token=SUPERVISOR))

FEW = 8
"""Streams for which a hub has room."""


def scored(one: HubByHand, worker: Dealer) -> None:
    """Score what the hub hands out just now."""
    scorer = TrivialScorer()
    worker.send(encode(READY))
    one.turns(1)
    for frame in worker.receive():
        worker.send(encode(answer(scorer, frame)))
        one.turns(1)


def all_scored(one: HubByHand, worker: Dealer) -> None:
    """Score until nothing is pending."""

    def done() -> bool:
        scored(one, worker)
        return not one.hub._streams.pending

    until(done)


@pytest.fixture(scope="module")
def minute() -> NDArray[np.float32]:
    """A minute of the bundled record."""
    blocks = RecordSource(DEMO_RECORD, speed=None).blocks()
    return np.concatenate([b.samples for b in blocks if b is not None])[: 60 * 360]


def test_samples_that_a_source_reports_as_shed_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    """No number makes a state that cannot be written, now or by the next hub."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        for n in range(1, 6):
            one.accepted(source, chunk(n, shed=2**62))
        one.later_s = 11.0
        one.turns()
    with hub_by_hand(tmp_path / "log") as one:
        one.later_s = 11.0
        one.turns()
        reply = decode_control_reply(one.ask(one.connect("control"), encode_json(State())))
        assert reply.system is not None
        assert reply.system.shed_samples == 2**62


def test_gaps_are_counted_up_to_a_limit() -> None:
    """More epochs than the limit has room for, with a jump of 2**52 in each."""
    stream = Stream("s", 360.0, CONFIG, lambda: 0.0)
    second = np.zeros(360, np.float32)
    for epoch in range(2**10 + 9):
        if epoch:
            stream.begin_epoch(epoch, 0)
        for first in (0, 2**52 - 720):
            stream.take(SampleBlock(first, second))
    assert stream.counters.gap_samples == 2**62
    assert snapshot.pack(stream.state)


def test_stream_begins_with_its_first_chunk_or_not_at_all(tmp_path: Path) -> None:
    """The first two were lost with their connection: the third is not taken before they came."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        early = one.accepted(source, chunk(3))
        assert (early.missing, early.written, early.known) == (True, 0, False)
        for n in (1, 2, 3):
            last = one.accepted(source, chunk(n))
        assert (last.written, last.next_sample) == (3, 1080)

        one.accepted(source, End(stream="s", next_sample=1080, session="a", number=4))
        assert one.accepted(source, chunk(2, session="b", epoch=1)).missing
        assert one.accepted(source, chunk(7, session="b", epoch=1, unkept=True)).written == 7


@pytest.mark.parametrize("stream", ["yesterday", ""])
def test_acknowledging_what_is_not_there_leaves_no_trace(tmp_path: Path, stream: str) -> None:
    """The journal is trimmed as ever, and nothing is written in a turn without news."""
    with hub_by_hand(tmp_path / "log") as one:
        control = one.connect("control")
        one.ask(control, encode_json(Acknowledge(stream=stream)))
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        one.ask(control, encode_json(Acknowledge(stream=stream)))
        for n in range(2, 60):
            one.later_s += 1.0
            one.accepted(source, chunk(n))
        one.later_s += 11.0
        one.turns(3)
        assert len(one.hub._log.entries()) < 20
        written = one.hub._log._db.total_changes
        one.turns(5)
        assert one.hub._log._db.total_changes == written


def leave_older_state(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a log behind as the program before an upgrade does."""
    with hub_by_hand(log) as one:
        one.accepted(one.connect("ingest"), chunk(1))
        one.closed()
    monkeypatch.setattr(snapshot, "STATE_VERSION", snapshot.STATE_VERSION + 1)


def test_what_follows_a_state_that_was_lost_outlives_the_next_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade a stream starts over; what is acknowledged from then on is kept."""
    leave_older_state(tmp_path / "log", monkeypatch)
    with hub_by_hand(tmp_path / "log") as one:
        assert "starts over" in one.hub._outbox.fault
        source = one.connect("ingest")
        for n in range(1, 6):
            last = one.accepted(source, chunk(n, session="b"))
    with hub_by_hand(tmp_path / "log") as one:
        again = one.accepted(one.connect("ingest"), Hello(stream="s", session="b"))
        assert not one.hub._outbox.fault
    assert (again.written, again.next_sample) == (last.written, last.next_sample) == (5, 1800)


def test_a_lost_state_is_a_trouble_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while there is no stream that could say so."""
    leave_older_state(tmp_path / "log", monkeypatch)
    with hub_by_hand(tmp_path / "log") as one:
        reply = decode_control_reply(one.ask(one.connect("control"), encode_json(State())))
    assert reply.system is not None
    (trouble,) = troubles(reply.system, reply.statuses)
    assert "s starts over" in trouble


def test_what_is_raised_while_publishing_makes_no_second_alert(tmp_path: Path) -> None:
    """The alert is in the log: on leaving it is not written again under another number."""
    one = HubByHand(tmp_path / "log")
    control = one.connect("control")
    one.ask(control, encode_json(State()))

    def publish(topic: str, body: bytes) -> None:
        if topic.startswith("alert/"):
            raise KeyboardInterrupt

    one.hub._sockets.alerts.publish = publish
    control.send(DIED)
    with pytest.raises(KeyboardInterrupt), one.hub:
        one.turns(100)
    control.close(linger_ms=0)
    with LogReader(tmp_path / "log") as log:
        alerts = [(alert.kind, alert.state) for alert in log.read(1, 10)]
    assert alerts == list(dict.fromkeys(alerts))


def test_a_chunk_that_was_taken_half_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is raised in the middle of it leaves the log where it was before."""
    one = HubByHand(tmp_path / "log")
    source = one.connect("ingest")
    one.accepted(source, chunk(1))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Stream, "take", interrupted)
        source.send(encode(chunk(2)))
        with pytest.raises(KeyboardInterrupt), one.hub:
            one.turns(100)
    source.close(linger_ms=0)
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        there = one.accepted(source, Hello(stream="s", session="a"))
        assert (there.written, there.next_sample) == (1, 360)
        assert one.accepted(source, chunk(2)).next_sample == 720


@pytest.mark.parametrize("threshold", [1e9, -1e9])
def test_a_restored_hub_runs_under_another_threshold(
    tmp_path: Path, minute: NDArray[np.float32], threshold: float
) -> None:
    """What the journal brings back of the scorer counts; the verdicts are those of now."""
    with hub_by_hand(tmp_path / "log") as one:
        source, worker = one.connect("ingest"), one.connect("work")
        for n in range(60):
            one.accepted(source, chunk(n + 1, minute[360 * n : 360 * (n + 1)]))
            one.later_s += 0.006
            scored(one, worker)
        all_scored(one, worker)
        events = [decode_entry(data).event for _, data in one.hub._log.entries()]
        assert any(isinstance(event, ScoreReply) for event in events)
        beats = one.hub._streams.sessions["s"].stream.counters.beats
    other = dataclasses.replace(CONFIG, threshold=threshold, learning_threshold=threshold)
    with hub_by_hand(tmp_path / "log", live_score=other) as one:
        one.later_s = 1.0
        all_scored(one, one.connect("work"))
        counters = one.hub._streams.sessions["s"].stream.counters
        assert counters.beats >= beats
        assert counters.windows == counters.scored_windows


def test_the_journal_holds_what_was_checked_and_not_the_frame(tmp_path: Path) -> None:
    """A frame may carry more than its fields: nested deeply enough, no entry could be read."""
    fields = msgspec.msgpack.decode(encode(chunk(2)))
    frame = msgspec.msgpack.encode(fields | {"unknown": 0})[:-1] + b"\x91" * 900 + b"\x00"
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        answer = decode(one.ask(source, frame))
        assert isinstance(answer, Accepted)
        assert answer.written == 2
        last = one.hub._log.entries()[-1][1]
        entry = decode_entry(last)
    assert last == encode_entry(Entry(entry.arrived_at, chunk(2)))


def test_a_log_has_one_hub(tmp_path: Path) -> None:
    """A second one is refused and changes nothing; with the first one's death its place is free."""
    with hub_by_hand(tmp_path / "log") as one:
        one.accepted(one.connect("ingest"), chunk(1))
        entries = one.hub._log.entries()
        with pytest.raises(LogError, match="another hub writes this log"):
            HubByHand(tmp_path / "log", resume=False)
        assert one.hub._log.entries() == entries
    with hub_by_hand(tmp_path / "log") as one:
        one.closed()
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_a_flood_of_questions_is_answered_a_few_a_turn_from_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it costs the loop what one question costs; who reads the answers gets them all."""
    with hub_by_hand(tmp_path / "log") as one:
        ends = [one.connect("control") for _ in range(4)]
        for end in ends:
            one.ask(end, encode_json(State()))
        looks = []
        state = one.hub._control._state
        monkeypatch.setattr(one.hub._control, "_state", lambda: looks.append(1) or state())
        answers = [0] * len(ends)
        turns = 0
        for asked in range(8, 49, 8):  # no more than wait for one client
            for end in ends:
                for _ in range(8):
                    assert end.send(encode_json(State()))
            while sum(answers) < asked * len(ends):
                one.turns(1)
                turns += 1
                new = [len(list(end.receive())) for end in ends]
                answers = [n + more for n, more in zip(answers, new, strict=True)]
                assert turns < 10_000
        assert answers == [48] * 4
        assert len(looks) <= turns
        assert len(looks) >= 192 / 16


def test_a_damaged_row_of_the_active_alarms_is_a_fault_and_not_the_end(tmp_path: Path) -> None:
    """The others are taken over."""
    with AlertLog(tmp_path / "log") as log:
        log.append([_alarm(1), _alarm(2)])
    with closing(sqlite3.connect(tmp_path / "log")) as db, db:
        db.execute("UPDATE standing SET crc32 = crc32 + 1 WHERE seq = 1")
    with hub_by_hand(tmp_path / "log") as one:
        assert "alert 1 is damaged" in one.hub._outbox.fault
        one.turns(3)
        with LogReader(tmp_path / "log") as log:
            assert [(a.episode, a.state) for a in log.read(3, 9)] == [("asystole-0-2", "latched")]


def _alarm(n: int) -> Alert:
    return Alert(
        stream="s", kind="asystole", category="physiological", priority="high", sample=n,
        time_s=1.0, reason="r", episode=f"asystole-0-{n}",
    )  # fmt: skip


def test_streams_that_never_end_make_room_in_the_end(tmp_path: Path) -> None:
    """A full house is nobody's for ever: who is silent for longest goes, if for long enough."""
    with hub_by_hand(tmp_path / "log", max_streams=FEW) as one:
        source = one.connect("ingest")
        for n in range(FEW):
            one.accepted(source, chunk(1, stream=f"bed1-{n}"))
        refused = one.request(one.connect("ingest"), chunk(1, stream="icu"))
        assert isinstance(refused, Refused)
        one.later_s = FORGOTTEN_S + 1.0
        one.accepted(source, chunk(2, stream="bed1-0"))
        assert isinstance(one.request(one.connect("ingest"), chunk(1, stream="icu")), Accepted)
        assert {"icu", "bed1-0"} <= set(one.hub._streams.sessions)
        assert "bed1-1" not in one.hub._streams.sessions


def test_a_stream_that_waits_for_a_scorer_keeps_no_other_in(
    tmp_path: Path, minute: NDArray[np.float32]
) -> None:
    """Of those that are silent one goes that waits for nothing."""
    with hub_by_hand(tmp_path / "log", max_streams=FEW) as one:
        source = one.connect("ingest")
        for n in range(1, 8):
            waits = minute[(n - 1) * 360 : n * 360]
            first = (n - 1) * 360
            one.accepted(source, chunk(n, stream="waits", samples=waits, first_sample=first))
        one.later_s = 1.0
        for n in range(FEW - 1):
            one.accepted(source, chunk(1, stream=f"bed1-{n}"))
        assert one.hub._streams.sessions["waits"].stream.pending
        one.later_s = FORGOTTEN_S + 2.0
        assert isinstance(one.request(one.connect("ingest"), chunk(1, stream="icu")), Accepted)
        assert {"waits", "icu"} <= set(one.hub._streams.sessions)


def test_silence_of_a_source_ends_with_its_stream_also_if_another_begins_at_once(
    tmp_path: Path,
) -> None:
    """No alarm stays active that nothing would ever end."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        one.later_s = 3.0
        one.turns(3)
        assert [alert.kind for alert in one.hub._log.active_alarms()] == ["no_data"]
        source.send(encode(End(stream="s", next_sample=360, number=2, session="a")))
        one.accepted(source, chunk(1, session="b", epoch=1))
        one.turns(3)
        assert one.hub._log.active_alarms() == []


def test_showing_an_alert_needs_no_log_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is shown; what was just done says that it is not recorded."""
    with hub_by_hand(tmp_path / "log") as one:
        control = one.connect("control")
        one.ask(control, DIED)
        one.turns(3)

        def full(commit: Any) -> Any:
            raise LogError("disk full")

        monkeypatch.setattr(one.hub._log, "commit", full)
        one.ask(control, DIED)
        shown = decode_control_reply(one.ask(control, encode_json(Show(seq=1))))
        assert shown.error == ""
        assert [alert.seq for alert in shown.alerts] == [1]


def test_ctrl_c_ends_a_hub_in_order(tmp_path: Path) -> None:
    """Between two turns, with exit code 130; the next one goes on and reports no death."""
    log = tmp_path / "log"
    arguments = ["hub", "--port", "0", "--log", str(log)]
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        env=environment(tmp_path),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        while b"ready" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    finally:
        process.kill()
        process.communicate()
    with AlertLog(log) as after:
        assert not after.interrupted
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_reply_to_an_acknowledgement_holds_the_alert_as_logged(tmp_path: Path) -> None:
    """With its number, under which the client finds it in the log."""
    with AlertLog(tmp_path / "log") as log:
        log.append([_alarm(1)])
    with hub_by_hand(tmp_path / "log") as one:
        one.turns(3)
        request = encode_json(Acknowledge(stream="s"))
        reply = decode_control_reply(one.ask(one.connect("control"), request))
        (acknowledged,) = reply.alerts
        assert acknowledged.state == "off"
        assert acknowledged == one.hub._log.alert(acknowledged.seq)


def test_alarms_of_a_stream_that_is_forgotten_are_over_or_stay_to_be_acknowledged(
    tmp_path: Path,
) -> None:
    """No alarm is left that could neither end nor be acknowledged."""
    with hub_by_hand(tmp_path / "log", max_streams=FEW) as one:
        source, control = one.connect("ingest"), one.connect("control")
        for n in range(1, 8):
            one.accepted(source, chunk(n, stream="bed"))
        one.later_s = 3.0
        one.turns(3)
        assert {"asystole", "no_data"} <= {alert.kind for alert in one.hub._log.active_alarms()}
        for n in range(FEW - 1):
            one.accepted(source, chunk(1, stream=f"bed-{n}"))
        one.later_s = FORGOTTEN_S + 10.0
        one.accepted(one.connect("ingest"), chunk(1, stream="icu"))
        one.turns(3)
        active = [(a.kind, a.state) for a in one.hub._log.active_alarms() if a.stream == "bed"]
        assert active == [("asystole", "latched")]
        one.ask(control, encode_json(Acknowledge(stream="bed")))
        assert not [a for a in one.hub._log.active_alarms() if a.stream == "bed"]


def test_chunks_of_an_epoch_that_is_over_are_refused_and_not_missed_for_ever(
    tmp_path: Path,
) -> None:
    """Another source of the name came and went between a source's question and its first chunk."""
    with hub_by_hand(tmp_path / "log") as one:
        other = one.connect("ingest")
        one.accepted(other, chunk(1, session="b", epoch=1))
        one.accepted(other, End(stream="s", epoch=1, next_sample=360, number=2, session="b"))
        one.accepted(other, chunk(1, session="c", epoch=2))
        one.later_s = 11.0
        answer = one.request(one.connect("ingest"), chunk(1, session="a", epoch=1))
    assert isinstance(answer, Refused)
    assert "begin again" in answer.reason


def test_no_heart_rate_is_shown_during_asystole(
    tmp_path: Path, minute: NDArray[np.float32]
) -> None:
    """The last intervals are no rate of now."""
    with hub_by_hand(tmp_path / "log") as one:
        source, worker = one.connect("ingest"), one.connect("work")
        for n in range(30):
            one.accepted(source, chunk(n + 1, minute[360 * n : 360 * (n + 1)]))
            one.later_s += 0.006
            scored(one, worker)
        all_scored(one, worker)
        session = one.hub._streams.sessions["s"]
        assert session.stream.beats.bpm() is not None
        for n in range(30, 38):
            one.accepted(source, chunk(n + 1))
            scored(one, worker)
        all_scored(one, worker)
        (status,) = one.hub._state()[1]
        assert "asystole" in {alert.kind for alert in status.alarms}
        assert status.bpm is None


def test_a_log_by_another_name_is_the_same_log(tmp_path: Path) -> None:
    """A link leads to the same lock, and to the same files beside it."""
    (tmp_path / "link").symlink_to(tmp_path / "log")
    with hub_by_hand(tmp_path / "log") as one:
        one.ask(one.connect("control"), DIED)
        one.turns(3)
        with pytest.raises(LogError, match="another hub writes this log"):
            HubByHand(tmp_path / "link")
        with LogReader(tmp_path / "link") as log:
            assert log.alert(1) is not None


def test_a_lock_whose_file_goes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder ends between the two looks: that is no file system without locks."""
    taken = []

    def flock(handle: int, how: int) -> None:
        if not taken:
            (tmp_path / "log-lock").unlink()
        taken.append(handle)
        real(handle, how)

    real = fcntl.flock
    monkeypatch.setattr("pipeline.log.lock.fcntl.flock", flock)
    lock = LogLock(tmp_path / "log")
    assert len(taken) == 2
    with pytest.raises(LogError):
        LogLock(tmp_path / "log")
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_run_that_another_hub_keeps_out_leaves_that_hubs_files_alone(tmp_path: Path) -> None:
    """Though there was no log yet when it began: it is the other one's, and it is named."""
    lock = LogLock(tmp_path / "log")
    arguments = ["replay", "demo", "--plain", "--port", "0", "--log", str(tmp_path / "log")]
    run = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=DEADLINE_S,
        check=False,
    )
    assert (tmp_path / "log-lock").exists()
    lock.release()
    assert run.returncode == 2
    assert "another hub writes this log" in run.stderr


def test_rules_on_a_devices_signal_go_on_without_a_scorer(
    tmp_path: Path, minute: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats that nobody scores are given up where there is no room, counted, and said."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 20)
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        number = 0
        for seconds in (minute, np.zeros(20 * 360, np.float32)):
            for at in range(0, seconds.size, 360):
                number += 1
                one.later_s += 1.0
                message = chunk(number, seconds[at : at + 360], stamp_s=1e9 + number)
                if not one.hub._admission.credit:
                    one.turns(10)
                one.accepted(source, message)
        one.turns(3)
        stream = one.hub._streams.sessions["s"].stream
        report = one.hub._state()[0]
        with LogReader(tmp_path / "log") as log:
            kinds = {alert.kind for alert in log.read(1, 100) if alert.stream == "s"}
        assert stream.counters.samples == 80 * 360
        assert stream.pending < 40
        assert "asystole" in kinds
        assert report.refused_windows > 20
        assert report.unaccounted_windows == 0
        assert stream.counters.beats_not_analysable >= report.refused_windows
    with hub_by_hand(tmp_path / "log") as one:
        again = one.hub._state()[0]
        assert again.refused_windows == report.refused_windows
        assert again.unaccounted_windows == 0


def test_a_record_waits_for_a_scorer_and_loses_nothing(
    tmp_path: Path, minute: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record is not urgent: its source has to wait, and asks again."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 5)
    with hub_by_hand(tmp_path / "log") as one:
        source, number = one.connect("ingest"), 0
        while one.hub._streams.pending < 5:
            number += 1
            one.accepted(source, chunk(number, minute[360 * (number - 1) : 360 * number]))
        for _ in range(40):
            one.later_s += 1.0
            one.turns(1)
        waits = one.accepted(source, Hello(stream="s", session="a"))
        assert (waits.credit, waits.written) == (0, number)
        source.send(encode(chunk(number + 1, minute[360 * number : 360 * (number + 1)])))
        one.turns(5)
        assert not list(source.receive())
        all_scored(one, one.connect("work"))
        goes_on = one.accepted(source, Hello(stream="s", session="a"))
        assert (goes_on.credit > 0, goes_on.written) == (True, number)
        assert one.hub._state()[0].refused_windows == 0


def test_a_scorer_whose_answers_are_of_no_use_is_none(
    tmp_path: Path, minute: NDArray[np.float32]
) -> None:
    """It says four times a second that it is ready, but what it sends are no scores."""
    with hub_by_hand(tmp_path / "log") as one:
        source, worker = one.connect("ingest"), one.connect("work")
        for n in range(20):
            one.accepted(source, chunk(n + 1, minute[360 * n : 360 * (n + 1)]))
        for _ in range(60):
            one.later_s += 0.25
            worker.send(encode(READY))
            one.turns(1)
            for frame in worker.receive():
                request = decode(frame)
                assert isinstance(request, ScoreRequest)
                nothing = np.full(len(request.ids), np.nan, "<f4")
                reply = ScoreReply(
                    ids=request.ids,
                    scores=nothing,
                    residuals=np.zeros((len(request.ids), 320), "<f4"),
                    probabilities=np.full((len(request.ids), 4), 0.25, "<f4"),
                    compute_ms=1.0,
                )
                worker.send(encode(reply))
                one.turns(1)
        report, (status,) = one.hub._state()
        assert report.scorers == 0
        assert (status.state, status.reason) == ("not_analysable", "no scorer answers")
        assert "no_scorer" in {alert.kind for alert in one.hub._log.active_alarms()}


def test_an_epoch_that_no_source_could_follow_is_refused(tmp_path: Path) -> None:
    """The next one begins behind it: behind the last that can be there is none, for ever."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        for epoch in (2**62, 2**33):
            refused = one.request(one.connect("ingest"), chunk(1, stream="new", epoch=epoch))
            assert isinstance(refused, Refused)
            refused = one.request(source, chunk(2, epoch=epoch))
            assert isinstance(refused, Refused)
        one.accepted(source, chunk(2))
        one.accepted(source, chunk(3, epoch=2**32, first_sample=0))
