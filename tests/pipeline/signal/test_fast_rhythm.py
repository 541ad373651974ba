"""Rhythms too fast for single beats: found as a repetition, and in nothing that only looks so."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.signal.fast_rhythm import Change
from pipeline.signal.filters import QRS, filter_bank
from pipeline.signal.kernels import repetition, sampling
from pipeline.signal.leads.lead_state import LeadState
from pipeline.signal.quality import Reason
from tests.support.fast_rhythm_watch import FastRhythmWatch

FS = 360


def beats(
    bpm: float,
    seconds: float = 12.0,
    *,
    r_mv: float = 1.0,
    sd_s: float = 0.012,
    t_mv: float = 0.0,
    t_at_s: float = 0.1,
    t_sd_s: float = 0.04,
    alternating: float = 0.0,
) -> NDArray[np.float64]:
    """Return narrow complexes at a rate, each with a T wave; every second one may be lower."""
    t = np.arange(round(seconds * FS)) / FS
    x = np.zeros(t.size)
    for n, at in enumerate(np.arange(0.3, seconds, 60.0 / bpm)):
        r = r_mv * (1.0 - alternating * (n % 2))
        x += r * np.exp(-0.5 * ((t - at) / sd_s) ** 2)
        x -= 0.25 * r * np.exp(-0.5 * ((t - at - 0.028) / sd_s) ** 2)
        x += t_mv * np.exp(-0.5 * ((t - at - t_at_s) / t_sd_s) ** 2)
    return x


def noise(x: NDArray[np.float64], mv: float) -> NDArray[np.float64]:
    """Return the signal with white noise of so many mV rms."""
    noisy: NDArray[np.float64] = x + mv * np.random.default_rng(5).normal(size=x.size)
    return noisy


def band(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the QRS band of a signal, as the segmenter filters it."""
    out = np.empty((3, x.size), dtype=np.float32)
    x = x.astype(np.float32)
    sampling.filter_bank(x, x, filter_bank(), LeadState.fresh(0).filters, out)
    y: NDArray[np.float32] = out[QRS]
    return y


def watch(x: NDArray[np.float64], masked: NDArray[np.uint8] | None = None) -> list[Change]:
    """Return all changes of a whole signal that are sure."""
    unmasked = np.zeros(x.size, np.uint8)
    changes = FastRhythmWatch().push(band(x), unmasked if masked is None else masked)
    return [change for change in changes if change.sure]


@pytest.mark.parametrize("bpm", [290.0, 300.0, 320.0, 350.0, 400.0])
@pytest.mark.parametrize("alternating", [0.0, 0.2])
def test_what_is_too_fast_for_single_beats_is_found(bpm: float, alternating: float) -> None:
    """Sure within five seconds, and its rate within 5 %; over within five seconds of its end."""
    fast = beats(bpm, alternating=alternating, t_mv=0.15, t_at_s=0.09, t_sd_s=0.03)
    begin, end = watch(noise(np.concatenate((beats(100.0), fast, beats(100.0))), 0.02))
    assert begin.active
    assert begin.position / FS - 12 <= 5.0
    assert abs(begin.begun_at / FS - 12) <= 1.0
    assert begin.bpm == pytest.approx(bpm, rel=0.05)
    assert not end.active
    assert 24 <= end.position / FS <= 29


@pytest.mark.parametrize("silence_s", [0.0, 0.9, 2.0])
def test_stream_that_begins_so_fast_may_be_fast_before_an_asystole(silence_s: float) -> None:
    """From two and a half seconds of it on, until that is sure; before, and later, it may not."""
    x = noise(np.concatenate((np.zeros(round(silence_s * FS)), beats(300.0))), 0.005)

    may_be, sure = FastRhythmWatch().push(band(x), np.zeros(x.size, np.uint8))

    assert (may_be.sure, sure.sure) == (False, True)
    assert may_be.active
    assert may_be.position / FS <= silence_s + 2.5
    assert sure.active


def test_what_never_proves_a_fast_rhythm_may_be_one_for_five_seconds() -> None:
    """A rate that jumps each second and a half repeats itself for one second, never for three."""
    parts = [beats(bpm, 1.5) for bpm in (300.0, 400.0) * 8]
    x = noise(np.concatenate(parts), 0.005)

    changes = FastRhythmWatch().push(band(x), np.zeros(x.size, np.uint8))

    assert changes
    assert not any(change.sure for change in changes)
    for begin, end in pairwise(changes):
        assert begin.active != end.active
        assert not begin.active or end.position - begin.position <= 5 * FS


@pytest.mark.parametrize("bpm", [40.0, 75.0, 100.0, 150.0, 200.0, 250.0])
def test_slower_beats_are_left_to_the_detector(bpm: float) -> None:
    """It finds each of them; what repeats at a multiple of their period is no faster rhythm."""
    assert watch(noise(beats(bpm, 30.0, t_mv=0.3), 0.02)) == []


@pytest.mark.parametrize(("bpm", "t_at_s"), [(150.0, 0.2), (140.0, 0.214), (170.0, 0.176)])
@pytest.mark.parametrize("t_mv", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("t_sd_s", [0.027, 0.04])
def test_t_wave_halfway_between_two_beats_is_no_beat(
    bpm: float, t_at_s: float, t_mv: float, t_sd_s: float
) -> None:
    """Two peaks a beat, the T wave of any height: only every second is like the first."""
    assert watch(beats(bpm, 20.0, t_mv=t_mv, t_at_s=t_at_s, t_sd_s=t_sd_s)) == []


@pytest.mark.parametrize("block", [2, 3, 4])
@pytest.mark.parametrize("flutter_mv", [0.2, 0.4])
def test_atrial_flutter_is_no_fast_ventricular_rhythm(block: int, flutter_mv: float) -> None:
    """Flutter waves come at 300 a minute, the QRS complexes with every second to fourth."""
    t = np.arange(30 * FS) / FS
    saw = flutter_mv * (np.mod(t * 5.0, 1.0) - 0.5)
    assert watch(saw + beats(300.0 / block, 30.0, r_mv=0.6)) == []


@pytest.mark.parametrize("hz", [3.0, 5.0, 8.3, 12.5, 16.7, 50.0, 60.0])
def test_waves_that_are_no_beats_are_none(hz: float) -> None:
    """Mains and tremor are sines: as alike sooner, or beside the QRS complexes next to nothing."""
    t = np.arange(20 * FS) / FS
    assert watch(0.5 * np.sin(2 * np.pi * hz * t) + beats(75.0, 20.0)) == []


def test_noise_and_what_is_too_small_are_none() -> None:
    """White noise, muscle noise, and complexes below 150 uV."""
    assert watch(noise(np.zeros(60 * FS), 0.3)) == []
    assert watch(beats(320.0, r_mv=0.12)) == []


def test_lost_samples_say_nothing_and_noisy_ones_do() -> None:
    """What is only noisy is still watched; with a tenth of it lost nothing is said."""
    x = beats(320.0, 20.0)
    masked = np.zeros(x.size, np.uint8)
    masked[:] = Reason.NOISE
    assert [change.active for change in watch(x, masked)] == [True]
    masked[::7] = Reason.SATURATED
    assert watch(x, masked) == []


@settings(max_examples=25)
@given(st.lists(st.integers(1, 15 * FS), max_size=30))
def test_chunking_changes_nothing(cuts: list[int]) -> None:
    """Sample by sample or at once: the same changes, bit for bit."""
    x = band(np.concatenate((beats(100.0, 4.0), beats(310.0, 7.0), beats(90.0, 6.0))))
    masked = np.zeros(x.size, np.uint8)
    masked[100:140] = Reason.SATURATED
    whole = FastRhythmWatch().push(x, masked)
    assert [change.sure for change in whole].count(True) == 2
    assert len(whole) > 2
    edges = sorted({0, x.size, *(cut for cut in cuts if cut < x.size)})
    part = FastRhythmWatch()
    pieces = [change for a, b in pairwise(edges) for change in part.push(x[a:b], masked[a:b])]
    assert pieces == whole


@pytest.mark.parametrize("n", [120, 360])
@pytest.mark.parametrize("repeats", [False, True])
def test_most_alike_lag_is_that_of_a_sum_in_order(n: int, *, repeats: bool) -> None:
    """The highest correlation of all lags, added up in order, is found to the bit, and where."""
    x = np.random.default_rng(n).normal(size=n)
    if repeats:
        x = np.resize(x[:22], n) + 0.3 * x
    energy = np.concatenate(([0.0], np.cumsum(x * x)))
    expected = {
        lag: sum((x[i] * x[i + lag] for i in range(n - lag)), start=0.0)
        / np.sqrt(energy[n - lag] * (energy[n] - energy[lag]))
        for lag in range(16, 28)
    }
    scratch, most = np.empty(2 * repetition.LONGEST + 2), max(expected.values())

    found = repetition._most_alike(x, energy, 16, 27, 0.0, scratch)

    assert found == (most, max(expected, key=lambda lag: expected[lag]))
    assert repetition._most_alike(x, energy, 16, 27, most, scratch) == found
    assert repetition._most_alike(x, energy, 16, 27, most + 1e-12, scratch) == (0.0, 0)
