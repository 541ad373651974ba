"""Frames for many streams: what comes back is what was sent, or `WireError` and nothing else."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import WireError
from pipeline.schema.bundles import (
    MAX_BUNDLE,
    Bundle,
    answers_in,
    bundled,
    decode_from_source,
    encode_answers,
    joined,
)
from pipeline.schema.messages import (
    FLAG_LEAD_OFF,
    Accepted,
    Chunk,
    End,
    Hello,
    Ready,
    Refused,
    encode,
)


def chunk(number: int, n: int = 7, **fields: object) -> Chunk:
    """Return the ``number``-th chunk of a stream."""
    samples = np.arange(n, dtype="<f4") + number
    facts = {"stream": "s", "first_sample": n * (number - 1), "fs_hz": 360.0, "session": "a"}
    return Chunk(samples=samples, number=number, **{**facts, **fields})  # type: ignore[arg-type]


def messages_of(frame: bytes) -> list[Hello | Chunk | End]:
    """Return what a frame of a source of many streams holds."""
    message = decode_from_source(frame)
    assert isinstance(message, Bundle)
    return message.messages


def test_messages_come_back_in_order_in_frames_of_bounded_length() -> None:
    """Up to so many bytes and messages a frame; what is longer goes alone."""
    sent = [chunk(n) for n in range(1, 600)]
    frames = list(bundled([encode(one) for one in sent], 1 << 15))
    got = [one for frame in frames for one in messages_of(frame)]
    assert [one.number for one in got if isinstance(one, Chunk)] == list(range(1, 600))
    assert all(len(frame) < (1 << 15) + 100 for frame in frames)
    assert all(len(messages_of(frame)) <= MAX_BUNDLE for frame in frames)
    alone = bundled([encode(one) for one in sent[:2]], 1)
    assert [len(messages_of(frame)) for frame in alone] == [1, 1]
    assert list(bundled([], 1)) == []


def test_answers_come_back_alone_and_together() -> None:
    """A source of many streams reads both."""
    accepted = Accepted(stream="a", epoch=0, next_sample=7, credit=8, number=3)
    refused = Refused(stream="b", reason="busy")
    together = [one for frame in encode_answers([accepted, refused]) for one in answers_in(frame)]
    assert together == [accepted, refused]
    assert answers_in(encode(accepted)) == [accepted]
    assert answers_in(encode(Ready(model="m", device="cpu"))) == []
    assert answers_in(b"\x00") == []


def test_a_frame_with_one_bad_message_is_none() -> None:
    """Its source is told nothing that is not so."""
    bad = chunk(1, flags=np.zeros(3, np.uint8))
    [frame] = bundled([encode(chunk(1)), encode(bad)], 1 << 15)
    with pytest.raises(WireError, match="3 flags"):
        decode_from_source(frame)
    [frame] = bundled([encode(Ready(model="m", device="cpu"))], 1 << 15)
    with pytest.raises(WireError):
        decode_from_source(frame)


def test_chunks_that_follow_are_one() -> None:
    """With the samples and flags of all, what the first lost, and the number of the last."""
    off = np.full(7, FLAG_LEAD_OFF, np.uint8)
    one = joined([chunk(4, shed=5), chunk(5, flags=off, unreadable=2), chunk(6, unreadable=1)])
    assert (one.number, one.first_sample, one.end) == (6, 21, 42)
    assert (one.shed, one.unreadable) == (5, 3)
    assert one.samples.tolist() == [*range(4, 11), *range(5, 12), *range(6, 13)]
    assert one.flags.tolist() == [0] * 7 + [FLAG_LEAD_OFF] * 7 + [0] * 7
    assert joined([one]) is one


@given(data=st.data())
def test_any_bytes_are_messages_or_refused(data: st.DataObject) -> None:
    """Cut or changed anywhere."""
    [frame] = bundled([encode(chunk(1)), encode(Hello(stream="s"))], 1 << 15)
    altered = bytearray(frame[: data.draw(st.integers(0, len(frame)))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(altered) - 1)), max_size=3)):
        if altered:
            altered[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode_from_source(bytes(altered))
    answers_in(bytes(altered))
