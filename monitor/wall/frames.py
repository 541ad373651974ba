"""The binary messages of the wall: pieces of signal, as docs/wall.md lays them out.

A piece is consecutive values of one lead of one stream, in whole microvolts. A message holds the
pieces of one tenth of a second, of all streams that a viewer shows. Little-endian. Pure.
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.schema.public import SignalStrip

VERSION: Final = 1
UNKNOWN: Final = -32768
"""Stands for a value that is masked or was not sent."""

MOST_VALUES: Final = 8_192
"""Values of a piece; of a longer strip only the newest."""

_MESSAGE: Final = struct.Struct("<HHId")
"""Version, number of pieces, zero, and the server's clock in seconds."""
_PIECE: Final = struct.Struct("<IHHdIf")
"""Number of the stream, lead, number of values, position of the first one, epoch, rate in Hz."""


def encode_piece(stream: int, strip: SignalStrip, lead: int) -> bytes:
    """Return one lead of a strip as a piece.

    Args:
        stream: number of the stream at this wall.
        strip: checked with `pipeline.schema.public.is_signal`.
        lead: number of the lead in the strip.
    """
    mv = strip.signals[lead]
    left_out = max(0, len(mv) - MOST_VALUES)
    x = np.array(mv[left_out:], dtype=np.float64) * 1e3
    known = np.isfinite(x)
    # Beyond 32 mV there is no ECG: such a value stays at the edge, where it can be seen.
    values = np.where(known, np.clip(np.rint(np.where(known, x, 0.0)), -32767, 32767), UNKNOWN)
    first = float(strip.first_sample + left_out)
    epoch = strip.epoch & 0xFFFF_FFFF
    head = _PIECE.pack(stream, lead, len(values), first, epoch, strip.fs_hz)
    return head + values.astype("<i2").tobytes()


def encode_message(pieces: Sequence[bytes], now: float) -> bytes:
    """Return one binary message with ``pieces``, at most 65,535, as of ``now``."""
    return b"".join([_MESSAGE.pack(VERSION, len(pieces), 0, now), *pieces])
