"""The public schema: everything that a subscriber sees, as JSON in UTF-8.

`encode_json` writes it, `decode_public` and its like read it and raise `WireError` and nothing
else, whatever the bytes. Fields may be added at the end with a default; none is ever renamed or
removed, and a saved message of schema 1 is decoded by a test for ever.

Pure in memory: no sockets, no clock. Units: mV, Hz, seconds; latencies in ms.
"""

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET as UNSET

from pipeline.constants import SCHEMA, STEERING
from pipeline.errors import WireError
from pipeline.schema.alert import Alert as Alert
from pipeline.schema.alert import Latency as Latency
from pipeline.schema.alert import PublishedAlert as PublishedAlert
from pipeline.schema.delivery import Gap as Gap
from pipeline.schema.delivery import LogReplaced as LogReplaced
from pipeline.schema.delivery import Unrecorded as Unrecorded
from pipeline.schema.strip import EncodedStrip as EncodedStrip
from pipeline.schema.strip import SignalStrip as SignalStrip
from pipeline.schema.strip import is_signal as is_signal
from pipeline.schema.trend import Trend as Trend

_T = TypeVar("_T")


class BeatNote(msgspec.Struct, frozen=True, kw_only=True):
    """One detected beat, published on ``beat/<stream>``."""

    schema: int = SCHEMA
    stream: str
    sample: int
    time_s: float
    score: float | None = None
    """Null where the beat cannot be analysed."""
    threshold: float | None = None
    anomalous: bool = False
    analysable: bool = True
    beat_class: str | None = None
    """The most probable class; null where the beat cannot be analysed."""
    rr_s: float | None = None
    epoch: int = 0
    reason: str = ""
    class_probabilities: dict[str, float] | None = None
    """Of each class, as in an alert; null where the beat cannot be analysed."""
    shares: dict[str, float] | None = None
    ticks: list[int] | None = None
    """These two of an anomalous beat, as in an alert: not every anomalous beat raises one."""
    event_utc: str = ""
    """When it happened by the source's clock; empty where the source sends no stamps."""
    lead: str = ""
    """The lead in which it is seen; empty where the source names none."""
    class_leads: list[str] = []
    """The leads that its class is from, ``lead`` first; empty where it is from that one alone."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a stream, published each second on ``status/<stream>``."""

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
    """Samples received so far, as the index of the next one."""
    time_s: float
    duration_s: float = 0.0
    """Signal received, over all epochs."""
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
    """What is wrong with the system itself: no scorer, log or recording not writable."""
    alarms: list[Alert] = []
    """The latest alert of every active alarm of the stream, the most urgent first."""
    silenced_s: float = 0.0
    """Seconds until the end of an audio pause."""
    late_samples: int = 0
    """Samples that arrived after the gap that they belong in had been given up."""
    shed_samples: int = 0
    """Samples that the source had to drop because the monitor did not take them."""
    recorded: bool = True
    """False while the log cannot be written, for the reason in ``fault``: this is not recorded."""
    unreadable_lines: int = 0
    """Lines or packets of a device that its source could not read."""
    source_fault: str = ""
    """What keeps the source from sending samples, and what to do; empty for nothing."""
    atrial_fibrillation_share: float | None = None
    """Share of the time in ``rhythm_s`` that was atrial fibrillation of the alarm's on-delay and
    longer (the burden); null where nothing was assessed yet."""
    rhythm_s: float = 0.0
    """Time in which the rhythm was assessed, over all epochs."""
    uncredited_chunks: int = 0
    """Chunks that came though the source had no credit, and were not taken, since the hub began."""
    leads: list[str] = []
    """The names of all leads, ``lead`` the first."""
    lead_states: dict[str, str] = {}
    """The state of each of several leads in a word, by its name; empty where there is one."""
    lead_in_use: str = ""
    """The lead in which the beats are seen now, one of ``lead_states``."""
    limits: dict[str, float] = {}
    """The limits of the heart rate in force, and others that the stream has of its own."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Published every 250 ms on ``heartbeat``: the alerts that a subscriber should have by now."""

    schema: int = SCHEMA
    log_id: str
    last_seq: int
    low_water_seq: int
    """The oldest sequence number that the log still holds."""
    link: str = ""
    """Of the chain of the log, after its newest alert: that of an alert's ``link``."""
    recorded: bool = True
    """False while the log cannot be written, for the reason in ``fault``: nothing is recorded."""
    waiting: int = 0
    """Alerts that are not in the log yet."""
    fault: str = ""
    """Why the log cannot be written; empty while it can."""


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


STAGES = ("window", "filter", "segment", "queue", "score", "deliver", "total")
"""The parts of a `Latency`, in the order in which a beat passes them."""


class StageHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage took, over all beats with a score since the hub began."""

    cumulative: list[int]
    """Beats that took no longer than each of the report's ``buckets_ms``."""
    count: int
    """All beats, those beyond the last bucket included."""
    sum_ms: float


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log."""

    log_id: str
    name: str
    """Of the file, without its folder."""
    last_seq: int
    low_water_seq: int
    bytes: int
    wal_bytes: int
    """Of the write-ahead log beside the file."""
    writable: bool


class RecordingReport(msgspec.Struct, frozen=True, kw_only=True):
    """The recording of the whole signal."""

    folder: str
    """Its name, without the folders above."""
    streams: int
    """Streams that are recorded now."""
    bytes: int
    """Of all segments in the folder, as of the last minute."""
    lost_samples: int
    """Samples, of each lead, that could not be written."""
    fault: str = ""
    """Why nothing is recorded now; empty while it is."""


class SystemReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the whole system, published each second on ``system``.

    Totals over all streams, without their names. Counters of samples and windows belong to the
    streams, and continue when a new hub continues from the log; the others, and the
    histograms, count from the beginning of this hub.
    """

    schema: int = SCHEMA
    utc: str = ""
    version: str = ""
    """Of the program."""
    commit: str = ""
    """Of its source, where it is known."""
    uptime_s: float
    resident_bytes: int | None = None
    """Memory of the hub; null where the operating system does not report it."""
    streams: dict[str, int]
    """Streams by state; ``ended`` is one of the states. Those of more than 256 streams are counted
    less often than each second, in proportion."""
    scorers: int
    received_samples: int
    """All in chunks that were taken, repeats included."""
    duplicate_samples: int
    out_of_order_samples: int
    """Arrived after later ones, and were put into order."""
    gap_samples: int
    late_samples: int
    """Arrived after the gap that they belong in had been given up; also among the duplicates."""
    shed_samples: int
    """Dropped by sources, because the monitor did not take them."""
    produced_windows: int
    """Beats that wanted a score: always ``scored`` + ``pending`` + ``refused``."""
    scored_windows: int
    pending_windows: int
    refused_windows: int
    """Given up, and counted, without a score."""
    redelivered_windows: int
    """Handed out again because a scorer did not answer."""
    rejected_frames: int
    alerts: dict[str, int]
    """Alarms that began and are in the log, by kind."""
    buckets_ms: list[float]
    latency_ms: dict[str, StageHistogram]
    """By stage: those of ``latency_ms`` of alerts."""
    log: LogReport
    fault: str = ""
    """What is wrong with the log, or with the state in it; empty for nothing."""
    alarms: list[Alert] = []
    """The latest alert of every active alarm about the system, not about a stream."""
    unreadable_lines: int = 0
    """Lines or packets of devices that their sources could not read."""
    uncredited_chunks: int = 0
    """Chunks that came though their sources had no credit, and were not taken."""
    unsaved_states: int = 0
    """States of streams that did not fit into the log, and were not written."""
    recording: RecordingReport | None = None
    """Null where the signal is not recorded."""

    @property
    def unaccounted_windows(self) -> int:
        """Windows that were lost; 0 unless the program is wrong."""
        accounted = self.scored_windows + self.pending_windows + self.refused_windows
        return self.produced_windows - accounted


Public = (
    PublishedAlert | BeatNote | Status | Heartbeat | SignalStrip | WindowView | SystemReport | Trend
)

Published = Public | EncodedStrip
"""What is published, as it is encoded."""

Received = Public | Gap | LogReplaced | Unrecorded
"""What a subscriber receives: messages, what is not recorded, and where the numbers break off."""

_STEERING: Final = re.compile(f"[{STEERING}]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_json_encoder = msgspec.json.Encoder()
_public_decoders: Final[dict[bytes, msgspec.json.Decoder[Public]]] = {
    b"alert": msgspec.json.Decoder(PublishedAlert),
    b"beat": msgspec.json.Decoder(BeatNote),
    b"status": msgspec.json.Decoder(Status),
    b"heartbeat": msgspec.json.Decoder(Heartbeat),
    b"signal": msgspec.json.Decoder(SignalStrip),
    b"window": msgspec.json.Decoder(WindowView),
    b"system": msgspec.json.Decoder(SystemReport),
    b"trend": msgspec.json.Decoder(Trend),
}
_trend_decoder = msgspec.json.Decoder(Trend)
_alert_decoder = msgspec.json.Decoder(Alert)
_strip_decoder = msgspec.json.Decoder(SignalStrip)


def passed_on(status: Status, *, silenced_s: float, older_s: float = 0.0) -> Status:
    """Return a status that another process made, with the audio pause, and older by ``older_s``."""
    age_s = round(status.data_age_s + older_s, 3)
    return msgspec.structs.replace(status, silenced_s=silenced_s, data_age_s=age_s)


def encode_json(message: msgspec.Struct | Gap | LogReplaced | dict[str, Any]) -> bytes:
    """Return ``message`` as one JSON object in UTF-8, without a newline.

    Characters that could steer a terminal on which the line is shown are escaped, as JSON allows. A
    file may have a name in bytes that are no UTF-8: U+FFFD stands for each of these.
    """
    try:
        body = _json_encoder.encode(message)
    except UnicodeEncodeError:
        # The hook reads what is written already.
        plain = msgspec.to_builtins(message, enc_hook=msgspec.json.decode)
        body = _json_encoder.encode(_encodable(plain))
    if body.isascii() and b"\x7f" not in body:  # msgspec escapes C0 itself
        return body
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", body.decode()).encode()


def _encodable(value: Any) -> Any:
    """Return ``value`` with U+FFFD in place of lone surrogates, for which UTF-8 has no bytes."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


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


def decode_trend(body: bytes) -> Trend:
    """Return the trend in ``body``, or raise `WireError`."""
    return decode_json(_trend_decoder, body)
