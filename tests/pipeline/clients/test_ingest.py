"""A source's connection: waits for credit, loses nothing, gives up when asked to."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clients.ingest import IngestClient
from pipeline.errors import EndpointError
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Hello,
    Message,
    Refused,
    decode,
    encode,
)
from pipeline.schema.outgoing import Start
from pipeline.schema.public import Status
from pipeline.signal.samples import SampleBlock
from pipeline.transport.sockets import Router, wait
from tests.support.hub_by_hand import hub_by_hand
from tests.support.limits import BUSY_S, promised
from tests.support.running import thread, until

pytestmark = pytest.mark.system


def accepted(message: Message, credit: int) -> bytes:
    """Return the answer of a hub that has written everything up to a message."""
    assert isinstance(message, Hello | Chunk | End)
    facts = {} if isinstance(message, Hello) else {"number": message.number}
    return encode(
        Accepted(
            stream=message.stream,
            epoch=0,
            next_sample=0,
            credit=credit,
            session=message.session,
            written=facts.get("number", 0),
            known=not isinstance(message, Hello),
            **facts,
        )
    )


def connect(router: Router, stop: threading.Event, **how: bool) -> IngestClient:
    """Return a client of ``router``."""
    return IngestClient(
        router.endpoint, stream="s", fs_hz=250.0, lead="II", stop=stop.is_set, **how
    )


class FakeHub:
    """A hub that says what a test wants it to say."""

    def __init__(self, router: Router, *, credit: int = 1) -> None:
        self.received: list[Message] = []
        self._router = router
        self._credit = credit
        self._peer = b""

    def greet(self, **answer: object) -> None:
        """Wait for a `Hello` and answer it: by default, as a hub that knows nothing of it."""
        hello = self.wait_for(Hello)
        self.say(hello, **{"known": False, **answer})

    def wait_for(self, kind: type) -> Message:
        """Wait for a message of a kind and return it."""
        found: list[Message] = []

        def done() -> bool:
            wait([self._router], 0.1)
            for peer, frame in self._router.receive():
                self._peer = peer
                self.received.append(decode(frame))
            found.extend(m for m in self.received if isinstance(m, kind))
            return bool(found)

        until(done)
        self.received.remove(found[0])
        return found[0]

    def say(self, message: Message, **answer: object) -> None:
        """Answer a message."""
        facts = {"epoch": 0, "next_sample": 0, "credit": self._credit, "number": 0, **answer}
        if isinstance(message, Chunk | End):
            facts = {"written": message.number, **facts, "number": message.number}
        facts.setdefault("session", message.session)
        reply = Accepted(stream="s", **facts)
        self._router.send(self._peer, encode(reply))


def test_ramp_arrives_complete_and_never_more_than_the_credit_is_under_way() -> None:
    """However slowly the hub answers, every sample arrives once, in order, within the credit."""
    ramp = np.arange(50_000, dtype=np.float32)
    flags = (ramp % 3).astype(np.uint8)
    credit = 3
    got: list[Message] = []
    with Router("tcp://127.0.0.1:0") as hub:

        def send(stop: object) -> None:
            with connect(hub, threading.Event()) as client:
                for a in range(0, ramp.size, 500):
                    block = slice(a, a + 500)
                    assert client.send(SampleBlock(a, ramp[block], flags=flags[block], epoch=2))
                assert client.finish()

        with thread(send):
            held: list[tuple[bytes, Message]] = []

            def done() -> bool:
                # An answer goes out only when nothing more arrives: the source is waiting.
                wait([hub], 0.002)
                arrived = [(peer, decode(frame)) for peer, frame in hub.receive()]
                held.extend(arrived)
                got.extend(message for _, message in arrived if not isinstance(message, Hello))
                assert len(held) <= credit
                if held and not arrived:
                    peer, message = held.pop(0)
                    hub.send(peer, accepted(message, credit))
                return bool(got) and isinstance(got[-1], End) and not held

            until(done)
    chunks = [message for message in got if isinstance(message, Chunk)]
    np.testing.assert_array_equal(np.concatenate([c.samples for c in chunks]), ramp)
    np.testing.assert_array_equal(np.concatenate([c.flags for c in chunks]), flags)
    assert {(c.epoch, c.fs_hz, c.lead) for c in chunks} == {(2, 250.0, "II")}
    end = got[-1]
    assert isinstance(end, End)
    assert (end.stream, end.epoch, end.next_sample) == ("s", 2, 50_000)


def test_leads_side_by_side_arrive_as_they_were_sent() -> None:
    """Samples, flags and names of all leads; a report without a sample has the names, too."""
    leads = ["II", "V1", "V5"]
    samples = np.arange(60, dtype=np.float32).reshape(3, 20)
    flags = (samples % 3).astype(np.uint8)
    got: list[Chunk] = []
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router, credit=4)

        def send(stop: object) -> None:
            with IngestClient(
                router.endpoint,
                stream="s",
                fs_hz=250.0,
                lead="II",
                leads=leads,
                stop=lambda: False,
            ) as client:
                assert client.report(unreadable=1)
                assert client.send(SampleBlock(0, samples[:, :10], flags=flags[:, :10]))
                assert client.send(SampleBlock(10, samples[:, 10:]))

        with thread(send):
            hub.greet()
            for _ in range(3):
                message = hub.wait_for(Chunk)
                assert isinstance(message, Chunk)
                got.append(message)
                hub.say(message)

    assert [chunk.lead_names for chunk in got] == [leads] * 3
    assert [(chunk.first_sample, chunk.end) for chunk in got] == [(0, 0), (0, 10), (10, 20)]
    np.testing.assert_array_equal(got[1].samples, samples[:, :10])
    np.testing.assert_array_equal(got[1].flags, flags[:, :10])
    np.testing.assert_array_equal(got[2].samples, samples[:, 10:])


def test_source_waits_without_credit_until_stopped() -> None:
    """With a credit of one the second chunk waits until the source is asked to stop."""
    stop = threading.Event()
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router)
        results: list[bool] = []

        def send(_: object) -> None:
            with connect(router, stop) as client:
                for n in range(2):
                    results.append(client.send(SampleBlock(10 * n, np.zeros(10, np.float32))))

        with thread(send):
            hub.greet()
            hub.wait_for(Chunk)
            wait([router], 0.3)
            assert list(router.receive()) == []
            stop.set()
            until(lambda: len(results) == 2 or bool(wait([router], 0.05)))
    assert results == [True, False]


def test_source_waits_for_a_missing_hub_until_stopped() -> None:
    """A source may be started first; asked to stop, it ends with nothing sent."""
    with Router("tcp://127.0.0.1:0") as gone:
        endpoint = gone.endpoint
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    with IngestClient(endpoint, stream="s", fs_hz=250.0, lead="II", stop=stop) as client:
        assert not client.send(SampleBlock(0, np.zeros(10, np.float32)))


def test_hub_that_does_not_answer_the_end_is_not_waited_for_for_ever() -> None:
    """`finish` says False when its time is over and the end is not known to be in the log."""
    ended: list[bool] = []
    with Router("tcp://127.0.0.1:0") as router:

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                ended.append(client.finish(timeout_s=0.0))

        with thread(send):
            FakeHub(router).greet()
    assert ended == [False]


def test_rubbish_from_the_hub_is_ignored() -> None:
    """Only an answer that is one gives credit."""
    sent: list[bool] = []
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router)

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                for n in range(2):
                    sent.append(client.send(SampleBlock(10 * n, np.zeros(10, np.float32))))

        with thread(send):
            hub.greet()
            first = hub.wait_for(Chunk)
            router.send(hub._peer, b"rubbish")
            hub.say(first)
            hub.wait_for(Chunk)
    assert sent == [True, True]


def test_refused_stream_is_an_error_with_the_hubs_reason() -> None:
    """A source whose stream the hub will not take says so instead of waiting for ever."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router)

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                client.send(SampleBlock(0, np.zeros(10, np.float32)))
                with pytest.raises(EndpointError, match="s: changed its rate"):
                    client.finish()

        with thread(send):
            hub.greet()
            hub.wait_for(Chunk)
            router.send(hub._peer, encode(Refused(stream="s", reason="changed its rate")))


def test_what_the_hub_has_not_in_its_log_is_sent_again_after_a_silence() -> None:
    """An answer that does not come is asked for; what the log lacks comes again, in order."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router, credit=8)

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                for n in range(5):
                    assert client.send(SampleBlock(10 * n, np.zeros(10, np.float32)))
                assert client.finish()

        with thread(send):
            hub.greet()
            for n in range(2):
                hub.say(hub.wait_for(Chunk), written=n)  # they arrived; one is in the log
            for _ in range(3):
                hub.wait_for(Chunk)
            hub.wait_for(End)
            hub.greet(known=True, written=1)
            again = [hub.wait_for(Chunk) for _ in range(4)]
            assert [(c.first_sample, c.number) for c in again] == [
                (10, 2),
                (20, 3),
                (30, 4),
                (40, 5),
            ]
            hub.say(hub.wait_for(End))


@pytest.mark.parametrize(
    ("in_the_log", "greeting"),
    [(2, {"session": "", "written": 0}), (3, {"known": True, "written": 1})],
    ids=["began again", "put back to an older copy"],
)
def test_hub_that_asks_for_what_it_had_learns_that_it_is_lost(
    in_the_log: int, greeting: dict[str, Any]
) -> None:
    """What the hub had acknowledged is kept nowhere: that is a gap, and the rest is sent."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router, credit=8)

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                for n in range(5):
                    assert client.send(SampleBlock(10 * n, np.zeros(10, np.float32)))
                assert client.finish()

        with thread(send):
            hub.greet()
            for n in range(in_the_log):
                hub.say(hub.wait_for(Chunk), written=n + 1)
            for _ in range(5 - in_the_log):
                hub.wait_for(Chunk)
            hub.wait_for(End)
            hub.greet(**greeting)
            again = [hub.wait_for(Chunk) for _ in range(5 - in_the_log)]
            first = in_the_log + 1
            assert [(c.number, c.unkept) for c in again] == [
                (number, number == first) for number in range(first, 6)
            ]
            hub.say(hub.wait_for(End))


def test_source_that_another_one_has_replaced_ends() -> None:
    """The hub is in an epoch that began after this source's: it is no older copy."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router, credit=8)

        def send(_: object) -> None:
            with connect(router, threading.Event()) as client:
                client.send(SampleBlock(0, np.zeros(10, np.float32)))
                client.send(SampleBlock(10, np.zeros(10, np.float32)))
                with pytest.raises(EndpointError, match="has taken s over"):
                    client.finish()

        with thread(send):
            hub.greet()
            hub.say(hub.wait_for(Chunk))
            hub.say(hub.wait_for(Chunk), session="0f", epoch=1, known=True)


def test_hub_that_does_not_answer_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with its address: the source goes on waiting."""
    monkeypatch.setattr("pipeline.clients.ingest.PATIENCE_S", 0.0)
    with Router("tcp://127.0.0.1:0") as router:
        stop = threading.Event()
        hub = FakeHub(router)

        def send(_: object) -> None:
            with connect(router, stop) as client:
                client.handshake()

        with thread(send):
            for _ in range(3):
                hub.wait_for(Hello)
            stop.set()
        (record,) = caplog.records
        assert router.endpoint in record.getMessage()


def test_source_that_resumes_continues_at_the_position_of_the_hub() -> None:
    """It takes over the session, its epochs, and the place of the one that died."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router)
        starts: list[object] = []

        def send(_: object) -> None:
            with connect(router, threading.Event(), resume=True) as client:
                starts.append(client.handshake())
                assert client.send(SampleBlock(700, np.zeros(10, np.float32), epoch=2))

        with thread(send):
            hub.greet(
                known=True, epoch=5, next_sample=700, session="ab", session_epoch=3, written=9
            )
            chunk = hub.wait_for(Chunk)
    assert starts == [Start(epoch=2, sample=700)]
    assert isinstance(chunk, Chunk)
    assert (chunk.epoch, chunk.first_sample) == (5, 700)
    assert (chunk.session, chunk.number) == ("ab", 10)


def test_source_of_a_known_stream_begins_its_next_epoch() -> None:
    """A source that starts over, or a device that comes back, never repeats positions."""
    for how in ({}, {"resume": True, "live": True}):
        with Router("tcp://127.0.0.1:0") as router:
            hub = FakeHub(router)

            def send(_: object, router: Router = router, how: dict[str, bool] = how) -> None:
                with connect(router, threading.Event(), **how) as client:
                    client.send(SampleBlock(0, np.zeros(10, np.float32)))

            with thread(send):
                hub.greet(known=True, epoch=5, next_sample=700, session="ab", session_epoch=3)
                chunk = hub.wait_for(Chunk)
        assert isinstance(chunk, Chunk)
        assert (chunk.epoch, chunk.first_sample) == (6, 0)


def test_live_source_drops_the_oldest_and_reports_how_many() -> None:
    """Samples that no hub takes are counted to the sample: those missing and those reported."""
    sent: list[int] = []
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router)
        waiting, go_on = threading.Event(), threading.Event()

        def send(_: object) -> None:
            with connect(router, threading.Event(), live=True) as client:
                for n in range(20):  # a second each, ten of which may wait
                    assert client.send(SampleBlock(250 * n, np.zeros(250, np.float32)))
                waiting.set()
                assert go_on.wait(10)
                sent.append(client.shed_samples)
                assert client.finish()

        with thread(send):
            hub.greet()
            first = hub.wait_for(Chunk)
            assert waiting.wait(10)
            go_on.set()
            hub.say(first)
            chunks = []
            while not chunks or chunks[-1].first_sample < 250 * 19:
                chunk = hub.wait_for(Chunk)
                assert isinstance(chunk, Chunk)
                chunks.append(chunk)
                hub.say(chunk)
            hub.say(hub.wait_for(End))
    missing = chunks[0].first_sample - 250
    assert sent == [missing] == [chunks[0].shed]
    assert [c.shed for c in chunks[1:]] == [0] * (len(chunks) - 1)
    assert 250 * 19 - chunks[0].first_sample <= 2500


def test_report_opens_a_stream_and_waits_in_one_message() -> None:
    """A device that sends nothing has a stream; without credit its reports add up to one."""
    with Router("tcp://127.0.0.1:0") as router:
        hub, reported = FakeHub(router), threading.Event()

        def send(_: object) -> None:
            with connect(router, threading.Event(), live=True) as client:
                assert client.report()
                assert client.report(3, "it is gone")
                assert client.report(4, "it sends nothing")
                assert len(client._queue) == 1
                reported.set()
                assert client.send(SampleBlock(0, np.zeros(10, np.float32)))
                assert client.finish()

        with thread(send):
            hub.greet()
            chunks = []
            for _ in range(3):
                chunk = hub.wait_for(Chunk)
                assert isinstance(chunk, Chunk)
                chunks.append(chunk)
                assert reported.wait(10)
                hub.say(chunk)
            hub.say(hub.wait_for(End))
    assert [chunk.number for chunk in chunks] == [1, 2, 3]
    assert [(chunk.first_sample, chunk.samples.size) for chunk in chunks] == [
        (0, 0),
        (0, 0),
        (0, 10),
    ]
    assert [(chunk.unreadable, chunk.fault) for chunk in chunks] == [
        (0, ""),
        (7, "it sends nothing"),
        (0, ""),
    ]


def test_live_source_stays_bounded_behind_what_is_sent_again() -> None:
    """What a hub has not written waits in front; behind it no more than ten seconds do."""
    with Router("tcp://127.0.0.1:0") as router:
        hub = FakeHub(router, credit=4)
        missing, answered, sent = threading.Event(), threading.Event(), threading.Event()
        waiting: list[int] = []

        def send(_: object) -> None:
            with connect(router, threading.Event(), live=True) as client:
                for n in range(5):
                    assert client.send(SampleBlock(250 * n, np.zeros(250, np.float32)))
                assert missing.wait(10)
                # A live source does not wait for an answer itself.
                client._line.wait(10)
                assert client.send(SampleBlock(250 * 5, np.zeros(250, np.float32)))
                assert answered.wait(10)
                if client._asked:  # perhaps once more, on a busy machine: then nobody answers
                    client._line.wait(0.5)
                for n in range(6, 60):  # a second each
                    assert client.send(SampleBlock(250 * n, np.zeros(250, np.float32)))
                waiting.append(len(client._queue))
                waiting.append(client.shed_samples // 250)
                sent.set()

        with thread(send):
            hub.greet()
            chunks = [hub.wait_for(Chunk) for _ in range(4)]
            hub.say(chunks[0], written=0, missing=True, credit=1)
            missing.set()
            hub.greet(known=True, written=0, credit=1)
            answered.set()
            assert sent.wait(BUSY_S)
    assert waiting[0] <= 5 + 11
    assert waiting[1] >= 40


@promised(1.2)
def test_hub_that_comes_back_late_is_found_soon(limit_s: float) -> None:
    """However long it was away, and however often it was tried: a source is back in a second."""
    stop = threading.Event()
    with Router("tcp://127.0.0.1:0") as gone:
        endpoint = gone.endpoint
        hub = FakeHub(gone, credit=1)
        client = connect(gone, stop)

        def send(_: object) -> None:
            with client:
                for n in range(2):
                    client.send(SampleBlock(10 * n, np.zeros(10, np.float32)))

        with thread(send):
            hub.greet()
            hub.wait_for(Chunk)
            gone.close(linger_ms=0)
            assert not stop.wait(4.0)  # time enough for a socket to try but every few seconds
            back_at = time.monotonic()
            with Router(endpoint) as back:
                FakeHub(back).wait_for(Hello)
                found_s = time.monotonic() - back_at
                stop.set()
    assert found_s < limit_s


def test_a_report_without_samples_after_it_reaches_the_hub(tmp_path: Path) -> None:
    """It waits while the hub owes an answer, and a silent device gives no other occasion."""
    with hub_by_hand(tmp_path / "log") as one:

        def turned() -> bool:
            one.turns(1)
            return False

        def known() -> list[Status]:
            one.turns(1)
            client.pump()
            return one.hub._state()[1]

        ingest = one.hub.endpoints["ingest"]
        with IngestClient(
            ingest, stream="bed", fs_hz=360.0, lead="II", stop=turned, live=True
        ) as client:
            assert client.report()
            client._send_hello()
            assert client.report(fault="the device sends nothing")
            until(lambda: bool(known()))
            until(lambda: bool(known()[0].source_fault))
            assert one.hub._state()[1][0].source_fault == "the device sends nothing"
