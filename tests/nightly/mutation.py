"""Bytes that are nearly those of others."""

import random
from typing import Final


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """Return bytes that are nearly those of ``seed``."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 | 1 | 2 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 3:
                del data[at : at + chance.randrange(1, 9)]
            case 4:
                data[at:at] = chance.choice(_PIECES)
            case 5:
                del data[at:]
            case _:
                begin = chance.randrange(len(data) + 1)
                data[at:at] = data[begin : begin + chance.randrange(1, 64)]
    return bytes(data)


_PIECES: Final = (
    b"\x00", b"\xff" * 4, b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xdf\xff\xff\xff\xff", b"\xc6",
    b"-1", b"9" * 30, b"1e999", b"NaN", b"null", b"[" * 40, b"{", b'"', b"\n", b"\x1b[2J", b"\x80",
    b"../", b"\xed\xa0\x80",
)  # fmt: skip
