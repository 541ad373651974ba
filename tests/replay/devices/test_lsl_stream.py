"""The Lab Streaming Layer: a loopback outlet's samples arrive complete and in mV."""

import contextlib
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pylsl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DeviceError
from pipeline.signal.samples import SampleBlock
from replay.devices import lsl_stream
from replay.devices.addresses import open_device
from replay.devices.lsl_description import Channel, checked_rate, ecg_leads, mv_per
from replay.devices.lsl_stamps import StampedSignal
from replay.devices.lsl_stream import LslSource, found_streams
from replay.devices.packet_positions import PacketPositions
from replay.source import Source
from tests.replay.devices.test_serial_device import positions


class Outlet:
    """An outlet of a stream, with stamps that the test chooses."""

    def __init__(
        self,
        labels: Sequence[str] = ("II",),
        unit: str = "microvolts",
        *,
        fs: float = 250.0,
        kind: str = "ECG",
        format_: int = pylsl.cf_float32,
        source_id: str | None = None,
        name: str = "bed 3",
    ) -> None:
        self.source_id = f"test-{uuid.uuid4().hex}" if source_id is None else source_id
        info = pylsl.StreamInfo(name, kind, len(labels), fs, format_, self.source_id)
        channels = info.desc().append_child("channels")
        for label in labels:
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            if unit:
                channel.append_child_value("unit", unit)
        self.outlet: Any = pylsl.StreamOutlet(info)
        self.channels = len(labels)
        self.began_s = pylsl.local_clock()

    @property
    def address(self) -> str:
        """The address of a device."""
        return f"lsl:?source_id={self.source_id}&stream=bed3"

    def send(self, numbers: Sequence[int], values: np.ndarray | None = None) -> None:
        """Send samples, numbered by their stamps at 250 Hz."""
        for n in numbers:
            sample = [float(n)] * self.channels if values is None else list(map(float, values[n]))
            self.outlet.push_sample(sample, self.began_s + n / 250)


@pytest.fixture(autouse=True)
def soon_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine streams answer within a millisecond."""
    monkeypatch.setattr(lsl_stream, "_ROUND_S", 0.1)


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    """An outlet of lead II in microvolts at 250 Hz."""
    one = Outlet()
    yield one
    del one.outlet


def collected(source: Source, samples: int) -> list[SampleBlock]:
    """Return blocks until they hold so many samples of a lead."""
    got: list[SampleBlock] = []
    for block in itertools.islice(source.blocks(), 400):
        if block is not None:
            got.append(block)
        if sum(one.n for one in got) >= samples:
            return got
    raise AssertionError("nothing arrives")


def test_samples_arrive_in_mv_with_rate_and_leads_of_the_description(outlet: Outlet) -> None:
    """Microvolts become mV; stamps, corrected, are those of the sending clock in our time."""
    with contextlib.closing(open_device(outlet.address)) as source:
        assert source.info.stream == "bed3"
        assert (source.info.fs_hz, source.info.leads) == (250.0, ("II",))
        outlet.send(range(500))
        got = collected(source, 500)
        assert positions(got) == list(range(500))
        ramp = np.concatenate([block.samples for block in got])
        np.testing.assert_allclose(ramp, np.arange(500) / 1000, rtol=1e-6)
        stamps = [(b.end - 1, b.stamp_s) for b in got]
        began = stamps[0][1] - stamps[0][0] / 250  # type: ignore[operator]
        assert all(abs(s - began - at / 250) < 0.05 for at, s in stamps)  # type: ignore[operator]


def test_a_jump_of_stamps_is_a_gap_and_an_outlet_that_returns_goes_on(outlet: Outlet) -> None:
    """By stamps alone: LSL has no numbers. The same source_id is found again."""
    with contextlib.closing(open_device(outlet.address)) as source:
        outlet.send([*range(100), *range(150, 200)])
        assert positions(collected(source, 150)) == [*range(100), *range(150, 200)]
        del outlet.outlet
        again = Outlet(source_id=outlet.source_id)
        again.began_s = outlet.began_s
        blocks = source.blocks()
        more: list[SampleBlock] = []
        for at in range(200, 20_000, 100):
            again.send(range(at, at + 100))
            if (block := next(blocks)) is not None:
                more.append(block)
                break
        assert more[0].first_sample >= 200
        outlet.outlet = again.outlet


def test_an_outlet_without_an_id_is_looked_for_by_its_name() -> None:
    """LSL gives such a one up; we say so, and find it again."""
    name = uuid.uuid4().hex
    outlet = Outlet(source_id="", name=name)
    with contextlib.closing(open_device(f"lsl:?name={name}")) as source:
        assert isinstance(source, LslSource)
        outlet.send(range(50))
        collected(source, 50)
        del outlet.outlet
        faults = []
        blocks = source.blocks()
        while not any("is gone: start its program again" in fault for fault in faults):
            next(blocks)
            report = source.report()
            faults += [report.fault] if report is not None else []
        again = Outlet(source_id="", name=name)
        at = 50
        while (block := next(blocks)) is None:
            again.send(range(at, at + 100))
            at += 100
        assert block.first_sample > 50


def test_several_leads_lie_side_by_side() -> None:
    """Channels of another kind are left out; a name that no lead can have is made one."""
    outlet = Outlet(["I", "RESP", "V 1\x1b[2J", "I"], "mV")
    with contextlib.closing(open_device(outlet.address)) as source:
        leads = source.info.leads
        assert leads == ("I", "V_1__2J", "channel4")
        outlet.send(range(20), np.arange(80).reshape(20, 4))
        joined = np.concatenate([block.samples for block in collected(source, 20)], axis=1)
        np.testing.assert_allclose(joined, np.arange(80).reshape(20, 4).T[[0, 2, 3]])


@pytest.mark.parametrize(
    ("outlet", "message"),
    [
        ({"fs": 0.0}, "no regular sampling rate"),
        ({"fs": 20.0}, "20 samples a second"),
        ({"unit": "counts"}, "is 'counts', no voltage"),
        ({"unit": ""}, "is not described: say it, as in unit=uV"),
        ({"labels": ["RESP"], "kind": ""}, "no channel that may be an ECG"),
        ({"format_": pylsl.cf_string}, "consists of texts"),
    ],
)
def test_what_is_no_ecg_in_volts_is_refused(outlet: dict[str, Any], message: str) -> None:
    """Irregular streams, unknown units, other signals: one printable line."""
    there = Outlet(**outlet)
    with pytest.raises(DeviceError, match=message) as caught:
        open_device(there.address)
    assert str(caught.value).isprintable()


def test_a_stated_unit_and_a_name_are_enough() -> None:
    """``unit=`` is for outlets that describe none; a stream is found by its name, too."""
    outlet = Outlet(unit="")
    address = f"lsl:?source_id={outlet.source_id}"
    with contextlib.closing(open_device(f"{address}&name=bed 3&unit=mV")) as source:
        outlet.send(range(10))
        np.testing.assert_allclose(collected(source, 10)[0].samples[:3], [0, 1, 2])
        assert outlet.source_id in [value for _, value, _ in found_streams(0.3)]


def test_an_absent_stream_and_a_silent_one_are_named(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start it is an error with what there is, later a fault that says what to check."""
    monkeypatch.setattr("replay.devices.lsl_stream.FIND_S", 0.3)
    with pytest.raises(DeviceError, match="LSL stream 'nowhere' is not there: there are"):
        open_device("lsl:?source_id=nowhere")
    with pytest.raises(ConfigError, match="no path"):
        open_device("lsl:bed3")
    now = [0.0]
    source = LslSource(
        source_id=outlet.source_id, name=None, unit=None, stream="x", clock=lambda: now[0]
    )
    assert source.report() is None
    now[0] = 2.0
    report = source.report()
    assert report is not None
    assert report.fault.endswith("sends nothing: check its program and the network")
    source.close()


@pytest.mark.parametrize(
    ("unit", "mv"),
    [("microvolts", 1e-3), ("uV", 1e-3), ("µV", 1e-3), ("Volts", 1e3), ("mV", 1.0), ("a.u.", None)],
)
def test_units_of_voltage_are_known(unit: str, mv: float | None) -> None:
    """As XDF's specification writes them, and as people do."""
    assert mv_per(unit) == mv


@given(
    st.lists(st.builds(Channel, st.text(max_size=20), st.text(max_size=9), st.text(max_size=5))),
    st.floats(),
)
def test_any_description_is_leads_or_refused(channels: list[Channel], rate_hz: float) -> None:
    """Names that the wire can carry, no two alike, or one printable line."""
    with contextlib.suppress(DeviceError):
        assert checked_rate("x", rate_hz) >= 50
    with contextlib.suppress(DeviceError):
        leads = ecg_leads("x", channels, "uV")
        assert len(set(leads.names)) == len(leads.rows) <= 12
        assert all(name.isascii() and name.isprintable() for name in leads.names)


def divided(stamps: np.ndarray, chunk: int = 5) -> tuple[list[int], int]:
    """Return where samples of those stamps lie, and how many were held back at the most."""
    signal, at, held, places = StampedSignal(250, 1), 0, 0, []
    for first in range(0, len(stamps), chunk):
        part = stamps[first : first + chunk]
        for piece in signal.push(np.arange(first, first + len(part))[:, None], part):
            at += piece.missing or 0
            assert piece.samples[:, 0].tolist() == list(
                range(len(places), len(places) + len(piece.samples))
            )
            places += range(at, at + len(piece.samples))
            at += len(piece.samples)
        held = max(held, first + len(part) - len(places))
    for piece in signal.release():
        at += piece.missing or 0
        places += range(at, at + len(piece.samples))
        at += len(piece.samples)
    return places, held


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 0.1), min_size=60, max_size=60), st.integers(0, 50), st.integers(0, 299)
)
def test_jitter_of_chunks_is_no_loss(late_s: list[float], lost: int, where: int) -> None:
    """Chunks that are sent late by up to 0.1 s; a loss of over three times that is one."""
    lost *= 2 * (lost > 25)
    numbers = np.arange(300) + lost * (np.arange(300) >= where // 5 * 5)
    late = np.repeat(late_s, 5)
    places, _ = divided(numbers / 250 + late)
    assert len(places) == 300
    off = np.array(places) - np.array(places)[0] - (numbers - numbers[0])
    assert np.abs(off).max() <= 26 + (lost if lost <= 75 else 0)


def test_jitter_that_is_known_holds_nothing_back() -> None:
    """Where every tenth chunk is late by 30 ms, for a second at first."""
    late = np.where(np.arange(2500) // 5 % 10 == 9, 0.03, 0.0)
    places, _ = divided(np.arange(2500) / 250 + late)
    assert places == list(range(2500))
    signal = StampedSignal(250, 1)
    stamps = np.arange(2500) / 250 + late
    held = [0]
    for first in range(0, 2500, 5):
        part = stamps[first : first + 5]
        held.append(held[-1] + 5 - sum(len(p.samples) for p in signal.push(part[:, None], part)))
    assert max(held) <= 250
    assert held[500:] == [0] * (len(held) - 500)


def test_a_loss_is_exact_where_stamps_do_not_jitter() -> None:
    """Of one sample or many; stamps of a clock that was set back tell nothing."""
    for lost in (1, 3, 100, 10_000):
        numbers = np.arange(600) + lost * (np.arange(600) >= 200)
        assert divided(numbers / 250)[0] == numbers.tolist()
    signal = StampedSignal(250, 1)
    x = np.zeros((5, 1))
    list(signal.push(x, 1e6 + np.arange(5) / 250))
    assert [piece.missing for piece in signal.push(x, np.arange(5) / 250)] == [None]


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(), min_size=1, max_size=20), max_size=20))
def test_any_stamps_lose_and_make_no_sample(chunks: list[list[float]]) -> None:
    """Infinite ones, none, in any order: every sample comes out once."""
    signal, got = StampedSignal(250, 1), 0
    for chunk in chunks:
        for piece in signal.push(np.zeros((len(chunk), 1)), np.array(chunk)):
            got += len(piece.samples)
            assert piece.missing is None or piece.missing >= 0
    got += sum(len(piece.samples) for piece in signal.release())
    assert got == sum(map(len, chunks))


def test_a_clock_that_was_set_leaves_no_gap_of_hours() -> None:
    """A jump of stamps that our clock does not confirm loses nothing; one that it does is a gap."""
    positions = PacketPositions(250)
    times = [(0.1 * n, 1000.0 + 0.1 * n) for n in range(1, 50)]
    assert [positions.missing_before(25, now, device_s=at) for now, at in times] == [0] * 49
    assert positions.missing_before(25, 5.0, device_s=9000.0) == 0
    assert positions.missing_before(25, 5.1, device_s=9000.1) == 0
    assert positions.missing_before(25, 8.1, device_s=9003.1) == 725
    assert positions.missing_before(25, 8.2, device_s=17.0) == 0
    assert positions.missing_before(25, 18.2, device_s=-900.0) == 2475


@given(
    st.lists(
        st.tuples(
            st.integers(1, 500),
            st.floats(0, 100),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.integers(0, 10**6),
        )
    )
)
def test_positions_never_run_back_or_far_ahead(
    packets: list[tuple[int, float, float | None, int | None]],
) -> None:
    """Whatever a device says of times and counts: a loss is at most what our clock allows."""
    positions, now_s, at = PacketPositions(250), 0.0, 0
    sent = 0
    for n, passed_s, device_s, counted in packets:
        now_s += passed_s
        missing = positions.missing_before(n, now_s, device_s=device_s, counted=counted)
        assert missing >= 0
        at, sent = at + missing + n, sent + n
        assert at <= sent + (now_s * 1.002 + 2) * 250
