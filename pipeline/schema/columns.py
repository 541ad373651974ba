"""Chunks of many streams in one frame, column by column: no message is made for a chunk alone.

A source of many streams sends so what simply goes on: chunks without stamps or troubles. All else
travels as messages (`pipeline.schema.bundles`). Pure in memory: no sockets, no clock.
"""

import re
import struct
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.constants import STREAM_NAME
from pipeline.errors import WireError
from pipeline.schema.messages import (
    MAX_CHUNK_S,
    MAX_CHUNK_SAMPLES,
    NO_FLAGS,
    Chunk,
    Label,
    LeadNames,
    Rate,
)
from pipeline.schema.wire_arrays import Float32Array, Uint8Array, from_array

MAX_ROWS: Final = 256
"""Chunks in one frame: a millisecond of the hub's time."""

EPOCH, NUMBER, FIRST, N, KIND, FLAGGED, COLUMNS = range(7)
"""Columns of the rows: those of a `Chunk`, its samples of each lead, which of the kinds it is of,
and whether it has flags."""

_HIGHEST: Final = np.array([2**62, 2**62, 2**52, MAX_CHUNK_SAMPLES, MAX_ROWS, 1])
_NAME: Final = re.compile(rf"{STREAM_NAME}\Z")
_SESSION: Final = re.compile(r"[0-9a-f]{0,32}\Z")


_T = TypeVar("_T", np.float32, np.uint8)


class Kind(msgspec.Struct, frozen=True, array_like=True):
    """What the chunks of a stream have in common; the fields are those of a `Chunk`."""

    fs_hz: Rate
    lead: Label
    leads: LeadNames


class Columns(msgspec.Struct, frozen=True, kw_only=True, tag="columns"):
    """From a source of many streams to the hub: chunks, in order."""

    streams: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
    """The stream of each chunk."""
    sessions: list[str]
    """The session of each chunk."""
    kinds: Annotated[list[Kind], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
    rows: bytes
    """int64[chunks, COLUMNS]."""
    samples: Float32Array
    """Of one chunk after the other, lead after lead, mV."""
    flags: Uint8Array = NO_FLAGS
    """Of those chunks that have any."""


class ChunkRows(NamedTuple):
    """Chunks of many streams as they were decoded and checked, but for the names of streams."""

    streams: list[str]
    sessions: list[str]
    kinds: list[Kind]
    columns: list[list[int]]
    """`COLUMNS` of them, each with a number for each chunk."""
    samples: list[NDArray[np.float32]]
    """float32[n] of one lead, float32[leads, n] of several."""
    flags: dict[int, NDArray[np.uint8]]
    """Of those that have any, by row, as the samples."""

    def row(self, row: int) -> list[int]:
        """Return the `COLUMNS` numbers of one of them."""
        return [column[row] for column in self.columns]

    def chunk(self, row: int) -> Chunk:
        """Return one of them as a message; raise `WireError` for a name that no stream has."""
        stream, session = self.streams[row], self.sessions[row]
        if not (_NAME.match(stream) and _SESSION.match(session)):
            raise WireError("a frame of many streams has a name that no stream has")
        epoch, number, first_sample, _, kind, _ = self.row(row)
        of_all = self.kinds[kind]
        return Chunk(
            stream=stream,
            session=session,
            epoch=epoch,
            number=number,
            first_sample=first_sample,
            fs_hz=of_all.fs_hz,
            lead=of_all.lead,
            leads=of_all.leads,
            samples=self.samples[row],
            flags=self.flags.get(row, NO_FLAGS),
        )

    def chunks(self) -> list[Chunk]:
        """Return all of them as messages; raise `WireError` as `chunk` does."""
        return [self.chunk(row) for row in range(len(self.streams))]


def fits(chunk: Chunk) -> bool:
    """Return whether a chunk simply goes on, so that a row holds all of it."""
    return not (
        chunk.shed or chunk.unreadable or chunk.unkept or chunk.fault or chunk.stamp_s is not None
    )


def columns_of(chunks: Sequence[Chunk]) -> Columns:
    """Return up to `MAX_ROWS` chunks that fit as the one message that carries them."""
    kinds: dict[tuple[float, str, *tuple[str, ...]], int] = {}
    numbers: list[int] = []
    for chunk in chunks:
        kind = kinds.setdefault((chunk.fs_hz, chunk.lead, *chunk.leads), len(kinds))
        n, flagged = chunk.samples.shape[-1], chunk.flags.size > 0
        numbers += (chunk.epoch, chunk.number, chunk.first_sample, n, kind, flagged)
    flags = [chunk.flags.ravel() for chunk in chunks if chunk.flags is not NO_FLAGS]
    return Columns(
        streams=[chunk.stream for chunk in chunks],
        sessions=[chunk.session for chunk in chunks],
        kinds=[Kind(fs_hz, lead, list(leads)) for fs_hz, lead, *leads in kinds],
        rows=struct.pack(f"<{len(numbers)}q", *numbers),
        samples=np.concatenate([chunk.samples.ravel() for chunk in chunks]),
        flags=np.concatenate(flags) if flags else NO_FLAGS,
    )


def encode_columns(chunks: Sequence[Chunk]) -> bytes:
    """Return the one frame that carries up to `MAX_ROWS` chunks that fit."""
    return _encoder.encode(columns_of(chunks))


def rows_in(columns: Columns) -> ChunkRows:
    """Return the chunks of a decoded message.

    Raises:
        WireError: the columns do not fit each other, or hold what no chunk has.
    """
    n, kinds, samples = len(columns.streams), columns.kinds, columns.samples
    if len(columns.sessions) != n or len(columns.rows) != 8 * n * COLUMNS:
        raise WireError(f"{n} chunks of many streams in columns of other lengths")
    for kind in kinds:
        if kind.leads and (
            kind.lead != kind.leads[0] or len(set(kind.leads)) < max(2, len(kind.leads))
        ):
            raise WireError(f"{len(kind.leads)} leads that are not several with different names")
    rows = np.frombuffer(columns.rows, dtype="<i8").reshape(n, COLUMNS)
    if (rows < 0).any() or (rows > _HIGHEST).any() or rows[:, KIND].max() >= len(kinds):
        raise WireError("a frame of many streams has a number that no chunk has")
    leads = np.array([len(kind.leads) or 1 for kind in kinds])[rows[:, KIND]]
    longest = np.array([MAX_CHUNK_S * kind.fs_hz for kind in kinds])[rows[:, KIND]]
    sizes = rows[:, N] * leads
    if (sizes > MAX_CHUNK_SAMPLES).any() or (rows[:, N] > longest).any():
        raise WireError("a frame of many streams has a chunk that is too long")
    flagged = np.flatnonzero(rows[:, FLAGGED])
    pieces = _cut(samples, sizes, leads, "samples")
    flags = _cut(columns.flags, sizes[flagged], leads[flagged], "flags")
    return ChunkRows(
        columns.streams, columns.sessions, kinds, rows.T.tolist(), pieces,
        dict(zip(flagged.tolist(), flags, strict=True)),
    )  # fmt: skip


def _cut(
    values: NDArray[_T], sizes: NDArray[np.int64], leads: NDArray[np.int64], what: str
) -> list[NDArray[_T]]:
    """Return values of one chunk after the other, of each [n] or [leads, n]; no copies.

    Raises:
        WireError: there are more of them, or fewer.
    """
    ends = sizes.cumsum()
    if values.size != (ends[-1] if ends.size else 0):
        raise WireError(f"{values.size} {what} in the chunks of a frame, which have {sizes.sum()}")
    if sizes.size and (sizes == sizes[0]).all() and (leads == 1).all():
        return list(values.reshape(sizes.size, -1))  # nearly always
    cuts = zip(ends.tolist(), sizes.tolist(), leads.tolist(), strict=True)
    return [
        values[end - size : end] if of == 1 else values[end - size : end].reshape(of, -1)
        for end, size, of in cuts
    ]


_encoder = msgspec.msgpack.Encoder(enc_hook=from_array)
