"""The hub over real sockets: every beat scored once, every alert once, and no end by rubbish."""

import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from pipeline.errors import EndpointError
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub
from pipeline.log.store import AlertLog
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Message,
    Ready,
    Refused,
    ScoreReply,
    decode,
    encode,
)
from pipeline.schema.public import Alert, BeatNote, Status, encode_json
from pipeline.schema.requests import ReplayRequest, decode_replay_page
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.transport.sockets import Dealer, wait
from tests.support.limits import promised
from tests.support.running import (
    CONFIG,
    TrivialScorer,
    alerts_of,
    comparable,
    feed,
    ingest_client,
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    thread,
    until,
)

pytestmark = pytest.mark.system

CHUNK = Chunk(stream="s", first_sample=0, fs_hz=360.0, samples=np.zeros(36, "<f4"))


@pytest.fixture(scope="module")
def expected(demo: NDArray[np.float32]) -> list[tuple[object, ...]]:
    """Alerts and beats of the demo as one process without sockets finds them."""
    runner = EmbeddedRunner("demo", 360.0, TrivialScorer(), CONFIG)
    outcomes = list(runner.run([SampleBlock(0, demo)]))
    return sorted((comparable(a) for outcome in outcomes for a in outcome.alerts), key=repr)


def ask(dealer: Dealer, frame: bytes) -> list[bytes]:
    """Send a frame and return what comes back."""
    until(lambda: dealer.send(frame) or bool(wait([dealer], 0.02)))
    answers: list[bytes] = []

    def answered() -> bool:
        wait([dealer], 0.1)
        answers.extend(dealer.receive())
        return bool(answers)

    until(answered)
    return answers


def accepted(dealer: Dealer, message: Message) -> Accepted:
    """Send a message and return the hub's answer to it."""
    answer = decode(ask(dealer, encode(message))[-1])
    assert isinstance(answer, Accepted)
    return answer


def refused(dealer: Dealer, message: Message) -> str:
    """Send a message that the hub will not take and return the reason it gives."""
    answer = decode(ask(dealer, encode(message))[-1])
    assert isinstance(answer, Refused)
    return answer.reason


def test_source_gets_the_reason_why_its_torn_chunk_is_refused(tmp_path: Path) -> None:
    """Flags of another length than the samples: the source's own stream, and the reason."""
    samples = np.zeros(10, np.float32)
    torn = Chunk(
        stream="torn", first_sample=0, fs_hz=360.0, samples=samples, flags=np.zeros(3, np.uint8)
    )
    with running_hub(tmp_path / "log") as hub, Dealer(hub.endpoints["ingest"]) as source:
        answer = decode(ask(source, encode(torn))[-1])

    assert isinstance(answer, Refused)
    assert (answer.stream, answer.reason) == ("torn", "chunk of torn: 10 samples but 3 flags")


def test_every_beat_is_scored_once_and_every_alert_is_the_oracles(
    tmp_path: Path, demo: NDArray[np.float32], expected: list[tuple[object, ...]]
) -> None:
    """Two streams through sockets: beats published once and in order, the alerts of one process."""
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub) as scorer,
        subscriber(hub, topics=("beat/", "status/")) as listener,
    ):
        until(lambda: bool(list(listener.receive(0.1))) or listener.heartbeats > 0)
        feed(hub, "demo", demo)
        feed(hub, "second", demo, step=97)
        received = receive_until_ended(listener, "demo", "second")

        alerts = alerts_of(received)
        assert [alert.seq for alert in alerts] == list(range(1, len(alerts) + 1))
        of_demo = [comparable(alert) for alert in alerts if alert.stream == "demo"]
        assert sorted(of_demo, key=repr) == expected
        assert len([a for a in alerts if a.stream == "second"]) == len(expected)
        for name in ("demo", "second"):
            notes = [m for m in received if isinstance(m, BeatNote) and m.stream == name]
            samples = [note.sample for note in notes]
            assert samples == sorted(set(samples))
            last = [m for m in received if isinstance(m, Status) and m.stream == name][-1]
            assert (last.beats, last.pending, last.ended) == (len(notes), 0, True)
        analysable = [m for m in received if isinstance(m, BeatNote) and m.analysable]
        assert scorer.windows == len(analysable) + 1  # and one to warm up
        for alert in alerts:
            parts = alert.latency_ms
            names = ("window", "filter", "segment", "queue", "score", "deliver")
            assert parts.total == pytest.approx(sum(getattr(parts, n) for n in names), abs=0.01)


def test_alert_is_in_the_log_before_it_is_published(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Whoever receives an alert finds it in the log."""
    log = tmp_path / "log"
    with running_hub(log) as hub, running_worker(hub), subscriber(hub) as listener:
        feed(hub, "demo", demo)
        reader = sqlite3.connect(log)
        seen = 0

        def all_seen() -> bool:
            nonlocal seen
            for message in listener.receive(0.1):
                if isinstance(message, Alert):
                    (last,) = reader.execute("SELECT max(seq) FROM alert").fetchone()
                    assert last >= message.seq
                    seen += 1
            return seen >= 10

        until(all_seen)
        reader.close()


def test_late_joiner_and_one_who_was_away_get_every_alert_once(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Joining after the end, or leaving in the middle, loses nothing and repeats nothing."""
    with running_hub(tmp_path / "log") as hub, running_worker(hub):
        with subscriber(hub, topics=("status/",)) as here:
            feed(hub, "one", demo)
            first = alerts_of(receive_until_ended(here, "one"))
        feed(hub, "two", demo)
        with (
            subscriber(hub, topics=("status/",)) as late,
            subscriber(hub, from_seq=first[-1].seq + 1, topics=("status/",)) as back,
        ):
            all_late = [a.seq for a in alerts_of(receive_until_ended(late, "one", "two"))]
            since = [a.seq for a in alerts_of(receive_until_ended(back, "one", "two"))]

    assert all_late == list(range(1, 2 * len(first) + 1))
    assert since == list(range(first[-1].seq + 1, 2 * len(first) + 1))


def test_rubbish_on_every_socket_is_counted_and_ignored(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Random bytes, wrong messages and lies end neither the hub nor anybody's stream."""
    rng = np.random.default_rng(0)
    ids = [("demo", 0, 140), ("nobody", 5, 2**62)]
    sure = np.tile(np.array([0, 0, 1, 0], np.float32), (2, 1))
    none, two = np.zeros((2, 0), np.float32), np.zeros(2, np.float32)
    whole = np.zeros((2, 320), np.float32)
    lies: list[bytes] = [
        encode(message)
        for message in (
            End(stream="never", next_sample=0),
            Ready(model="m", device="d"),
            Accepted(stream="s", epoch=0, next_sample=0, credit=1),
            *(
                ScoreReply(
                    ids=ids,
                    scores=scores,
                    residuals=residuals,
                    probabilities=probabilities,
                    compute_ms=1e300,
                )
                for scores, residuals, probabilities in (
                    (two, whole, sure),
                    (two[:1], none, sure),
                    (two, whole, 0 * sure),
                    (two, whole, none),
                )
            ),
            msgspec.structs.replace(CHUNK, samples=np.frombuffer(b"123", np.uint8)),
            msgspec.structs.replace(CHUNK, flags=np.ones(1, np.uint8)),
        )
    ]
    lies += [rng.bytes(int(n)) for n in rng.integers(0, 400, 200)]
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/",)) as listener,
        ExitStack() as open_ends,
    ):
        for name in ("ingest", "work", "replay"):
            # Stays open to the end: a socket that closes may take what it has queued with it.
            rude = open_ends.enter_context(Dealer(hub.endpoints[name]))
            for lie in lies:
                until(lambda r=rude, x=lie: r.send(x) or bool(wait([r], 0.02)))
        with running_worker(hub):
            feed(hub, "demo", demo)
            received = receive_until_ended(listener, "demo")
    last = [m for m in received if isinstance(m, Status)][-1]
    assert last.rejected_frames >= 3 * 200
    assert last.beats > 100
    assert len(alerts_of(received)) > 10


@promised(5.0)
@pytest.mark.parametrize("fs_hz", [50.0, 250.0, 360.0, 9999.99, 123.456789, 10_000.0])
def test_extreme_but_valid_chunks_are_survived(
    tmp_path: Path, fs_hz: float, limit_s: float
) -> None:
    """Enormous gaps, positions, epochs and values cost neither the hub nor its memory."""
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, 0.0] * 300, "<f4")
    quiet = np.zeros(2000, "<f4")
    with running_hub(tmp_path / "log") as hub, Dealer(hub.endpoints["ingest"]) as source:
        base = msgspec.structs.replace(CHUNK, stream="x", fs_hz=fs_hz)
        began = time.monotonic()
        for change in (
            {"samples": quiet[:0]},
            {"first_sample": 2**52, "samples": quiet[:0]},
            {"samples": wild},
            {"first_sample": 10**6, "samples": quiet},
            {"first_sample": 2**51, "samples": wild},
            {"first_sample": 2**52, "samples": quiet},
            {"first_sample": 5, "samples": wild},
            {"epoch": 7, "first_sample": 2**52, "samples": wild},
            {"epoch": 2**32, "first_sample": 3, "samples": quiet},
            {"epoch": 3, "samples": quiet},
        ):
            answer = accepted(source, msgspec.structs.replace(base, **change))
        assert (answer.epoch, answer.next_sample) == (2**32, 2003)
        other = msgspec.structs.replace(base, stream="y", first_sample=2**52, samples=quiet)
        assert accepted(source, other).next_sample == 2**52 + 2000
        accepted(source, End(stream="x", epoch=2**32, next_sample=0))
        assert time.monotonic() - began < limit_s


def test_position_beyond_all_streams_is_refused_and_the_hub_lives_on(tmp_path: Path) -> None:
    """What the segmenter would refuse is refused before it gets there."""
    far = msgspec.structs.replace(CHUNK, first_sample=2**53)
    with running_hub(tmp_path / "log") as hub, Dealer(hub.endpoints["ingest"]) as source:
        assert "first_sample" in refused(source, far)
        assert accepted(source, CHUNK).next_sample == 36


def test_repeated_chunks_are_no_ops(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """A source that sends everything twice changes nothing but a counter."""
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub),
        subscriber(hub, topics=("status/",)) as listener,
    ):
        with ingest_client(hub, "demo") as source:
            for a in range(0, 20_000, 1000):
                for _ in range(2):
                    assert source.send(SampleBlock(a, demo[a : a + 1000]))
            assert source.finish()
        twice = receive_until_ended(listener, "demo")
        last = [m for m in twice if isinstance(m, Status)][-1]
        assert (last.sample, last.duplicate_samples) == (20_000, 20_000)
        assert last.duration_s == pytest.approx(20_000 / 360, abs=1e-3)

        feed(hub, "once", demo[:20_000])
        once = receive_until_ended(listener, "once")
    assert last.beats == [m for m in once if isinstance(m, Status) and m.stream == "once"][-1].beats
    assert len(alerts_of(twice)) == len(alerts_of(once))


def test_source_that_only_repeats_itself_does_not_look_alive(tmp_path: Path) -> None:
    """Samples known already are no news: a source that begins again counts as no data."""
    with (
        running_hub(tmp_path / "log") as hub,
        Dealer(hub.endpoints["ingest"]) as source,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        accepted(source, CHUNK)

        def noticed() -> bool:
            accepted(source, CHUNK)
            received = [m for m in listener.receive(0.1) if isinstance(m, Status)]
            return any(m.reason == "no data from the source" for m in received)

        until(noticed)


def test_chunk_of_another_rate_is_refused(tmp_path: Path) -> None:
    """A stream keeps its rate; what says otherwise is counted and changes nothing."""
    with (
        running_hub(tmp_path / "log") as hub,
        Dealer(hub.endpoints["ingest"]) as source,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        assert accepted(source, CHUNK).next_sample == 36
        other = msgspec.structs.replace(CHUNK, fs_hz=250.0, first_sample=36)
        assert "changed its rate" in refused(source, other)
        following = msgspec.structs.replace(CHUNK, first_sample=36)
        assert accepted(source, following).next_sample == 72
        statuses: list[Status] = []

        def counted() -> bool:
            statuses.extend(m for m in listener.receive(0.1) if isinstance(m, Status))
            return bool(statuses) and statuses[-1].rejected_frames == 1

        until(counted)
        assert statuses[-1].fs_hz == 360.0


def test_stream_that_goes_on_after_its_end_does_not_confuse_its_beats(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """While beats of a stream that ended wait for a score, its numbers do not begin again."""
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/",)) as listener,
        Dealer(hub.endpoints["ingest"]) as source,
    ):
        chunk = msgspec.structs.replace(CHUNK, stream="demo", samples=demo[:7200])
        accepted(source, chunk)
        accepted(source, End(stream="demo", next_sample=7200))
        assert "after its end" in refused(source, chunk)
        with running_worker(hub):
            received = receive_until_ended(listener, "demo")
            last = [m for m in received if isinstance(m, Status)][-1]
            assert (last.sample, last.pending, last.rejected_frames) == (7200, 0, 1)
            # Now it is over, and the same name may begin again.
            assert accepted(source, chunk).next_sample == 7200


def test_end_of_another_epoch_ends_nothing(tmp_path: Path) -> None:
    """A stale end does not cut off the record's next round."""
    with running_hub(tmp_path / "log") as hub, Dealer(hub.endpoints["ingest"]) as source:
        accepted(source, CHUNK)
        accepted(source, msgspec.structs.replace(CHUNK, epoch=1))
        assert "not now" in refused(source, End(stream="s", epoch=0, next_sample=36))
        following = msgspec.structs.replace(CHUNK, epoch=1, first_sample=36)
        assert accepted(source, following).next_sample == 72


def test_reader_of_another_log_gets_everything(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """Numbers of another log mean nothing: the answer starts at the oldest alert."""
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub),
        subscriber(hub, topics=("status/",)) as listener,
        Dealer(hub.endpoints["replay"]) as reader,
    ):
        feed(hub, "demo", demo)
        n = len(alerts_of(receive_until_ended(listener, "demo")))

        def read(log_id: str, from_seq: int) -> list[int]:
            request = ReplayRequest(log_id=log_id, from_seq=from_seq)
            [frame] = ask(reader, encode_json(request))
            page = decode_replay_page(frame)
            assert (page.end, page.last_seq) == (True, n)
            return [alert.seq for alert in page.alerts]

        assert read("another", 5) == list(range(1, n + 1))
        assert read("", 5) == list(range(5, n + 1))
        assert read("", 0) == list(range(1, n + 1))
        assert read("", 2**62) == []


def test_long_log_comes_in_pages(tmp_path: Path) -> None:
    """1,201 alerts: pages of 500, 500 and 201, the end marked on the last one alone."""
    alert = Alert(
        stream="s", kind="k", category="c", priority="low", sample=0, time_s=0.0, reason=""
    )
    with AlertLog(tmp_path / "log") as log:
        log.append([alert] * 1201)
    with (
        running_hub(tmp_path / "log") as hub,
        Dealer(hub.endpoints["replay"], max_frame=2**23) as reader,
    ):
        frames = ask(reader, encode_json(ReplayRequest()))

        def whole() -> bool:
            wait([reader], 0.1)
            frames.extend(reader.receive())
            return decode_replay_page(frames[-1]).end

        until(whole)
        pages = [decode_replay_page(frame) for frame in frames]
    assert [len(page.alerts) for page in pages] == [500, 500, 201]
    assert [page.end for page in pages] == [False, False, True]
    assert [a.seq for page in pages for a in page.alerts] == list(range(1, 1202))


def test_damaged_log_is_a_fault_in_the_status_and_not_the_end(tmp_path: Path) -> None:
    """A row that fails its checksum stops the answer, not the monitoring."""
    path = tmp_path / "log"
    alert = Alert(
        stream="s", kind="k", category="c", priority="low", sample=0, time_s=0.0, reason=""
    )
    with AlertLog(path) as log:
        log.append([alert])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE alert SET crc32 = crc32 + 1")
    db.close()
    with (
        running_hub(path) as hub,
        Dealer(hub.endpoints["replay"]) as reader,
        Dealer(hub.endpoints["ingest"]) as source,
        subscriber(hub, from_seq=None, topics=("status/",)) as listener,
    ):
        accepted(source, CHUNK)
        until(lambda: reader.send(encode_json(ReplayRequest())) or bool(wait([reader], 0.02)))
        until(
            lambda: any(
                isinstance(m, Status) and "damaged" in m.fault for m in listener.receive(0.1)
            )
        )


def test_stream_without_a_scorer_is_not_analysable(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Beats without a score are never shown as normal; they are published once one scores them."""
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        feed(hub, "demo", demo[:7200])
        until(
            lambda: any(
                isinstance(m, Status)
                and (m.state, m.reason) == ("not_analysable", "no scorer answers")
                for m in listener.receive(0.1)
            )
        )
        with running_worker(hub):
            received = receive_until_ended(listener, "demo")
    last = [m for m in received if isinstance(m, Status)][-1]
    assert last.pending == 0
    assert last.beats > 10


def test_room_for_streams_is_made_by_forgetting_those_that_are_over(
    tmp_path: Path,
) -> None:
    """A hub that has run for months still takes new streams, and never more than its limit."""
    with (
        running_hub(tmp_path / "log", max_streams=2) as hub,
        Dealer(hub.endpoints["ingest"]) as source,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        for name in ("a", "b"):
            accepted(source, msgspec.structs.replace(CHUNK, stream=name))
        why = refused(source, msgspec.structs.replace(CHUNK, stream="c"))
        assert "2 streams" in why
        assert "--max-streams" in why
        accepted(source, End(stream="a", next_sample=36))
        receive_until_ended(listener, "a")
        answer = accepted(source, msgspec.structs.replace(CHUNK, stream="d"))
        assert answer.stream == "d"


def test_log_that_cannot_be_written_is_a_fault_and_nothing_is_lost(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Alerts wait for the log, unpublished, and come out once when it can be written again."""
    path = tmp_path / "log"
    with (
        running_hub(path) as hub,
        running_worker(hub),
        subscriber(hub, topics=("status/",)) as listener,
    ):
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        faults: list[str] = []

        def fault() -> bool:
            for message in listener.receive(0.1):
                assert not isinstance(message, Alert)
                if isinstance(message, Status) and message.fault:
                    assert not message.ended
                    faults.append(message.fault)
            return bool(faults)

        with thread(lambda stop: feed(hub, "demo", demo)):  # it ends once it is recorded
            until(fault)
            blocker.execute("ROLLBACK")
            blocker.close()
        alerts = alerts_of(receive_until_ended(listener, "demo"))
    assert [alert.seq for alert in alerts] == list(range(1, len(alerts) + 1))
    assert len(alerts) > 10


def test_port_in_use_leaves_nothing_open_and_no_log(tmp_path: Path) -> None:
    """A hub whose port is in use fails before it writes anything."""
    with Hub(HubConfig(log=tmp_path / "a", live_score=CONFIG), time.monotonic) as hub:
        taken = HubConfig(alerts=hub.endpoints["alerts"], log=tmp_path / "b", live_score=CONFIG)
        with pytest.raises(EndpointError, match="--port"):
            Hub(taken, time.monotonic)
    assert not (tmp_path / "b").exists()


def test_plain_subscriber_needs_nothing_of_ours(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """Two frames, a topic and one JSON object, for any ZeroMQ and any JSON."""
    import json

    with running_hub(tmp_path / "log") as hub, running_worker(hub):
        listener: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        listener.connect(hub.endpoints["alerts"])
        listener.setsockopt(zmq.SUBSCRIBE, b"")
        listener.setsockopt(zmq.RCVTIMEO, 10_000)
        try:
            listener.recv_multipart()  # a heartbeat: the subscription is in force
            feed(hub, "demo", demo)
            topic = b""
            while topic != b"alert/demo":
                topic, body = listener.recv_multipart()
            assert json.loads(body)["schema"] == 1
        finally:
            listener.close(linger=0)
