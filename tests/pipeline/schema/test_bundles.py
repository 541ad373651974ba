"""Frames for many streams: what comes back is what was sent, or `WireError` and nothing else."""

import contextlib

import msgspec
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
    messages_from_source,
)
from pipeline.schema.columns import (
    COLUMNS,
    EPOCH,
    FIRST,
    FLAGGED,
    KIND,
    NUMBER,
    ChunkRows,
    Columns,
    Kind,
    N,
    columns_of,
    rows_in,
)
from pipeline.schema.messages import (
    FLAG_LEAD_OFF,
    NO_FLAGS,
    Accepted,
    Chunk,
    Message,
    Ready,
    Refused,
    encode,
)


def frame_of(*messages: Message) -> bytes:
    """Return a bundle of anything."""
    raw = [msgspec.Raw(encode(one)) for one in messages]
    return msgspec.msgpack.encode({"type": "bundle", "messages": raw})


def chunk(number: int, n: int = 7, **fields: object) -> Chunk:
    """Return the ``number``-th chunk of a stream."""
    samples = np.arange(n, dtype="<f4") + number
    facts = {"stream": "s", "first_sample": n * (number - 1), "fs_hz": 360.0, "session": "a"}
    return Chunk(samples=samples, number=number, **{**facts, **fields})  # type: ignore[arg-type]


def test_messages_come_back_in_order_in_frames_of_bounded_length() -> None:
    """Up to so many bytes and messages a frame; what is longer goes alone."""
    sent = [chunk(n, stamp_s=1.0 if n % 400 == 0 else None) for n in range(1, 600)]
    frames = list(bundled(sent, 1 << 15))
    got = [one for frame in frames for one in messages_from_source(frame)]
    assert [one.number for one in got if isinstance(one, Chunk)] == list(range(1, 600))
    assert all(len(frame) < (1 << 15) + 100 for frame in frames)
    assert all(len(messages_from_source(frame)) <= MAX_BUNDLE for frame in frames)
    alone = bundled(sent[:2], 1)
    assert [len(messages_from_source(frame)) for frame in alone] == [1, 1]
    assert list(bundled([], 1)) == []


NAMES = ["I", "II", "III"]


@st.composite
def chunks_of_streams(draw: st.DrawFn) -> list[Chunk]:
    """Return chunks of several streams, of one lead or three, some with flags or a stamp."""
    chunks = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        leads = draw(st.sampled_from([[], NAMES]))
        shape = (3, 4) if leads else (draw(st.integers(0, 9)),)
        samples = np.arange(np.prod(shape), dtype="<f4").reshape(shape) + number
        flags = np.full(shape, FLAG_LEAD_OFF, np.uint8)
        chunks.append(
            Chunk(
                stream=draw(st.sampled_from("abc")),
                session=draw(st.sampled_from(["", "0f"])),
                epoch=draw(st.sampled_from([0, 2**62])),
                number=number,
                first_sample=draw(st.sampled_from([0, 2**52])),
                fs_hz=draw(st.sampled_from([250.0, 360.0])),
                lead=leads[0] if leads else "II",
                leads=leads,
                samples=samples,
                flags=flags if draw(st.booleans()) and samples.size else NO_FLAGS,
                stamp_s=draw(st.sampled_from([None, 7.0])),
                unreadable=draw(st.sampled_from([0, 2])),
            )
        )
    return chunks


def fields_of(one: Chunk) -> dict[str, object]:
    """Return the fields of a chunk, with lists for arrays."""
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return fields | {"samples": one.samples.tolist(), "flags": one.flags.tolist()}


@given(chunks=chunks_of_streams())
def test_chunks_of_many_streams_come_back_as_they_were(chunks: list[Chunk]) -> None:
    """In columns and as messages, with all that they hold."""
    frames = bundled(chunks, 1 << 15)
    got = [one for frame in frames for one in messages_from_source(frame)]
    assert [fields_of(one) for one in got if isinstance(one, Chunk)] == [
        fields_of(one) for one in chunks
    ]


def test_what_simply_goes_on_travels_in_columns() -> None:
    """All else is a message of its own."""
    [frame] = bundled([chunk(1), chunk(2)], 1 << 15)
    assert isinstance(decode_from_source(frame), ChunkRows)
    for more in ({"shed": 1}, {"unkept": True}, {"fault": "no"}, {"stamp_s": 1.0}):
        [frame] = bundled([chunk(1, **more)], 1 << 15)
        assert isinstance(decode_from_source(frame), Bundle)


def altered(**fields: object) -> Columns:
    """Return the columns of two chunks, with other fields."""
    return msgspec.structs.replace(columns_of([chunk(1), chunk(2)]), **fields)


def with_number(column: int, value: int) -> bytes:
    """Return the rows of two chunks with a number of the second altered."""
    rows = np.frombuffer(altered().rows, "<i8").reshape(2, COLUMNS).copy()
    rows[1, column] = value
    return rows.tobytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"sessions": ["a"]},
        {"rows": b"\0" * 8},
        {"rows": with_number(EPOCH, -1)},
        {"rows": with_number(NUMBER, 2**62 + 1)},
        {"rows": with_number(FIRST, 2**52 + 1)},
        {"rows": with_number(N, 8)},
        {"rows": with_number(N, 2**40)},
        {"rows": with_number(KIND, 1)},
        {"rows": with_number(FLAGGED, 1)},
        {"rows": with_number(FLAGGED, 2)},
        {"samples": np.zeros(13, "<f4")},
        {"flags": np.zeros(7, np.uint8)},
        {"kinds": [Kind(360.0, "I", ["I"])]},
        {"kinds": [Kind(360.0, "I", ["I", "I"])]},
        {"kinds": [Kind(360.0, "I", ["II", "I"])]},
    ],
)
def test_columns_that_contradict_each_other_are_refused(fields: dict[str, object]) -> None:
    """Whatever a source sends, no part of another chunk is taken for this one."""
    with pytest.raises(WireError):
        rows_in(altered(**fields))


def test_a_chunk_of_over_75_s_is_refused_in_columns_too() -> None:
    """As it is alone."""
    with pytest.raises(WireError, match="too long"):
        rows_in(columns_of([chunk(1, n=75 * 50 + 1, fs_hz=50.0)]))


@pytest.mark.parametrize("fields", [{"streams": ["s", "a b"]}, {"sessions": ["a", "x"]}])
def test_a_name_that_no_stream_has_is_refused(fields: dict[str, object]) -> None:
    """Where a row becomes a message, and not before: the others are taken."""
    rows = rows_in(altered(**fields))
    assert rows.chunk(0).number == 1
    with pytest.raises(WireError, match="name"):
        rows.chunk(1)


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
    """Its source learns nothing that is not so."""
    bad = chunk(1, flags=np.zeros(3, np.uint8))
    with pytest.raises(WireError, match="3 flags"):
        decode_from_source(frame_of(chunk(1), bad))
    with pytest.raises(WireError):
        decode_from_source(frame_of(Ready(model="m", device="cpu")))


@given(data=st.data(), stamp_s=st.sampled_from([None, 1.0]))
def test_any_bytes_are_messages_or_refused(data: st.DataObject, stamp_s: float | None) -> None:
    """Cut or changed anywhere."""
    frame, *_ = bundled([chunk(1, stamp_s=stamp_s), chunk(2)], 1 << 15)
    altered = bytearray(frame[: data.draw(st.integers(0, len(frame)))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(altered) - 1)), max_size=3)):
        if altered:
            altered[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        messages_from_source(bytes(altered))
    answers_in(bytes(altered))
