"""What a subscriber sees: the public schema, as JSON in UTF-8.

`encode_json` writes it, `decode_public` and its like read it and raise `WireError` and nothing
else, whatever the bytes. Fields may be added at the end with a default; none is ever renamed or
removed, and a saved message of schema 1 is decoded by a test for ever.

Pure in memory: no sockets, no clock. Units: mV, Hz, seconds; latencies in ms.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ, SCHEMA, STEERING
from pipeline.errors import WireError
from pipeline.schema.alert import Alert as Alert
from pipeline.schema.alert import Latency as Latency
from pipeline.schema.position import Gap, LogReplaced
from pipeline.schema.system_report import SystemReport

_T = TypeVar("_T")


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


_LATEST_S: Final = 1e9
"""Thirty years of signal; positions beyond are refused before they are multiplied."""


def is_signal(strip: SignalStrip) -> bool:
    """Say whether a strip holds anything, at a rate and a place that a signal can have."""
    lowest, highest = SAMPLING_RATE_LIMITS_HZ
    if not (strip.mv and lowest <= strip.fs_hz <= highest):
        return False
    return 0 <= strip.first_sample <= _LATEST_S * strip.fs_hz


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


Public = Alert | BeatNote | Status | Heartbeat | SignalStrip | WindowView | SystemReport

Received = Public | Gap | LogReplaced
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


def encode_json(message: msgspec.Struct | Gap | LogReplaced) -> bytes:
    """Return ``message`` as one JSON object in UTF-8, without a newline.

    What could steer the terminal of whoever looks at the line is escaped, as JSON allows.
    """
    body = _json_encoder.encode(message)
    if body.isascii() and b"\x7f" not in body:  # msgspec escapes C0 itself
        return body
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", body.decode()).encode()


def decode_json(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Return the message in ``body``, or raise `WireError`; never anything else."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{len(body)} bytes are no message: {error}") from None


def decode_public(topic: bytes, body: bytes) -> Public:
    """Return the message published under ``topic``; raise `WireError` for anything else."""
    decoder = _public_decoders.get(topic.partition(b"/")[0])
    if decoder is None:
        raise WireError(f"no topic of ours: {topic[:80]!r}")
    return decode_json(decoder, body)


def decode_alert(body: bytes) -> Alert:
    """Return the alert in ``body``, or raise `WireError`."""
    return decode_json(_alert_decoder, body)


def decode_strip(body: bytes) -> SignalStrip:
    """Return the strip in ``body``, or raise `WireError`."""
    return decode_json(_strip_decoder, body)


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
