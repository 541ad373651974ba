"""A serial device, played by a pseudo-terminal: nothing it sends is lost or misplaced silently."""

import itertools
import os
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DeviceError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.devices.lines.line_positions import PositionTracker
from replay.devices.lines.serial_device import SerialSource
from replay.devices.lines.serial_lines import MAX_LINE_BYTES, SEQUENCE_MODULUS, LineReader, Reading
from replay.devices.lines.text_source import LineFormat
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.source import SourceReport
from tests.replay.test_pacing import Clock


class Device:
    """The far end of a serial line, reachable under a path that stays when it is replugged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plug()

    def plug(self) -> None:
        """Appear under the path."""
        self.master, self.slave = os.openpty()
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self.slave))

    def unplug(self) -> None:
        """Vanish."""
        os.close(self.master)
        os.close(self.slave)
        self.path.unlink()

    def send(self, *lines: str) -> None:
        """Send lines, each with its end."""
        os.write(self.master, "".join(f"{line}\r\n" for line in lines).encode())


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device, plugged in."""
    device = Device(tmp_path / "ttyTest")
    yield device
    if device.path.exists():
        device.unplug()


def opened(device: Device, clock: Clock, leads: Sequence[str] = ("serial",)) -> SerialSource:
    """Open the device as a source of 250 Hz and 200 units per mV."""
    form = LineFormat(rate_hz=250, gain=200, leads=tuple(leads))
    return SerialSource(
        str(device.path), form, baud=115_200, stream="ttyTest", clock=clock, wait=clock.wait
    )


def collect(blocks: Iterator[SampleBlock | None], samples: int) -> list[SampleBlock]:
    """Return blocks until they hold so many samples; fail after some seconds of nothing."""
    got: list[SampleBlock] = []
    idle = 0
    while sum(block.samples.size for block in got) < samples:
        block = next(blocks)
        idle += block is None
        assert idle < 100, "nothing arrives"
        if block is not None:
            got.append(block)
    return got


def positions(blocks: list[SampleBlock]) -> list[int]:
    """Return the position of every sample."""
    return [block.first_sample + i for block in blocks for i in range(block.samples.size)]


def test_plain_values_arrive_in_mv(device: Device) -> None:
    """Every value after the torn first line becomes one sample, divided by the gain."""
    source = opened(device, Clock())
    assert (source.info.stream, source.info.fs_hz) == ("ttyTest", 250.0)
    device.send("orn", *map(str, range(-50, 50)))
    got = collect(source.blocks(), 100)
    assert positions(got) == list(range(100))
    np.testing.assert_allclose(np.concatenate([b.samples for b in got]), np.arange(-50, 50) / 200)
    assert source.rejected_lines == 0
    source.close()


def test_missing_numbers_are_a_gap_and_repeated_ones_nothing(device: Device) -> None:
    """Positions jump by what is missing, also where the number wraps; a repeat is dropped."""
    source = opened(device, Clock())
    numbers = [65533, 65534, 65534, 1, 2, 5]
    device.send("torn", *(f"{number},100" for number in numbers))
    got = collect(source.blocks(), 5)
    assert positions(got) == [0, 1, 4, 5, 8]
    assert [block.samples.size for block in got] == [2, 2, 1]
    source.close()


def test_lead_off_is_flagged_sample_by_sample(device: Device) -> None:
    """The third field becomes the flag; a block without it carries none."""
    source = opened(device, Clock())
    device.send("torn", "0,1,0", "1,1,1", "2,1,1", "3,1,0", "4,1")
    blocks = source.blocks()
    got = collect(blocks, 5)
    flags = [
        value
        for block in got
        for value in ([0] * block.samples.size if block.flags is None else block.flags.tolist())
    ]
    assert flags == [0, FLAG_LEAD_OFF, FLAG_LEAD_OFF, 0, 0]
    device.send("5,1,0", "6,1", "7,1", "8,1", "9,1")
    assert all(block.flags is None for block in collect(blocks, 5))
    source.close()


@pytest.mark.parametrize("numbered", [False, True])
def test_an_exclamation_mark_is_a_sample_without_a_value(device: Device, numbered: bool) -> None:
    """``!`` of the AD8232's sketch takes its time: left out, the heart would seem faster."""
    source = opened(device, Clock())
    lines = [str(n) if n % 2 else "!" for n in range(100)]
    device.send("torn", *(f"{n},{line}" if numbered else line for n, line in enumerate(lines)))
    got = collect(source.blocks(), 100)
    assert positions(got) == list(range(100))
    values = np.concatenate([block.samples for block in got])
    flags = [int(flag) for block in got if block.flags is not None for flag in block.flags]
    np.testing.assert_allclose(values, [n / 200 if n % 2 else np.nan for n in range(100)])
    assert flags == [0 if n % 2 else FLAG_LEAD_OFF for n in range(100)]
    assert source.rejected_lines == 0
    source.close()


@pytest.mark.parametrize(
    ("lines", "samples", "off"),
    [
        (["100,-200", "!,-200"], [[0.5, np.nan], [-1.0, -1.0]], [[0, 1], [0, 0]]),
        (
            ["7,100,-200", "8,100,!", "9,100,-200,0,1"],
            [[0.5, 0.5, 0.5], [-1.0, np.nan, -1.0]],
            [[0, 0, 0], [0, 1, 1]],
        ),
    ],
    ids=["values", "numbered"],
)
def test_columns_become_leads_side_by_side(
    device: Device, lines: list[str], samples: list[list[float]], off: list[list[int]]
) -> None:
    """Values, or values with a number, and flags of each lead: the number of fields says which."""
    source = opened(device, Clock(), ["I", "II"])
    device.send("torn", *lines)
    got = collect(source.blocks(), 2 * len(lines))

    assert source.info.leads == ("I", "II")
    assert all(block.leads == 2 for block in got)
    flags = [np.zeros((2, b.n)) if b.flags is None else b.flags for b in got]
    np.testing.assert_allclose(np.concatenate([block.samples for block in got], axis=1), samples)
    np.testing.assert_array_equal(np.concatenate(flags, axis=1), np.array(off) * FLAG_LEAD_OFF)
    assert source.rejected_lines == 0
    source.close()


@pytest.mark.parametrize(
    ("leads", "before", "after"),
    [
        (1, "{value}", "{value},{other}"),
        (1, "{n},{value}", "{n},{value},{other}"),
        (1, "{n},{value}", "{value}"),
        (2, "{value},{other}", "{n},{value},{other}"),
        (2, "{value},{other}", "{value}"),
        (2, "{value},{other}", "{value},{other},{value}"),
        (2, "{n},{value},{other}", "{n},{value}"),
        (2, "{n},{value},{other}", "{n},{value},{other},{value}"),
        (3, "{n},{value},{other},{value}", "{n},{value},{other}"),
        (3, "{value},{other},{value}", "{value},{other}"),
    ],
)
def test_a_lead_that_appears_or_vanishes_is_never_taken_for_another(
    leads: int, before: str, after: str
) -> None:
    """A number of a line is no value, and a value no number: such lines are counted, not read."""
    reader = LineReader(leads)

    def lines(form: str, first: int) -> bytes:
        texts = (
            form.format(n=n, value=500 + 7 * n % 90, other=2 + n % 50)
            for n in range(first, first + 300)
        )
        return "".join(f"{text}\n" for text in texts).encode()

    assert len(reader.push(b"torn\n" + lines(before, 0))) == 300
    assert reader.push(lines(after, 300)) == []
    assert reader.rejected == 300
    assert reader.has_other_columns
    reader.restart()  # the device was away
    assert reader.push(b"torn\n" + lines(after, 600)) == []
    assert len(reader.push(lines(before, 900))) == 300


def test_a_damaged_line_does_not_settle_the_form_of_a_device() -> None:
    """Whether lines are numbered is what most of the first ones say, not the very first."""
    reader = LineReader()
    lines = ["torn", "1512", *(f"{n},512" for n in range(2, 100))]  # 1,512 without its comma
    _, *readings = reader.push("".join(f"{line}\n" for line in lines).encode())
    assert [reading.sequence for reading in readings] == list(range(3, 100))
    assert reader.rejected == 1
    assert reader.push(b"100512\n") == []  # once the form is known it is no value


def test_an_electrode_that_is_off_is_said_in_either_form() -> None:
    """``!`` alone, between numbered lines too: no value can be wrong, and an alarm hangs on it."""
    reader = LineReader()
    lines = ["torn", *(f"{n},512" for n in range(30)), *["!"] * 5, "35,512"]
    readings = reader.push("".join(f"{line}\n" for line in lines).encode())
    assert [all(reading.lead_off) for reading in readings] == [False] * 30 + [True] * 5 + [False]


def test_other_columns_in_mid_stream_are_named(device: Device) -> None:
    """One line says what comes now and what to do; a device that sent nothing readable had none."""
    clock = Clock()
    source = opened(device, clock, ["I", "II"])
    blocks = source.blocks()
    device.send("torn", *(f"{n},{n % 90},5" for n in range(50)))
    collect(blocks, 2 * 50)
    device.send(*(f"{n},{n % 90}" for n in range(50, 100)))
    next(blocks)
    clock.wait(1.5)
    device.send("100,7")
    report = reported(source, blocks)
    assert report.fault == (
        "its lines have other columns now, such as '100,7': "
        "end this, and start again with leads= as the device sends"
    )
    source.close()


def ecg_lines(seconds: int, form: str) -> list[str]:
    """Return lines of two leads of a synthetic patient, 250 Hz and 200 units a mV."""
    patient = SyntheticPatient(PatientConfig(leads=("I", "II"), fs=250.0))
    adc = np.round(200 * patient.generate(250 * seconds).samples).astype(int) + 512
    return [form.format(n=n, i=i, ii=ii) for n, (i, ii) in enumerate(adc.T.tolist())]


@pytest.mark.parametrize("form", ["{i},{ii}", "{n},{i},{ii}"])
def test_leads_that_the_address_does_not_name_are_asked_for_within_5_s(
    device: Device, form: str
) -> None:
    """``512,498`` reads as line 512: what does not count is refused, not analysed, and named."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    read, fault = 0, ""
    lines = ecg_lines(5, form)
    device.send("torn")
    for at in range(0, len(lines), 25):
        device.send(*lines[at : at + 25])
        clock.wait(0.1)
        for _ in range(2):
            block = next(blocks)
            read += 0 if block is None else block.samples.size
        report = source.report()
        fault = report.fault if report is not None and report.fault else fault
    assert fault.endswith("': name each of its leads, as in serial:...?leads=I,II")
    assert len(fault) <= 160
    assert read < 250
    source.close()


def test_numbers_that_count_again_are_believed() -> None:
    """A device that restarts often for a while, or whose lines come in disorder, is not lost."""
    reader = LineReader()
    falling = "".join(f"{n},512\n" for n in range(20, 0, -1))
    reader.push(f"torn\n{falling}".encode())
    assert not reader.counts
    counting = "".join(f"{n},512\n" for n in range(1, 600))
    assert len(reader.push(counting.encode())) > 300
    assert reader.counts


@given(st.lists(st.sampled_from([0, 1, 1, 1, 2, 5, 200]), max_size=400), st.integers(0, 65_535))
def test_a_count_with_losses_and_repeats_stays_one(steps: list[int], first: int) -> None:
    """Also where it wraps, and where every tenth number is of a device that starts over."""
    reader = LineReader()
    numbers = [(first + total) % SEQUENCE_MODULUS for total in itertools.accumulate(steps)]
    for at in range(9, len(numbers), 10):
        numbers[at] = 0
    lines = "".join(f"{number},512\n" for number in numbers)
    assert len(reader.push(f"torn\n{lines}".encode())) == len(numbers)


def test_lines_with_more_or_fewer_columns_are_no_readings(device: Device) -> None:
    """A value of one lead is never taken for another's; the report says how many are needed."""
    clock = Clock()
    source = opened(device, clock, ["I", "II", "V1"])
    garbage = ["1", "1,2", "1,2,3,4,5", "1,2,3,0,0,0", "0,1,2,3,0,0", "0,1,2,3,0,0,2", "1,,3", "!"]
    device.send("torn", *garbage)
    blocks = source.blocks()
    assert next(blocks) is None
    clock.now_s += 1.5
    device.send("!")
    assert next(blocks) is None

    assert source.rejected_lines == len(garbage) + 1
    report = source.report()
    assert report is not None
    assert "its lines cannot be read, such as '!': check" in report.fault
    assert report.fault.endswith("3 values a line")
    source.close()


def test_a_line_of_twelve_leads_is_short_enough(device: Device) -> None:
    """The longest numbers there are, with a flag for each."""
    reader = LineReader(12)
    line = ",".join(["9999999999", *["-99999999"] * 12, *["1"] * 12])
    [reading] = reader.push(f"torn\n{line}\n".encode())
    assert reading.values == (-99_999_999,) * 12
    assert all(reading.lead_off)
    reader.push(line.encode())
    assert reader.push(b"\n") == [reading]


def test_garbage_is_skipped_and_counted(device: Device) -> None:
    """Lines that are no reading cost their own sample only."""
    source = opened(device, Clock())
    garbage = ["", "hello", "1;2", "1,2,3", "1,2,0,0", "0x10", "9" * 20, "7,,0", "\x1b[2J", "!!"]
    device.send("torn", "0,10", *garbage, "1,11")
    assert positions(collect(source.blocks(), 2)) == [0, 1]
    assert source.rejected_lines == len(garbage)
    source.close()


def test_silence_is_none_and_never_long(device: Device) -> None:
    """Without samples the source yields None; a single sample does not wait for a full block."""
    source = opened(device, Clock())
    blocks = source.blocks()
    assert [next(blocks) for _ in range(3)] == [None, None, None]
    device.send("torn", "1,2")
    assert positions(collect(blocks, 1)) == [0]
    source.close()
    assert list(blocks) == []
    source.close()


def reported(source: SerialSource, blocks: Iterator[SampleBlock | None]) -> SourceReport:
    """Return the next report of a source."""
    for _ in range(200):
        next(blocks)
        if (report := source.report()) is not None:
            return report
    raise AssertionError("no report")


def test_a_device_that_sends_nothing_says_so_and_what_to_do(device: Device) -> None:
    """A second after it was opened; once, until it sends."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    assert (next(blocks), source.report()) == (None, None)
    clock.wait(1.0)
    fault = reported(source, blocks).fault
    assert fault == "the device sends nothing: check its cable, its power and its program"
    assert (next(blocks), source.report()) == (None, None)
    device.send("torn", *map(str, range(20)))
    assert reported(source, blocks) == (0, "")
    source.close()


@pytest.mark.parametrize("sent", [b"hello\n" * 40, b"\x80\x1b[2J" * 200])
def test_lines_that_cannot_be_read_are_reported_with_one_of_them(
    device: Device, sent: bytes
) -> None:
    """Also what has no line end, as at a wrong baud rate; and never a control character."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    os.write(device.master, sent)
    next(blocks)
    clock.wait(1.0)
    os.write(device.master, sent)
    report = reported(source, blocks)
    assert report.fault.startswith("its lines cannot be read, such as '")
    assert report.fault.endswith(": check baud=115200 and what it prints")
    assert report.fault.isprintable()
    assert report.unreadable == source.rejected_lines
    source.close()


def test_lines_that_cannot_be_read_between_others_are_counted_once(device: Device) -> None:
    """Each second, as a number; what is reported adds up to all of them."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    device.send("torn", *(f"{n}" if n % 10 else "x" for n in range(100)))
    counts = []
    for _ in range(3):
        clock.wait(1.0)
        collect(blocks, 90)
        if (report := source.report()) is not None:
            assert report.fault == ""
            counts.append(report.unreadable)
        device.send(*(f"{n}" if n % 10 else "x" for n in range(100)))
    assert sum(counts) == source.rejected_lines
    assert len(counts) == 3
    source.close()


def test_a_device_that_is_gone_says_so_at_once(device: Device) -> None:
    """And is quiet again when it is back; a source that was closed says nothing."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    device.unplug()
    assert reported(source, blocks).fault.startswith("the device is gone: plug it in again, '/")
    device.plug()
    assert reported(source, blocks) == (0, "")
    source.close()
    assert list(blocks) == []
    assert source.report() is None


def test_a_device_that_comes_back_leaves_a_gap_of_the_time_away(device: Device) -> None:
    """Unplugged and plugged in again, its samples continue at the position by the clock."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    device.send("torn", *(f"{i},5" for i in range(10)))
    assert positions(collect(blocks, 10)) == list(range(10))
    lost_s = clock.now_s
    device.unplug()
    assert all(next(blocks) is None for _ in range(10))
    assert clock.now_s > lost_s
    device.plug()
    for _ in itertools.takewhile(lambda _: source.reconnects == 0, blocks):
        pass
    device.send("torn", "0,6", "1,6")
    expected = 9 + round((clock.now_s - lost_s) * 250)
    assert positions(collect(blocks, 2)) == [expected, expected + 1]
    assert source.reconnects == 1
    source.close()


def test_retries_back_off_to_five_seconds(device: Device) -> None:
    """A device that stays away is tried less and less often, and the reader stays awake."""
    clock = Clock()
    source = opened(device, clock)
    blocks = source.blocks()
    device.unplug()
    for _ in range(200):
        before_s = clock.now_s
        assert next(blocks) is None
        assert clock.now_s - before_s <= 0.25
    assert clock.now_s - 1000 > 30
    source.close()


def test_absent_busy_and_wrong_devices_are_one_clear_line(device: Device, tmp_path: Path) -> None:
    """At the start each of them is a DeviceError that names the problem."""
    source = opened(device, Clock())
    form = LineFormat(rate_hz=250, gain=200, leads=("serial",))
    (tmp_path / "file").write_text("x")
    for path, message in [
        (device.path, "busy"),
        (tmp_path / "nope\x1b[2J", "not there"),
        (tmp_path / "file", "no serial port"),
        (tmp_path, "no serial port"),
        (Path("/dev/null"), "cannot be used"),
    ]:
        with pytest.raises(DeviceError, match=message) as caught:
            SerialSource(str(path), form, baud=115_200, stream="s")
        assert str(caught.value).isprintable()
    source.close()


# --- lines and positions, without a port -----------------------------------------------------


@given(
    lines=st.lists(
        st.one_of(
            st.integers(-(10**7), 10**7).map(str),
            st.tuples(st.integers(0, 10**9), st.integers(-999, 999)).map(
                lambda t: f"{t[0]},{t[1]}"
            ),
            st.text("0123456789,-x ", max_size=60),
        ),
        max_size=20,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
def test_how_bytes_arrive_does_not_matter(lines: list[str], cuts: list[int]) -> None:
    """Any way of cutting the bytes yields the same readings, and long lines are never held."""
    data = "\n".join(["torn", *lines, ""]).encode()
    whole = LineReader()
    expected = whole.push(data)
    pieces = LineReader()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    got = [reading for a, b in itertools.pairwise(edges) for reading in pieces.push(data[a:b])]
    assert got == expected
    assert pieces.rejected == whole.rejected == len(lines) - len(expected)


@given(st.lists(st.binary(max_size=80), max_size=40))
def test_any_bytes_are_survived_in_bounded_memory(parts: list[bytes]) -> None:
    """Random bytes are readings or counted; a line without end is not collected."""
    reader = LineReader()
    for part in parts:
        for reading in reader.push(part):
            assert abs(reading.values[0] or 0) < 10**8
        assert len(reader._tail) <= MAX_LINE_BYTES


def placed(tracker: PositionTracker, number: int | None, now_s: float) -> list[int]:
    """Return the positions that a reading brings."""
    return [position for position, _ in tracker.track(Reading(number, (0,), (False,)), now_s)]


def test_a_device_that_starts_again_is_placed_by_the_clock() -> None:
    """An impossible number is skipped until the next one confirms it; then the clock decides."""
    tracker = PositionTracker(250)
    assert [placed(tracker, i, i / 250) for i in range(1000, 1010)] == [[i] for i in range(10)]
    assert placed(tracker, 40_000, 1010 / 250) == []
    assert placed(tracker, 1011, 1011 / 250) == []
    assert placed(tracker, 1012, 1012 / 250) == [11, 12]
    assert placed(tracker, 0, 1500 / 250) == []
    assert placed(tracker, 1, 1501 / 250) == [12 + (1501 - 1012)]
    assert placed(tracker, 2, 1502 / 250) == [12 + (1502 - 1012)]
    assert tracker.implausible == 2


@pytest.mark.parametrize("damaged", [102, 150, 340, 9])
def test_a_damaged_number_moves_nothing(damaged: int) -> None:
    """A plausible wrong number would shift all later samples: the next number exposes it."""
    tracker = PositionTracker(250)
    numbers = [*range(90, 100), damaged, *range(101, 110)]
    got = [one for i, number in enumerate(numbers) for one in placed(tracker, number, i / 250)]
    assert got == [i for i in range(20) if i != 10]
    assert tracker.implausible == 1


OUT_OF_ORDER = {
    "late": [*range(1000), *range(2000, 2750), *range(1200, 1900)],
    "early": [*range(1000), *range(1500, 2000), *range(1000, 1500)],
    "the newest first": [*range(1000), *range(1800, 2000), *range(1400, 1800), *range(1000, 1400)],
    "in between": [n for i in range(1000) for n in ((1000 + i, 300 + i) if i > 500 else (i,))],
}
"""Numbers of a burst of lines; from the last one's second on the device is in time again."""


@pytest.mark.parametrize("burst", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_lines_out_of_order_by_seconds_move_nothing(burst: list[int]) -> None:
    """What follows lies where its number and the clock say; of the burst, what is in order."""
    tracker = PositionTracker(250)
    now_s = len(burst) / 250
    for i, number in enumerate(burst):
        placed(tracker, number, (i if i < 1000 else 1000) / 250)
    later = range(max(burst) + 1, max(burst) + 1000)
    got = [one for n in later for one in placed(tracker, n, now_s + (n - later[0]) / 250)]

    # A count that is far ahead of the clock needs a second to be believed.
    assert got[-500:] == list(later)[-500:]


def test_a_device_that_starts_again_in_its_first_seconds_is_believed_after_a_second() -> None:
    """Its numbers could be late ones; the clock places it. After a silence it is at once."""
    tracker = PositionTracker(250)
    assert [placed(tracker, i, i / 250) for i in range(500)] == [[i] for i in range(500)]
    got = [one for i in range(1000) for one in placed(tracker, i, (500 + i) / 250)]
    assert got == list(range(750, 1500))

    silent_s = 1500 / 250 + 2.0
    assert placed(tracker, 0, silent_s) == []
    assert placed(tracker, 1, silent_s + 0.004) == [2001]


def test_every_second_line_lost_loses_no_other() -> None:
    """A jump that the next jump confirms is one."""
    tracker = PositionTracker(250)
    got = [one for i in range(0, 40, 2) for one in placed(tracker, i, i / 250)]
    assert got == list(range(0, 38, 2))
    assert tracker.release() == [(38, Reading(38, (0,), (False,)))]
    assert tracker.implausible == 0


def test_without_numbers_only_a_long_silence_is_a_gap() -> None:
    """Silence under a second leaves no gap; after a longer one the clock decides its length."""
    tracker = PositionTracker(100)
    assert placed(tracker, None, 0.0) == [0]
    assert placed(tracker, None, 0.9) == [1]
    assert placed(tracker, None, 2.9) == [201]


@given(st.lists(st.tuples(st.integers(0, SEQUENCE_MODULUS - 1), st.floats(0, 10)), max_size=50))
def test_positions_only_grow(steps: list[tuple[int, float]]) -> None:
    """Whatever numbers a device sends, no position comes twice or goes back."""
    tracker, now_s, last = PositionTracker(250), 0.0, -1
    for number, wait_s in steps:
        now_s += wait_s
        for position in placed(tracker, number, now_s):
            assert position > last
            last = position


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_numbers_that_came_round_in_a_silence_are_counted(rounds: int) -> None:
    """The clock decides how often: an hour of silence is not a gap of seconds."""
    tracker = PositionTracker(250)
    assert placed(tracker, 10, 0.0) == [0]
    missing = rounds * SEQUENCE_MODULUS + 500
    back_s = (missing + 3) / 250
    assert placed(tracker, 510, back_s) + placed(tracker, 511, back_s) == [missing, missing + 1]


def test_a_device_that_goes_while_it_is_opened_is_a_device_that_is_not_there(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`termios.error` is no OSError, and no end of a source."""

    def disappear(*_: object, **__: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr("replay.devices.lines.serial_device.serial.Serial", disappear)
    with pytest.raises(DeviceError, match="cannot be used"):
        opened(device, Clock())
