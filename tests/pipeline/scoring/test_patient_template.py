"""How a beat differs from what is usual in its patient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scoring.patient_template import (
    FEWEST_BEATS,
    KEPT_BEATS,
    KEPT_EVERY,
    PARTS,
    SHAPE_FEATURE_NAMES,
    SHAPE_FEATURES,
    PatientTemplate,
)

COLUMN = {name: at for at, name in enumerate(SHAPE_FEATURE_NAMES)}


def beat(*, width: float = 8.0, p: float = 0.2, sign: float = 1.0) -> np.ndarray:
    """Return a window with a P wave and a QRS complex."""
    ticks = np.arange(320)
    qrs = sign * np.exp(-(((ticks - 140) / width) ** 2))
    return (qrs + p * np.exp(-(((ticks - 80) / 12) ** 2)) - 0.1).astype(np.float32)


def learned(n: int = 20, seed: int = 0) -> PatientTemplate:
    """Return the memory of a patient whose beats differ by a little noise."""
    random = np.random.default_rng(seed)
    shape = PatientTemplate()
    for _ in range(n):
        noise = 0.02 * random.standard_normal(320).astype(np.float32)
        shape.remember(beat() + noise)
    return shape


def log_rms(x: np.ndarray) -> float:
    """Return the logarithm of the root mean square, above the floor."""
    return float(np.log(np.sqrt(np.mean(x**2)) + 0.01))


@settings(max_examples=20)
@given(n=st.integers(FEWEST_BEATS, 2 * KEPT_BEATS), seed=st.integers(0, 2**32 - 1))
def test_distances_are_those_of_a_slow_reference(n: int, seed: int) -> None:
    """Kept are the first beats and then every fifth; the rest follows from their medians."""
    windows = np.random.default_rng(seed).uniform(-1, 1, (n + 1, 320)).astype(np.float32)
    shape = PatientTemplate()
    for window in windows[:-1]:
        shape.remember(window)
    kept: list[np.ndarray] = []
    for number, window in enumerate(windows[:-1].astype(np.float64), 1):
        if len(kept) < KEPT_BEATS:
            kept.append(window)
        elif number % KEPT_EVERY == 0:
            kept = [*kept[1:], window]
    template = np.median(kept, axis=0)

    features = shape.compare(windows[-1])

    for name, part in PARTS.items():
        usual = [log_rms((one - template)[part]) for one in kept]
        further = log_rms((windows[-1] - template)[part]) - np.median(usual)
        spread = np.quantile(usual, 0.9) - np.median(usual)
        assert features[COLUMN[f"{name}_distance"]] == pytest.approx(further, abs=1e-4)
        assert features[COLUMN[f"{name}_distance_in_spreads"]] == pytest.approx(
            np.clip(further / (0.1 + spread), -6, 12), abs=1e-3
        )
    got, wanted = windows[-1].astype(np.float64), template
    assert features[COLUMN["whole_correlation"]] == pytest.approx(
        np.corrcoef(got, wanted)[0, 1], abs=1e-4
    )


def test_features_are_zero_before_anything_is_usual() -> None:
    """Until the fewest beats that make a template are known, all features are zero."""
    shape = PatientTemplate()

    compared = []
    for _ in range(FEWEST_BEATS + 1):
        compared.append(shape.compare(beat()))
        shape.remember(beat())

    assert all(not features.any() for features in compared[:-1])
    assert compared[-1][0] == 1.0


def test_comparing_teaches_nothing() -> None:
    """Any number of beats that were only compared leaves what is usual as it was."""
    taught, plain = learned(), learned()
    for _ in range(200):
        taught.compare(beat(sign=-1.0))

    np.testing.assert_array_equal(taught.compare(beat(width=16)), plain.compare(beat(width=16)))


def test_each_wave_has_features_of_its_own() -> None:
    """A missing P wave shows before the QRS, a wide QRS in it, and the patient's own in neither."""
    shape = learned()

    own, no_p, wide = (shape.compare(window) for window in (beat(), beat(p=0.0), beat(width=24.0)))

    assert no_p[COLUMN["p_distance"]] > own[COLUMN["p_distance"]] + 1
    assert no_p[COLUMN["qrs_distance"]] < wide[COLUMN["qrs_distance"]] - 1
    assert wide[COLUMN["qrs_width"]] > 0.5 > abs(own[COLUMN["qrs_width"]])
    assert own[COLUMN["qrs_correlation"]] > 0.99 > wide[COLUMN["qrs_correlation"]]


def test_r_taken_a_little_off_is_still_recognised() -> None:
    """The correlation at the best lag bears an R peak some ticks beside the usual one."""
    features = learned().compare(np.roll(beat(), 9))

    assert features[COLUMN["qrs_correlation"]] < 0.7
    assert features[COLUMN["qrs_correlation_at_best_lag"]] > 0.99


def test_window_is_copied() -> None:
    """A caller may reuse the memory of a window."""
    first, second = learned(4), learned(4)
    window = beat()
    first.remember(window)
    second.remember(window.copy())
    window[:] = 0.0

    for shape in (first, second):
        shape.remember(beat())
    np.testing.assert_array_equal(first.compare(beat(width=9)), second.compare(beat(width=9)))


def test_flat_window_has_finite_features() -> None:
    """A window of zeros, as the segmenter makes of a flat line, breaks nothing."""
    shape = learned()

    features = shape.compare(np.zeros(320, dtype=np.float32))

    assert features.shape == (SHAPE_FEATURES,)
    assert np.isfinite(features).all()
