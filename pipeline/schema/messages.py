"""Every message between our own processes, its bytes, and the one way to read it back.

MessagePack, one frame a message: `encode` and `decode`. Decoding raises `WireError` and nothing
else, whatever the bytes. Arrays travel as little-endian bytes. A decoded message holds them as
read-only arrays whose shapes and values are checked, so a message from `decode` needs no
further checks. What subscribers see is in `pipeline.schema.public`. Units: mV, Hz, seconds.
"""

from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np

from pipeline.constants import (
    MEASURES,
    MOST_LEADS,
    SAMPLING_RATE_LIMITS_HZ,
    STEERING,
    STREAM_NAME,
    WINDOW_SAMPLES,
)
from pipeline.errors import WireError
from pipeline.schema.limits import Limited as Limited
from pipeline.schema.public import Alert
from pipeline.schema.wire_arrays import (
    Float32Array,
    Uint8Array,
    finite_rows,
    from_array,
    lead_rows,
    probability_rows,
    to_array,
)

MAX_CHUNK_SAMPLES: Final = 32_768
"""Keeps a chunk, flags included, under the 256 KiB that an inbound data frame may have."""

MAX_CHUNK_S: Final = 75.0
"""Longest signal in a chunk on the wire; a replay sends 72 s at most. Old journals hold longer."""

MAX_BATCH: Final = 128
"""Windows in one request to a scorer."""

FLAG_LEAD_OFF: Final = 1
"""Sample flag: the device reports that an electrode is off."""

FLAG_SATURATED: Final = 2
"""Sample flag: the sample is at a rail of the converter."""

LATEST_UTC_S: Final = 4e9
"""Seconds since 1970, in the year 2096: no later time is believed."""

StreamName = Annotated[str, msgspec.Meta(pattern=rf"^{STREAM_NAME}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_LOWEST_HZ, _HIGHEST_HZ = SAMPLING_RATE_LIMITS_HZ
Position = Annotated[int, msgspec.Meta(ge=0, le=2**52)]  # the segmenter refuses from 2**53 on
Rate = Annotated[float, msgspec.Meta(ge=_LOWEST_HZ, le=_HIGHEST_HZ)]
Stamp = Annotated[float, msgspec.Meta(ge=0.0, le=LATEST_UTC_S)]
Label = Annotated[str, msgspec.Meta(pattern=rf"^[^{STEERING}]{{0,64}}\Z")]
LeadName = Annotated[str, msgspec.Meta(pattern=rf"^[^{STEERING}]{{1,64}}\Z")]
LeadNames = Annotated[list[LeadName], msgspec.Meta(max_length=MOST_LEADS)]
Fault = Annotated[str, msgspec.Meta(pattern=rf"^[^{STEERING}]{{0,160}}\Z")]
Session = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,32}\Z")]
"""Random, one for each run of a source: it distinguishes two sources of one name."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """From a source to the hub, at start and after a silence: how far is the hub?"""

    stream: StreamName
    session: Session = ""
    resume: bool = False
    """Whether it continues for the source that sent last, and has died."""


NO_FLAGS: Final = np.zeros(0, dtype=np.uint8)
NO_FLAGS.setflags(write=False)
"""Where no sample of a chunk has a flag."""


class Chunk(
    msgspec.Struct, frozen=True, kw_only=True, eq=False, tag="chunk", omit_defaults=True, gc=False
):
    """Consecutive samples of the leads of one patient, from a source to the hub."""

    stream: StreamName
    epoch: Count = 0
    """Counts how often the numbering started over: a looped record has an epoch for each pass."""
    first_sample: Position
    """Index of the first sample, in the source's own rate. A jump ahead is a gap."""
    fs_hz: Rate
    samples: Float32Array
    """float32[n] of one lead, float32[leads, n] of several, on the wire one after the other; mV, at
    most `MAX_CHUNK_SAMPLES` in all; NaN where the source knows no value."""
    flags: Uint8Array = NO_FLAGS
    """uint8 as the samples, of `FLAG_LEAD_OFF` and `FLAG_SATURATED`; empty where there are none."""
    lead: Label = ""
    """Name of the lead, or of the first of several."""
    stamp_s: Stamp | None = None
    """When the last sample was taken by the source's clock, seconds since 1970."""
    session: Session = ""
    number: Count = 0
    """Counts the chunks of a session from 1, its end included; a chunk that is sent again keeps its
    number, and the hub takes none before the one before it. 0 where the source does not count."""
    unkept: bool = False
    """Whether the source no longer has the messages before this one, should they be missing."""
    shed: Count = 0
    """Samples just before this chunk that the source had to drop, for the hub gave no credit."""
    unreadable: Count = 0
    """Lines or packets of the device that could not be read, since the chunk before."""
    fault: Fault = ""
    """What keeps the source from sending samples, and what to do; empty for nothing."""
    leads: LeadNames = []
    """The names of several leads, no two alike, in the order of the samples; empty for one lead."""

    @property
    def n(self) -> int:
        """Samples of each lead."""
        return int(self.samples.shape[-1])

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + self.n

    @property
    def lead_names(self) -> list[str]:
        """The name of every lead."""
        return self.leads or [self.lead]


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The stream is over: no sample follows."""

    stream: StreamName
    epoch: Count = 0
    next_sample: Count
    session: Session = ""
    number: Count = 0
    unkept: bool = False


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """From the hub to a source: a message arrived; how much is in the log, and the credit."""

    stream: StreamName
    epoch: Count
    next_sample: Count
    """Every sample before this one, of this epoch, is in the log; sent after the commit."""
    credit: Count
    """Chunks that the source may send before the next `Accepted`."""
    number: Count = 0
    """Of the chunk or end that this answers; 0 for a `Hello`."""
    session: Session = ""
    """The session that sent last."""
    written: Count = 0
    """Its newest number in the log: the source may forget this message and all before it."""
    missing: bool = False
    """Whether the message was not taken, because one before it has not arrived."""
    known: bool = True
    """Whether the stream has begun and is not over; otherwise the positions mean nothing."""
    over: bool = False
    """Whether the end of the stream is in the log."""
    session_epoch: Count = 0
    """The epoch in which the session began."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """From the hub to a source: a chunk or an end that it does not take, and why."""

    stream: StreamName
    reason: Annotated[str, msgspec.Meta(max_length=300)]
    busy: bool = False
    """Whether that is because another source sends this stream, which may be over soon."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """From a scorer to the hub, at start and every 250 ms: it is alive and takes batches."""

    model: Label
    device: Label
    credit: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    """Batches that may be under way to this scorer."""
    version: Count = 1
    """Of the requests that it answers: `SCORING_VERSION`. Older scorers name none, and are 1."""


SCORING_VERSION: Final = 3
"""Of `ScoreRequest` and `ScoreReply`. Since 2 a request carries the measures of each beat, and the
reply its class; before, classes were asked for apart. Since 3 it may have those of two leads."""

WindowId = tuple[StreamName, Count, Count]
"""(stream, epoch, R peak in samples of the 360 Hz stream)."""

NO_MEASURES: Final = np.zeros((0, MEASURES), dtype=np.float32)
"""Where no beat of a batch has a second lead."""


class ScoreRequest(
    msgspec.Struct, frozen=True, kw_only=True, eq=False, tag="score", omit_defaults=True
):
    """A batch of beats for a scorer."""

    ids: Annotated[list[WindowId], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
    windows: Float32Array
    """float32[len(ids), 320], each window scaled to [-1, 1]."""
    measures: Float32Array
    """float32[len(ids), MEASURES]."""
    second: Float32Array = NO_MEASURES
    """The same in a second lead, zeros where a beat has none; absent where no beat has one."""


class ScoreReply(msgspec.Struct, frozen=True, kw_only=True, eq=False, tag="scored"):
    """A scorer's answer to one `ScoreRequest`."""

    ids: Annotated[list[WindowId], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
    scores: Float32Array
    """float32[len(ids)]."""
    residuals: Float32Array
    """float32[len(ids), 320]: window minus reconstruction."""
    compute_ms: Annotated[float, msgspec.Meta(ge=0)]
    probabilities: Float32Array
    """float32[len(ids), 4]: of each of `CLASSES`."""


Message = Hello | Chunk | End | Accepted | Refused | Ready | ScoreRequest | ScoreReply


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """In the journal: a stream begins."""

    stream: StreamName
    fs_hz: Rate
    lead: Label
    epoch: Count
    first_sample: Position
    adopted: list[Alert] = []
    """Alarms that latched in an earlier stream of the name."""
    leads: LeadNames = []
    """The names of several leads; empty for one."""

    @property
    def lead_names(self) -> list[str]:
        """The name of every lead."""
        return self.leads or [self.lead]


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, tag="forgotten"):
    """In the journal: a stream was removed, to make space for another."""

    stream: StreamName


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, tag="acknowledged"):
    """In the journal: the alarm ``episode`` was acknowledged; empty fields mean all."""

    stream: str
    episode: str


class GivenUp(msgspec.Struct, frozen=True, kw_only=True, tag="given_up"):
    """In the journal: windows that get no score; their beats are published as not analysable."""

    ids: list[WindowId]


Event = Opened | Forgotten | Acknowledged | Limited | GivenUp | Chunk | End | ScoreReply
"""Everything that changes a stream."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One line of the journal."""

    arrived_at: float
    event: Event


_M = TypeVar("_M")

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message, dec_hook=to_array)
_entry_decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry, dec_hook=to_array)
_encoder = msgspec.msgpack.Encoder(enc_hook=from_array)


class _Addressed(msgspec.Struct):
    """The part of a source's message that says which stream it is about."""

    stream: StreamName


_addressed_decoder = msgspec.msgpack.Decoder(_Addressed)


def encode(message: Message) -> bytes:
    """Return the one frame that carries ``message``."""
    return _encoder.encode(message)


def decode(frame: bytes) -> Message:
    """Return the message in ``frame``, or raise `WireError`; never anything else."""
    try:
        message = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"frame of {len(frame)} bytes is no message: {error}") from None
    return checked(message)


def checked(message: _M) -> _M:
    """Return a message of the wire with checked arrays.

    Raises:
        WireError: an array is torn or holds what its kind cannot have, or a chunk is too long.
    """
    message = _with_checked_arrays(message)
    if isinstance(message, Chunk) and message.n > MAX_CHUNK_S * message.fs_hz:
        raise WireError(f"chunk of {message.stream}: over {MAX_CHUNK_S:g} s of signal")
    return message


def stream_named_in(frame: bytes) -> str | None:
    """Return the stream that a malformed frame names, so that its source can be answered."""
    try:
        return _addressed_decoder.decode(frame).stream
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encode_entry(entry: Entry) -> bytes:
    """Return an entry of the journal as bytes."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Return the entry in ``data``, or raise `WireError`."""
    try:
        entry = _entry_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{len(data)} bytes are no entry of the journal: {error}") from None
    return Entry(entry.arrived_at, _with_checked_arrays(entry.event))


def _with_checked_arrays(message: _M) -> _M:
    """Return a message whose arrays have the shapes that its other fields ask for.

    Raises:
        WireError: an array is torn, or holds values that its kind cannot have.
    """
    replace = msgspec.structs.replace
    if isinstance(message, Chunk):
        n, flags = message.samples.size, message.flags.size
        if n > MAX_CHUNK_SAMPLES:
            raise WireError(f"chunk of {message.stream}: {n} samples")
        if flags not in (0, n):
            raise WireError(f"chunk of {message.stream}: {n} samples but {flags} flags")
        if message.leads:
            if message.lead != message.leads[0]:
                raise WireError(f"chunk of {message.stream}: its lead is not the first of several")
            samples = lead_rows(message.samples, message.leads)
            flags_by_lead = lead_rows(message.flags, message.leads) if flags else message.flags
            return replace(message, samples=samples, flags=flags_by_lead)
    elif isinstance(message, ScoreReply):
        n = len(message.ids)
        scores = finite_rows(message.scores, n, 1, "score")[:, 0]
        residuals = finite_rows(message.residuals, n, WINDOW_SAMPLES, "residual")
        probabilities = probability_rows(message.probabilities, n)
        return replace(message, scores=scores, residuals=residuals, probabilities=probabilities)
    elif isinstance(message, ScoreRequest):
        n = len(message.ids)
        windows = finite_rows(message.windows, n, WINDOW_SAMPLES, "window")
        measures = finite_rows(message.measures, n, MEASURES, "measures")
        message = replace(message, windows=windows, measures=measures)
        if message.second is not NO_MEASURES:
            second = finite_rows(message.second, n, MEASURES, "measures in a second lead")
            message = replace(message, second=second)
        return message
    return message


def numbered(message: Chunk | End, session: str, number: int, **of_chunk: int) -> Chunk | End:
    """Return a message with its number in a session, and other fields of a chunk."""
    others = {} if isinstance(message, End) else of_chunk
    return msgspec.structs.replace(message, session=session, number=number, **others)


def after_loss(message: Chunk | End) -> Chunk | End:
    """Return a message marked as one whose source no longer has the messages before it."""
    return msgspec.structs.replace(message, unkept=True)


def rows_of(reply: ScoreReply, rows: list[int]) -> ScoreReply:
    """Return the part of a decoded reply about the windows in ``rows``; for all, the reply."""
    if len(rows) == len(reply.ids):
        return reply
    return msgspec.structs.replace(
        reply,
        ids=[reply.ids[row] for row in rows],
        scores=reply.scores[rows],
        residuals=reply.residuals[rows],
        probabilities=reply.probabilities[rows],
    )
