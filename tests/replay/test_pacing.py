"""Samples are due by their number against the clock."""

import math

import pytest

from pipeline.errors import ConfigError
from replay.pacing import LONGEST_WAIT_S, MAX_BLOCK_SAMPLES, Pacer, parse_speed


class Clock:
    """A clock that moves only during a wait, and then by slightly too much."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.late_s = late_s
        self.longest_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let the time pass."""
        self.longest_s = max(self.longest_s, seconds)
        self.now_s += seconds + self.late_s


def test_without_a_wait_it_says_what_is_due_and_no_more() -> None:
    """For a reader of many records, which looks again by itself; blocks as long as it asks for."""
    clock = Clock()
    pacer = Pacer(250.0, 1.0, clock=clock, wait=None, block_s=0.2)
    assert pacer.block_samples == 50
    assert not pacer.wait_for(50)
    clock.now_s += 0.199
    assert not pacer.wait_for(50)
    clock.now_s += 0.002
    assert pacer.wait_for(50)
    assert not pacer.wait_for(100)
    assert clock.longest_s == 0.0


def test_readers_of_one_rate_that_begin_at_different_moments_are_due_together() -> None:
    """So many of them wake their reader once; none waits a block longer for it."""
    clock = Clock()
    begun_s, pacers = [], []
    for _ in range(5):
        pacer = Pacer(360.0, 1.0, clock=clock, wait=None)
        pacer.wait_for(7)
        begun_s.append(clock.now_s)
        pacers.append(pacer)
        clock.now_s += 0.007
    late_s = [pacer.due_at - at - 7 / 360 for pacer, at in zip(pacers, begun_s, strict=True)]
    blocks = [pacer.due_at * 360 / 7 for pacer in pacers]
    assert all(0 <= late < 7 / 360 for late in late_s)
    assert all(abs(block - round(block)) < 1e-6 for block in blocks)


def test_long_blocks_of_many_readers_are_due_one_after_the_other() -> None:
    """At a few moments of each block: a hub gets no burst of all, and the reader wakes seldom."""
    clock, due = Clock(), []
    for _ in range(200):  # that begin together, as a source's streams do
        pacer = Pacer(360.0, 1.0, clock=clock, wait=None, block_s=0.2)
        pacer.wait_for(72)
        due.append(round((pacer.due_at % 0.2) / 0.04) % 5)
        assert pacer.due_at - clock.now_s < 0.4
    assert [due.count(moment) for moment in range(5)] == [40] * 5


@pytest.mark.parametrize(("rate_hz", "speed"), [(360.0, 1.0), (250.0, 20.0), (128.3, 1.5)])
def test_an_hour_drifts_by_less_than_one_block(rate_hz: float, speed: float) -> None:
    """Waits that are each 1.7 ms too long do not add up."""
    clock = Clock(late_s=0.0017)
    pacer = Pacer(rate_hz, speed, clock=clock, wait=clock.wait)
    began_s, sent = clock.now_s, 0
    while sent < 3600 * rate_hz * speed:
        while not pacer.wait_for(sent + pacer.block_samples):
            pass
        sent += pacer.block_samples
        drift_s = (clock.now_s - began_s) - sent / (rate_hz * speed)
        assert 0 <= drift_s + 1e-6 < pacer.block_samples / (rate_hz * speed)


def test_a_block_covers_20_ms_of_the_clock_up_to_a_limit() -> None:
    """Faster replay means longer blocks, never longer than the limit; full speed uses it."""
    assert Pacer(360, 1).block_samples == 7
    assert Pacer(360, 20).block_samples == 144
    assert Pacer(50, 0.01).block_samples == 1
    assert Pacer(360, 5000).block_samples == MAX_BLOCK_SAMPLES
    assert Pacer(360, None).block_samples == MAX_BLOCK_SAMPLES


def test_no_wait_is_longer_than_a_source_may_be_silent() -> None:
    """A sample that is due later than 250 ms takes several calls, not one long wait."""
    clock = Clock()
    pacer = Pacer(100, 0.01, clock=clock, wait=clock.wait)
    assert [pacer.wait_for(1) for _ in range(4)] == [False, False, False, True]
    assert clock.longest_s <= LONGEST_WAIT_S


def test_what_became_due_during_a_stall_comes_without_waiting() -> None:
    """A reader that was held up for a second catches up at once."""
    clock = Clock()
    pacer = Pacer(100, 1, clock=clock, wait=clock.wait)
    assert pacer.wait_for(2)
    clock.now_s += 1.0
    clock.longest_s = 0.0
    assert all(pacer.wait_for(n) for n in range(3, 103))
    assert clock.longest_s == 0.0


def test_at_full_speed_the_clock_is_not_asked() -> None:
    """Everything is due at once."""
    assert Pacer(360, None, clock=lambda: math.nan).wait_for(10**12)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_a_speed_that_makes_no_sense_is_refused(speed: float) -> None:
    """Speeds are numbers from 0.01 to 10,000."""
    with pytest.raises(ConfigError, match="speed"):
        Pacer(360, speed)


def test_a_written_speed_is_a_number_or_max() -> None:
    """What a person writes is a number of times real time within the limits, or max."""
    assert parse_speed("max") is None
    assert parse_speed("1.5") == 1.5
    for text in ("", "fast", "0", "-1", "nan", "inf", "1e9"):
        with pytest.raises(ConfigError, match="max"):
            parse_speed(text)
