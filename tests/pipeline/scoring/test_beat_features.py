"""What is measured of every beat: its definitions, and on what it depends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import SnapshotError
from pipeline.schema.state import decode, encode
from pipeline.scoring.beat_features import (
    FEATURE_NAMES,
    LIMITS,
    BeatFeatures,
    BeatFeaturesState,
)
from pipeline.signal.kernels.naming import likeness, memory, middles, ordered, slots
from pipeline.signal.kernels.naming.squares import add_squares
from pipeline.signal.kernels.network.lanes import LANES
from pipeline.signal.kernels.sections import jit

Rows = NDArray[np.float32]


@jit
def add_all_squares(
    kept: Rows, middle: Rows, begin: int, end: int, sums: Rows, part: int, other: int
) -> None:
    """Add the squares of all columns: what writes code can only be called by a kernel."""
    for first in range(0, slots.USUAL_BEATS, LANES):
        add_squares(kept, first, middle, begin, end, sums, part, other)


def beats_of(
    seed: int, beats: int, early_s: float = 0.67
) -> tuple[NDArray[np.float64], Rows, NDArray[np.bool_]]:
    """Return intervals, windows and which are usable, of a patient with ectopic beats.

    Those come after ``early_s``, in seconds; too slow for a stretch of which nothing is learned.
    """
    rng = np.random.default_rng(seed)
    at = np.arange(WINDOW_SAMPLES)
    normal = np.exp(-(((at - 140) / 6) ** 2)) + 0.15 * np.exp(-(((at - 85) / 10) ** 2))
    wide = -np.exp(-(((at - 145) / 20) ** 2))
    ectopic = rng.random(beats) < 0.2
    windows = np.where(ectopic[:, None], wide, normal) + 0.02 * rng.standard_normal(
        (beats, WINDOW_SAMPLES)
    )
    rr_s = np.where(ectopic, early_s, 0.85) + 0.02 * rng.standard_normal(beats)
    rr_s[rng.random(beats) < 0.03] = np.nan
    windows = np.clip(windows, -1, 1).astype(np.float32)
    return rr_s, windows, rng.random(beats) > 0.05


def limited(a: float, b: float) -> float:
    """Return a limited logarithm of a ratio, 0 where a part of it is not known."""
    return 0.0 if math.isnan(a) or math.isnan(b) else float(np.clip(math.log(a / b), -1.5, 1.5))


def late_template(rr_s: NDArray[np.float64], windows: Rows, usable: NDArray[np.bool_]) -> Rows:
    """Return the median of the last 24 usable late windows, by its definition."""
    late = []
    for i, rr in enumerate(rr_s):
        known = [one for one in rr_s[:i] if not math.isnan(one)][-300:]
        if usable[i] and len(known) >= 3 and rr >= np.quantile(known, 0.85):
            late.append(windows[i].reshape(-1, 2).mean(axis=1))
    return np.median(late[-24:], axis=0)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40), cut=st.integers(1, 200))
def test_batches_change_nothing(seed: int, size: int, cut: int) -> None:
    """The measures depend on the beats in order, however they are cut, over a restart as well."""
    rr_s, windows, usable = beats_of(seed, 200)
    whole = BeatFeatures().measure(rr_s, windows, usable)
    features, parts = BeatFeatures(), []
    for first in range(0, 200, size):
        if first <= cut < first + size:
            saved = encode(1, features.state)
            features = BeatFeatures(decode(1, saved, BeatFeaturesState))
        part = slice(first, first + size)
        parts.append(features.measure(rr_s[part], windows[part], usable[part]))

    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert np.isfinite(whole).all()


def test_a_full_memory_goes_on_after_a_restart() -> None:
    """What is in order follows from the rings alone, wherever in them the next place is."""
    rr_s, windows, usable = beats_of(9, 1300)
    whole = BeatFeatures().measure(rr_s, windows, usable)
    features = BeatFeatures()
    features.measure(rr_s[:1190], windows[:1190], usable[:1190])
    again = BeatFeatures(decode(1, encode(1, features.state), BeatFeaturesState))

    found = again.measure(rr_s[1190:], windows[1190:], usable[1190:])
    np.testing.assert_array_equal(found, whole[1190:])


def test_rhythm_is_measured_by_its_definition() -> None:
    """Means and quantiles are those of the known intervals before the beat."""
    rr_s, windows, usable = beats_of(5, 1200)
    found = BeatFeatures().measure(rr_s, windows, np.ones_like(usable))
    for at in (10, 299, 400, 1199):
        known = rr_s[:at][np.isfinite(rr_s[:at])]
        for name, last in (("30", 30), ("80", 80), ("400", 400), ("1000", 1000)):
            expected = limited(rr_s[at], known[-last:].mean())
            assert found[at, FEATURE_NAMES.index(f"rr_to_mean_{name}")] == pytest.approx(
                expected, abs=1e-5
            )
        for name, part in (("q25", 0.25), ("median", 0.5), ("q75", 0.75), ("q90", 0.9)):
            expected = limited(rr_s[at], float(np.quantile(known[-300:], part)))
            assert found[at, FEATURE_NAMES.index(f"rr_to_{name}")] == pytest.approx(
                expected, abs=1e-5
            )


def test_the_late_template_is_the_median_of_late_beats() -> None:
    """What a beat is compared with are the last 24 windows that came late."""
    rr_s, windows, usable = beats_of(7, 500)
    found = BeatFeatures().measure(rr_s, windows, usable)
    at = int(np.flatnonzero(usable)[-1])
    template = late_template(rr_s[:at], windows[:at], usable[:at])
    beat = windows[at].reshape(-1, 2).mean(axis=1)
    qrs = slice(slots.QRS_FROM, slots.QRS_TO)

    expected = np.corrcoef(beat[qrs], template[qrs])[0, 1]
    assert found[at, slots.LATE_QRS] == pytest.approx(expected, abs=1e-4)


def test_sinus_beats_stay_the_reference_where_most_beats_are_ectopic() -> None:
    """With four ectopic beats in five the late template is still the sinus beat."""
    rr_s, windows, _ = beats_of(3, 600)
    rng = np.random.default_rng(1)
    ectopic = rng.random(600) < 0.8
    sinus = windows[rr_s > 0.75][0]
    other = windows[rr_s < 0.65][0]
    windows = np.where(ectopic[:, None], other, sinus)
    rr_s = np.where(ectopic, 0.55, 0.85) + 0.01 * rng.standard_normal(600)
    found = BeatFeatures().measure(rr_s, windows, np.ones(600, dtype=bool))[100:, slots.LATE_QRS]

    assert found[~ectopic[100:]].min() > 0.99
    assert found[ectopic[100:]].max() < 0.9


def test_a_beat_that_cannot_be_analysed_leaves_its_interval_alone() -> None:
    """Its measures are 0 and its window is not learned."""
    rr_s, windows, usable = beats_of(2, 120)
    usable[:] = True
    usable[60] = False
    changed = windows.copy()
    changed[60] = -1.0
    found = BeatFeatures().measure(rr_s, windows, usable)
    again = BeatFeatures().measure(rr_s, changed, usable)

    assert not found[60].any()
    np.testing.assert_array_equal(again, found)


def test_nothing_is_learned_from_a_fast_run_of_unlike_beats() -> None:
    """After the run nothing but the intervals just before a beat says that it was there."""
    rr_s, windows, usable = beats_of(11, 160)
    usable[:] = True
    rr_s = np.nan_to_num(rr_s, nan=0.85)
    run = slice(100, 150)
    at = np.arange(WINDOW_SAMPLES)
    rr_s[run] = 0.4
    windows[run] = -np.exp(-(((at - 150) / 25) ** 2))
    begun, changed, faster = 102, windows.copy(), rr_s.copy()
    changed[begun:148] = 0.5 * np.sin(at / 20.0)
    faster[begun:148] = 0.3
    found = BeatFeatures().measure(rr_s, windows, usable)
    again = BeatFeatures().measure(faster, changed, usable)
    slow = BeatFeatures().measure(np.where(rr_s == 0.4, 0.7, rr_s), windows, usable)

    np.testing.assert_array_equal(again[152:], found[152:])
    assert (slow[152:] != found[152:]).any(axis=1).all()


@pytest.mark.parametrize(
    ("place", "size"),
    [
        (slots.RR_AT, slots.RR_MEMORY),
        (slots.INTERVALS, slots.RR_MEMORY + 1),
        (slots.STEPS_KNOWN, slots.STEPS + 1),
        (slots.USUAL, slots.USUAL_BEATS + 1),
        (slots.USUAL_AT, slots.USUAL_BEATS),
        (slots.USUAL_TURN, slots.USUAL_EVERY),
    ],
)
def test_a_state_out_of_range_is_refused(place: int, size: int) -> None:
    """A kernel that trusts its memory is given none that it cannot."""
    for value in (-1, size, 2**62):
        state = BeatFeaturesState.fresh()
        state.counters[place] = value

        with pytest.raises(SnapshotError, match="out of range"):
            BeatFeatures(state)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("numbers", memory.INTERVALS_FROM),
        ("numbers", memory.STEPS_FROM),
        ("kept", memory.LATE_FROM),
        ("kept", memory.USUAL_FROM),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_state_that_is_not_finite_is_refused(name: str, place: int, value: float) -> None:
    """Nothing in order could be made of it."""
    state = BeatFeaturesState.fresh()
    getattr(state, name)[place + 7] = value

    with pytest.raises(SnapshotError, match="not finite"):
        BeatFeatures(state)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_state_of_any_numbers_within_range_does_no_harm(seed: int) -> None:
    """No place beyond an array is read or written, or the process would not go on."""
    rng = np.random.default_rng(seed)
    state = BeatFeatures().state
    for name in state.__struct_fields__:
        array = getattr(state, name)
        if name != "counters":
            array[...] = rng.choice([-1e30, -1.0, 0.0, 0.6, 1.0, 1e30], array.shape)
    for place, limit in LIMITS:
        state.counters[place] = rng.integers(limit)
    rr_s, windows, usable = beats_of(seed, 100)

    assert BeatFeatures(state).measure(rr_s, windows, usable).shape == (100, len(FEATURE_NAMES))


@given(values=st.lists(st.integers(-6, 6), min_size=1, max_size=40))
def test_middles_are_those_of_the_latest_values(values: list[int]) -> None:
    """Of eight that are kept, equal ones among them, after each new one."""
    kept, middle = np.full((1, 8), 99.0, np.float32), np.zeros((2, 1), np.float32)
    for n, value in enumerate(values):
        window = np.array([value], np.float32)
        middles.renew_middles(window, kept, min(n, 8), n % 8, middle, np.zeros(1, np.int64))
        latest = sorted(values[max(n - 7, 0) : n + 1])
        assert middle[:, 0].tolist() == [latest[(len(latest) - 1) // 2], latest[len(latest) // 2]]


@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_ranks_are_those_of_the_latest_values(values: list[int]) -> None:
    """Of a ring of eight, equal ones among them, after each new one."""
    ring, ranks = np.zeros(8), np.zeros(8, np.uint16)
    for n, value in enumerate(values):
        ordered.rank(ring, ranks, min(n, 8), n % 8 if n >= 8 else -1, n % 8, value)
        ring[n % 8] = value
        ranked = ranks[: n + 1].tolist()
        assert sorted(ranked) == list(range(min(n + 1, 8)))
        assert ring[ranked].tolist() == sorted(values[max(n - 7, 0) : n + 1])


def test_comparing_is_correlation_and_distance_at_once() -> None:
    """Bit for bit."""
    a, b = np.random.default_rng(4).uniform(-1, 1, (2, WINDOW_SAMPLES)).astype(np.float32)

    expected = likeness.correlation(a, b, 30, 200, 0), likeness.squared_distance(a, b, 30, 200)
    assert likeness.compared(a, b, 30, 200) == expected


def test_squares_are_added_tick_after_tick() -> None:
    """To two rows of sums, each as if it were alone, bit for bit."""
    rng = np.random.default_rng(6)
    kept = rng.uniform(-1, 1, (40, slots.USUAL_BEATS)).astype(np.float32)
    middle = rng.uniform(-1, 1, 40).astype(np.float32)
    sums = rng.uniform(0, 1, 3 * slots.USUAL_BEATS)
    expected = sums.copy().reshape(3, -1)
    for line, centre in zip(kept[5:30].astype(np.float64), middle[5:30].tolist(), strict=True):
        expected[[0, 2]] += (line - centre) ** 2
    add_all_squares(kept, middle, 5, 30, sums, 0, 2)

    np.testing.assert_array_equal(sums.reshape(3, -1), expected)


@pytest.mark.parametrize("step", [1, 3])
def test_the_best_lag_is_that_of_one_correlation_after_the_other(step: int) -> None:
    """Bit for bit, and so is the correlation without a lag."""
    rng = np.random.default_rng(step)
    a, b = rng.uniform(-1, 1, (2, WINDOW_SAMPLES)).astype(np.float32)
    lags = [k * step for k in range(-likeness.LAGS, likeness.LAGS + 1)]
    each = {lag: likeness.correlation(a, b, 100, 190, lag) for lag in lags}

    assert likeness.best_correlation(a, b, 100, 190, step) == (max(each.values()), each[0])


def test_arrays_that_do_not_fit_are_refused() -> None:
    """As many windows as intervals, each of 320 samples."""
    rr_s, windows, usable = beats_of(1, 5)

    with pytest.raises(ValueError, match="5 intervals"):
        BeatFeatures().measure(rr_s, windows[:4], usable)


def test_every_measure_has_a_name() -> None:
    """Names and slots go together."""
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == slots.COLUMNS
    assert FEATURE_NAMES[slots.MEASURES - 1] == f"qrs_less_late_{slots.POINTS - 1}"
    assert FEATURE_NAMES[slots.LATE_QRS] == "late_qrs"
    assert FEATURE_NAMES[slots.AREA] == "area"
    assert FEATURE_NAMES[slots.CONTEXT_IN_SPREADS] == "context_whole_distance_in_spreads"
    assert FEATURE_NAMES[slots.CONTEXT_HEIGHT] == "context_qrs_height"
