"""What devices send: frames of straps, descriptions of LSL streams, lines with all they may carry.

A frame is preceded by its length here, so that a change may merge, divide, or lose frames.
"""

import ctypes
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from replay.devices.ble_frames import Movesense, PolarH10, Strap, without_contact
from replay.devices.lines.line_positions import PositionTracker
from replay.devices.lines.serial_lines import LineReader
from replay.devices.packet_positions import PacketPositions
from tests.nightly.mutation import mutated
from tests.nightly.targets import Target, UndetectedError


def _packed(frames: list[bytes]) -> bytes:
    return b"".join(struct.pack("<H", len(frame)) + frame for frame in frames)


def _unpacked(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 <= len(data):
        [length] = struct.unpack_from("<H", data, at)
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def polar_frames(count: int) -> list[bytes]:
    """Return frames of a Polar H10: 73 samples each, stamped by its clock."""
    frames = []
    for n in range(1, count + 1):
        ns = 599_616_000_000_000_000 + round(n * 73 / 130 * 1e9)
        body = b"".join((k - 40).to_bytes(3, "little", signed=True) for k in range(73))
        frames.append(b"\x00" + struct.pack("<Q", ns) + b"\x00" + body)
    return frames


def movesense_frames(count: int) -> list[bytes]:
    """Return frames of a Movesense at 125 Hz: 16 samples each, a sample over two parts."""
    frames = [b"\x01\x01\xc8\x00"]
    for n in range(count):
        body = struct.pack("<16i", *range(-8, 8))
        frames.append(b"\x02\x01" + struct.pack("<I", n * 128) + body[:30])
        frames.append(b"\x03\x01" + body[30:])
    return frames


def straps(folder: Path, chance: random.Random) -> Target:
    """Return frames of straps; samples and times stay finite, positions ascend."""

    def read(model: Callable[[], Strap], data: bytes) -> bool:
        strap = model()
        positions, at, damaged = PacketPositions(strap.rate_hz), 0, 0
        for n, frame in enumerate(_unpacked(data)):
            strap.refusal(frame)
            without_contact(frame)
            decoded = strap.decode(frame)
            if decoded is None:
                damaged += 1
                continue
            if not (np.isfinite(decoded.mv).all() and np.isfinite(decoded.device_s)):
                raise UndetectedError("a frame is taken that has no finite values")
            if decoded.mv.size:
                now_s = n * 0.1
                missing = positions.missing_before(
                    decoded.mv.size, now_s, device_s=decoded.device_s
                )
                at += missing + decoded.mv.size
                if missing < 0 or at > (now_s + 2) * strap.rate_hz + len(data):
                    raise UndetectedError(f"a loss of {missing} samples in {now_s:.1f} s")
        return not damaged

    return Target(
        [
            (_packed(polar_frames(6)), partial(read, PolarH10)),
            (_packed(movesense_frames(12)), partial(read, Movesense)),
        ]
    )


def lsl_descriptions(folder: Path, chance: random.Random) -> Target:
    """Return descriptions as liblsl has them on the wire: XML, which it parses."""
    import pylsl
    from pylsl.lib import lib

    from replay.devices.lsl_description import checked_rate, ecg_leads
    from replay.devices.lsl_stream import described_channels, keep_quiet

    keep_quiet()
    lib.lsl_streaminfo_from_xml.restype = ctypes.c_void_p
    lib.lsl_streaminfo_from_xml.argtypes = [ctypes.c_char_p]
    seeds: list[bytes] = []
    for labels, unit in ((("II",), "microvolts"), (("I", "RESP", "V1"), "mV"), ((), "")):
        info = pylsl.StreamInfo("bed 3", "ECG", len(labels) or 2, 250.0, pylsl.cf_float32, "id")
        channels = info.desc().append_child("channels")
        for label in labels:
            channel = channels.append_child("channel")
            for name, text in (("label", label), ("unit", unit), ("type", "ECG")):
                channel.append_child_value(name, text)
        named = info.as_xml().replace("<uid></uid>", "<uid>1</uid>")  # that of an outlet
        seeds.append(named.encode())

    def read(data: bytes) -> bool:
        handle = lib.lsl_streaminfo_from_xml(data.replace(b"\0", b" "))
        if not handle:
            return False
        info: Any = pylsl.StreamInfo(handle=handle)
        checked_rate("stream", info.nominal_srate())
        leads = ecg_leads("stream", described_channels(info), "uV")
        if not all(name.isascii() and name.isprintable() for name in leads.names):
            raise UndetectedError(f"leads are called {leads.names!r}")
        if len(set(leads.names)) < len(leads.names) or max(leads.rows) >= info.channel_count():
            raise UndetectedError(f"rows {leads.rows} of {info.channel_count()} channels")
        return True

    return Target([(xml, read) for xml in seeds])


def checked(line: bytes) -> bytes:
    """Return a line with its checksum."""
    total = 0
    for byte in line:
        total ^= byte
    return line + b"*%02X\n" % total


def checked_lines(folder: Path, chance: random.Random) -> Target:
    """Return lines with checksums, numbers and times; one flipped bit is never another reading."""
    numbered = [checked(b"%d,%d" % (n % 65_536, 512 + n % 90)) for n in range(65_480, 65_600)]
    timed = [checked(b"@%d,%d,0" % (n * 4_000 % 2**32, 500 + n % 70)) for n in range(150)]
    several = [checked(b"%d,%d,%d" % (n, 500 + n % 9, 400 - n % 7)) for n in range(120)]

    def read(whole: bytes, leads: int, data: bytes) -> bool:
        reader, tracker = LineReader(leads), PositionTracker(250.0)
        sent = set(LineReader(leads).push(whole))
        one_bit = len(data) == len(whole) and _bits_between(data, whole) == 1
        placed, at, taken = list[int](), 0, 0
        while at < len(data):
            size = chance.randrange(1, 200)
            for one in reader.push(data[at : at + size]):
                placed += [position for position, _ in tracker.track(one, at / 2_000)]
                taken += 1
                if one_bit and taken > _SETTLED and one not in sent:
                    raise UndetectedError(f"a damaged line is read as {one}")
            at += size
        if any(b <= a for a, b in pairwise(placed)):
            raise UndetectedError("the positions of a device do not ascend")
        return not reader.rejected and not tracker.implausible

    seeds = [(b"".join(lines), leads) for lines, leads in ((numbered, 1), (timed, 1), (several, 2))]
    return Target([(whole, partial(read, whole, leads)) for whole, leads in seeds], _flipped_or_any)


_SETTLED: Final = 12
"""After so many right lines one without a checksum is rejected."""


def _bits_between(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def _flipped_or_any(data: bytes, chance: random.Random) -> bytes:
    if chance.randrange(2):
        return mutated(data, chance)
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


TARGETS: Final[dict[str, Callable[[Path, random.Random], Target]]] = {
    "frames of straps": straps,
    "LSL descriptions": lsl_descriptions,
    "lines with checksums": checked_lines,
}
