"""Fast beats of a heart repeat themselves or keep time; what motion adds does not."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.organisation import BEATS, Organisation, OrganisationState
from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES

EVEN = [0.4] * 16
UNEVEN = [
    0.33,
    0.66,
    0.35,
    0.36,
    0.64,
    0.3,
    0.7,
    0.36,
    0.34,
    0.62,
    0.25,
    0.75,
    0.35,
    0.33,
    0.66,
    0.4,
]


def complexes(changing: float, seed: int = 1, moved: int = 0) -> Organisation:
    """Return beats that share a shape, less the part that is new in each; R up to ``moved`` off."""
    rng = np.random.default_rng(seed)
    shape, organisation = smooth(rng), Organisation()
    for _ in range(BEATS):
        window = (1.0 - changing) * shape + changing * smooth(rng)
        organisation.take(np.roll(window, rng.integers(-moved, moved + 1)).astype(np.float32))
    return organisation


def smooth(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return waves of 5 to 15 Hz, float64[320]."""
    waves = np.convolve(rng.normal(size=WINDOW_SAMPLES), np.hanning(37), "same")
    waves /= np.abs(waves).max()
    return waves


def test_complexes_that_repeat_themselves_need_not_keep_time() -> None:
    """Atrial fibrillation, whose R peak may be found 30 ms off."""
    assert complexes(0.2).holds(UNEVEN)
    assert complexes(0.0, moved=11).holds(UNEVEN)


def test_complexes_that_keep_time_need_not_repeat_themselves() -> None:
    """A tachycardia of several shapes; one interval in four may be another."""
    assert complexes(1.0).holds(EVEN)
    assert complexes(1.0).holds([*EVEN[:12], 0.6, 0.2, 0.6, 0.2])


@pytest.mark.parametrize("seed", range(5))
def test_complexes_that_do_neither_are_not_organised(seed: int) -> None:
    """Motion of an electrode; the gain of its windows does not matter."""
    assert not complexes(1.0, seed).holds(UNEVEN)


def test_nothing_is_said_of_shapes_that_are_not_known() -> None:
    """At first, and where half of the latest windows are missing."""
    organisation = complexes(1.0)
    for k in range(BEATS // 2 + 1):
        assert not organisation.holds(UNEVEN), k
        organisation.take(None)
    assert organisation.holds(UNEVEN)
    assert Organisation().holds(UNEVEN)


def test_compared_is_what_lies_around_the_r_peak() -> None:
    """The rest of a window holds the waves of other beats."""
    rng, organisation = np.random.default_rng(4), Organisation()
    shape = smooth(rng)
    for _ in range(BEATS):
        window = smooth(rng)
        part = slice(WINDOW_BEFORE_R - 50, WINDOW_BEFORE_R + 70)
        window[part] = shape[part]
        organisation.take(window.astype(np.float32))
    assert organisation.median_likeness() > 0.99


def test_one_lead_in_which_beats_are_alike_is_enough() -> None:
    """An electrode that moves hides it in its lead; beats are compared within each."""
    rng = np.random.default_rng(6)
    shape = smooth(rng)
    both = Organisation(OrganisationState.fresh(2))
    moving = Organisation()
    for _ in range(17):
        noise = smooth(rng)
        both.take(np.stack((noise, shape)))
        moving.take(noise)
    assert not moving.holds(UNEVEN)
    assert both.holds(UNEVEN)


def test_likeness_is_the_highest_correlation_of_all_lags() -> None:
    """By numpy: of each beat, shifted by up to four values, with the one before."""
    organisation = complexes(0.5)
    organisation.take(None)  # not alike anything
    (shapes,) = organisation.state.leads
    lags = range(9)
    expected = [
        max(float(np.corrcoef(after[lag : lag + 30], before[4:34])[0, 1]) for lag in lags)
        for before, after in pairwise(shapes[:-1])
    ]

    (alike,) = organisation.likeness()
    np.testing.assert_allclose(alike[:-1], expected, rtol=1e-6)
    assert np.isnan(alike[-1])
    assert organisation.median_likeness() == pytest.approx(np.median(expected), rel=1e-6)
