"""One frame for many streams: what a source of several sends to the hub, and its answers.

A source of one stream sends each message in a frame of its own, and gets an answer to each. Pure in
memory: no sockets, no clock.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
import numpy as np

from pipeline.errors import WireError
from pipeline.schema.messages import (
    NO_FLAGS,
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


_decoder: msgspec.msgpack.Decoder[Message | Bundle | Answers] = msgspec.msgpack.Decoder(
    Message | Bundle | Answers, dec_hook=to_array
)
_encoder = msgspec.msgpack.Encoder(enc_hook=from_array)


def decode_from_source(frame: bytes) -> Hello | Chunk | End | Bundle:
    """Return what a source sent in ``frame``, or raise `WireError`."""
    message = _decoded(frame)
    if isinstance(message, Bundle):
        return Bundle(messages=[checked(one) for one in message.messages])
    if not isinstance(message, Hello | Chunk | End):
        raise WireError(f"{type(message).__name__} on the ingest socket")
    return checked(message)


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


def bundled(frames: Sequence[bytes], most_bytes: int) -> Iterator[bytes]:
    """Yield encoded messages, in order, in bundles that hold up to ``most_bytes`` of them."""
    first, size = 0, 0
    for n, frame in enumerate(frames):
        if n > first and (size + len(frame) > most_bytes or n - first == MAX_BUNDLE):
            yield _bundle(frames[first:n])
            first, size = n, 0
        size += len(frame)
    if frames:
        yield _bundle(frames[first:])


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Return chunks that follow on each other as one, which has the number of the last."""
    first, last = chunks[0], chunks[-1]
    if first is last:
        return first
    flags = NO_FLAGS
    if any(chunk.flags.size for chunk in chunks):
        parts = [
            chunk.flags if chunk.flags.size else np.zeros(chunk.samples.shape, np.uint8)
            for chunk in chunks
        ]
        flags = np.concatenate(parts, axis=-1)
    return msgspec.structs.replace(
        last,
        first_sample=first.first_sample,
        samples=np.concatenate([chunk.samples for chunk in chunks], axis=-1),
        flags=flags,
        shed=first.shed,
        unkept=first.unkept,
        unreadable=sum(chunk.unreadable for chunk in chunks),
    )


def _bundle(frames: Sequence[bytes]) -> bytes:
    """Return messages that are encoded already, in one frame."""
    return _encoder.encode({"type": "bundle", "messages": [msgspec.Raw(one) for one in frames]})


def _decoded(frame: bytes) -> Message | Bundle | Answers:
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"frame of {len(frame)} bytes is no message: {error}") from None
