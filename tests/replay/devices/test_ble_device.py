"""Chest straps over Bluetooth LE, played by a backend in memory with the makers' frames."""

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DeviceError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.devices.addresses import open_device
from replay.devices.ble_device import BleSource
from replay.devices.ble_frames import HEART_RATE, Movesense, PolarH10, Strap, without_contact
from replay.source import SourceReport
from tests.support.fake_ble import FakeBle, fake_strap
from tests.support.running import until

STARTED = bytes.fromhex("f0 02 00 00 00")
BEGAN_NS = 599_616_000_000_000_000  # 2019-01-01, where an H10 begins


def polar_frame(uv: Sequence[int], last: int, began_ns: int = BEGAN_NS) -> bytes:
    """Return a frame whose last sample is number ``last``, of a device that takes 130.061 Hz."""
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in uv)
    return struct.pack("<BQB", 0, began_ns + round(last * 1e9 / 130.061), 0) + body


def polar_frames(numbers: Sequence[int], n: int = 73) -> list[bytes]:
    """Return the frames of those numbers, of ``n`` samples; each sample is its number in uV."""
    return [polar_frame(range(k * n, k * n + n), k * n + n - 1) for k in numbers]


def movesense_frame(values: Sequence[int], first_ms: int) -> bytes:
    """Return a frame of 16 samples."""
    return struct.pack(f"<BBI{len(values)}i", 2, 1, first_ms % 2**32, *values)


@contextmanager
def opened(strap: Strap, backend: type[FakeBle]) -> Iterator[BleSource]:
    """Yield a source that is connected to a strap, and close it."""
    source = BleSource(strap, "A0:9E:1A:00:00:01", stream="bed", backend=backend)
    try:
        yield source
    finally:
        source.close()


def polar(answer: bytes = STARTED) -> type[FakeBle]:
    """Return a Polar H10."""
    return fake_strap(PolarH10.control, PolarH10.data, (PolarH10.control, answer), HEART_RATE)


def collected(blocks: Iterator[SampleBlock | None], samples: int) -> list[SampleBlock]:
    """Return blocks until they hold so many samples."""
    got: list[SampleBlock] = []
    for block in itertools.islice(blocks, 200):
        got += [] if block is None else [block]
        if sum(one.n for one in got) >= samples:
            return got
    raise AssertionError("nothing arrives")


def until_report(source: BleSource, wanted: Callable[[SourceReport], bool]) -> SourceReport:
    """Return the next report of that kind."""
    for _ in itertools.islice(source.blocks(), 200):
        report = source.report()
        if report is not None and wanted(report):
            return report
    raise AssertionError("no report")


def test_a_polar_is_started_and_its_frames_arrive_in_mv() -> None:
    """Signed values of three bytes; positions do not move with a clock 470 ppm off its rate."""
    backend = polar()
    with opened(PolarH10(), backend) as source:
        assert backend.written == [bytes.fromhex("02 00 00 01 82 00 01 01 0e 00")]
        assert (source.info.stream, source.info.fs_hz) == ("bed", 130.0)
        backend.send(PolarH10.data, *polar_frames(range(40)))
        got = collected(source.blocks(), 40 * 73)
        assert [block.first_sample for block in got] == [73 * k for k in range(40)]
        mv = np.concatenate([block.samples for block in got])
        np.testing.assert_allclose(mv, np.arange(40 * 73) / 1000, rtol=1e-6)
        assert all(block.stamp_s is not None for block in got)


def test_lost_frames_are_a_gap_of_their_samples() -> None:
    """By the device's time; a frame that is late loses nothing."""
    backend = polar()
    now = [0.0]
    source = BleSource(PolarH10(), "A0:9E:1A:00:00:01", stream="bed", backend=backend,
                       clock=lambda: now[0])  # fmt: skip
    blocks = source.blocks()
    for k in (0, 1, 2, 5, 6):
        now[0] = 0.56 * k
        backend.send(PolarH10.data, *polar_frames([k]))
        [block] = collected(blocks, 73)
        assert block.first_sample == 73 * k
    source.close()


def test_an_electrode_that_is_off_shows_in_the_heart_rate() -> None:
    """The contact bit flags what follows it, until it says otherwise."""
    backend = polar()
    with opened(PolarH10(), backend) as source:
        blocks = source.blocks()
        flags = []
        for heart_rate in (b"\x16\x3c", b"\x14\x00", b"\x10\x00", b"\x14\x00", b"\x16\x3c"):
            backend.send(HEART_RATE, heart_rate)
            backend.send(PolarH10.data, *polar_frames([len(flags)]))
            [block] = collected(blocks, 73)
            flags.append(0 if block.flags is None else int(block.flags[0]))
        assert flags == [0, FLAG_LEAD_OFF, 0, FLAG_LEAD_OFF, 0]


def test_a_strap_that_is_lost_is_looked_for_and_leaves_a_gap() -> None:
    """Also where its time starts over meanwhile; what is wrong is said at once."""
    backend = polar()
    now = [0.0]
    source = BleSource(PolarH10(), "A0:9E:1A:00:00:01", stream="bed", backend=backend,
                       clock=lambda: now[0])  # fmt: skip
    backend.send(PolarH10.data, *polar_frames([0]))
    collected(source.blocks(), 73)
    backend.lose()
    fault = until_report(source, lambda report: bool(report.fault)).fault
    assert fault.startswith("Polar H10 'A0:9E:1A:00:00:01' is out of reach: wear it")
    backend.in_reach = True
    assert backend.started.wait(30)
    now[0] = 10.0
    backend.send(PolarH10.data, polar_frame([1] * 73, 73, began_ns=BEGAN_NS - 10**15))
    [block] = collected(source.blocks(), 73)
    assert block.first_sample == 1300
    assert until_report(source, lambda report: True) == SourceReport(0, "")
    source.close()


def test_a_strap_that_is_connected_and_silent_says_so() -> None:
    """After a second, with what to check; damaged frames are counted."""
    now = [0.0]
    backend = polar()
    source = BleSource(PolarH10(), "A0:9E:1A:00:00:01", stream="bed", backend=backend,
                       clock=lambda: now[0])  # fmt: skip
    backend.send(PolarH10.data, b"", b"\x00" * 12, polar_frame([1], 1)[:-1], b"\x02" + b"\0" * 12)
    assert [next(source.blocks()) for _ in range(4)] == [None] * 4
    now[0] = 2.0
    report = until_report(source, lambda report: True)
    assert report.unreadable == 4
    assert report.fault.endswith("sends no ECG: check its battery and the strap")
    source.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [("f0 02 00 0a 00", "larger packets"), ("f0 02 00 05 00", "refuses to measure")],
)
def test_a_strap_that_refuses_is_an_error(answer: str, message: str) -> None:
    """In one line; one that measures already does not refuse."""
    with pytest.raises(DeviceError, match=message):
        BleSource(PolarH10(), "x", stream="bed", backend=polar(bytes.fromhex(answer)))
    with opened(PolarH10(), polar(bytes.fromhex("f0 02 00 06 00"))):
        pass


def test_an_absent_strap_and_another_device_are_named() -> None:
    """What is not there, and what has no such service."""
    backend = polar()
    backend.in_reach = False
    with pytest.raises(DeviceError, match=r"is not there .*: switch Bluetooth on, wear the strap"):
        BleSource(PolarH10(), "A0:9E:1A:00:00:01", stream="bed", backend=backend)
    with pytest.raises(DeviceError, match="is no Movesense: it lacks the ECG"):
        BleSource(Movesense(), "A0:9E:1A:00:00:01", stream="bed", backend=polar())


def test_a_computer_without_bluetooth_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, where there is no D-Bus to ask."""

    async def connect(self: FakeBle, pair: bool, **_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    backend = polar()
    monkeypatch.setattr(backend, "connect", connect)
    with pytest.raises(DeviceError, match="this computer has no Bluetooth service"):
        BleSource(PolarH10(), "x", stream="bed", backend=backend)


def test_a_strap_that_refuses_later_is_tried_again() -> None:
    """Once it was read, nothing but the user ends the stream."""
    backend = polar()
    with opened(PolarH10(), backend) as source:
        backend.answer = (PolarH10.control, bytes.fromhex("f0 02 00 05 00"))
        backend.lose(in_reach=True)
        assert backend.started.wait(30)
        backend.answer = (PolarH10.control, STARTED)
        until(lambda: len(backend.written) >= 3)
        backend.send(PolarH10.data, *polar_frames([0]))
        collected(source.blocks(), 73)


def test_a_movesense_is_subscribed_to_and_its_frames_arrive_in_mv() -> None:
    """0.38147 uV a unit; its time wraps; a lost frame is a gap; two parts are one frame."""
    answer = (Movesense.data, struct.pack("<BBH", 1, 1, 200))
    backend = fake_strap(Movesense.control, Movesense.data, answer)
    with opened(Movesense(250), backend) as source:
        assert backend.written == [b"\x01\x01/Meas/ECG/250"]
        blocks = source.blocks()
        began_ms = 2**32 - 100
        for k in (0, 1, 2, 4):
            frame = movesense_frame(range(16 * k, 16 * k + 16), began_ms + 64 * k)
            parts = [frame] if k != 1 else [frame[:43], b"\x03\x01" + frame[43:]]
            backend.send(Movesense.data, *parts)
            got = collected(blocks, 16)
            assert got[0].first_sample == 16 * k
            mv = np.concatenate([block.samples for block in got])
            np.testing.assert_allclose(mv, np.arange(16 * k, 16 * k + 16) * 0.38147e-3, rtol=1e-4)


def test_a_movesense_that_refuses_is_an_error() -> None:
    """With the status that it gives."""
    answer = (Movesense.data, struct.pack("<BBH", 1, 1, 404))
    backend = fake_strap(Movesense.control, Movesense.data, answer)
    with pytest.raises(DeviceError, match="status 404"):
        BleSource(Movesense(), "x", stream="bed", backend=backend)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ble:", "known are ble:polar-h10 and ble:movesense"),
        ("ble:polar-h9", "known are"),
        ("ble:polar-h10?address=bed", "address= is like"),
        ("ble:polar-h10?fs=250", "unknown 'fs=250'"),
        ("ble:movesense?fs=300", "fs is one of 125, 128"),
    ],
)
def test_addresses_of_straps_are_checked(address: str, message: str) -> None:
    """Before anything is looked for."""
    with pytest.raises(ConfigError, match=message):
        open_device(address)


@given(
    st.lists(st.binary(max_size=250) | st.binary(max_size=250).map(lambda b: b"\x02\x01" + b)),
    st.sampled_from([PolarH10, Movesense]),
)
def test_any_frame_is_samples_or_damaged(frames: list[bytes], model: Callable[[], Strap]) -> None:
    """Nothing that a radio brings ends in an error; every sample and time is finite."""
    strap = model()
    for data in frames:
        strap.refusal(data)
        without_contact(data)
        if (frame := strap.decode(data)) is not None:
            assert np.isfinite(frame.mv).all()
            assert np.isfinite(frame.device_s)


@given(st.integers(-(2**23), 2**23 - 1))
def test_three_bytes_are_a_signed_value(uv: int) -> None:
    """Over the whole range: a decoder of two of them is right below 32 mV only."""
    frame = PolarH10().decode(polar_frame([uv], 0))
    assert frame is not None
    assert frame.mv[0] == np.float32(uv / 1000)


def test_closing_ends_a_search_at_once() -> None:
    """A strap that is out of reach keeps nobody waiting."""
    backend = polar()
    with opened(PolarH10(), backend) as source:
        backend.lose()
        until_report(source, lambda report: bool(report.fault))
        source.close()
        assert list(source.blocks()) == []
