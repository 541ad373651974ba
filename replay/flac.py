"""Check the metadata of a FLAC file before a decoder reads it.

The decoder behind wfdb trusts the metadata. Here they must be short, complete, and followed by a
frame, and they must not declare more samples than the file can hold.

Format: RFC 9639. Pure: works on bytes.
"""

from dataclasses import dataclass
from typing import Final

MAX_METADATA_BYTES: Final = 1 << 20
"""Most metadata before the first frame. WFDB's own files have some kilobytes."""

_MIN_FRAME_BYTES: Final = 10
"""Six bytes of header, one of a constant subframe, one sample, two of checksum: section 9."""

_MAX_BLOCK_TYPE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """The fields of a STREAMINFO block (section 8.2)."""

    channels: int
    bits: int
    samples: int
    """Of each channel; 0 if the file does not state it."""
    max_samples: int
    """No file of this size and block length can hold more."""


def stream_info(head: bytes, size: int) -> StreamInfo | None:
    """Return the fields of a file of ``size`` bytes that begins with ``head``; None if not FLAC.

    ``head`` is the file's first `MAX_METADATA_BYTES` and a frame's first bytes, or the whole file.
    """
    if head[:4] != b"fLaC" or head[4:8] not in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22"):
        return None
    at, last = 4, False
    while not last:
        if at + 4 > len(head) or head[at] & 0x7F > _MAX_BLOCK_TYPE:
            return None
        last = bool(head[at] & 0x80)
        at += 4 + int.from_bytes(head[at + 1 : at + 4], "big")
    if head[at : at + 1] != b"\xff" or head[at + 1 : at + 2] not in (b"\xf8", b"\xf9"):
        return None
    block_samples = int.from_bytes(head[10:12], "big")
    packed = int.from_bytes(head[18:26], "big")
    return StreamInfo(
        channels=(packed >> 41 & 0x07) + 1,
        bits=(packed >> 36 & 0x1F) + 1,
        samples=packed & (2**36 - 1),
        max_samples=(size - at) // _MIN_FRAME_BYTES * block_samples,
    )
