"""Lines of ordinary sketches, and lines on standard input: read where they are plain."""

import contextlib
import logging
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stages.source import keep_names_out_of_logs
from pipeline.errors import ConfigError, DeviceError, MonitorError
from pipeline.signal.samples import SampleBlock
from replay.devices.addresses import open_device
from replay.devices.lines.line_positions import PositionTracker
from replay.devices.lines.serial_lines import TIME_MODULUS, LineReader, checksum
from replay.devices.lines.standard_input import StandardInput
from replay.devices.lines.text_source import LineFormat
from replay.devices.reconnecting import FaultReports
from tests.replay.devices.test_serial_device import Device, collect, device, positions
from tests.replay.test_pacing import Clock

__all__ = ["device"]


def values(reader: LineReader, *lines: str) -> list[tuple[float | None, ...]]:
    """Return the values of the readings of lines that follow a torn one."""
    return [one.values for one in reader.push("".join(f"{x}\r\n" for x in ("", *lines)).encode())]


@pytest.mark.parametrize(
    ("columns", "line", "value"),
    [
        ((), "ECG:512", 512),
        ((), "ECG: 512", 512),
        ((), "value = 512", 512),
        ((), "ECG:512\tHR:72", 512),
        ((), "Min:0,ECG:512,Max:1023", 512),
        ((), "1041, 512", 512),
        (("2",), "17\t512", 512),
        (("2",), "17,512,3", 512),
        (("2",), "17 512 3", 512),
        (("raw",), "raw:512 filtered:3", 512),
        (("Raw",), "filtered:3;raw:512", 512),
        (("3",), "HR:72 SpO2:98 Signal:512", 512),
    ],
)
def test_what_sketches_print_is_read(columns: tuple[str, ...], line: str, value: int) -> None:
    """A labelled value, and one column of several: by number, by label, or the one named ECG."""
    reader = LineReader(columns=columns)
    assert values(reader, *[line] * 3) == [(value,)] * 3
    assert reader.rejected == 0


def test_labels_of_the_leads_are_found_in_any_order() -> None:
    """``leads=I,II`` takes the columns of those names; ``column=`` takes them by number."""
    assert values(LineReader(["I", "II"]), "II:5\tHR:60\tI:-3") == [(-3, 5)]
    assert values(LineReader(["I", "II"], columns=("3", "1")), "5\t60\t-3") == [(-3, 5)]


@pytest.mark.parametrize(
    ("columns", "line", "advice"),
    [
        ((), "512\t498", "say which column is the ECG"),
        ((), "red:512\tir:498", "say which column is the ECG"),
        ((), "HR:72", "say which column is the ECG"),
        ((), "0.512", "unit=mV"),
        ((), "7,0.512", "unit=mV"),
        (("4",), "1,2,3", "no column 4"),
        (("ecg",), "a:1,b:2", "no column ecg"),
    ],
)
def test_what_is_not_plain_is_refused_with_advice(
    columns: tuple[str, ...], line: str, advice: str
) -> None:
    """No column is guessed, and no decimal taken for units of a converter."""
    reader = LineReader(columns=columns)
    assert values(reader, line) == []
    assert reader.rejected == 1
    assert advice in reader.advice


def test_other_columns_in_mid_stream_are_no_readings() -> None:
    """A column that appears or vanishes moves no value to another's place."""
    reader = LineReader(columns=("2",))
    assert len(values(reader, *["1\t512\t3"] * 20)) == 20
    reader.push(b"512\t3\n" * 30)
    assert reader.rejected == 30
    labelled = LineReader()
    assert len(values(labelled, *["ECG:5"] * 20)) == 20
    labelled.push(b"7\n" * 30)
    assert labelled.rejected == 30


def test_a_rate_between_the_values_is_no_value() -> None:
    """A sketch that prints ``BPM: 72`` at each beat, and ``!`` while an electrode is off."""
    for value in ("512", "ECG:512"):
        reader = LineReader()
        lines = [value] * 20 + ["BPM: 72", value, "!"] * 20
        assert values(reader, *lines) == [(512,)] * 20 + [(512,), (None,)] * 20
        assert reader.rejected == 20


def test_a_stated_unit_allows_decimals() -> None:
    """With a sign, without a leading zero; never text, infinity or an exponent."""
    reader = LineReader(decimals=True)
    lines = ["0.5", "-1.25", ".5", "3", "+2.", "nan", "inf", "1e3", "7.5,1", "1.2.3"]
    assert values(reader, *lines) == [(0.5,), (-1.25,), (0.5,), (3,), (2,)]


@pytest.mark.parametrize(
    ("query", "mv"),
    [("unit=mV", 500.0), ("unit=uV", 0.5), ("unit=V", 500_000.0), ("gain=250", 2.0)],
)
def test_the_unit_gives_millivolts(device: Device, query: str, mv: float) -> None:
    """The same lines in each unit, and in units of a converter."""
    with contextlib.closing(open_device(f"serial:{device.path}?{query}")) as source:
        device.send("torn", *["500"] * 5)
        [block] = collect(source.blocks(), 5)  # type: ignore[arg-type]
        np.testing.assert_allclose(block.samples, mv)


def test_a_damaged_line_shows_in_its_checksum() -> None:
    """NMEA's: wrong ones are skipped, and missing ones once the device was seen to send them."""
    reader = LineReader()
    good = [f"{n},512*{checksum(f'{n},512'.encode()):02X}" for n in range(20)]
    assert len(values(reader, *good)) == 20
    reader.push(b"20,513" + good[0][-3:].encode() + b"\n21,512\n")
    assert reader.rejected == 2


@pytest.mark.parametrize("first_us", [0, TIME_MODULUS - 30_000])
def test_times_of_the_device_show_what_is_missing(first_us: int) -> None:
    """Also where they wrap; they need no number, and jitter of a millisecond loses nothing."""
    reader, tracker = LineReader(), PositionTracker(250)
    taken_us = [n * 4000 + n % 3 * 300 for n in [*range(20), *range(25, 30)]]
    lines = [f"@{(first_us + us) % TIME_MODULUS},512" for us in taken_us]
    readings = reader.push("".join(f"{line}\n" for line in ["", *lines]).encode())
    placed = [at for n, one in enumerate(readings) for at, _ in tracker.track(one, n * 0.005)]
    assert placed == [*range(20), *range(25, 30)]


def test_the_first_unreadable_line_and_the_advice_are_said(device: Device) -> None:
    """In the fault, within five seconds, without a control character."""
    with contextlib.closing(open_device(f"serial:{device.path}")) as source:
        device.send("torn", *["512\t498"] * 5)
        faults: list[str] = []
        blocks = source.blocks()
        while not faults:
            device.send("512\t498")
            next(blocks)
            report = source.report()  # type: ignore[attr-defined]
            faults += [report.fault] if report is not None and report.fault else []
    assert "such as '512\\t498': say which column is the ECG, as in column=2" in faults[0]


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_a_fault_is_logged_once_unless_names_are_secret(
    caplog: pytest.LogCaptureFixture, pseudonyms: bool
) -> None:
    """A stream may be called after a person, and a device may send anything."""
    devices = logging.getLogger("replay.devices")
    before = devices.level
    if pseudonyms:
        keep_names_out_of_logs()
    reports = FaultReports("Smith", 0.0)
    for second in range(3):
        reports.report(float(second), second, "its lines cannot be read, such as 'Smith'")
    devices.setLevel(before)
    line = "Smith: its lines cannot be read, such as 'Smith'"
    assert caplog.messages == ([] if pseudonyms else [line])


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe, for reading and for writing."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_standard_input_is_a_device_that_ends(pipe: tuple[int, int]) -> None:
    """Its lines become samples, the last one also without an end; then the stream ends."""
    form = LineFormat(rate_hz=250, gain=1.0, leads=("stdin",), decimals=True)
    source = StandardInput(form, stream="stdin", descriptor=pipe[0], clock=Clock())
    os.write(pipe[1], b"torn\n" + b"".join(b"%d.5\n" % n for n in range(30)) + b"30.5")
    os.close(pipe[1])
    got: list[SampleBlock] = [block for block in source.blocks() if block is not None]
    assert positions(got) == list(range(31))
    np.testing.assert_allclose(np.concatenate([b.samples for b in got]), np.arange(31) + 0.5)


def test_the_end_of_standard_input_says_that_nothing_was_read(pipe: tuple[int, int]) -> None:
    """Also where it comes at once: the summary counts the lines, and a fault quotes one."""
    form = LineFormat(rate_hz=250, gain=1.0, leads=("stdin",))
    source = StandardInput(form, stream="stdin", descriptor=pipe[0], clock=Clock())
    os.write(pipe[1], b"torn\n" + b"0.5\n" * 30)
    os.close(pipe[1])
    assert [block for block in source.blocks() if block is not None] == []
    report = source.report()
    assert report is not None
    assert report.unreadable == 30
    assert "such as '0.5': say in which unit its values are, as in unit=mV" in report.fault


def test_a_terminal_is_no_standard_input(device: Device) -> None:
    """Nothing would come from it but what a person types."""
    form = LineFormat(rate_hz=250, gain=1.0, leads=("stdin",))
    with pytest.raises(DeviceError, match="is a terminal: pipe"):
        StandardInput(form, stream="stdin", descriptor=device.slave)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("unit=mV&gain=200", "give one of them"),
        ("unit=volts", "one of uV, mV, V"),
        ("column=", "number of a column, or its label"),
        ("column=1,2", "a column for each lead"),
        ("leads=I,II&column=1", "a column for each lead"),
        ("baud=9600", "unknown"),
    ],
)
def test_parameters_that_contradict_are_refused(query: str, message: str) -> None:
    """In one line, before anything is opened."""
    with pytest.raises(ConfigError, match=message):
        open_device(f"stdin:?{query}")


@given(
    st.lists(st.binary(max_size=60) | st.text("0123456789,:;.-+!@*\t ECGI\n", max_size=60)),
    st.sampled_from([(), ("1",), ("ECG",)]),
    st.booleans(),
)
def test_any_bytes_are_readings_or_counted(
    parts: list[bytes | str], columns: tuple[str, ...], decimals: bool
) -> None:
    """Nothing that a device sends ends in an error, and every value is finite."""
    reader, tracker = LineReader(columns=columns, decimals=decimals), PositionTracker(250)
    last = -1
    for n, part in enumerate(parts):
        data = part.encode() if isinstance(part, str) else part
        for reading in reader.push(data + b"\n"):
            assert all(value is None or np.isfinite(value) for value in reading.values)
            for at, _ in tracker.track(reading, n * 0.1):
                assert at > last
                last = at


@given(st.text(max_size=60).map(lambda text: "serial:/dev/nonexistent?" + text))
def test_any_parameters_are_understood_or_refused(uri: str) -> None:
    """No address ends in anything but a `MonitorError`."""
    with pytest.raises(MonitorError):
        open_device(uri)
