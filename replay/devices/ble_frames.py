"""What chest straps send over Bluetooth LE: their frames, decoded and checked. Pure.

A frame comes from a radio: any bytes may be in it. The time of a device has no meaning but its
differences: a Polar H10 begins with 2019 whenever it was off, a Movesense with 0 when it wakes.

Sources: Polar Measurement Data Specification and the sensor's SDK; Movesense, "GATT SensorData
Protocol"; Bluetooth SIG, Heart Rate Service 1.0 (0x2A37). Units: mV, seconds.
"""

import struct
from typing import ClassVar, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

HEART_RATE: Final = "00002a37-0000-1000-8000-00805f9b34fb"
"""The characteristic that says whether the electrodes touch the skin."""
_CONTACT_KNOWN: Final = 0b100
_CONTACT: Final = 0b010


class Frame(NamedTuple):
    """Consecutive samples, as they came in one notification."""

    mv: NDArray[np.float32]
    """float32[n]."""
    device_s: float
    """When the last one was taken, by the device's clock."""


class Strap(Protocol):
    """One model: its characteristics, its command, and the decoder of its frames."""

    model: ClassVar[str]
    advertised: ClassVar[str]
    """What the names of such devices begin with."""
    control: ClassVar[str]
    """The characteristic that takes the command."""
    data: ClassVar[str]
    """The characteristic that sends the frames."""
    rate_hz: float

    def command(self) -> bytes:
        """Return what starts the ECG."""
        ...

    def refusal(self, answer: bytes) -> str | None:
        """Return why a device does not start, empty where it does; None for no answer to that."""
        ...

    def decode(self, frame: bytes) -> Frame | None:
        """Return the samples of a frame, none of one that brings none; None for a damaged one."""
        ...


def without_contact(heart_rate: bytes) -> bool:
    """Return whether a heart-rate notification says that the electrodes are off."""
    flags = heart_rate[0] if heart_rate else 0
    return bool(flags & _CONTACT_KNOWN) and not flags & _CONTACT


class PolarH10:
    """The Polar H10: 130 samples a second, 3 bytes each, signed and little-endian, in uV."""

    model: ClassVar[str] = "polar-h10"
    advertised: ClassVar[str] = "Polar H10"
    control: ClassVar[str] = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
    data: ClassVar[str] = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

    _HEADER: Final = 10
    _SUCCESS: Final = 0
    _ALREADY: Final = 6
    _MTU: Final = 10

    def __init__(self) -> None:
        self.rate_hz = 130.0

    def command(self) -> bytes:
        """Return what starts the ECG: 130 samples a second, 14 bits."""
        return bytes.fromhex("02 00 00 01 82 00 01 01 0e 00")

    def refusal(self, answer: bytes) -> str | None:
        """Return why a device does not start, empty where it does; None for another answer."""
        if len(answer) < 4 or answer[:3] != b"\xf0\x02\x00":
            return None
        if answer[3] in (self._SUCCESS, self._ALREADY):
            return ""
        if answer[3] == self._MTU:
            return "it needs larger packets (MTU) than this computer's Bluetooth gives"
        return f"it refuses to measure an ECG (error {answer[3]})"

    def decode(self, frame: bytes) -> Frame | None:
        """Return the samples of a frame; None for a damaged one, or one of another measurement."""
        body = len(frame) - self._HEADER
        if body <= 0 or body % 3 or frame[0] != 0 or frame[9] != 0:
            return None
        parts = np.frombuffer(frame, np.uint8, offset=self._HEADER).reshape(-1, 3).astype(np.int32)
        uv = (parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16) << 8 >> 8  # sign of the third
        [ns] = struct.unpack_from("<Q", frame, 1)
        return Frame((uv / 1000).astype(np.float32), ns / 1e9)


class Movesense:
    """A Movesense sensor with the GATT SensorData Protocol: 16 samples a frame, 4 bytes each.

    The time of a frame is that of its first sample, in ms modulo 2**32.
    """

    model: ClassVar[str] = "movesense"
    advertised: ClassVar[str] = "Movesense"
    control: ClassVar[str] = "34800001-7185-4d5d-b431-630e7050e8f0"
    data: ClassVar[str] = "34800002-7185-4d5d-b431-630e7050e8f0"
    rates: ClassVar = (125, 128, 200, 250, 256, 500, 512)

    _SUBSCRIBE: Final = 1
    _ANSWER: Final = 1
    _DATA: Final = 2
    _DATA_GOES_ON: Final = 3
    _REFERENCE: Final = 1
    _HEADER: Final = 6
    _MV_PER_UNIT: Final = 1e3 / 20 / (1 << 17)  # 0.38147 uV, by the maker
    _WRAP: Final = 1 << 32

    def __init__(self, rate_hz: int = 125) -> None:
        self.rate_hz = float(rate_hz)
        self._ms = 0
        """Time of the latest frame, unwrapped."""
        self._sent = 0
        """Samples that came since that frame."""
        self._rest: bytes | None = None
        """The first bytes of a sample that the next part completes; None where none may come."""

    def command(self) -> bytes:
        """Return what subscribes to the ECG."""
        return bytes([self._SUBSCRIBE, self._REFERENCE]) + b"/Meas/ECG/%d" % int(self.rate_hz)

    def refusal(self, answer: bytes) -> str | None:
        """Return why a device does not start, empty where it does; None for a frame of data."""
        if len(answer) < 4 or answer[0] != self._ANSWER or answer[1] != self._REFERENCE:
            return None
        [status] = struct.unpack_from("<H", answer, 2)
        return "" if 200 <= status < 300 else f"it refuses to measure an ECG (status {status})"

    def decode(self, frame: bytes) -> Frame | None:
        """Return the samples of a frame, or of its second part; None for a damaged one."""
        if len(frame) < 2 or frame[1] != self._REFERENCE:
            return None
        if frame[0] == self._ANSWER:
            return Frame(np.zeros(0, np.float32), self._ms / 1e3)
        if frame[0] == self._DATA and len(frame) >= self._HEADER:
            [ms] = struct.unpack_from("<I", frame, 2)
            ahead = (ms - self._ms) % self._WRAP
            self._ms += ahead - self._WRAP * (ahead > self._WRAP // 2)
            self._sent, values = 0, frame[self._HEADER :]
        elif frame[0] == self._DATA_GOES_ON and self._rest is not None:
            values = self._rest + frame[2:]
        else:
            self._rest = None
            return None
        whole = len(values) // 4
        self._rest = None if frame[0] == self._DATA_GOES_ON else values[4 * whole :]
        mv = np.frombuffer(values, "<i4", count=whole) * self._MV_PER_UNIT
        self._sent += whole
        return Frame(mv.astype(np.float32), self._ms / 1e3 + (self._sent - 1) / self.rate_hz)
