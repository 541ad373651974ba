"""Heart rate variability of five minutes, beside an independent program."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.trends.variability import PERIOD_S, variability


def sinus(seed: int, lf_ms: float, hf_ms: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return R peaks and intervals of five minutes that breathe at 0.25 Hz and sway at 0.1 Hz."""
    rng, times = np.random.default_rng(seed), [0.0]
    while times[-1] < PERIOD_S:
        t = times[-1]
        sway = lf_ms * np.sin(2 * np.pi * 0.1 * t) + hf_ms * np.sin(2 * np.pi * 0.25 * t)
        times.append(t + 0.85 + 1e-3 * (sway + rng.normal(0.0, 3.0)))
    peaks = np.array(times[:-1])
    return peaks, np.concatenate([[np.nan], np.diff(peaks)])


@pytest.mark.parametrize(("lf_ms", "hf_ms"), [(30.0, 20.0), (10.0, 50.0), (60.0, 10.0)])
def test_it_is_what_neurokit_says(
    lf_ms: float, hf_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of the time domain to a thousandth, the powers within a tenth."""
    times, rr = sinus(3, lf_ms, hf_ms)
    found = variability(times, rr, np.ones(len(times), dtype=np.bool_))
    assert found is not None
    peaks = {"RRI": 1e3 * rr[1:], "RRI_Time": times[1:]}
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # its name before NumPy 2.4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        by_time = neurokit2.hrv_time(peaks).iloc[0]
        by_power = neurokit2.hrv_frequency(peaks, normalize=False).iloc[0]

    assert found.sdnn_ms == pytest.approx(by_time["HRV_SDNN"], rel=1e-3)
    assert found.rmssd_ms == pytest.approx(by_time["HRV_RMSSD"], rel=1e-3)
    assert 100 * found.pnn50 == pytest.approx(by_time["HRV_pNN50"], abs=0.4)
    assert found.lf_hf == pytest.approx(by_power["HRV_LF"] / by_power["HRV_HF"], rel=0.1)
    for power, amplitude in ((found.lf_ms2, lf_ms), (found.hf_ms2, hf_ms)):
        assert power == pytest.approx(amplitude**2 / 2, rel=0.2)  # of a sine


def test_ectopic_beats_do_not_alter_it() -> None:
    """Early beats with their pauses are left out; uncorrected, they would be most of it."""
    times, rr = sinus(5, 30.0, 20.0)
    plain = variability(times, rr, np.ones(len(times), dtype=np.bool_))
    early, normal = times.copy(), np.ones(len(times), dtype=np.bool_)
    normal[20::25] = False
    early[~normal] -= 0.3
    rr_early = np.concatenate([[np.nan], np.diff(early)])
    corrected = variability(early, rr_early, normal)
    uncorrected = variability(early, rr_early, np.ones(len(times), dtype=np.bool_))

    assert plain is not None
    assert corrected is not None
    assert uncorrected is not None
    assert corrected.sdnn_ms == pytest.approx(plain.sdnn_ms, rel=0.05)
    assert corrected.rmssd_ms == pytest.approx(plain.rmssd_ms, rel=0.05)
    assert corrected.lf_ms2 == pytest.approx(plain.lf_ms2, rel=0.2)
    assert corrected.hf_ms2 == pytest.approx(plain.hf_ms2, rel=0.2)
    assert uncorrected.rmssd_ms > 3 * plain.rmssd_ms


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_too_little_sinus_rhythm_says_nothing(n: int, share: float, seed: int) -> None:
    """Whatever the beats are, there is a figure only where four of five intervals are normal."""
    rng = np.random.default_rng(seed)
    rr = rng.uniform(0.3, 1.5, n)
    normal = rng.uniform(size=n) < share
    found = variability(np.cumsum(rr), rr, normal)

    both = int(np.sum(normal[1:] & normal[:-1]))
    if both < 0.8 * n or both < 120 or rr.sum() < 0.8 * PERIOD_S:
        assert found is None
    else:
        assert found is not None
        assert min(found.sdnn_ms, found.rmssd_ms, found.pnn50, found.lf_ms2, found.hf_ms2) >= 0
