"""The context of a beat: what it says, on what it depends, and that nothing breaks it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.constants import RR_FEATURES
from pipeline.scoring.rr_context import (
    LOG_LIMIT,
    LONG_MEMORY,
    RHYTHM_FEATURE_NAMES,
    RR_FEATURE_NAMES,
    SPREAD_LIMIT,
    STEP_MEMORY,
    RRContext,
)

RHYTHM = len(RHYTHM_FEATURE_NAMES)


def noted(rr_s: list[float], windows: np.ndarray | None = None) -> np.ndarray:
    """Return the contexts of beats in a row, [n, RR_FEATURES]."""
    memory = RRContext()
    return np.stack(
        [memory.note(rr, None if windows is None else windows[i]) for i, rr in enumerate(rr_s)]
    )


def limited(value: float, limit: float) -> float:
    """Return a value cut at a limit on both sides."""
    return float(np.clip(value, -limit, limit))


def log_ratio(a: float, b: float) -> float:
    """Return a limited logarithm of a ratio, 0 if a part of it is unknown."""
    return 0.0 if math.isnan(a) or math.isnan(b) else limited(math.log(a / b), LOG_LIMIT)


def slow_rhythm(rr_s: list[float], at: int) -> list[float]:
    """Return the rhythm's features of beat ``at`` from the whole history, by the definition."""
    known = [rr for rr in rr_s[:at] if not math.isnan(rr)][-LONG_MEMORY:]
    if not known:
        return [0.0] * RHYTHM
    pairs = itertools.pairwise(rr_s[:at])
    steps = [abs(log_ratio(b, a)) for a, b in pairs if not math.isnan(a + b)][-STEP_MEMORY:]
    q25, q50, q75, q90 = np.quantile(known, (0.25, 0.5, 0.75, 0.9))
    rr = rr_s[at]
    before = [math.nan, math.nan, *rr_s[:at]]
    step = float(np.median(steps)) if steps else 0.0
    return [
        float(not math.isnan(rr)),
        log_ratio(rr, q75),
        log_ratio(before[-1], q75),
        log_ratio(before[-2], q75),
        limited(log_ratio(rr, q50) / (0.1 + log_ratio(q75, q25)), SPREAD_LIMIT),
        limited(log_ratio(rr, q75) / (0.1 + log_ratio(q90, q50)), SPREAD_LIMIT),
        limited(log_ratio(rr, q50) / (0.05 + step), SPREAD_LIMIT),
    ]


intervals = st.floats(0.2, 5.0) | st.just(math.nan)


@given(rr_s=st.lists(intervals, max_size=60))
def test_rhythm_is_that_of_a_slow_reference(rr_s: list[float]) -> None:
    """Every feature of the rhythm follows from all intervals so far as its definition says."""
    if rr_s:
        expected = [slow_rhythm(rr_s, at) for at in range(len(rr_s))]

        np.testing.assert_allclose(noted(rr_s)[:, :RHYTHM], expected, rtol=1e-5, atol=1e-6)


def test_long_memory_forgets_as_the_slow_reference_does() -> None:
    """Intervals beyond the memory have no say."""
    rr_s = np.random.default_rng(3).uniform(0.3, 2.0, LONG_MEMORY + 40).tolist()
    rr_s[:50] = [4.0] * 50

    got = noted(rr_s)[:, :RHYTHM]

    for at in (LONG_MEMORY, LONG_MEMORY + 39):
        np.testing.assert_allclose(got[at], slow_rhythm(rr_s, at), rtol=1e-5, atol=1e-6)


@settings(max_examples=25)
@given(
    rr_s=st.lists(intervals, min_size=2, max_size=40),
    cut=st.integers(1, 39),
    seed=st.integers(0, 2**32 - 1),
)
def test_context_does_not_depend_on_later_beats(rr_s: list[float], cut: int, seed: int) -> None:
    """What follows a beat, interval or wave form, changes nothing about its context."""
    random = np.random.default_rng(seed)
    cut = min(cut, len(rr_s) - 1)
    windows = random.uniform(-1, 1, (len(rr_s), 320)).astype(np.float32)
    others = windows.copy()
    others[cut:] = random.uniform(-1, 1, others[cut:].shape)

    first = noted(rr_s, windows)[:cut]
    second = noted([*rr_s[:cut], *(2 * rr for rr in rr_s[cut:])], others)[:cut]

    np.testing.assert_array_equal(first, second)


@given(
    rr_s=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    flat=st.booleans(),
)
def test_context_is_finite_and_limited_whatever_the_intervals(
    rr_s: list[float], flat: bool
) -> None:
    """No interval, however absurd, makes a context that is not finite or out of its range."""
    windows = np.zeros((len(rr_s), 320), dtype=np.float32)
    if not flat:
        windows[:, 140] = 1.0

    contexts = noted(rr_s, windows)

    assert contexts.shape == (len(rr_s), RR_FEATURES)
    assert contexts.dtype == np.float32
    assert np.isfinite(contexts).all()
    assert np.abs(contexts).max() <= 12.0


@given(factor=st.floats(0.4, 2.0))
def test_heart_rate_is_not_passed_on(factor: float) -> None:
    """The same rhythm at another heart rate has the same context."""
    rr_s = np.random.default_rng(1).uniform(0.6, 1.1, 50)

    faster = noted((factor * rr_s).tolist())

    np.testing.assert_allclose(faster, noted(rr_s.tolist()), atol=1e-4)


def test_premature_beats_that_are_the_rule_are_still_seen_as_early() -> None:
    """Where three of four beats are early, the upper quantile still separates them."""
    rr_s = [0.6, 0.6, 0.6, 1.2] * 60
    column = RR_FEATURE_NAMES.index("rr_in_spreads_below_upper_quartile")
    to_upper = RR_FEATURE_NAMES.index("rr_to_upper_quartile")

    last = noted(rr_s)[-4:]

    assert (last[:3, to_upper] < last[3, to_upper] - 0.5).all()
    assert (last[:3, column] < last[3, column]).all()


def test_same_step_means_less_in_an_irregular_rhythm() -> None:
    """Prematurity is given in the patient's own steps: fibrillation is not all ectopics."""
    column = RR_FEATURE_NAMES.index("rr_in_usual_steps")
    random = np.random.default_rng(2)
    regular = noted([*(0.8 + 0.01 * random.standard_normal(100)), 0.6])
    irregular = noted([*random.uniform(0.5, 1.1, 100), 0.6])

    assert regular[-1, column] < 2 * irregular[-1, column] < 0


@pytest.mark.parametrize("rr_s", [math.nan, math.inf, 0.0, -1.0])
def test_interval_that_is_none_counts_as_unknown(rr_s: float) -> None:
    """Anything that is no positive finite number is flagged and remembered as unknown."""
    memory = RRContext()
    memory.note(0.8, None)

    context = memory.note(rr_s, None)

    assert context[:2].tolist() == [0.0, 0.0]
    assert memory.note(0.8, None)[RR_FEATURE_NAMES.index("previous_rr_to_upper_quartile")] == 0.0


def test_every_feature_has_a_name() -> None:
    """The length that models and messages agree on is the number of the features' names."""
    assert len(RR_FEATURE_NAMES) == RR_FEATURES
