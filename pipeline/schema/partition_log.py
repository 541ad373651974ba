"""What travels over the partitions of a Kafka cluster, its bytes, and the one way to read them.

`Item` is one event of a partition: what a source sent, that a source has fallen silent, that an
operator acknowledged, or gave a stream limits of its own. A message on the topic of chunks is a
batch of items of many streams.
`Answer` goes back to the gateways, `SavedPartition` is a snapshot. Decoding raises `WireError` or
`SnapshotError` and nothing else, whatever the bytes: whoever may write to the topics is checked as
any other peer is. Pure in memory.
"""

from collections.abc import Iterable
from typing import Annotated, Final, TypeVar

import msgspec

from pipeline.errors import SnapshotError, WireError
from pipeline.schema.limits import LimitNumbers, Limits
from pipeline.schema.messages import (
    Accepted,
    Acknowledged,
    Chunk,
    Count,
    End,
    Hello,
    Position,
    Refused,
    Session,
    StreamName,
    decode,
)
from pipeline.schema.public import Alert

MOST_ITEMS: Final = 100_000
"""In one message of a topic: more would be hostile."""

LONGEST_SNAPSHOT: Final = 1 << 30
"""Bytes of a snapshot of a partition; more would be hostile."""


class Silent(msgspec.Struct, frozen=True, kw_only=True, tag="silent"):
    """The source of a stream has sent nothing for ``age_s``, by the clock of its worker.

    It means nothing once the stream has gone on: a worker that was held up may be mistaken.
    """

    stream: StreamName
    epoch: Count
    next_sample: Position
    """Where the stream stood then."""
    age_s: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]


class _Note(msgspec.Struct, frozen=True, kw_only=True, tag="acknowledge"):
    """That an operator acknowledged: an `Acknowledged` whose fields are checked."""

    stream: Annotated[str, msgspec.Meta(max_length=64)] = ""
    episode: Annotated[str, msgspec.Meta(max_length=128)] = ""


class _LimitsNote(msgspec.Struct, frozen=True, kw_only=True, tag="limits"):
    """That an operator gave a stream limits of its own: a `Limits`."""

    stream: StreamName
    limits: LimitNumbers = {}
    default: bool = False


Item = Hello | Chunk | End | Silent | Acknowledged | Limits

_WRITTEN: Final = {"silent", "acknowledge", "limits"}
"""Tags of items that no source sends."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """From a worker to the gateways: what becomes of an item of a source."""

    asking: Session
    """The session of the source that is answered."""
    accepted: Accepted | None = None
    """How far its stream is: to a `Hello`, or where a message before this one is missing."""
    refused: Refused | None = None
    """Why the item is not taken."""


class SavedStream(msgspec.Struct, frozen=True, array_like=True):
    """One stream in a snapshot."""

    fs_hz: float
    state: bytes
    """The `SessionState`, as `pipeline.stream.snapshot.pack` wrote it."""
    source_alarm: bytes
    """The `SourceAlarmState`, written likewise."""
    alarms: list[Alert]
    """Its active alarms, should another version not read the states."""
    arrived_at: float
    """Time of its newest samples, in seconds since 1970."""
    silent_s: float
    """How long its source was silent at the snapshot, by the times of its partition."""
    refusal: str = ""
    """Why a chunk of its source was refused since, which `no_data` repeats."""
    stamped_at: float = 0.0
    """Time of the newest message of its source, with or without samples."""


class SavedPartition(msgspec.Struct, frozen=True, array_like=True):
    """The state of a partition after every item before ``offset``."""

    version: str
    """Of the program and its settings: another one may derive other alerts from the same items."""
    term: Count
    """Counts the versions that this partition has had: numbers of alerts are those of a term."""
    offset: Count
    time_s: float
    """The newest time of its messages, in seconds since 1970."""
    retained: list[Alert]
    """Latched alarms of streams that are gone."""
    streams: dict[str, SavedStream]
    unpublished: list[Alert] = []
    """Of streams that could not be continued; they are published with the next message."""


class Pointer(msgspec.Struct, frozen=True, array_like=True):
    """Where the newest snapshot of a partition lies: in the group's commit of its offset."""

    first: Count
    """Offset of its first piece on the topic of snapshots, in the same partition."""
    pieces: Count
    crc32: Count
    """Over all of them."""
    partitions: Count = 0
    """Of the topics, when it was taken: streams are spread over this many. 0 is unknown."""
    rules: str = ""
    """The version of the rules that it follows from."""


class _Tagged(msgspec.Struct):
    type: str


_T = TypeVar("_T")

_encoder: Final = msgspec.msgpack.Encoder()
_frames: Final = msgspec.msgpack.Decoder(
    Annotated[list[bytes], msgspec.Meta(max_length=MOST_ITEMS)]
)
_tags: Final = msgspec.msgpack.Decoder(_Tagged)
_notes: Final[msgspec.msgpack.Decoder[Silent | _Note | _LimitsNote]] = msgspec.msgpack.Decoder(
    Silent | _Note | _LimitsNote
)
_answers: Final = msgspec.msgpack.Decoder(Answer)
_saved: Final = msgspec.msgpack.Decoder(SavedPartition)
_pointers: Final = msgspec.json.Decoder(Pointer)

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode_batch(frames: Iterable[bytes]) -> bytes:
    """Return a message of the items of which ``frames`` are the bytes."""
    return _encoder.encode(list(frames))


def encode_silent(silent: Silent) -> bytes:
    """Return an item as a frame of a batch."""
    return _encoder.encode(silent)


def encode_acknowledged(stream: str, episode: str) -> bytes:
    """Return that an operator acknowledged, as a frame of a batch."""
    return _encoder.encode(_Note(stream=stream, episode=episode))


def encode_limits(request: Limits) -> bytes:
    """Return that an operator gave a stream limits of its own, as a frame of a batch."""
    note = _LimitsNote(stream=request.stream, limits=request.limits, default=request.default)
    return _encoder.encode(note)


def decode_batch(data: bytes) -> list[Item | WireError]:
    """Return the items of a message; in the place of one that is none, what is wrong with it."""
    try:
        frames = _frames.decode(data)
    except _UNREADABLE as error:
        return [WireError(f"{len(data)} bytes are no batch: {error}")]
    return [_item(frame) for frame in frames]


def _item(frame: bytes) -> Item | WireError:
    try:
        if _tags.decode(frame).type not in _WRITTEN:
            message = decode(frame)
            if isinstance(message, Hello | Chunk | End):
                return message
            return WireError(f"{type(message).__name__} is no item")
        note = _notes.decode(frame)
    except _UNREADABLE as error:
        return WireError(f"{len(frame)} bytes are no item: {error}")
    except WireError as error:
        return error
    if isinstance(note, Silent):
        return note
    if isinstance(note, _LimitsNote):
        return Limits(stream=note.stream, limits=note.limits, default=note.default)
    return Acknowledged(stream=note.stream, episode=note.episode)


def encode_answer(answer: Answer) -> bytes:
    """Return an answer as a message."""
    return _encoder.encode(answer)


def decode_answer(data: bytes) -> Answer:
    """Return the answer in ``data``, or raise `WireError`."""
    try:
        return _answers.decode(data)
    except _UNREADABLE as error:
        raise WireError(f"{len(data)} bytes are no answer: {error}") from None


def encode_saved(saved: SavedPartition) -> bytes:
    """Return a snapshot as bytes."""
    return _encoder.encode(saved)


def decode_saved(data: bytes) -> SavedPartition:
    """Return the snapshot in ``data``; raise `SnapshotError` where it is none."""
    try:
        return _saved.decode(data)
    except _UNREADABLE as error:
        raise SnapshotError(f"{len(data)} bytes are no snapshot: {error}") from None


def encode_pointer(pointer: Pointer) -> str:
    """Return a pointer as the text that goes with a committed offset."""
    return msgspec.json.encode(pointer).decode()


def decode_pointer(text: str) -> Pointer:
    """Return the pointer in ``text``; raise `SnapshotError` where it is none."""
    try:
        return _pointers.decode(text)
    except _UNREADABLE as error:
        raise SnapshotError(f"{text[:80]!r} points to no snapshot: {error}") from None
