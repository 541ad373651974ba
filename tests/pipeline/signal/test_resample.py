"""The conversion of the sampling rate: exact positions, equality with the reference, delay."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from pipeline.signal.filters import resampling
from pipeline.signal.kernels import sampling
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from tests.support import reference
from tests.support.limits import examples

RATES = [50, 100, 128, 200, 250, 257.3, 500, 512, 720, 1000, 2048, 10_000]


def streamed(clean: np.ndarray, codes: np.ndarray, fs: float, cuts: list[int]) -> tuple:
    """Resample a stream that begins at 0, cut into chunks."""
    rate = resampling(fs)
    history = np.zeros(2 * rate.half - 1, np.float32)
    counters = np.array([0, 0, 0, -(2**40), 0])
    values, masks = [], []
    edges = [0, *sorted(c for c in cuts if c < clean.size), clean.size]
    for a, b in itertools.pairwise(edges):
        inputs = np.concatenate((history, clean[a:b]))
        out = np.empty((b - a) * rate.per // rate.step + 2, np.float32)
        out_codes = np.empty(out.size, np.uint8)
        n = sampling.resample(
            inputs, codes[a:b], rate.step, rate.per, rate.taps, counters, out, out_codes
        )
        history = inputs[b - a :].copy()
        values.append(out[:n])
        masks.append(out_codes[:n])
    return np.concatenate(values), np.concatenate(masks)


@settings(max_examples=examples(5, 15))
@given(
    seed=st.integers(0, 2**32 - 1),
    fs=st.sampled_from(RATES[:-2]),
    cuts=st.lists(st.integers(0, 1000), max_size=20),
)
def test_any_chunks_equal_the_sinc_formula(seed: int, fs: float, cuts: list[int]) -> None:
    """However the input is cut, each output is the windowed sinc sum at its exact position."""
    rng = np.random.default_rng(seed)
    clean = (rng.normal(0, 1, 1000) + rng.uniform(-5, 5)).astype(np.float32)
    codes = (rng.random(1000) < 0.01).astype(np.uint8) * rng.integers(1, 7, 1000).astype(np.uint8)

    values, masks = streamed(clean, codes, fs, cuts)
    expected, expected_masks = reference.resample(clean, codes, fs)

    # Rates of more than 1024 phases take the nearest of them.
    atol = 1e-5 if resampling(fs).per <= 1024 else 1e-2
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)
    np.testing.assert_array_equal(masks, expected_masks)


@pytest.mark.parametrize("fs", RATES)
def test_a_slow_wave_keeps_its_shape(fs: float) -> None:
    """A 5 Hz sine comes out at the same times and size: the conversion delays nothing."""
    x = np.sin(2 * np.pi * 5 * np.arange(round(4 * fs)) / fs).astype(np.float32)

    values, _ = streamed(x, np.zeros(x.size, np.uint8), fs, [])

    t = np.arange(values.size) / 360
    settled = (t > 0.2) & (t < 3.8)
    # At 50 Hz six samples interpolate; from 100 Hz on it is better than one part in a hundred.
    assert np.abs(values - np.sin(2 * np.pi * 5 * t))[settled].max() < (0.03 if fs == 50 else 0.01)


@pytest.mark.parametrize("fs", [720, 1000, 2048, 10_000])
def test_what_would_fold_into_the_band_is_removed(fs: float) -> None:
    """A tone just over 360 - 45 Hz, which would fold into the band-pass, is down by 40 dB."""
    x = np.sin(2 * np.pi * 320 * np.arange(round(3 * fs)) / fs).astype(np.float32)

    values, _ = streamed(x, np.zeros(x.size, np.uint8), fs, [])

    assert np.abs(values[100:]).max() < 0.01


@pytest.mark.parametrize("fs", RATES)
def test_constants_stay(fs: float) -> None:
    """Every phase's weights add up to one."""
    assert np.allclose(resampling(fs).taps.sum(axis=1), 1.0)


def test_same_rate_is_passed_through() -> None:
    """At 360 Hz nothing is filtered and nothing waits."""
    x, _ = reference.ecg(5)
    segment = Segmenter(360).push(SampleBlock(7, x))

    assert resampling(360).half == resampling(360.000001).half == 0
    assert segment.strips[0].size == x.size
    assert segment.strip_first == 7


@pytest.mark.parametrize("fs", [100, 128, 130, 250, 257, 500, 512, 1000])
def test_an_ecg_is_that_of_the_offline_conversion(fs: float) -> None:
    """Within 1 % of the QRS of what Fourier interpolation of the whole record gives."""
    x, _ = reference.ecg(60, fs, seed=3, noise=0.0)
    x -= x[0]  # as the stream does
    seconds = 57
    offline = signal.resample(np.concatenate((x, x[::-1])), 2 * 60 * 360)[: seconds * 360]

    values, _ = streamed(x, np.zeros(x.size, np.uint8), fs, [])

    inner = slice(360, seconds * 360)
    assert np.abs(values[inner] - offline[inner]).max() < 0.01 * np.ptp(offline)


@pytest.mark.parametrize("fs", [100, 128, 130, 250, 257, 500, 512, 1000])
def test_a_window_is_ready_within_60_ms_of_its_last_sample(fs: float) -> None:
    """Beyond the 180 samples from R on, resampling, filters and detector wait for little more."""
    x, _ = reference.ecg(60, fs, seed=5)
    segmenter = Segmenter(fs)
    segment = segmenter.push(SampleBlock(0, x))

    waited_s = (segment.ready_samples - segment.samples) / fs - 180 / 360
    usual = np.quantile(waited_s[3:], 0.9)  # the first are learned from; a search back comes late
    assert usual < 0.06


@pytest.mark.parametrize("fs", RATES)
def test_delay_is_as_disclosed(fs: float) -> None:
    """An output waits for 20 ms of input after it, or for three samples under 150 Hz."""
    rate = resampling(fs)

    assert rate.half / fs <= max(0.02, 3 / fs)
    segment = Segmenter(fs).push(SampleBlock(0, np.zeros(round(fs), np.float32)))
    assert segment.strips[0].size == -(-(round(fs) - rate.half) * rate.per // rate.step)


@given(
    fs=st.one_of(st.sampled_from(RATES), st.floats(50, 10_000)),
    k=st.integers(0, 2**50),
)
def test_positions_are_exact(fs: float, k: int) -> None:
    """Going to the source's samples and back is integer arithmetic, for years of signal."""
    rate = resampling(fs)
    exact = Fraction(rate.step, rate.per) * k

    nearest = int(rate.to_source(np.array([k]))[0])

    assert abs(Fraction(nearest) - exact) <= Fraction(1, 2)
    assert rate.first_at(nearest) - 1 < Fraction(nearest) / Fraction(rate.step, rate.per)
    assert abs(rate.step / rate.per * 360 - fs) <= 1e-4  # as `resampling` states it
