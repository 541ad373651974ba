"""What a subscriber sees: the public schema, as JSON in UTF-8.

`encode_json` writes it, `decode_public` and its like read it and raise `WireError` and nothing
else, whatever the bytes. Fields may be added at the end with a default; none is ever renamed or
removed, and a saved message of schema 1 is decoded by a test for ever.

Pure in memory: no sockets, no clock. Units: mV, Hz, seconds; latencies in ms.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from pipeline.constants import NOTICE, SCHEMA, STEERING
from pipeline.errors import WireError
from pipeline.position import Gap, LogReplaced
from pipeline.system_report import SystemReport

MAX_SILENCE_S: Final = 180.0
"""The longest audio pause that can be asked for (bedside monitors: 30 s to 3 min)."""

ALERTS_PER_PAGE: Final = 500
"""Alerts in one page of the replay socket's answer."""

_T = TypeVar("_T")


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went between the arrival of the R sample and the publication, in ms."""

    window: float = 0.0
    """Waiting for the samples after the R peak that the window needs."""
    filter: float = 0.0
    """Waiting for samples beyond the window that the resampling and the detector needed."""
    segment: float = 0.0
    """Filtering, detecting and cutting."""
    queue: float = 0.0
    """Waiting for a batch to fill, for a scorer, and for the way there and back; for an anomalous
    beat a second time, where its class is asked for."""
    score: float = 0.0
    """What the models computed: the student, and the classifier where it was asked."""
    deliver: float = 0.0
    """Baseline, rules, waiting for the beats before, commit to the log, publication."""
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
    """``on`` (the condition is there), ``ack`` (there, and somebody knows), ``latched`` (over, but
    nobody has acknowledged it yet) or ``off``: FHIR's DeviceAlert presence."""
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
    """``N``, ``S``, ``V`` or ``F`` of AAMI EC57; null where no classifier runs."""
    bpm: float | None = None
    latency_ms: Latency = Latency()
    notice: str = NOTICE
    epoch: int = 0
    class_probabilities: dict[str, float] | None = None
    """Probability of each class, of which ``beat_class`` is the most probable."""
    shares: dict[str, float] | None = None
    """What each witness of the live score added to ``score``."""
    count: int | None = None
    """How many anomalous beats, or beginnings of the condition, the episode had so far."""
    episode: str = ""
    """The same for all alerts of one alarm, from its ``on`` to its ``off``."""
    begin_s: float | None = None
    """Where the condition began, in seconds of the stream like ``time_s``."""
    end_s: float | None = None
    """Where it ended; null while it is there."""
    values: dict[str, float] | None = None
    """What was measured, and under ``limit...`` the limits in force that it crossed."""
    event_utc: str = ""
    """When it happened by the source's clock; empty where the source tells no time."""


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
    """Of an anomalous beat; and what follows too."""
    rr_s: float | None = None
    epoch: int = 0
    reason: str = ""
    class_probabilities: dict[str, float] | None = None
    shares: dict[str, float] | None = None
    ticks: list[int] | None = None
    """All as in an alert: not every anomalous beat raises one."""
    event_utc: str = ""
    """When it happened by the source's clock; empty where the source tells no time."""


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
    alarms: list[Alert] = []
    """The latest alert of every alarm of the stream that stands, the most urgent first."""
    silenced_s: float = 0.0
    """For so long there will be no sound."""
    late_samples: int = 0
    """Samples that came when the hole they belong in had been given up."""
    shed_samples: int = 0
    """Samples that the source had to drop because the monitor had no room for them."""
    recorded: bool = True
    """False while the log takes nothing, as ``fault`` says: what is seen stands nowhere else."""


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
    ticks: list[int] | None = None
    """[first, last] of the samples that look wrong."""


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber sends to the replay socket."""

    log_id: str = ""
    """The log it has read so far; empty for one that has read none."""
    from_seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    question: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Any number: every page of the answer repeats it."""


class ReplayPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the answer; the last one has ``end`` set."""

    log_id: str
    low_water_seq: int
    last_seq: int
    alerts: list[Alert]
    end: bool
    question: int = 0
    """That of the request."""
    from_seq: int = 0
    to_seq: int = 0
    """The page has every alert from one to the other that can be read."""


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="ack"):
    """To the control socket: acknowledge the alarms that stand; those that come later call."""

    stream: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Only of this stream; empty for all."""
    episode: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """Only this alarm; empty for all."""


class Silence(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="silence"):
    """To the control socket: no sound for so long, or until a new alarm of high priority."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_SILENCE_S)]
    """0 ends a pause."""


class Show(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="show"):
    """To the control socket: the alert of a number and the signal around it."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class State(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="state"):
    """To the control socket: how everything stands."""


class Died(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="died"):
    """To the control socket, from the supervisor: a process died and is started again."""

    process: Literal["hub", "scorer", "source", "dashboard"]
    code: Annotated[int, msgspec.Meta(ge=-255, le=255)]
    """Its exit code, or minus the signal that killed it."""
    times: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    """How often it died without a steady run between."""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the control socket."""

    alerts: list[Alert] = []
    """What was acknowledged, as it stood before; of a `Show` the one that was asked for."""
    silenced_s: float = 0.0
    """For so long there will be no sound."""
    strip: SignalStrip | None = None
    error: str = ""
    """Why nothing was done."""
    system: SystemReport | None = None
    """Of a `State`: the system as a whole, now."""
    statuses: list[Status] = []
    """Of a `State`: every stream there is."""


ControlRequest = Acknowledge | Silence | Show | State | Died

Public = Alert | BeatNote | Status | Heartbeat | SignalStrip | WindowView | SystemReport

Heard = Public | Gap | LogReplaced
"""What a subscriber is given: messages, and where the numbers of the alerts break off."""

_STEERING: Final = re.compile(f"[{STEERING}]")

_json_encoder = msgspec.json.Encoder()
_public_decoders: Final[dict[bytes, msgspec.json.Decoder[Public]]] = {
    b"alert": msgspec.json.Decoder(Alert),
    b"beat": msgspec.json.Decoder(BeatNote),
    b"status": msgspec.json.Decoder(Status),
    b"heartbeat": msgspec.json.Decoder(Heartbeat),
    b"signal": msgspec.json.Decoder(SignalStrip),
    b"window": msgspec.json.Decoder(WindowView),
    b"system": msgspec.json.Decoder(SystemReport),
}
_alert_decoder = msgspec.json.Decoder(Alert)
_strip_decoder = msgspec.json.Decoder(SignalStrip)
_control_decoder: Final[msgspec.json.Decoder[ControlRequest]] = msgspec.json.Decoder(ControlRequest)
_reply_decoder = msgspec.json.Decoder(ControlReply)
_request_decoder = msgspec.json.Decoder(ReplayRequest)
_page_decoder = msgspec.json.Decoder(ReplayPage)


def encode_json(
    message: Heard | ReplayRequest | ReplayPage | ControlRequest | ControlReply,
) -> bytes:
    """Return ``message`` as one JSON object in UTF-8, without a newline.

    What could steer the terminal of whoever looks at the line is escaped, as JSON allows.
    """
    body = _json_encoder.encode(message)
    if body.isascii() and b"\x7f" not in body:  # msgspec escapes C0 itself
        return body
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", body.decode()).encode()


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


def decode_strip(body: bytes) -> SignalStrip:
    """Return the strip in ``body``, or raise `WireError`."""
    return _decode_json(_strip_decoder, body)


def decode_control_request(frame: bytes) -> ControlRequest:
    """Return the request in ``frame``, or raise `WireError`."""
    return _decode_json(_control_decoder, frame)


def decode_control_reply(frame: bytes) -> ControlReply:
    """Return the answer in ``frame``, or raise `WireError`."""
    return _decode_json(_reply_decoder, frame)


def decode_replay_request(frame: bytes) -> ReplayRequest:
    """Return the request in ``frame``, or raise `WireError`."""
    return _decode_json(_request_decoder, frame)


def decode_replay_page(frame: bytes) -> ReplayPage:
    """Return the page in ``frame``, or raise `WireError`."""
    return _decode_json(_page_decoder, frame)


def numbered(alert: Alert, log_id: str, seq: int) -> Alert:
    """Return ``alert`` with its place in the log."""
    return msgspec.structs.replace(alert, log_id=log_id, seq=seq)


def followed_by(alert: Alert, **changes: Any) -> Alert:
    """Return the next alert in the life of ``alert``, with its own place in the log.

    What was found in the beat of which the first one told is left out.
    """
    fresh = {
        "log_id": "",
        "seq": 0,
        "utc": "",
        "latency_ms": Latency(),
        "score": None,
        "threshold": None,
        "ticks": None,
        "shares": None,
        "beat_class": None,
        "class_probabilities": None,
        **changes,
    }
    return msgspec.structs.replace(alert, **fresh)


def happened_at(alert: Alert, event_utc: str) -> Alert:
    """Return ``alert`` with the time at which it happened by the source's clock."""
    return msgspec.structs.replace(alert, event_utc=event_utc) if event_utc else alert


def utc_text(utc_s: float) -> str:
    """Return seconds since 1970 as they stand in messages: ISO 8601 to the millisecond, UTC."""
    text = datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def timed(alert: Alert, latency: Latency, *, utc: str | None = None) -> Alert:
    """Return ``alert`` with its latency breakdown, and the time it was raised where given."""
    return msgspec.structs.replace(alert, latency_ms=latency, utc=utc or alert.utc)
