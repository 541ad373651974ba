"""Every message of the system, its bytes, and the one way to read it back.

Two families:

* Between our own processes: MessagePack, one frame a message. `encode` and `decode`.
* To subscribers: JSON in UTF-8, the public schema (`Alert`, `BeatNote`, `Status`,
  `Heartbeat`, `SignalStrip`, `WindowView`). `encode_json` and `decode_public`. Fields may be
  added at the end with a default; none is ever renamed or removed.

Decoding raises `WireError` and nothing else, whatever the bytes. Arrays travel as
little-endian bytes; `samples_of`, `flags_of`, `windows_of` and their like check the lengths.

Pure in memory: no sockets, no clock. Units: mV, Hz, seconds; latencies in ms.
"""

from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.constants import NOTICE, SAMPLING_RATE_LIMITS_HZ, SCHEMA, WINDOW_SAMPLES
from pipeline.errors import WireError

MAX_CHUNK_SAMPLES: Final = 32_768
"""Keeps a chunk, flags included, under the 256 KiB that an inbound data frame may have."""

MAX_BATCH: Final = 128
"""Windows in one score request."""

ALERTS_PER_PAGE: Final = 500
"""Alerts in one page of the replay socket's answer."""

FLAG_LEAD_OFF: Final = 1
"""Sample flag: the device says that an electrode is off."""

FLAG_SATURATED: Final = 2
"""Sample flag: the sample stands at a rail of the converter."""

_T = TypeVar("_T")
StreamName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_LOWEST_HZ, _HIGHEST_HZ = SAMPLING_RATE_LIMITS_HZ
Position = Annotated[int, msgspec.Meta(ge=0, le=2**52)]  # the segmenter refuses from 2**53 on
Rate = Annotated[float, msgspec.Meta(ge=_LOWEST_HZ, le=_HIGHEST_HZ)]
Label = Annotated[str, msgspec.Meta(max_length=64)]


class Chunk(msgspec.Struct, frozen=True, kw_only=True, tag="chunk"):
    """Consecutive samples of one lead, from a source to the hub."""

    stream: StreamName
    epoch: Count = 0
    """Counts restarts of the numbering: a looped record starts its next epoch at sample 0."""
    first_sample: Position
    """Index of the first sample, in the source's own rate. A jump ahead is a gap."""
    fs_hz: Rate
    samples: Annotated[bytes, msgspec.Meta(max_length=4 * MAX_CHUNK_SAMPLES)]
    """Little-endian float32, mV; NaN where the source knows no value."""
    flags: Annotated[bytes, msgspec.Meta(max_length=MAX_CHUNK_SAMPLES)] = b""
    """One byte a sample (`FLAG_LEAD_OFF`, `FLAG_SATURATED`), or empty for none."""
    lead: Label = ""


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The stream is over: no sample follows."""

    stream: StreamName
    epoch: Count = 0
    next_sample: Count


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """From the hub to a source: what arrived, and how many more chunks may be under way."""

    stream: StreamName
    epoch: Count
    next_sample: Count
    """Every sample before this one is taken care of."""
    credit: Count
    """Chunks that the source may send before the next `Accepted`."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """From a scorer to the hub, at start and every 250 ms: alive, and able to take batches."""

    model: Label
    device: Label
    credit: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    """Batches that may be under way to this scorer."""


WindowId = tuple[StreamName, Count, Count]
"""(stream, epoch, R peak in samples of the 360 Hz stream)."""


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """A batch of windows for a scorer."""

    ids: Annotated[list[WindowId], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
    windows: bytes
    """float32[len(ids), 320], each window scaled to [-1, 1]."""


class ScoreReply(msgspec.Struct, frozen=True, kw_only=True, tag="scored"):
    """A scorer's answer to one `ScoreRequest`."""

    ids: Annotated[list[WindowId], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
    scores: bytes
    """float32[len(ids)]."""
    residuals: bytes
    """float32[len(ids), 320]: window minus reconstruction."""
    compute_ms: Annotated[float, msgspec.Meta(ge=0)]


Message = Chunk | End | Accepted | Ready | ScoreRequest | ScoreReply

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return the one frame that carries ``message``."""
    return _encoder.encode(message)


def decode(frame: bytes) -> Message:
    """Return the message in ``frame``, or raise `WireError`; never anything else."""
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"frame of {len(frame)} bytes is no message: {error}") from None


def samples_of(chunk: Chunk) -> NDArray[np.float32]:
    """Return the chunk's samples as float32[n], mV; raise `WireError` for a torn array."""
    if len(chunk.samples) % 4:
        raise WireError(f"chunk of {chunk.stream}: {len(chunk.samples)} bytes of float32")
    return np.frombuffer(chunk.samples, dtype="<f4")


def flags_of(chunk: Chunk) -> NDArray[np.uint8]:
    """Return the chunk's sample flags as uint8[n]; raise `WireError` if n is another."""
    n = len(chunk.samples) // 4
    if not chunk.flags:
        return np.zeros(n, dtype=np.uint8)
    if len(chunk.flags) != n:
        raise WireError(f"chunk of {chunk.stream}: {n} samples but {len(chunk.flags)} flags")
    return np.frombuffer(chunk.flags, dtype=np.uint8)


def _rows(data: bytes, n: int, what: str) -> NDArray[np.float32]:
    if len(data) != 4 * n * WINDOW_SAMPLES:
        raise WireError(f"{what} for {n} beats has {len(data)} bytes")
    return np.frombuffer(data, dtype="<f4").reshape(n, WINDOW_SAMPLES)


def windows_of(request: ScoreRequest) -> NDArray[np.float32]:
    """Return float32[n, 320] of a request; raise `WireError` if the length is another."""
    return _rows(request.windows, len(request.ids), "score request")


def residuals_of(reply: ScoreReply) -> NDArray[np.float32]:
    """Return float32[n, 320] of a reply; raise `WireError` if torn or not finite."""
    residuals = _rows(reply.residuals, len(reply.ids), "score reply")
    if not np.isfinite(residuals).all():
        raise WireError("score reply holds a residual that is not finite")
    return residuals


def scores_of(reply: ScoreReply) -> NDArray[np.float32]:
    """Return float32[n] of a reply; raise `WireError` if n is another or one is not finite."""
    if len(reply.scores) != 4 * len(reply.ids):
        raise WireError(f"{len(reply.ids)} ids but {len(reply.scores)} bytes of scores")
    scores = np.frombuffer(reply.scores, dtype="<f4")
    if not np.isfinite(scores).all():
        raise WireError("score reply holds a score that is not finite")
    return scores


# --- what a subscriber sees ------------------------------------------------------------------


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went between the arrival of the R sample and the publication, in ms."""

    window: float = 0.0
    """Waiting for the samples after the R peak that the window needs."""
    filter: float = 0.0
    """Delay of resampling, in samples of the stream that had to arrive beside them."""
    segment: float = 0.0
    """Filtering, detecting and cutting."""
    queue: float = 0.0
    """Waiting for a batch to fill, for a scorer, and for the way there and back."""
    score: float = 0.0
    """The student's computation."""
    deliver: float = 0.0
    """Baseline, rules, commit to the log, publication."""
    total: float = 0.0
    """The sum of the others."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, as logged and published on ``alert/<stream>``."""

    schema: int = SCHEMA
    log_id: str = ""
    seq: int = 0
    """Contiguous from 1 within one ``log_id``."""
    stream: str
    kind: str
    category: str
    """``physiological`` (about the heart) or ``technical`` (about the signal or the system)."""
    priority: str
    """``high``, ``medium`` or ``low``."""
    state: str = "on"
    """``on`` or ``off``."""
    sample: int
    """Where it happened, counted from 0 in the source's own sampling rate."""
    time_s: float
    utc: str = ""
    """When it was raised."""
    score: float | None = None
    threshold: float | None = None
    reason: str
    ticks: list[int] | None = None
    """[first, last] of the 320 samples of the window that look wrong."""
    beat_class: str | None = None
    bpm: float | None = None
    latency_ms: Latency = Latency()
    notice: str = NOTICE
    epoch: int = 0


class BeatNote(msgspec.Struct, frozen=True, kw_only=True):
    """One detected beat, published on ``beat/<stream>``."""

    schema: int = SCHEMA
    stream: str
    sample: int
    time_s: float
    score: float | None = None
    """Null while the beat cannot be analysed."""
    threshold: float | None = None
    anomalous: bool = False
    analysable: bool = True
    beat_class: str | None = None
    rr_s: float | None = None
    epoch: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream stands, published each second on ``status/<stream>``."""

    schema: int = SCHEMA
    stream: str
    state: str
    """``learning``, ``normal``, ``abnormal`` or ``not_analysable``."""
    reason: str = ""
    """Why, where the state is ``not_analysable``."""
    ended: bool = False
    lead: str = ""
    fs_hz: float
    sample: int
    """Samples taken in so far, as the index of the next one."""
    time_s: float
    duration_s: float = 0.0
    """Signal taken in, over all epochs."""
    bpm: float | None = None
    beats: int = 0
    beats_not_analysable: int = 0
    anomalous: int = 0
    alerts: int = 0
    pending: int = 0
    data_age_s: float = 0.0
    """Time since the last chunk arrived."""
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    gap_samples: int = 0
    duplicate_samples: int = 0
    rejected_frames: int = 0
    redelivered: int = 0
    scorers: int = 0
    epoch: int = 0
    fault: str = ""
    """What is wrong with the system itself: no scorer, log not writable."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Published every 250 ms on ``heartbeat``: what a subscriber should have by now."""

    schema: int = SCHEMA
    log_id: str
    last_seq: int
    low_water_seq: int
    """The oldest sequence number that the log still holds."""


class SignalStrip(msgspec.Struct, frozen=True, kw_only=True):
    """Recent samples of a stream, published on ``signal/<stream>`` for pictures only."""

    schema: int = SCHEMA
    stream: str
    epoch: int = 0
    first_sample: int
    """Position of the first value, counted at ``fs_hz``: divided by it, the ``time_s`` of beats."""
    fs_hz: float
    """Rate of the values, whatever the source's own."""
    mv: list[float | None]
    """The band-passed signal; null where it is masked."""


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """Window and residual of an anomalous beat, published on ``window/<stream>``."""

    schema: int = SCHEMA
    stream: str
    epoch: int = 0
    sample: int
    window: list[float]
    residual: list[float]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber sends to the replay socket."""

    log_id: str = ""
    """The log it has read so far; empty for one that has read none."""
    from_seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1


class ReplayPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the answer; the last one has ``end`` set."""

    log_id: str
    low_water_seq: int
    last_seq: int
    alerts: list[Alert]
    end: bool


Public = Alert | BeatNote | Status | Heartbeat | SignalStrip | WindowView

_json_encoder = msgspec.json.Encoder()
_public_decoders: Final[dict[bytes, msgspec.json.Decoder[Public]]] = {
    b"alert": msgspec.json.Decoder(Alert),
    b"beat": msgspec.json.Decoder(BeatNote),
    b"status": msgspec.json.Decoder(Status),
    b"heartbeat": msgspec.json.Decoder(Heartbeat),
    b"signal": msgspec.json.Decoder(SignalStrip),
    b"window": msgspec.json.Decoder(WindowView),
}
_alert_decoder = msgspec.json.Decoder(Alert)
_request_decoder = msgspec.json.Decoder(ReplayRequest)
_page_decoder = msgspec.json.Decoder(ReplayPage)


def encode_json(message: Public | ReplayRequest | ReplayPage) -> bytes:
    """Return ``message`` as one JSON object in UTF-8, without a newline."""
    return _json_encoder.encode(message)


def _decode_json(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{len(body)} bytes are no message: {error}") from None


def decode_public(topic: bytes, body: bytes) -> Public:
    """Return the message published under ``topic``; raise `WireError` for anything else."""
    decoder = _public_decoders.get(topic.partition(b"/")[0])
    if decoder is None:
        raise WireError(f"no topic of ours: {topic[:80]!r}")
    return _decode_json(decoder, body)


def decode_alert(body: bytes) -> Alert:
    """Return the alert in ``body``, or raise `WireError`."""
    return _decode_json(_alert_decoder, body)


def decode_replay_request(frame: bytes) -> ReplayRequest:
    """Return the request in ``frame``, or raise `WireError`."""
    return _decode_json(_request_decoder, frame)


def decode_replay_page(frame: bytes) -> ReplayPage:
    """Return the page in ``frame``, or raise `WireError`."""
    return _decode_json(_page_decoder, frame)


def numbered(alert: Alert, log_id: str, seq: int) -> Alert:
    """Return ``alert`` with its place in the log."""
    return msgspec.structs.replace(alert, log_id=log_id, seq=seq)


def timed(alert: Alert, latency: Latency, *, utc: str | None = None) -> Alert:
    """Return ``alert`` with its latency breakdown, and the time it was raised where given."""
    return msgspec.structs.replace(alert, latency_ms=latency, utc=utc or alert.utc)
