"""A device that is read in a thread: what it yields comes in order, and its end is its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DeviceError
from pipeline.signal.samples import SampleBlock
from replay.player import play
from replay.reader_thread import MOST_READ, ThreadedSource
from replay.source import SourceInfo, SourceReport
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.running import thread, until

RATE_HZ = 250


class Device:
    """A device that sends a few blocks, each with a report, and then does as it is told."""

    def __init__(self, blocks: int, then: str, name: str = "bed") -> None:
        self.info = SourceInfo(stream=name, fs_hz=float(RATE_HZ), leads=("II",))
        self.released = threading.Event()
        self.released_by = ""
        self._blocks = blocks
        self._then = then
        self._closed = threading.Event()
        self._reports = 0

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the blocks, then fail, end, say nothing, or not even yield."""
        for n in range(self._blocks):
            yield SampleBlock(n * RATE_HZ, np.zeros(RATE_HZ, np.float32))
        if self._then == "fail":
            raise DeviceError("unplugged")
        while self._then == "silent" and not self._closed.is_set():
            yield None
        if self._then == "stuck":
            self._closed.wait()

    def report(self) -> SourceReport | None:
        """Return as many reports as there are blocks."""
        self._reports += 1
        return SourceReport(self._reports, "") if self._reports <= self._blocks else None

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Be gone."""
        self.released_by = threading.current_thread().name
        self._closed.set()
        self.released.set()


def test_blocks_come_in_order_each_with_its_report_and_then_the_failure() -> None:
    """As from the device itself; nothing is lost however late they are taken."""
    device = Device(3, "fail")
    source = ThreadedSource(device, threading.Event())
    taken = list[tuple[int, int | None]]()

    def take() -> None:
        for block in source.blocks():
            if block is not None:
                report = source.report()
                taken.append((block.first_sample, report and report.unreadable))

    with pytest.raises(DeviceError, match="unplugged"):
        take()
    assert taken == [(0, 1), (RATE_HZ, 2), (2 * RATE_HZ, 3)]
    assert source.report() is None


def test_something_new_wakes_whoever_waits() -> None:
    """The blocks, and the end behind them."""
    arrived = threading.Event()
    source = ThreadedSource(Device(1, "end"), arrived)
    blocks = source.blocks()
    first = next(blocks)
    until(arrived.is_set)
    until(lambda: bool(source.arrived))
    rest = list(blocks)
    assert [one.first_sample for one in [first, *rest] if one is not None] == [0]


def test_a_device_is_released_by_the_thread_that_reads_it() -> None:
    """No other touches it while it may be read; one that was never read is released at once."""
    read, never_read = Device(1, "silent"), Device(1, "silent")
    source = ThreadedSource(read, threading.Event())
    next(source.blocks())
    source.close()
    source.join()
    assert read.released.is_set()
    assert read.released_by == read.info.stream
    ThreadedSource(never_read, threading.Event()).close()
    assert never_read.released_by == threading.current_thread().name


@pytest.mark.system
def test_a_device_that_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    """Nor does one that fails: its stream ends, and the failure is raised at the end."""
    devices = [Device(2, "stuck", "a"), Device(2, "fail", "b"), Device(6, "silent", "c")]
    with hub_by_hand(tmp_path / "log") as one:
        over, failures = threading.Event(), list[DeviceError]()

        def send(stop: object) -> None:
            with pytest.raises(DeviceError) as caught:
                play(devices, one.hub.endpoints["ingest"], over.is_set)
            failures.append(caught.value)

        with thread(send):
            until(lambda: _samples(one) == {"a": 2, "b": 2, "c": 6})
            until(lambda: bool(one.turns(1) or _ended(one) == {"b"}))
            over.set()
            until(lambda: bool(failures))
        devices[0].close()
    assert str(failures[0]) == "unplugged"
    assert devices[2].released.is_set()


def _samples(one: HubByHand) -> dict[str, int]:
    """Return how many blocks of each stream the hub has."""
    one.turns(1)
    return {status.stream: status.sample // RATE_HZ for status in one.hub._state()[1]}


def _ended(one: HubByHand) -> set[str]:
    return {status.stream for status in one.hub._state()[1] if status.ended}


class Flood(Device):
    """A device that never stops sending."""

    def __init__(self) -> None:
        super().__init__(0, "end")
        self.sent = 0

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield a second, again and again."""
        while not self._closed.is_set():
            self.sent += 1
            yield SampleBlock(self.sent * RATE_HZ, np.zeros(RATE_HZ, np.float32))


def test_what_nobody_takes_is_bounded() -> None:
    """The thread stops reading, until it is closed."""
    device = Flood()
    source = ThreadedSource(device, threading.Event())
    next(source.blocks())
    until(lambda: device.sent >= MOST_READ)
    source.close()
    source.join()
    assert device.released.is_set()
    assert device.sent <= MOST_READ + 2
