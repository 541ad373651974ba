"""What a FLAC file says of itself before its first sample, checked before a decoder sees it.

The decoder behind wfdb takes what the file says as true. Here the metadata have to be few, all
there, and followed by a frame; and the samples declared have to be as few as the file can hold.

Format: RFC 9639. Pure: bytes in, facts out.
"""

from dataclasses import dataclass
from typing import Final

MAX_METADATA_BYTES: Final = 1 << 20
"""Before the first frame. WFDB's own files hold some kilobytes of it."""

_LEAST_FRAME_BYTES: Final = 10
"""Six of header, one of a constant subframe, one sample, two of check sum: section 9."""

_STREAMINFO_BYTES: Final = 34
_LARGEST_BLOCK_TYPE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """The facts of a STREAMINFO block (section 8.2)."""

    channels: int
    bits: int
    samples: int
    """Of each channel; 0 where the file does not say."""
    most_samples: int
    """No file of this size and block length can hold more."""


def stream_info(head: bytes, size: int) -> StreamInfo | None:
    """Return the facts of a file of ``size`` bytes that begins with ``head``; None for no FLAC.

    ``head`` is the file's first `MAX_METADATA_BYTES` and a frame's first bytes, or all of it.
    """
    if head[:4] != b"fLaC" or head[4:8] not in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22"):
        return None
    at, last = 4, False
    while not last:
        if at + 4 > len(head) or head[at] & 0x7F > _LARGEST_BLOCK_TYPE:
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
        most_samples=(size - at) // _LEAST_FRAME_BYTES * block_samples,
    )
