"""One frame for many streams: what a source of several sends to the hub, and its answers.

A source of one stream sends each message in a frame of its own, and gets an answer to each. Pure in
memory: no sockets, no clock.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Final, cast

import msgspec

from pipeline.errors import WireError
from pipeline.schema.columns import ChunkRows, Columns, encode_columns, fits, rows_in
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Hello,
    Message,
    Refused,
    checked,
)
from pipeline.schema.wire_arrays import from_array, to_array

MAX_BUNDLE: Final = 256
"""Messages in one frame: some milliseconds of the hub's time."""

_MESSAGE_BYTES: Final = 1_536
"""Most bytes of the names and numbers of a message."""

_ROW_BYTES: Final = 192
"""Most bytes of those of a chunk in columns."""

_NAME_BYTES: Final = 260
"""Most bytes of the name of a lead: 64 characters of four bytes each."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True, tag="bundle"):
    """From a source of many streams to the hub: messages about them, in order."""

    messages: Annotated[
        list[Hello | Chunk | End], msgspec.Meta(min_length=1, max_length=MAX_BUNDLE)
    ]


class Answers(msgspec.Struct, frozen=True, kw_only=True, tag="answers"):
    """From the hub to a source that sends bundles, after a commit.

    For each stream an `Accepted` that answers all its messages up to that number, or why one is
    refused.
    """

    messages: list[Accepted | Refused]


_decoder: msgspec.msgpack.Decoder[Message | Bundle | Columns | Answers] = msgspec.msgpack.Decoder(
    Message | Bundle | Columns | Answers, dec_hook=to_array
)
_encoder = msgspec.msgpack.Encoder(enc_hook=from_array)


def decode_from_source(frame: bytes) -> Hello | Chunk | End | Bundle | ChunkRows:
    """Return what a source sent in ``frame``, or raise `WireError`."""
    message = _decoded(frame)
    if isinstance(message, Columns):
        return rows_in(message)
    if isinstance(message, Bundle):
        return Bundle(messages=[checked(one) for one in message.messages])
    if not isinstance(message, Hello | Chunk | End):
        raise WireError(f"{type(message).__name__} on the ingest socket")
    return checked(message)


def messages_from_source(frame: bytes) -> Sequence[Hello | Chunk | End]:
    """Return all messages that a source sent in ``frame``, or raise `WireError`."""
    message = decode_from_source(frame)
    if isinstance(message, ChunkRows):
        return message.chunks()
    return message.messages if isinstance(message, Bundle) else (message,)


def answers_in(frame: bytes) -> list[Accepted | Refused]:
    """Return the hub's answers in ``frame``; none where it holds none."""
    try:
        message = _decoded(frame)
    except WireError:
        return []
    if isinstance(message, Answers):
        return message.messages
    return [message] if isinstance(message, Accepted | Refused) else []


def encode_answers(messages: Sequence[Accepted | Refused]) -> Iterator[bytes]:
    """Yield the frames that carry answers."""
    for first in range(0, len(messages), MAX_BUNDLE):
        yield _encoder.encode(Answers(messages=list(messages[first : first + MAX_BUNDLE])))


def bundled(messages: Sequence[Hello | Chunk | End], most_bytes: int) -> Iterator[bytes]:
    """Yield the frames that carry messages, in order, each of about ``most_bytes`` at most.

    Chunks that simply go on travel in columns, all else in bundles.
    """
    for in_columns, run in groupby(messages, _in_columns):
        together: list[Hello | Chunk | End] = []
        size = 0
        for message in run:
            more = _ROW_BYTES if in_columns else _MESSAGE_BYTES
            if isinstance(message, Chunk):
                more += message.samples.nbytes + message.flags.nbytes
                if message.lead:
                    more += _NAME_BYTES * (len(message.leads) + 1)
            if together and (size + more > most_bytes or len(together) == MAX_BUNDLE):
                yield _frame(together, in_columns=in_columns)
                together, size = [], 0
            together.append(message)
            size += more
        yield _frame(together, in_columns=in_columns)


def _in_columns(message: Hello | Chunk | End) -> bool:
    return isinstance(message, Chunk) and fits(message)


def _frame(messages: Sequence[Hello | Chunk | End], *, in_columns: bool) -> bytes:
    if in_columns:
        return encode_columns(cast(Sequence[Chunk], messages))
    return _encoder.encode(Bundle(messages=list(messages)))


def _decoded(frame: bytes) -> Message | Bundle | Columns | Answers:
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"frame of {len(frame)} bytes is no message: {error}") from None
