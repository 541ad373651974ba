"""Device addresses are parsed strictly, and a refusal lists what is accepted."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.commands.live import chosen_devices
from pipeline.errors import ConfigError, DeviceError, MonitorError
from replay.devices import discovery
from replay.devices.addresses import open_device, open_devices
from replay.devices.discovery import found_devices
from replay.devices.lines import serial_device
from replay.devices.lines.serial_device import SerialSource
from replay.devices.synthetic import SyntheticSource


def test_a_synthetic_patient_takes_every_setting() -> None:
    """All parameters of the documentation are understood."""
    source = open_device(
        "synthetic:?bpm=80&ectopic=0.05&sve=0.01&pause=0.01&noise=0.1&leadoff=1&fs=250&seed=7"
    )
    assert isinstance(source, SyntheticSource)
    assert source.info.fs_hz == 250
    assert open_device("synthetic:").info.fs_hz == 360
    source.close()


def test_a_serial_device_is_opened_with_its_settings() -> None:
    """Path, rate and gain reach the source."""
    master, slave = os.openpty()
    path = os.ttyname(slave)
    source = open_device(f"serial:{path}?baud=9600&fs=125&gain=100&leads=I,left")
    assert isinstance(source, SerialSource)
    assert source.info.fs_hz == 125
    assert source.info.leads == ("I", "left")
    source.close()
    source = open_device(f"serial:{path}")
    assert source.info.leads == ("serial",)
    source.close()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("", DeviceError, "known are"),
        ("ble:xyz", ConfigError, "known are"),
        ("synthetic", DeviceError, "known are"),
        ("/dev/nonexistent?fs=250", DeviceError, "not there"),
        ("ttyUSB0", DeviceError, "serial:PATH"),
        ("serial:" + "x" * 2000, DeviceError, "known are"),
        ("serial:", ConfigError, "path"),
        ("serial:/dev/x?speed=1", ConfigError, "known are baud, fs, gain"),
        ("serial:/dev/x?fs", ConfigError, "unknown"),
        ("serial:/dev/x?fs=0", ConfigError, "50 to 10000"),
        ("serial:/dev/x?fs=-250", ConfigError, "50 to 10000"),
        ("serial:/dev/x?gain=0", ConfigError, "gain"),
        ("serial:/dev/x?leads=", ConfigError, "leads= takes names"),
        ("serial:/dev/x?leads=II,II", ConfigError, "no two alike"),
        ("serial:/dev/x?leads=a,b,c,d,e,f,g,h,i,j,k,l,m", ConfigError, "12 names at most"),
        ("serial:/dev/x?leads=II,RESP", ConfigError, "'RESP' is named like no ECG .respiration"),
        ("serial:/dev/x?leads=II,\x1b[2J", ConfigError, "leads= takes names"),
        ("serial:/dev/x?baud=9600.5", ConfigError, "whole number"),
        ("serial:/dev/x?fs=nan", ConfigError, "no number"),
        ("serial:/dev/x?fs=250&fs=360", ConfigError, "twice"),
        ("serial:/nonexistent/tty?fs=250", DeviceError, "not there"),
        ("synthetic:x", ConfigError, "no path"),
        ("synthetic:?bpm=900", ConfigError, "20 to 250"),
        ("synthetic:?ectopic=\x1b[2J", ConfigError, "no number"),
        ("synthetic:?&", ConfigError, "unknown"),
    ],
)
def test_an_address_that_is_not_understood_is_refused(
    uri: str, error: type[MonitorError], message: str
) -> None:
    """Unknown schemes and parameters, malformed and impossible values: one printable line."""
    with pytest.raises(error, match=message) as caught:
        open_device(uri)
    assert str(caught.value).isprintable()


@given(st.text(max_size=60).map(lambda text: "synthetic:?" + text))
def test_any_text_is_understood_or_refused(uri: str) -> None:
    """No address ends in anything but a device or a MonitorError."""
    try:
        open_device(uri).close()
    except MonitorError:
        return


@pytest.mark.parametrize("ports", [[], ["/dev/ttyACM0"], ["/dev/ttyACM0", "/dev/ttyUSB1"]])
def test_the_only_device_is_used_and_others_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ports: list[str]
) -> None:
    """Exactly one device attached is taken; of several each is listed with its command."""
    monkeypatch.setattr(serial_device, "attached_ports", lambda: ports)
    monkeypatch.setattr(discovery, "find_spec", lambda name: None)
    found = found_devices()
    assert [one.address for one in found] == [f"serial:{port}" for port in ports]
    if len(ports) == 1:
        assert chosen_devices([]) == chosen_devices([""]) == [f"serial:{ports[0]}"]
        said = f"monitor: takes the only device that is there: serial:{ports[0]} (serial port)\n"
        assert capsys.readouterr().err == 2 * said
        assert chosen_devices([""], named_on_stderr=False) == [f"serial:{ports[0]}"]
        assert capsys.readouterr().err == ""  # with pseudonyms
        return
    with pytest.raises(DeviceError, match="synthetic:"):
        chosen_devices([""])
    listed = capsys.readouterr().err.splitlines()
    assert listed == [f"monitor live --device serial:{port}  # serial port" for port in ports]


@pytest.mark.parametrize("address", ["synthetic:?name=ward3-bed1", "synthetic:?bpm=50&name=a.b_c"])
def test_a_device_is_called_what_its_address_says(address: str) -> None:
    """Two of one kind can send to one hub, and a key can be bound to them."""
    with contextlib.closing(open_device(address)) as source:
        assert source.info.stream == address.rpartition("name=")[2]


@pytest.mark.parametrize("name", ["", "a b", "x/y", "\x1b[2J", "n" * 65, "a&name=b", "é"])
def test_a_name_that_no_stream_can_have_is_refused(name: str) -> None:
    """Before anything is sent that the hub would refuse."""
    with pytest.raises(ConfigError, match="name= takes one name"):
        open_device(f"synthetic:?name={name}")


def test_hostile_names_of_devices_are_listed_as_commands_that_are_safe_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id from the network is encoded and quoted, a name loses what steers a terminal."""
    streams = [("source_id", "a'; rm -rf x; \x1b[2J&unit=V", "ECG \x1b[2J"), ("name", "b c", "b c")]
    monkeypatch.setattr(serial_device, "attached_ports", list)
    monkeypatch.setattr(discovery, "_straps", list)
    monkeypatch.setattr("replay.devices.lsl_stream.found_streams", lambda: streams)
    with pytest.raises(DeviceError, match="there are 2 devices"):
        chosen_devices([])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("monitor live --device 'lsl:?source_id=a%27%3B%20rm%20-rf%20x")
    assert "%26unit%3DV'  # LSL stream ECG" in first
    assert second == "monitor live --device 'lsl:?name=b%20c'  # LSL stream b c"
    assert first.isprintable()


def test_several_devices_are_opened_or_none() -> None:
    """One that cannot be opened closes the others; standard input is one device."""
    sources = open_devices(["synthetic:", "synthetic:?seed=2"])
    assert len(sources) == 2
    for source in sources:
        source.close()
    with pytest.raises(DeviceError, match="known are"):
        open_devices(["synthetic:", "telepathy:"])
    with pytest.raises(ConfigError, match="name it once"):
        open_devices(["-", "stdin:?fs=100"])
