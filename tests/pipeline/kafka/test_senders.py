"""What a gateway answers by itself, and what it asks the worker of a stream."""

import numpy as np
import pytest

from pipeline.errors import BusyError, MissingChunkError, WireError
from pipeline.kafka.senders import Senders, handed
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Refused, after_loss
from pipeline.schema.partition_log import Answer

A, B = "a1" * 16, "b2" * 16


def chunk(number: int, session: str = A, stream: str = "s") -> Chunk:
    """Return the ``number``-th chunk of a session, of one sample."""
    return Chunk(
        stream=stream, first_sample=number - 1, fs_hz=250.0, samples=np.zeros(1, np.float32),
        session=session, number=number,
    )  # fmt: skip


def accepted(session: str = "", written: int = 0, *, known: bool = False) -> Accepted:
    """Return how far a worker says that a stream is."""
    return Accepted(
        stream="s", epoch=0, next_sample=written, credit=8, session=session, written=written,
        known=known,
    )  # fmt: skip


def begun() -> Senders[str]:
    """Return a gateway that one source has asked, which may send from number 1 on."""
    senders: Senders[str] = Senders(2)
    assert senders.on_hello(Hello(stream="s", session=A), "p", 0.0, lambda *_: False) is None
    found = senders.on_answer(Answer(asking=A, accepted=accepted()))
    assert found is not None
    assert found[0] == "p"
    return senders


def test_a_message_is_acknowledged_when_the_broker_has_it() -> None:
    """Not before; a repeat is handed over once, and answered at once when it is written."""
    senders = begun()
    assert senders.admit(chunk(1), "p", 0.0) is True
    assert senders.admit(chunk(1), "p", 0.0) is False
    found = senders.on_written(handed(chunk(1)))
    assert found is not None
    assert (found[1].number, found[1].written, found[1].session) == (1, 1, A)
    repeat = senders.admit(chunk(1), "p", 0.0)
    assert isinstance(repeat, Accepted)
    assert repeat.written == 1


def test_nothing_is_handed_over_before_what_precedes_it() -> None:
    """Unless its source no longer has that."""
    senders = begun()
    with pytest.raises(MissingChunkError):
        senders.admit(chunk(2), "p", 0.0)
    assert senders.missing(chunk(2)).missing
    loss = after_loss(chunk(2))
    assert isinstance(loss, Chunk)
    assert senders.admit(loss, "p", 0.0) is True


def test_a_source_that_is_not_known_asks_its_worker() -> None:
    """As after the death of a gateway: its worker says how far it is, and it goes on there."""
    senders: Senders[str] = Senders(2)
    with pytest.raises(MissingChunkError):
        senders.admit(chunk(7), "p", 0.0)
    assert senders.missing(chunk(7)).missing
    assert senders.on_hello(Hello(stream="s", session=A), "p", 0.0, lambda *_: False) is None
    senders.on_answer(Answer(asking=A, accepted=accepted(A, 6, known=True)))

    assert senders.admit(chunk(7), "p", 0.0) is True


@pytest.mark.parametrize("known", [False, True])
def test_an_answer_that_was_lost_is_given_again_as_it_was(known: bool) -> None:
    """To the source's next connection: a stream that is new begins with epoch 0."""
    senders: Senders[str] = Senders(2)
    senders.on_hello(Hello(stream="s", session=A), "p", 0.0, lambda *_: False)
    first = senders.on_answer(Answer(asking=A, accepted=accepted(known=known)))
    again = senders.on_hello(Hello(stream="s", session=A), "q", 3.0, lambda *_: False)

    assert first is not None
    assert isinstance(first[1], Accepted)
    assert again is not None
    assert again.known == first[1].known == known


def test_only_the_session_that_has_a_stream_sends_it() -> None:
    """Another one is refused here, or by the worker where it came through another gateway."""
    senders = begun()
    with pytest.raises(BusyError):
        senders.admit(chunk(1, B), "q", 0.0)
    assert senders.on_hello(Hello(stream="s", session=B), "q", 0.0, lambda *_: False) is None
    busy = Refused(stream="s", reason="busy", busy=True)
    assert senders.on_answer(Answer(asking=B, refused=busy)) == ("q", busy)
    assert senders.admit(chunk(1), "p", 0.0) is True


def test_a_source_goes_on_for_one_whose_connection_is_gone() -> None:
    """It takes over the name of its session, and its numbers."""
    senders = begun()
    senders.admit(chunk(1), "p", 0.0)
    hello = Hello(stream="s", session=B, resume=True)
    with pytest.raises(BusyError):
        senders.on_hello(hello, "q", 0.0, lambda *_: False)
    assert senders.on_hello(hello, "q", 0.0, lambda *_: True) is None
    senders.on_answer(Answer(asking=B, accepted=accepted(A, 1, known=True)))

    assert senders.admit(chunk(2), "q", 0.0) is True
    found = senders.on_written(handed(chunk(2)))
    assert found is not None
    assert found[0] == "q"


def test_what_a_worker_does_not_take_is_asked_for_again() -> None:
    """A worker that lost the state of a stream says that something is missing before a chunk."""
    senders = begun()
    for number in (1, 2):
        senders.admit(chunk(number), "p", 0.0)
        senders.on_written(handed(chunk(number)))
    missing = Accepted(stream="s", epoch=0, next_sample=0, credit=8, number=2, missing=True)
    assert senders.on_answer(Answer(asking=A, accepted=missing)) == ("p", missing)

    assert senders.on_hello(Hello(stream="s", session=A), "p", 0.0, lambda *_: False) is None


def test_answers_to_others_concern_nobody_here() -> None:
    """Every gateway reads the answers to all sources."""
    senders = begun()
    other = Accepted(stream="t", epoch=0, next_sample=0, credit=8)
    assert senders.on_answer(Answer(asking=A, accepted=other)) is None
    assert senders.on_answer(Answer(asking=B, accepted=accepted())) is None
    assert senders.on_answer(Answer(asking=A)) is None
    assert senders.on_answer(Answer(asking=A, accepted=accepted())) is None  # asked twice
    assert senders.admit(chunk(1), "p", 0.0) is True


def test_streams_are_as_many_as_are_allowed() -> None:
    """One that is over, or silent for ten minutes, makes room."""
    senders = begun()
    hello = Hello(stream="t", session=A)
    assert senders.on_hello(hello, "q", 0.0, lambda *_: False) is None
    with pytest.raises(WireError, match="--max-streams"):
        senders.on_hello(Hello(stream="u", session=A), "r", 0.0, lambda *_: False)
    assert senders.on_hello(Hello(stream="u", session=A), "r", 1000.0, lambda *_: False) is None


def test_a_stream_that_is_over_is_forgotten_once_its_end_is_written() -> None:
    """Whoever sends the name next asks its worker."""
    senders = begun()
    end = End(stream="s", next_sample=0, session=A, number=1)
    assert senders.admit(end, "p", 0.0) is True
    found = senders.on_written(handed(end))
    assert found is not None
    assert found[1].over
    assert len(senders) == 0
