"""The context of a beat, in the measures of the kernel: equal to its definition, and of use."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.scoring.beat_features import CONTEXT_NAMES, FEATURE_NAMES, BeatFeatures
from pipeline.signal.kernels.naming import slots
from tests.pipeline.scoring.test_beat_features import beats_of
from tests.support.beat_context import contexts_of, held_beats

CONTEXT = slice(slots.MEASURES, slots.COLUMNS)


def column(name: str) -> int:
    """Return where a number of the context lies among the measures."""
    return FEATURE_NAMES.index(f"context_{name}")


def beat(*, width: float = 8.0, p: float = 0.2, sign: float = 1.0) -> NDArray[np.float32]:
    """Return a window with a P wave and a QRS complex."""
    ticks = np.arange(WINDOW_SAMPLES)
    qrs = sign * np.exp(-(((ticks - 140) / width) ** 2))
    return (qrs + p * np.exp(-(((ticks - 80) / 12) ** 2)) - 0.1).astype(np.float32)


def after_usual(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the measures of a beat after 20 usual ones that differ by a little noise."""
    noise = 0.02 * np.random.default_rng(0).standard_normal((20, WINDOW_SAMPLES))
    windows = np.stack([*(beat() + noise), window]).astype(np.float32)
    return BeatFeatures().measure(np.full(21, 0.8), windows, np.ones(21, dtype=bool))[-1]


def measured(rr_s: list[float]) -> NDArray[np.float32]:
    """Return the measures of beats with these intervals that look alike."""
    windows = np.tile(beat(), (len(rr_s), 1))
    return BeatFeatures().measure(np.array(rr_s), windows, np.ones(len(rr_s), dtype=bool))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    beats=st.integers(1, 160),
    early_s=st.sampled_from((0.4, 0.55, 0.67)),
)
def test_context_is_that_of_the_definition(seed: int, beats: int, early_s: float) -> None:
    """Of any beats, held ones and those that cannot be analysed among them."""
    rr_s, windows, usable = beats_of(seed, beats, early_s)
    found = BeatFeatures().measure(rr_s, windows, usable)
    held = held_beats(rr_s, usable, found)

    np.testing.assert_allclose(
        found[:, CONTEXT], contexts_of(rr_s, windows, usable, held), atol=1e-4, rtol=0
    )


def test_context_is_that_of_the_definition_where_memories_are_full() -> None:
    """A thousand intervals, 64 steps and windows: the oldest make room, held beats do not."""
    rr_s, windows, usable = beats_of(4, 1150, 0.5)
    rr_s[300:340], windows[300:340] = 0.35, beat(width=25.0, sign=-1.0)
    found = BeatFeatures().measure(rr_s, windows, usable)
    held = held_beats(rr_s, usable, found)

    asked = [*range(60, 100), *range(330, 350), *range(990, 1010), *range(1100, 1150)]
    expected = contexts_of(rr_s, windows, usable, held, asked)

    assert held[305:340].sum() >= 30
    np.testing.assert_allclose(found[asked, CONTEXT], expected[asked], atol=1e-4, rtol=0)


@settings(max_examples=20)
@given(
    rr_s=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    flat=st.booleans(),
)
def test_context_is_finite_and_limited_whatever_the_intervals(
    rr_s: list[float], flat: bool
) -> None:
    """No interval, however absurd, makes a context that is not finite or out of its range."""
    windows = np.zeros((len(rr_s), WINDOW_SAMPLES), dtype=np.float32)
    if not flat:
        windows[:, 140] = 1.0
    found = BeatFeatures().measure(np.array(rr_s), windows, np.ones(len(rr_s), dtype=bool))

    assert np.isfinite(found).all()
    assert np.abs(found[:, CONTEXT]).max() <= 12.0


@settings(max_examples=20)
@given(factor=st.floats(0.8, 2.0))
def test_heart_rate_is_not_passed_on(factor: float) -> None:
    """The same rhythm at another heart rate has the same context."""
    rr_s = np.random.default_rng(1).uniform(0.8, 1.3, 50)

    faster = measured((factor * rr_s).tolist())[:, CONTEXT]

    np.testing.assert_allclose(faster, measured(rr_s.tolist())[:, CONTEXT], atol=1e-4)


def test_premature_beats_that_are_the_rule_are_still_seen_as_early() -> None:
    """Where three of four beats are early, the upper quantile still separates them."""
    last = measured([0.6, 0.6, 0.6, 1.2] * 60)[-4:]
    to_upper = column("rr_to_upper_quartile")
    in_spreads = column("rr_in_spreads_below_upper_quartile")

    assert (last[:3, to_upper] < last[3, to_upper] - 0.5).all()
    assert (last[:3, in_spreads] < last[3, in_spreads]).all()


def test_same_step_means_less_in_an_irregular_rhythm() -> None:
    """Prematurity is given in the patient's own steps: fibrillation is not all ectopics."""
    in_steps = column("rr_in_usual_steps")
    random = np.random.default_rng(2)
    regular = measured([*(0.8 + 0.01 * random.standard_normal(100)), 0.6])
    irregular = measured([*random.uniform(0.5, 1.1, 100), 0.6])

    assert regular[-1, in_steps] < 2 * irregular[-1, in_steps] < 0


@pytest.mark.parametrize("rr_s", [math.nan, math.inf, 0.0, -1.0])
def test_interval_that_is_none_counts_as_unknown(rr_s: float) -> None:
    """Anything that is no positive finite number is flagged and remembered as unknown."""
    found = measured([0.8, rr_s, 0.7])

    assert found[1, column("rr_known")] == found[1, column("rr_to_upper_quartile")] == 0.0
    assert found[2, column("rr_known")] == 1.0
    assert found[2, column("previous_rr_to_upper_quartile")] == 0.0


def test_shapes_count_from_the_fifth_usual_beat_on() -> None:
    """The first beat has no interval before it to be due by; then five make a template."""
    known = measured([math.nan, *[0.8] * 8])[:, column("shape_known")]

    assert known.tolist() == [0.0] * 7 + [1.0] * 2


def test_each_wave_has_numbers_of_its_own() -> None:
    """A missing P wave shows before the QRS, a wide QRS in it, and the patient's own in neither."""
    own, no_p, wide = (after_usual(window) for window in (beat(), beat(p=0.0), beat(width=24.0)))

    assert no_p[column("p_distance")] > own[column("p_distance")] + 1
    assert no_p[column("qrs_distance")] < wide[column("qrs_distance")] - 1
    assert wide[column("qrs_width")] > 0.5 > abs(own[column("qrs_width")])
    assert own[column("qrs_correlation")] > 0.99 > wide[column("qrs_correlation")]


def test_r_taken_a_little_off_is_still_recognised() -> None:
    """The correlation at the best lag bears an R peak some ticks beside the usual one."""
    found = after_usual(np.roll(beat(), 9))

    assert found[column("qrs_correlation")] < 0.7
    assert found[column("qrs_correlation_at_best_lag")] > 0.99


def test_the_context_is_the_last_of_the_measures() -> None:
    """Its names and places go together."""
    assert FEATURE_NAMES[CONTEXT] == CONTEXT_NAMES
    assert len(CONTEXT_NAMES) == 22
    assert all(name.startswith("context_") for name in CONTEXT_NAMES)
