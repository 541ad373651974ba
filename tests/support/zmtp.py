"""The bytes of ZMTP 3.0, the protocol under ZeroMQ, for peers that do not keep to it."""

from typing import Final

GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
CURVE_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)

MORE: Final = 0x01
LONG: Final = 0x02
COMMAND: Final = 0x04


def ready(*properties: bytes) -> bytes:
    """Return the READY command of a peer without keys: names and values in turns."""
    body = b"\x05READY"
    for name, value in zip(properties[::2], properties[1::2], strict=True):
        body += bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
    return bytes([COMMAND, len(body)]) + body


def frame(body: bytes, *, more: bool = False, says: int | None = None) -> bytes:
    """Return a long frame; ``says`` is the length that its header claims."""
    size = len(body) if says is None else says
    return bytes([LONG | (MORE if more else 0)]) + size.to_bytes(8, "big") + body
