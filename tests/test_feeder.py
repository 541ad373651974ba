"""A source's connection: waits for credit, loses nothing, gives up when told."""

import threading

import numpy as np
import pytest
from running import thread, until

from pipeline.errors import EndpointError
from pipeline.feeder import Feeder
from pipeline.messages import (
    Accepted,
    Chunk,
    End,
    Message,
    Refused,
    decode,
    encode,
    flags_of,
    samples_of,
)
from pipeline.transport import Router, wait


def accepted(message: Message, credit: int) -> bytes:
    """Return the hub's answer to a chunk or an end."""
    assert isinstance(message, Chunk | End)
    return encode(
        Accepted(stream=message.stream, epoch=message.epoch, next_sample=0, credit=credit)
    )


def connect(router: Router, stop: threading.Event) -> Feeder:
    """Return a feeder for ``router``."""
    return Feeder(router.endpoint, stream="s", fs_hz=250.0, lead="II", stop=stop.is_set)


def test_ramp_arrives_complete_and_never_more_than_the_credit_is_under_way() -> None:
    """However slowly the hub answers, every sample arrives once, in order, within the credit."""
    ramp = np.arange(50_000, dtype=np.float32)
    flags = (ramp % 3).astype(np.uint8)
    credit = 3
    got: list[Message] = []
    with Router("tcp://127.0.0.1:0") as hub:

        def send(stop: object) -> None:
            with connect(hub, threading.Event()) as feeder:
                for a in range(0, ramp.size, 500):
                    block = slice(a, a + 500)
                    assert feeder.send(ramp[block], first_sample=a, flags=flags[block], epoch=2)
                assert feeder.finish()

        with thread(send):
            held: list[tuple[bytes, Message]] = []

            def done() -> bool:
                # An answer goes out only when nothing more arrives: the source is waiting.
                wait([hub], 0.002)
                arrived = [(peer, decode(frame)) for peer, frame in hub.receive()]
                held.extend(arrived)
                got.extend(message for _, message in arrived)
                assert len(held) <= credit
                if held and not arrived:
                    peer, message = held.pop(0)
                    hub.send(peer, accepted(message, credit))
                return bool(got) and isinstance(got[-1], End) and not held

            until(done)
    chunks = [message for message in got if isinstance(message, Chunk)]
    np.testing.assert_array_equal(np.concatenate([samples_of(c) for c in chunks]), ramp)
    np.testing.assert_array_equal(np.concatenate([flags_of(c) for c in chunks]), flags)
    assert {(c.epoch, c.fs_hz, c.lead) for c in chunks} == {(2, 250.0, "II")}
    assert got[-1] == End(stream="s", epoch=2, next_sample=50_000)


def test_source_waits_without_credit_and_gives_up_when_told() -> None:
    """Before the first answer one chunk may be under way; the second waits until told to stop."""
    stop = threading.Event()
    with Router("tcp://127.0.0.1:0") as hub:
        results: list[bool] = []

        def send(_: object) -> None:
            with connect(hub, stop) as feeder:
                for n in range(2):
                    results.append(feeder.send(np.zeros(10, np.float32), first_sample=10 * n))

        with thread(send):
            frames: list[bytes] = []

            def first() -> bool:
                wait([hub], 0.1)
                frames.extend(frame for _, frame in hub.receive())
                return bool(frames)

            until(first)
            wait([hub], 0.3)
            assert list(hub.receive()) == []
            stop.set()
            until(lambda: len(results) == 2 or bool(wait([hub], 0.05)))
    assert results == [True, False]


def test_hub_that_is_not_there_is_waited_for_until_told_to_stop() -> None:
    """A source may be started first; told to stop, it leaves with nothing sent."""
    with Router("tcp://127.0.0.1:0") as gone:
        endpoint = gone.endpoint
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    with Feeder(endpoint, stream="s", fs_hz=250.0, lead="II", stop=stop) as feeder:
        assert not feeder.send(np.zeros(10, np.float32), first_sample=0)


def test_hub_that_does_not_answer_the_end_is_not_waited_for_for_ever() -> None:
    """`finish` says False when its time is over and chunks are still under way."""
    with Router("tcp://127.0.0.1:0") as hub, connect(hub, threading.Event()) as feeder:
        until(lambda: feeder.finish(timeout_s=0.0) or True)
        assert feeder._under_way > 0


def test_rubbish_from_the_hub_is_ignored() -> None:
    """Only an answer that is one gives credit."""
    stop = threading.Event()
    with Router("tcp://127.0.0.1:0") as hub, connect(hub, stop) as feeder:
        assert feeder.send(np.zeros(10, np.float32), first_sample=0)
        names: list[tuple[bytes, bytes]] = []

        def first() -> bool:
            wait([hub], 0.1)
            names.extend(hub.receive())
            return bool(names)

        until(first)
        peer, frame = names[0]
        hub.send(peer, b"rubbish")
        hub.send(peer, accepted(decode(frame), 4))
        assert feeder.send(np.zeros(10, np.float32), first_sample=10)


def test_refused_stream_is_an_error_with_the_hubs_reason() -> None:
    """A source whose stream the hub will not take says so instead of waiting for ever."""
    with Router("tcp://127.0.0.1:0") as hub:

        def answer(stop: object) -> None:
            def done() -> bool:
                wait([hub], 0.1)
                peers = [peer for peer, _ in hub.receive()]
                for peer in peers:
                    hub.send(peer, encode(Refused(stream="s", reason="changed its rate")))
                return bool(peers)

            until(done)

        with thread(answer), connect(hub, threading.Event()) as feeder:
            feeder.send(np.zeros(10, np.float32), first_sample=0)
            with pytest.raises(EndpointError, match="s: changed its rate"):
                feeder.finish()
