"""The binary messages of the wall are laid out as docs/wall.md says."""

import struct

import numpy as np
import pytest

from monitor.wall.frames import MOST_VALUES, UNKNOWN, encode_message, encode_piece
from pipeline.schema.public import SignalStrip


def strip(mv: list[float | None], **fields: object) -> SignalStrip:
    """Return a strip of one lead, or of those that ``fields`` add."""
    facts: dict[str, object] = {"first_sample": 720, "fs_hz": 360.0, "epoch": 3, **fields}
    return SignalStrip(stream="a", mv=mv, **facts)  # type: ignore[arg-type]


def test_a_piece_has_the_documented_layout() -> None:
    """Microvolts, little-endian; a value that is not known has one of its own."""
    one = strip([0.0, -0.0015, None, 1.25])
    message = encode_message([encode_piece(7, one, 0)] * 2, 12.5)

    assert struct.unpack_from("<HHId", message) == (1, 2, 0, 12.5)
    size = 24 + 2 * 4
    assert len(message) == 16 + 2 * size
    for at in (16, 16 + size):
        assert struct.unpack_from("<IHHdIf", message, at) == (7, 0, 4, 720.0, 3, 360.0)
        values = np.frombuffer(message, "<i2", 4, at + 24)
        assert values.tolist() == [0, -2, UNKNOWN, 1250]


def test_every_lead_is_a_piece_of_its_own() -> None:
    """By its number in the strip."""
    one = strip([0.1], leads=["I", "V1"], more_mv=[[0.2]], lead="V1")
    piece = encode_piece(1, one, one.in_use)
    assert struct.unpack_from("<IHH", piece) == (1, 1, 1)
    assert np.frombuffer(piece, "<i2", 1, 24)[0] == 200


@pytest.mark.parametrize("value", [1e30, -1e30, 33.0, float("nan"), float("inf")])
def test_no_value_wraps_around(value: float) -> None:
    """What no ECG reaches stays at the edge, and what is no number is not known."""
    (sent,) = np.frombuffer(encode_piece(1, strip([value]), 0), "<i2", 1, 24)
    assert sent == (np.sign(value) * 32767 if np.isfinite(value) else UNKNOWN)


def test_of_a_long_strip_the_newest_values_are_sent() -> None:
    """And the position is that of the first one sent."""
    piece = encode_piece(1, strip([0.001] * MOST_VALUES + [0.002]), 0)
    assert struct.unpack_from("<IHHd", piece) == (1, 0, MOST_VALUES, 721.0)
    assert np.frombuffer(piece, "<i2", offset=24)[-1] == 2
