"""Messages survive the wire, and whatever else arrives is a `WireError` and nothing more."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constants import MEASURES
from pipeline.errors import WireError
from pipeline.schema import messages, public, requests
from pipeline.schema.alert import published
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Message,
    Ready,
    ScoreReply,
    ScoreRequest,
)
from pipeline.schema.public import (
    Alert,
    BeatNote,
    Heartbeat,
    Latency,
    SignalStrip,
    Status,
    WindowView,
)
from pipeline.schema.requests import ReplayPage, ReplayRequest
from tests.support.paths import GOLDEN

SAVED_ALERT = GOLDEN / "alert_v1.json"
SAVED_CLASS_ALERT = GOLDEN / "alert_v1_class.json"

CHUNK = Chunk(
    stream="100",
    epoch=3,
    first_sample=720,
    fs_hz=250.0,
    samples=np.array([0.0, np.nan, -1.5], np.float32),
    flags=np.array([0, 1, 2], np.uint8),
    lead="MLII",
)
REQUEST = ScoreRequest(
    ids=[("100", 0, 7), ("b", 1, 8)],
    windows=np.zeros((2, 320), np.float32),
    measures=np.zeros((2, MEASURES), np.float32),
)
SECOND = np.stack([np.ones(MEASURES, np.float32), np.zeros(MEASURES, np.float32)])
IN_TWO_LEADS = msgspec.structs.replace(REQUEST, second=SECOND)
PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 0.0]], np.float32)
REPLY = ScoreReply(
    ids=REQUEST.ids,
    scores=np.zeros(2, np.float32),
    residuals=np.zeros((2, 320), np.float32),
    probabilities=PROBABILITIES,
    compute_ms=1.25,
)
INTERNAL: list[Message] = [
    CHUNK,
    End(stream="100", epoch=1, next_sample=5),
    Accepted(stream="100", epoch=1, next_sample=5, credit=8),
    Ready(model="student", device="cpu", credit=2, version=messages.SCORING_VERSION),
    REQUEST,
    IN_TWO_LEADS,
    REPLY,
]
ALERT = Alert(
    stream="100",
    kind="anomalous_beat",
    category="physiological",
    priority="low",
    sample=27648,
    time_s=76.8,
    score=7.31,
    threshold=4.0,
    reason="31 % premature",
    ticks=[148, 171],
    beat_class="V",
    class_probabilities={"N": 0.02, "S": 0.01, "V": 0.97, "F": 0.0},
    shares={"model": 4.5, "early": 2.81},
    latency_ms=Latency(window=500.0, total=500.0),
)
PUBLISHED = published(ALERT, "5f0c77ab5f0c77ab", "0123456789abcdef")
PUBLIC = {
    "alert/100": PUBLISHED,
    "beat/100": BeatNote(stream="100", sample=1, time_s=0.1, score=None, rr_s=None),
    "status/100": Status(stream="100", state="learning", fs_hz=360.0, sample=9, time_s=0.1),
    "heartbeat": Heartbeat(log_id="L", last_seq=4, low_water_seq=1),
    "signal/100": SignalStrip(stream="100", first_sample=0, fs_hz=360.0, mv=[0.5, None]),
    "window/100": WindowView(stream="100", sample=1, window=[0.0], residual=[0.25]),
}


@pytest.mark.parametrize("message", INTERNAL, ids=lambda m: type(m).__name__)
def test_internal_message_comes_back_as_it_was(message: Message) -> None:
    """Encoding and decoding change nothing, the shapes of arrays included."""
    found = messages.decode(messages.encode(message))

    assert type(found) is type(message)
    for name in message.__struct_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(message, name), strict=True)


@pytest.mark.parametrize("topic", PUBLIC)
def test_public_message_comes_back_as_it_was(topic: str) -> None:
    """A public message is one JSON object on one line that decodes to itself."""
    body = public.encode_json(PUBLIC[topic])

    assert b"\n" not in body
    assert isinstance(json.loads(body), dict)
    assert public.decode_public(topic.encode(), body) == PUBLIC[topic]


def test_arrays_travel_as_little_endian_bytes() -> None:
    """What other programs read and write: float32 and uint8, row after row."""
    fields = msgspec.msgpack.decode(messages.encode(CHUNK))
    assert fields["samples"] == np.array([0.0, np.nan, -1.5], "<f4").tobytes()
    assert fields["flags"] == b"\x00\x01\x02"
    assert msgspec.msgpack.decode(messages.encode(REPLY))["residuals"] == bytes(2 * 4 * 320)


def test_request_without_second_leads_has_no_field_for_them() -> None:
    """Its bytes are those of a stream of one lead, decoded and encoded again as well."""
    frame = messages.encode(REQUEST)
    assert set(msgspec.msgpack.decode(frame)) == {"type", "ids", "windows", "measures"}
    assert messages.encode(messages.decode(frame)) == frame


def refused(message: Message, **fields: bytes) -> None:
    """Assert that a frame with other ``fields`` is refused, alone and in the journal."""
    frame = msgspec.msgpack.encode(msgspec.msgpack.decode(messages.encode(message)) | fields)
    with pytest.raises(WireError):
        messages.decode(frame)
    with pytest.raises(WireError):
        messages.decode_entry(msgspec.msgpack.encode([0.0, msgspec.Raw(frame)]))


def test_torn_arrays_are_refused() -> None:
    """An array whose length contradicts its message is a WireError."""
    refused(CHUNK, samples=b"12345")
    refused(CHUNK, flags=b"\x00")
    refused(CHUNK, samples=bytes(4 * (messages.MAX_CHUNK_SAMPLES + 1)), flags=b"")
    refused(REQUEST, windows=bytes(4 * 320))
    refused(REPLY, residuals=b"")
    refused(REPLY, scores=bytes(4))
    refused(REQUEST, measures=bytes(4 * MEASURES))
    refused(REQUEST, second=bytes(4 * MEASURES))
    refused(REQUEST, second=b"")
    refused(REPLY, probabilities=bytes(16))


def test_a_chunk_has_a_longest_duration_on_the_wire_and_not_in_old_journals() -> None:
    """What one message adds to a stream is bounded; what an older program took is read back."""
    n = round(messages.MAX_CHUNK_S * CHUNK.fs_hz)
    longest = msgspec.structs.replace(
        CHUNK, samples=np.zeros(n, np.float32), flags=messages.NO_FLAGS
    )
    assert isinstance(messages.decode(messages.encode(longest)), Chunk)
    longer = msgspec.structs.replace(longest, samples=np.zeros(n + 1, np.float32))
    with pytest.raises(WireError, match="s of signal"):
        messages.decode(messages.encode(longer))
    entry = messages.decode_entry(messages.encode_entry(messages.Entry(0.0, longer)))
    assert isinstance(entry.event, Chunk)
    assert entry.event.samples.size == n + 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_and_residuals_that_are_not_finite_are_refused(value: float) -> None:
    """A faulty scorer reaches neither the baseline of a patient nor a subscriber's parser."""
    refused(REPLY, scores=np.array([value, 0.0], "<f4").tobytes())
    refused(REPLY, residuals=np.full((2, 320), value, "<f4").tobytes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_requests_that_are_not_finite_are_refused(value: float) -> None:
    """What no front end cuts does not reach a model."""
    refused(REQUEST, windows=np.full((2, 320), value, "<f4").tobytes())
    for measures in ("measures", "second"):
        refused(REQUEST, **{measures: np.full((2, MEASURES), value, "<f4").tobytes()})


@pytest.mark.parametrize(
    "row",
    [
        [np.nan, 0, 0, 1],
        [0, 0, 0, 0],
        [0.5, 0.5, 0.5, 0.5],
        [2, -1, 0, 0],
        [np.inf, 0, 0, 0],
        [0.25, 0.25, 0.25, 0.2515],
    ],
)
def test_what_are_no_probabilities_is_refused(row: list[float]) -> None:
    """Four numbers of at least 0 that sum to 1 within a thousandth, or the reply is refused."""
    refused(REPLY, probabilities=np.array([PROBABILITIES[0], row], "<f4").tobytes())


def test_a_reply_is_cut_to_some_of_its_rows() -> None:
    """Ids, probabilities, scores and residuals together, in the order asked for."""
    reply = ScoreReply(
        ids=[("s", 0, n) for n in range(3)],
        scores=np.arange(3, dtype=np.float32),
        residuals=np.arange(3 * 320, dtype=np.float32).reshape(3, 320),
        probabilities=np.eye(4, dtype=np.float32)[:3],
        compute_ms=1.0,
    )
    some = messages.rows_of(reply, [0, 2])

    assert some.ids == [("s", 0, 0), ("s", 0, 2)]
    assert some.scores.tolist() == [0.0, 2.0]
    np.testing.assert_array_equal(some.residuals, reply.residuals[[0, 2]])
    np.testing.assert_array_equal(some.probabilities, reply.probabilities[[0, 2]])


def test_messages_of_the_former_scoring_differ_from_those_of_now() -> None:
    """An old request or reply is no message; an old scorer says so when it is ready."""
    request = msgspec.msgpack.decode(messages.encode(REQUEST))
    reply = msgspec.msgpack.decode(messages.encode(REPLY))
    del request["measures"], reply["probabilities"]
    for frame in (request, reply, {"type": "classify", **request}, {"type": "classified", **reply}):
        with pytest.raises(WireError):
            messages.decode(msgspec.msgpack.encode(frame))
    ready = {"type": "ready", "model": "m", "device": "cpu", "classifies": True}
    assert messages.decode(msgspec.msgpack.encode(ready)).version == 1 < messages.SCORING_VERSION


@given(st.binary(max_size=300))
def test_random_bytes_raise_wire_error_and_nothing_else(data: bytes) -> None:
    """Whatever the bytes, the decoders answer with a message or with WireError."""
    for decode in (
        messages.decode,
        public.decode_alert,
        requests.decode_replay_request,
        requests.decode_replay_page,
        requests.decode_control_request,
        requests.decode_control_reply,
        *(lambda body, t=topic: public.decode_public(t.encode(), body) for topic in PUBLIC),
    ):
        try:
            decode(data)
        except WireError:
            continue


@given(st.data())
def test_cut_and_altered_frames_raise_wire_error_and_nothing_else(data: st.DataObject) -> None:
    """A frame that lost its end is refused; one with other bytes in it breaks nothing."""
    frame = messages.encode(data.draw(st.sampled_from(INTERNAL)))
    with pytest.raises(WireError):
        messages.decode(frame[: data.draw(st.integers(0, len(frame) - 1))])
    altered = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        messages.decode(bytes(altered))
    except WireError:
        return


@pytest.mark.parametrize("depth", [100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    """Nesting deeper than the stack is one more thing that is no message."""
    with pytest.raises(WireError):
        messages.decode(b"\x91" * depth)
    with pytest.raises(WireError):
        requests.decode_replay_request(b"[" * depth)


@pytest.mark.parametrize(
    "change",
    [
        {"stream": ""},
        {"stream": "a b"},
        {"stream": "../x"},
        {"stream": "a\n"},
        {"stream": "x" * 65},
        {"epoch": -1},
        {"first_sample": -1},
        {"first_sample": 2**53},
        {"first_sample": 2**70},
        {"fs_hz": 0.0},
        {"fs_hz": -360.0},
        {"fs_hz": float("nan")},
        {"fs_hz": float("inf")},
        {"samples": bytes(4 * (messages.MAX_CHUNK_SAMPLES + 1))},
        {"lead": "x" * 65},
        {"type": "unknown"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(change: dict[str, object]) -> None:
    """Names, numbers and lengths are checked while decoding, before anyone acts on them."""
    fields = msgspec.msgpack.decode(messages.encode(CHUNK)) | change
    try:
        frame = msgspec.msgpack.encode(fields)
    except OverflowError:
        frame = msgspec.msgpack.encode(fields | {"first_sample": 2**64 - 1})
    with pytest.raises(WireError):
        messages.decode(frame)


def test_saved_alert_of_schema_1_is_decoded_for_ever() -> None:
    """What a subscriber saved once stays readable; fields are added, never renamed.

    The file is a line of ``monitor replay demo --json`` of version 0.1, with its ``utc``,
    latencies and reason edited by hand to round values.
    """
    saved = SAVED_ALERT.read_bytes()
    alert = public.decode_alert(saved)

    assert (alert.schema, alert.seq, alert.stream, alert.sample) == (1, 18, "demo", 38780)
    assert alert.ticks == [152, 164]
    assert alert.latency_ms.total == 534.29
    assert (alert.class_probabilities, alert.shares) == (None, None)
    written = json.loads(public.encode_json(alert))
    assert {name: written[name] for name in json.loads(saved)} == json.loads(saved)


def test_saved_alert_with_a_class_is_decoded_for_ever() -> None:
    """The fields that joined schema 1 later stay as they were first written, too.

    The file is a line of ``monitor replay demo --json`` of version 0.2, with its latencies and
    its class edited by hand.
    """
    saved = SAVED_CLASS_ALERT.read_bytes()
    alert = public.decode_alert(saved)

    assert (alert.schema, alert.beat_class) == (1, "V")
    assert alert.class_probabilities == {"N": 0.021, "S": 0.008, "V": 0.962, "F": 0.009}
    assert alert.shares is not None
    assert sum(alert.shares.values()) == pytest.approx(alert.score, abs=0.01)
    written = json.loads(public.encode_json(alert))
    assert {name: written[name] for name in json.loads(saved)} == json.loads(saved)


def test_fields_of_a_later_version_are_ignored() -> None:
    """A newer hub may say more than this subscriber knows."""
    later = json.loads(SAVED_ALERT.read_bytes()) | {"mood": "calm"}
    assert public.decode_alert(json.dumps(later).encode()).seq == 18


@pytest.mark.parametrize("topic", [b"", b"alert", b"news/100", b"\xff/100", b"alerts/100"])
def test_unknown_topics_are_refused(topic: bytes) -> None:
    """Only the topics of the schema are decoded."""
    body = public.encode_json(PUBLIC["heartbeat"])
    with pytest.raises(WireError):
        public.decode_public(topic, body)


def test_replay_messages_come_back_as_they_were() -> None:
    """Requests and pages of the replay socket survive the wire; numbers are checked."""
    request = ReplayRequest(log_id="L", from_seq=5, link="5f0c77ab5f0c77ab")
    page = ReplayPage(log_id="L", low_water_seq=1, last_seq=1, alerts=[PUBLISHED], end=True)

    assert requests.decode_replay_request(public.encode_json(request)) == request
    assert requests.decode_replay_page(public.encode_json(page)) == page
    with pytest.raises(WireError):
        requests.decode_replay_request(b'{"log_id": "L", "from_seq": -1}')


SEVERAL = msgspec.structs.replace(
    CHUNK,
    lead="II",
    leads=["II", "V1"],
    samples=np.array([[0.0, np.nan, -1.5], [1.0, 2.0, 3.0]], np.float32),
    flags=np.array([[0, 1, 2], [0, 0, 1]], np.uint8),
)


def test_samples_of_several_leads_travel_lead_after_lead() -> None:
    """float32[leads, n] is what it was behind the wire and in the journal; its end counts n."""
    frame = messages.encode(SEVERAL)
    fields = msgspec.msgpack.decode(frame)
    assert fields["samples"] == np.array([0.0, np.nan, -1.5, 1.0, 2.0, 3.0], "<f4").tobytes()
    assert fields["flags"] == b"\x00\x01\x02\x00\x00\x01"

    entry = messages.decode_entry(messages.encode_entry(messages.Entry(0.0, SEVERAL)))
    for found in (messages.decode(frame), entry.event):
        assert isinstance(found, Chunk)
        np.testing.assert_array_equal(found.samples, SEVERAL.samples, strict=True)
        np.testing.assert_array_equal(found.flags, SEVERAL.flags, strict=True)
        assert (found.n, found.end, found.lead_names) == (3, 723, ["II", "V1"])


def test_several_leads_without_flags_and_without_samples_come_back() -> None:
    """A report of a device has no samples, and keeps its leads."""
    empty = msgspec.structs.replace(
        SEVERAL, samples=np.zeros((2, 0), np.float32), flags=messages.NO_FLAGS
    )

    found = messages.decode(messages.encode(empty))

    assert isinstance(found, Chunk)
    assert (found.samples.shape, found.flags.size, found.end) == ((2, 0), 0, 720)


def test_a_message_of_one_lead_has_no_leads() -> None:
    """What an older source sends is decoded as ever: samples in one dimension, one name."""
    fields = msgspec.msgpack.decode(messages.encode(CHUNK))
    assert "leads" not in fields

    found = messages.decode(msgspec.msgpack.encode(fields))

    assert isinstance(found, Chunk)
    assert (found.samples.shape, found.lead_names) == ((3,), ["MLII"])


@pytest.mark.parametrize(
    "leads",
    [
        ["II"],
        ["II", "II"],
        ["V1", "II"],
        ["II", ""],
        ["II", "V\x1b"],
        ["II", float("nan")],
        ["II", None],
        ["II", "V1", "V2", "V3"],
        ["II", *(f"L{i}" for i in range(12))],
    ],
    ids=["one", "twice", "another first", "empty", "control", "nan", "none", "no multiple", "13"],
)
def test_names_of_leads_that_no_chunk_has_are_refused(leads: list[object]) -> None:
    """2 to 12 names, no two alike, each a lead of as many samples; the first is `lead`."""
    frame = msgspec.msgpack.encode(
        msgspec.msgpack.decode(messages.encode(SEVERAL)) | {"leads": leads}
    )
    with pytest.raises(WireError):
        messages.decode(frame)


def test_the_limits_of_a_chunk_hold_for_all_its_leads() -> None:
    """The frame bounds the samples of all leads together; the duration is that of each."""
    full = msgspec.structs.replace(
        SEVERAL,
        fs_hz=10_000.0,
        samples=np.zeros((2, messages.MAX_CHUNK_SAMPLES // 2), np.float32),
        flags=np.zeros((2, messages.MAX_CHUNK_SAMPLES // 2), np.uint8),
    )
    assert len(messages.encode(full)) < 256 * 1024
    messages.decode(messages.encode(full))
    n = round(messages.MAX_CHUNK_S * 200)
    longest = msgspec.structs.replace(
        SEVERAL, fs_hz=200.0, samples=np.zeros((2, n), np.float32), flags=messages.NO_FLAGS
    )
    messages.decode(messages.encode(longest))
    longer = msgspec.structs.replace(longest, samples=np.zeros((2, n + 1), np.float32))
    with pytest.raises(WireError, match="s of signal"):
        messages.decode(messages.encode(longer))
    refused(full, samples=bytes(4 * (messages.MAX_CHUNK_SAMPLES + 2)), flags=b"")


@pytest.mark.parametrize("leads", [1, 2, 12])
def test_decoding_copies_no_sample(leads: int) -> None:
    """The arrays of a decoded chunk lie in the bytes that were decoded, whatever their shape."""
    names = [f"L{i}" for i in range(leads)] if leads > 1 else []
    samples = np.zeros((leads, 100), np.float32) if names else np.zeros(100, np.float32)
    lead = names[0] if names else ""
    chunk = Chunk(stream="s", first_sample=0, fs_hz=250.0, samples=samples, lead=lead, leads=names)

    found = messages.decode(messages.encode(chunk))

    assert isinstance(found, Chunk)
    assert not found.samples.flags.owndata
    assert not found.samples.flags.writeable
