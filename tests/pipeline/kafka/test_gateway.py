"""A gateway over real sockets and mock brokers: who may send, and when it acknowledges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import EndpointError
from pipeline.kafka.gateway import Gateway
from pipeline.schema.bundles import bundled
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    Message,
    Refused,
    decode,
    encode,
)
from pipeline.schema.partition_log import decode_batch
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait
from tests.support.kafka import REAL, Brokers
from tests.support.keys import ANY, KeyRing
from tests.support.running import until

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system


def chunk(stream: str, number: int = 0) -> Chunk:
    """Return a chunk of a second."""
    return Chunk(
        stream=stream, first_sample=0, fs_hz=360.0, samples=np.ones(360, np.float32),
        number=number, session="a1" * 16 if number else "",
    )  # fmt: skip


def answer_to(gateway: Gateway, frame: bytes, keys: ClientKeys | None = None) -> Message:
    """Send a frame over a new connection, and return the answer."""
    answers: list[bytes] = []
    sent = False
    with Dealer(connect=gateway.endpoint, keys=keys) as source:

        def answered() -> bool:
            nonlocal sent
            sent = sent or source.send(frame)
            gateway.turn()
            wait([source], 0.0)
            answers.extend(source.receive())
            return bool(answers)

        until(answered)
    return decode(answers[-1])


def test_only_keys_with_the_right_send_a_stream(tmp_path: Path) -> None:
    """As to a hub: a stranger is not let in, another stream is refused with the reason."""
    ring = KeyRing(tmp_path)
    ward, stranger = ring.allowed_key("ward", streams=("bed-*",)), ring.key("stranger")
    with Brokers() as brokers, ring.auth() as auth, Gateway(brokers.cluster, ANY, auth=auth) as one:
        assert isinstance(answer_to(one, encode(chunk("bed-1")), ward), Accepted)
        refused = answer_to(one, encode(chunk("other")), ward)
        assert isinstance(refused, Refused)
        assert "may not send" in refused.reason
        with pytest.raises(EndpointError):
            answer_to(one, encode(chunk("bed-2")), stranger)
        batches = list(brokers.cluster.values(brokers.topics.chunks))
    streams = [item.stream for batch in batches for item in decode_batch(batch)]  # type: ignore[union-attr]
    assert streams == ["bed-1"]


def test_what_is_no_message_is_counted_and_goes_nowhere() -> None:
    """Nor does a chunk whose source has not asked: the answer is that one before it is missing."""
    with Brokers() as brokers, Gateway(brokers.cluster, ANY) as one:
        frame = encode(chunk("bed-1"))
        refused = answer_to(one, frame.replace(b"fs_hz", b"fs_hx"))
        assert isinstance(refused, Refused)
        assert one.rejected == 1
        missing = answer_to(one, encode(chunk("bed-1", number=3)))
        assert isinstance(missing, Accepted)
        assert missing.missing
        assert list(brokers.cluster.values(brokers.topics.chunks)) == []


def test_one_message_carries_the_chunks_of_many_streams() -> None:
    """Of each partition one, however many streams sent meanwhile."""
    with Brokers(partitions=1) as brokers, Gateway(brokers.cluster, ANY, linger_s=0.5) as one:
        frames = {name: encode(chunk(name)) for name in ("a", "b", "c", "d")}
        answers: list[bytes] = []
        with Dealer(connect=one.endpoint) as source:
            until(lambda: source.send(frames["a"]))
            for name in ("b", "c", "d"):
                assert source.send(frames[name])

            def answered() -> bool:
                one.turn()
                answers.extend(source.receive())
                return len(answers) == 4

            until(answered)
        (batch,) = brokers.cluster.values(brokers.topics.chunks)
    assert len(decode_batch(batch)) == 4


def test_a_source_of_many_streams_sends_them_in_one_frame() -> None:
    """Each message of it is checked by itself, and answered."""
    with Brokers(partitions=1) as brokers, Gateway(brokers.cluster, ANY) as one:
        streams = ("a", "b", "c")
        chunks = [chunk(name) for name in streams]
        (frame,) = bundled([*chunks, chunk("late", number=3)], most_bytes=1_000_000)
        answers: list[Message] = []
        with Dealer(connect=one.endpoint) as source:
            until(lambda: source.send(frame))

            def answered() -> bool:
                one.turn()
                answers.extend(map(decode, source.receive()))
                return len(answers) == 4

            until(answered)
        (batch,) = brokers.cluster.values(brokers.topics.chunks)
    taken = [answer for answer in answers if isinstance(answer, Accepted) and not answer.missing]
    assert {answer.stream for answer in taken} == set(streams)
    assert len(decode_batch(batch)) == 3


@pytest.mark.skipif(bool(REAL), reason="only the mock cluster takes such orders")
def test_nothing_is_acknowledged_after_what_a_broker_refuses_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A source forgets what is before it: also the chunk that is in no log."""
    monkeypatch.setattr("pipeline.kafka.gateway._BATCH_BYTES", 1)  # a chunk a message
    answers: list[bytes] = []
    with Brokers(partitions=1) as brokers:
        cluster = brokers.cluster
        cluster = replace(cluster, settings={**cluster.settings, "batch.num.messages": "1"})
        brokers.order("errors 0 10")
        with Gateway(cluster, ANY) as one, Dealer(connect=one.endpoint) as source:
            (frame,) = bundled([chunk("a"), chunk("b")], most_bytes=1_000_000)
            until(lambda: source.send(frame))
            with pytest.raises(EndpointError, match="this gateway cannot go on"):
                one.run(lambda: False)
            one._producer.flush(10.0)
            wait([source], 0.2)
            answers.extend(source.receive())
        (batch,) = brokers.cluster.values(brokers.topics.chunks)
    assert [item.stream for item in decode_batch(batch)] == ["b"]  # type: ignore[union-attr]
    assert answers == []
