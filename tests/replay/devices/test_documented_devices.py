"""Every kind of device in docs/devices.md, with a real counterpart of each; and its sketches."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from bleak import BleakClient
from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams

from replay.devices import ble_device
from replay.devices.addresses import KINDS_OF_DEVICES, full_address, open_device
from replay.devices.ble_frames import Movesense, PolarH10
from tests.replay.devices.test_ble_device import movesense_frame, polar, polar_frames
from tests.replay.devices.test_lsl_stream import Outlet
from tests.replay.devices.test_serial_device import Device
from tests.support.devices import until_samples
from tests.support.fake_ble import FakeBle, fake_strap
from tests.support.paths import ROOT
from tests.support.running import until

DOCUMENT = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
ROWS = DOCUMENT.split("| address |")[1].split("\n\n")[0].splitlines()[2:]
ADDRESSES = [row.split("`")[1] for row in ROWS]
"""What stands first in each row of the first table: a row that is no address fails its test."""

Feed = Callable[[], None]
"""Makes a counterpart send some samples, when the device is opened."""


@contextlib.contextmanager
def serial(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """A pseudo-terminal."""
    device = Device(folder / "tty")
    lines = ["torn", *map(str, range(100))]
    yield address.replace("/dev/ttyUSB0", str(device.path)), lambda: device.send(*lines)
    device.unplug()


@contextlib.contextmanager
def stdin(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """A pipe."""
    reader, writer = os.pipe()
    patch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: reader))
    yield address, lambda: os.close(writer) if os.write(writer, b"0.5\n" * 100) else None
    os.close(reader)


@contextlib.contextmanager
def lsl(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """An outlet on this machine."""
    outlet = Outlet()
    yield address.replace("=ID", f"={outlet.source_id}"), lambda: outlet.send(range(100))


@contextlib.contextmanager
def ble(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """A strap in memory, with the maker's frames."""
    backend: type[FakeBle] = polar()
    uuid, frames = PolarH10.data, polar_frames(range(3))
    if "movesense" in address:
        answer = (Movesense.data, b"\x01\x01\xc8\x00")
        backend = fake_strap(Movesense.control, Movesense.data, answer)
        uuid = Movesense.data
        frames = [movesense_frame(range(16), 64 * k) for k in range(7)]
    patch.setattr(
        ble_device, "BleakClient", lambda *a, **k: BleakClient(*a, **k | {"backend": backend})
    )
    yield address, partial(backend.send, uuid, *frames)


@contextlib.contextmanager
def brainflow(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """BrainFlow's synthetic board, or a file that was recorded of it."""
    path = folder / "board.csv"
    if "file=" in address:
        board = BoardShim(BoardIds.SYNTHETIC_BOARD.value, BrainFlowInputParams())
        board.prepare_session()
        board.add_streamer(f"file://{path}:w")
        board.start_stream()
        until(lambda: board.get_board_data_count() >= 150)
        board.release_session()
    yield address.replace("board.csv", str(path)), lambda: None


@contextlib.contextmanager
def synthetic(address: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Feed]]:
    """The patient is its own counterpart."""
    yield address, lambda: None


COUNTERPARTS = {
    "serial": serial,
    "stdin": stdin,
    "lsl": lsl,
    "ble": ble,
    "brainflow": brainflow,
    "synthetic": synthetic,
}


def test_every_kind_is_documented_and_has_a_counterpart() -> None:
    """The table names all that `open_device` knows."""
    assert {address.partition(":")[0] for address in ADDRESSES} == set(KINDS_OF_DEVICES)
    assert set(COUNTERPARTS) == set(KINDS_OF_DEVICES)


@pytest.mark.parametrize("address", ADDRESSES)
def test_documented_devices_send_samples(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row of the table, opened as it is written, gives samples in mV without a gap."""
    counterpart = COUNTERPARTS[address.partition(":")[0]]
    with contextlib.ExitStack() as stack:
        real, feed = stack.enter_context(counterpart(address, tmp_path, monkeypatch))
        source = stack.enter_context(contextlib.closing(open_device(real)))
        feed()
        got = [block for block in until_samples(source, 90) if block is not None]
        assert got[0].first_sample == 0
        assert got[-1].end == sum(block.n for block in got)
        assert all(block.leads == len(source.info.leads) for block in got)


FAULTS = {
    "sends nothing": "replay/devices/test_device_on_hub.py::"
    "test_a_device_that_sends_nothing_is_a_stream_and_an_alarm",
    "is unplugged": "replay/devices/test_device_on_hub.py::"
    "test_a_device_that_is_unplugged_is_an_alarm_that_says_so",
    "sends lines that cannot be read": "replay/devices/test_device_on_hub.py::"
    "test_a_device_whose_lines_cannot_be_read_is_an_alarm_with_one_of_them",
    "sends other columns": "replay/devices/test_device_on_hub.py::"
    "test_a_device_that_sends_another_column_is_an_alarm_and_no_samples",
    "has several leads": "replay/devices/test_serial_device.py::"
    "test_leads_that_the_address_does_not_name_are_asked_for_within_5_s",
    "sends more or fewer samples": "pipeline/stream/test_stream.py::"
    "test_device_that_sends_at_another_rate_raises_an_alarm",
    "sends only `!`": "replay/devices/test_device_on_hub.py::"
    "test_a_device_that_sends_only_lead_off_is_an_alarm_at_once",
}
"""What can be wrong with a device, and the test that does it; as the table of faults begins."""


def test_every_fault_that_is_documented_is_run_by_a_test() -> None:
    """Each row of the table of faults, in its order, and no other."""
    table = DOCUMENT.split("| the device | alarm |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == len(FAULTS)
    for row, (begins, test) in zip(table, FAULTS.items(), strict=True):
        assert row.startswith(f"| {begins}")
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_short_addresses_mean_the_long_ones() -> None:
    """A path is a serial line, a dash standard input."""
    assert full_address("/dev/ttyUSB0?fs=250") == "serial:/dev/ttyUSB0?fs=250"
    assert full_address("/tmp/of-socat?fs=250") == "serial:/tmp/of-socat?fs=250"
    assert full_address("COM3?fs=250") == "serial:COM3?fs=250"
    assert (full_address("-"), full_address("-?fs=250")) == ("stdin:", "stdin:?fs=250")


def arduino_core() -> Path | None:
    """Return the folder of Debian's arduino-core-avr."""
    core = Path("/usr/share/arduino/hardware/arduino/avr")
    return core if core.is_dir() and shutil.which("avr-g++") else None


@pytest.mark.skipif(arduino_core() is None, reason="needs gcc-avr and arduino-core-avr of Debian")
def test_the_sketches_compile(tmp_path: Path) -> None:
    """For an Arduino Uno, without a warning."""
    core = arduino_core()
    assert core is not None
    sketches = re.findall(r"```c\+\+\n(.*?)```", DOCUMENT, re.S)
    assert len(sketches) == 2
    for n, sketch in enumerate(sketches):
        path = tmp_path / f"sketch{n}.cpp"
        path.write_text(f"#include <Arduino.h>\n{sketch}")
        command = ["avr-g++", "-mmcu=atmega328p", "-DF_CPU=16000000L", "-DARDUINO=10819"]
        command += ["-DARDUINO_AVR_UNO", "-DARDUINO_ARCH_AVR", "-std=gnu++11", "-Wall", "-Werror"]
        command += [f"-I{core}/cores/arduino", f"-I{core}/variants/standard", "-Os", "-c"]
        subprocess.run([*command, str(path), "-o", str(path.with_suffix(".o"))], check=True)
