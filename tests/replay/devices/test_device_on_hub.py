"""A device on a serial port and a hub: what it sends, or does not, reaches whoever watches."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.schema.public import Status
from pipeline.schema.requests import ControlReply, decode_control_reply
from replay.devices.addresses import open_devices
from replay.devices.lines.serial_device import SerialSource
from replay.devices.lines.text_source import LineFormat
from replay.player import play
from tests.replay.devices.test_serial_device import Device
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.running import thread, until


class Ward:
    """A hub, and the device whose samples it takes as ``bed``."""

    def __init__(self, hub: HubByHand, device: Device) -> None:
        self.hub = hub
        self.device = device
        self._control = hub.connect("control")

    def state(self) -> ControlReply:
        """Return what `monitor status` would show."""
        return decode_control_reply(self.hub.ask(self._control, b'{"do": "state"}'))

    def status(self, seen: Callable[[Status], bool]) -> Status:
        """Return the status of the stream once it is as wanted."""
        found: list[Status] = []

        def wanted() -> bool:
            self.hub.turns(1)
            found[:] = [one for one in self.state().statuses if seen(one)]
            return bool(found)

        until(wanted)
        assert found[0].stream == "bed"
        return found[0]

    def alarm(self, kind: str) -> tuple[str, str]:
        """Return priority and reason of an alarm once it is on."""
        status = self.status(lambda one: any(alarm.kind == kind for alarm in one.alarms))
        [alarm] = [alarm for alarm in status.alarms if alarm.kind == kind]
        return alarm.priority, alarm.reason


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """A ward with a device that was just opened."""
    with opened_ward(tmp_path) as one:
        yield one


@contextmanager
def opened_ward(folder: Path) -> Iterator[Ward]:
    """Yield a ward with a device that was just opened, and close both."""
    device = Device(folder / "ttyTest")
    form = LineFormat(rate_hz=250, gain=200, leads=("serial",))
    source = SerialSource(str(device.path), form, baud=115_200, stream="bed")
    over = threading.Event()
    with hub_by_hand(folder / "alerts.sqlite") as hub:
        ingest = hub.hub.endpoints["ingest"]
        with thread(lambda stop: play([source], ingest, lambda: stop() or over.is_set())):
            yield Ward(hub, device)
            over.set()
    if device.path.exists():
        device.unplug()


def test_a_device_that_sends_nothing_is_a_stream_and_an_alarm(ward: Ward) -> None:
    """The stream is there when the device was opened; it has five seconds to start."""
    status = ward.status(lambda one: bool(one.source_fault))
    assert (status.sample, status.alarms) == (0, [])
    ward.hub.later_s = 3.0
    assert ward.status(lambda one: one.state == "not_analysable").alarms == []
    ward.hub.later_s = 6.0
    priority, reason = ward.alarm("no_data")
    assert priority == "medium"
    assert reason == (
        "nothing from the source for 5 s: "
        "the device sends nothing: check its cable, its power and its program"
    )
    assert ward.status(lambda one: True).reason.startswith("the device sends nothing: check")
    ward.device.send("torn", *map(str, range(300)))
    assert ward.status(lambda one: one.sample == 300).source_fault == ""
    ward.status(lambda one: one.alarms == [])


def test_a_device_whose_lines_cannot_be_read_is_an_alarm_with_one_of_them(ward: Ward) -> None:
    """And they are counted, in the status of the stream and of the system."""
    ward.device.send("torn", *["HR 72"] * 100)
    priority, reason = ward.alarm("unreadable_lines")
    assert priority == "medium"
    assert reason.startswith("100 lines in 10 s cannot be read")
    assert ward.state().statuses[0].unreadable_lines == 100
    assert ward.state().system is not None
    assert ward.state().system.unreadable_lines == 100  # type: ignore[union-attr]
    ward.device.send(*["HR 72"] * 100)
    ward.status(lambda one: "'HR 72': check baud=115200" in one.source_fault)
    ward.hub.later_s = 6.0
    assert "'HR 72': check baud=115200" in ward.alarm("no_data")[1]


def test_a_device_that_sends_another_column_is_an_alarm_and_no_samples(ward: Ward) -> None:
    """As where a second lead is connected in mid-stream: a value would be read as a number."""
    ward.device.send("torn", *map(str, range(300)))
    ward.status(lambda one: one.sample == 300)

    def named(status: Status) -> bool:
        ward.device.send("512,498")
        return "other columns now, such as '512,498': end this" in status.source_fault

    assert ward.status(named).sample == 300
    ward.hub.later_s = 3.0
    assert "such as '512,498': end this" in ward.alarm("no_data")[1]
    assert ward.status(lambda one: True).sample == 300
    ward.device.send(*map(str, range(300)))
    ward.status(lambda one: one.sample > 300)


def test_a_device_that_sends_only_lead_off_is_an_alarm_at_once(ward: Ward) -> None:
    """``!`` of the AD8232's sketch, and nothing else: samples without a value."""
    ward.device.send("torn", *["!"] * 500)
    assert ward.alarm("lead_off") == ("low", "electrode off")
    status = ward.status(lambda one: one.sample == 500)
    assert (status.state, status.reason) == ("not_analysable", "electrode off")


def test_several_devices_are_several_streams(tmp_path: Path) -> None:
    """Each under a name of its own, over one connection."""
    over = threading.Event()
    sources = open_devices(["synthetic:?bpm=60", "synthetic:?bpm=90&seed=2"])
    with hub_by_hand(tmp_path / "alerts.sqlite") as hub:
        ingest, control = hub.hub.endpoints["ingest"], hub.connect("control")
        seen: set[str] = set()

        def both() -> bool:
            hub.turns(1)
            reply = decode_control_reply(hub.ask(control, b'{"do": "state"}'))
            seen.update(one.stream for one in reply.statuses if one.sample)
            return len(seen) == 2

        with thread(lambda stop: play(sources, ingest, lambda: stop() or over.is_set())):
            until(both)
            over.set()
    assert seen == {"synthetic", "synthetic-2"}


def test_a_device_that_is_unplugged_is_an_alarm_that_says_so(ward: Ward) -> None:
    """After two seconds, like every source that fell silent."""
    ward.device.send("torn", *map(str, range(100)))
    ward.status(lambda one: one.sample == 100)
    ward.device.unplug()
    ward.status(lambda one: bool(one.source_fault))
    ward.hub.later_s = 3.0
    assert "for 2 s: the device is gone: plug it in again" in ward.alarm("no_data")[1]
