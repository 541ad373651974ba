"""The source's clock: a few milliseconds in spite of drift and jitter, and steps found once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schema.state import decode, encode
from pipeline.signal.source_clock import LINE_S, STEP_STAMPS, SourceClock, SourceClockState, _median

FS_HZ = 250.0
BEGAN = 1_780_000_000.0
CHUNK = 63


def stamps(
    seconds: float, ppm: float = 0.0, jitter_s: float = 0.05, seed: int = 1
) -> list[tuple[int, float, float]]:
    """Return (sample, time by the source's clock, stamp) of a device that runs ``ppm`` fast."""
    rng = np.random.default_rng(seed)
    samples = np.arange(CHUNK, round(seconds * FS_HZ), CHUNK) - 1
    times = BEGAN + samples / (FS_HZ * (1 + ppm * 1e-6))
    jitter = rng.uniform(-jitter_s, jitter_s, samples.size)
    return list(zip(samples.tolist(), times, times + jitter, strict=True))


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 200.0])
def test_an_hour_of_drift_and_jitter_costs_at_most_5_ms(ppm: float) -> None:
    """From the fifth minute on; the nominal rate alone would be off by 720 ms."""
    clock = SourceClock(FS_HZ)
    worst = 0.0
    for sample, true_s, stamp_s in stamps(3600.0, ppm):
        assert clock.observe(sample, stamp_s) is None
        if sample > 5 * LINE_S * FS_HZ:
            found = clock.utc_s(sample - 40)
            assert found is not None
            worst = max(worst, abs(found + 40 / FS_HZ - true_s))
    assert worst < 5e-3 + 40 / FS_HZ * 200e-6


def test_an_hour_of_stamps_takes_little_memory_and_is_saved_whole() -> None:
    """Three thousand in ten minutes; a clock that continues from the state says the same."""
    clock = SourceClock(FS_HZ)
    for sample, _, stamp_s in stamps(3600.0, ppm=3e4):
        clock.observe(sample, float(stamp_s))
    arrays = clock.state.stamps.offsets, clock.state.stamps.seconds
    assert sum(array.nbytes for array in arrays) <= 42_000

    state = decode(1, encode(1, clock.state), SourceClockState)
    again = SourceClock(FS_HZ, state)
    assert again.rate_off() == clock.rate_off() == pytest.approx(0.03, abs=1e-3)
    assert again.utc_s(sample) == clock.utc_s(sample)


def test_before_a_minute_the_nominal_rate_holds() -> None:
    """A line through ten seconds of jitter would point anywhere."""
    clock = SourceClock(FS_HZ)
    assert clock.utc_s(0) is None
    for sample, true_s, stamp_s in stamps(LINE_S / 2):
        clock.observe(sample, stamp_s)
        assert clock.utc_s(sample) == pytest.approx(true_s, abs=0.11)
    assert clock.utc_s(sample) == pytest.approx(true_s, abs=0.02)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 1.5])
def test_step_of_the_clock_is_reported_once(step_s: float) -> None:
    """With its size; afterwards the new time holds."""
    clock = SourceClock(FS_HZ)
    found = []
    for sample, true_s, stamp_s in stamps(300.0):  # noqa: B007  (the last one counts)
        late = step_s * (sample > 150 * FS_HZ)
        found.append(clock.observe(sample, stamp_s + late))
    assert [step for step in found if step is not None] == [pytest.approx(step_s, abs=0.1)]
    assert clock.utc_s(sample) == pytest.approx(true_s + step_s, abs=0.02)


def test_wrong_stamps_are_no_step_and_move_nothing() -> None:
    """One stamp in twenty is off by a minute, each by another amount."""
    clock = SourceClock(FS_HZ)
    rng = np.random.default_rng(3)
    for n, (sample, true_s, stamp_s) in enumerate(stamps(300.0)):
        wrong = rng.uniform(-60, 60) if n % 20 == 7 else 0.0
        assert clock.observe(sample, stamp_s + wrong) is None
        if sample > 2 * LINE_S * FS_HZ:
            assert clock.utc_s(sample) == pytest.approx(true_s, abs=0.02)


def test_repeated_stamps_change_nothing() -> None:
    """A chunk that comes twice has one time."""
    clock = SourceClock(FS_HZ)
    for sample, _, stamp_s in stamps(100.0):
        clock.observe(sample, stamp_s)
    before = clock.utc_s(10_000)
    for sample, _, stamp_s in stamps(100.0):
        clock.observe(sample, stamp_s + 0.02)
    assert clock.utc_s(10_000) == before


@pytest.mark.parametrize("share", [-0.03, -0.012, 0.0, 0.012, 0.03])
def test_rate_is_known_to_half_a_percent_within_ten_seconds(share: float) -> None:
    """Of a device that says 250 samples a second and sends some percent more or fewer."""
    clock = SourceClock(FS_HZ)
    for sample, _, stamp_s in stamps(10.0, ppm=1e6 * share):
        clock.observe(sample, stamp_s)
    assert clock.rate_off() == pytest.approx(share, abs=0.005)


def test_rate_is_not_guessed_from_a_few_stamps() -> None:
    """Five seconds of jitter say nothing."""
    clock = SourceClock(FS_HZ)
    for sample, _, stamp_s in stamps(5.0):
        clock.observe(sample, stamp_s)
    assert clock.rate_off() is None


def test_erratic_stamps_take_no_memory() -> None:
    """A clock that jumps to and fro for a day: only the last wrong ones are of use."""
    clock = SourceClock(FS_HZ)
    for n, (sample, _, stamp_s) in enumerate(stamps(3600.0)):
        clock.observe(sample, stamp_s + (0.0 if n < 20 else 50.0 * (n % 7) ** 2))
    assert len(clock.state.outliers) <= STEP_STAMPS + 1


@pytest.mark.parametrize("stall_s", [0.5, 1.5, 4.0, 15.0])
@pytest.mark.parametrize("at_s", [5.0, 30.0, 200.0])
def test_a_source_that_was_held_up_has_a_clock_that_did_not_step(
    at_s: float, stall_s: float
) -> None:
    """What it had not read comes in a burst, stamped when it was read: no step, no other rate."""
    clock = SourceClock(FS_HZ)
    for sample, true_s, stamp_s in stamps(at_s + stall_s + 60.0):
        held_up = BEGAN + at_s < true_s < BEGAN + at_s + stall_s
        read_s = BEGAN + at_s + stall_s + 1e-5 * sample if held_up else stamp_s
        assert clock.observe(sample, read_s) is None
        off = clock.rate_off()
        assert off is None or abs(off) < 0.01
        if true_s > BEGAN + 2.0:
            assert clock.utc_s(sample) == pytest.approx(true_s, abs=0.15)


def device(
    factor: float, seconds: float, block_s: float, began_s: float = 0.0, first: int = 0
) -> list[tuple[int, float]]:
    """Return (sample, stamp) of a device that sends ``factor`` times `FS_HZ`, read with jitter."""
    rng = np.random.default_rng(5)
    read_s = began_s + np.arange(block_s, seconds, block_s)
    samples = first + ((read_s - began_s) * FS_HZ * factor).astype(np.int64)
    late_s = rng.uniform(0.0, 0.1, samples.size)
    return list(zip(samples.tolist(), (BEGAN + read_s + late_s).tolist(), strict=True))


@pytest.mark.parametrize("block_s", [0.02, 0.25, 1.0])
@pytest.mark.parametrize("factor", [0.1, 0.3, 0.5, 0.8, 0.85, 1.2, 1.25, 2.0, 3.9, 4.1, 10.0])
def test_a_rate_wrong_by_any_factor_is_measured_and_is_no_step(
    factor: float, block_s: float
) -> None:
    """From half a minute at the latest on, to 1 %, first within 14 s; the line follows it."""
    clock = SourceClock(FS_HZ)
    known_after_s = None
    for sample, stamp_s in device(factor, 60.0, block_s):
        assert clock.observe(sample, stamp_s) is None
        off = clock.rate_off()
        if off is not None and known_after_s is None:
            known_after_s = stamp_s - BEGAN
        if stamp_s - BEGAN > 30.0:
            assert off == pytest.approx(factor - 1.0, abs=0.01 * factor)
            assert clock.utc_s(sample) == pytest.approx(stamp_s, abs=0.2)
    assert known_after_s is not None
    assert known_after_s < 14.0


def test_a_device_that_is_set_right_has_its_stated_rate_again() -> None:
    """Its program is mended and started again: another rate, and no step, both ways."""
    clock = SourceClock(FS_HZ)
    last, found = 0, []
    for n, factor in enumerate((1.0, 1.5, 1.0)):
        sent = device(factor, 40.0, 0.25, began_s=40.0 * n, first=last)
        assert all(clock.observe(*stamp) is None for stamp in sent)
        last = sent[-1][0]
        found.append(clock.rate_off())
    assert found == [pytest.approx(off, abs=0.02) for off in (0.0, 0.5, 0.0)]


def test_a_step_is_one_also_of_a_source_with_another_rate() -> None:
    """The line has its rate by then."""
    clock = SourceClock(FS_HZ)
    stepped = [
        clock.observe(sample, stamp_s + 3600.0 * (stamp_s > BEGAN + 40.0))
        for sample, stamp_s in device(2.0, 60.0, 0.25)
    ]
    assert [step for step in stepped if step] == [pytest.approx(3600.0, abs=0.2)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_median_is_that_of_numpy(values: list[float]) -> None:
    """To the last bit, of even and odd numbers of values."""
    assert _median(np.array(values)) == np.median(values)
