"""Trees and network joined: the weighted geometric mean, no S in atrial fibrillation, any batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.inference.beat_classifier import (
    EVEN,
    FIBRILLATES,
    IN_USE,
    LEAST,
    TREES_SHARE,
    UNEVEN,
    BeatClassifier,
    joined,
    trees_share,
    without_fibrillation,
)
from models.inference.beat_trees import BeatTrees
from models.inference.classifier import ClassifierScorer
from pipeline.constants import CLASSES, MEASURES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS, EVIDENCE_LIMIT, MEASURE_NAMES
from pipeline.signal.kernels.network.trees import add_leaves
from tests.support.classifiers import network, stumps

BEATS = 40
RANDOM = np.random.default_rng(3)
WINDOWS = RANDOM.uniform(-1, 1, (BEATS, WINDOW_SAMPLES)).astype(np.float32)
MEASURED = RANDOM.standard_normal((BEATS, MEASURES)).astype(np.float32)

ROWS = arrays(np.float32, (3, len(CLASSES)), elements=st.floats(0, 1, width=32)).map(
    lambda rows: (rows + np.float32(1e-3)) / (rows + np.float32(1e-3)).sum(axis=1, keepdims=True)
)


@pytest.fixture(scope="module")
def classifier() -> BeatClassifier:
    """Stumps, and a network of random weights."""
    return BeatClassifier(BeatTrees(stumps()), ClassifierScorer(network(seed=1)))


@given(ROWS, ROWS, arrays(np.float32, 3, elements=st.floats(0, 1, width=32)))
def test_the_join_is_the_weighted_geometric_mean(
    trees: np.ndarray, others: np.ndarray, share: np.ndarray
) -> None:
    """Odds of two classes are the product of both parts' odds, each to the power of its share."""
    both = joined(trees, others, share).astype(np.float64)

    part = share.astype(np.float64)[:, None]
    mean = trees.astype(np.float64) ** part * others.astype(np.float64) ** (1 - part)
    np.testing.assert_allclose(both, mean / mean.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(both.sum(axis=1), 1.0, rtol=1e-5)


@given(
    arrays(np.float32, (7, len(CLASSES)), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, (7, len(CLASSES)), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, 7, elements=st.floats(-3, 3, width=32)),
)
def test_what_is_joined_is_what_numpy_computes(
    trees: np.ndarray, others: np.ndarray, logs: np.ndarray
) -> None:
    """Bit for bit: share, weighted mean and what goes from S to N, step by step in float32."""
    measured = np.zeros((7, MEASURES), dtype=np.float32)
    measured[:, MEASURE_NAMES.index("rr_to_q90")] = logs
    share = trees_share(measured)
    uneven = np.clip((EVEN - np.exp(logs)) / (EVEN - UNEVEN), 0.0, 1.0)
    np.testing.assert_array_equal(share, TREES_SHARE + (1.0 - TREES_SHARE) * uneven)

    both = joined(trees, others, share)
    mean = share[:, None] * np.log(np.maximum(trees, LEAST))
    mean += (1.0 - share[:, None]) * np.log(np.maximum(others, LEAST))
    mean = np.exp(mean)
    np.testing.assert_array_equal(both, mean / mean.sum(axis=1, keepdims=True))

    n, s = CLASSES.index("N"), CLASSES.index("S")
    expected, moved = both.copy(), both[:, s] * (1.0 / (1.0 + np.exp(FIBRILLATES - logs)))
    expected[:, s] -= moved
    expected[:, n] += moved
    np.testing.assert_array_equal(without_fibrillation(both, logs), expected)


def test_certainty_that_both_share_stays() -> None:
    """A probability of 0 is no logarithm that is not finite, and excludes no class."""
    certain = np.array([[0.0, 0.0, 1.0, 0.0]], dtype=np.float32)
    half = np.array([0.5], dtype=np.float32)
    np.testing.assert_allclose(joined(certain, certain, half), certain, atol=1e-5)
    other = np.array([[1.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    both = joined(other, certain, half)
    assert np.isfinite(both).all()
    assert both.min() >= LEAST / 10


@given(ROWS, st.floats(-EVIDENCE_LIMIT, EVIDENCE_LIMIT))
def test_in_atrial_fibrillation_s_is_n(rows: np.ndarray, evidence: float) -> None:
    """S becomes N the more certain the rhythm is; V and F stay, and so does the sum."""
    found = without_fibrillation(rows, np.full(len(rows), evidence, dtype=np.float32))

    _, s, v, f = (CLASSES.index(name) for name in "NSVF")
    np.testing.assert_array_equal(found[:, [v, f]], rows[:, [v, f]])
    np.testing.assert_allclose(
        found[:, s], rows[:, s] / (1 + np.exp(evidence - FIBRILLATES)), atol=1e-6
    )
    np.testing.assert_allclose(found.sum(axis=1), rows.sum(axis=1), rtol=1e-5)


def test_no_beat_is_named_s_in_atrial_fibrillation() -> None:
    """The last measure alone decides whether what the trees take for S is S."""
    classifier = BeatClassifier(BeatTrees(stumps()), ClassifierScorer(network()))
    measured = MEASURED.copy()
    measured[:, :-1] = 1.0
    named = {}
    for evidence in (-EVIDENCE_LIMIT, EVIDENCE_LIMIT):
        measured[:, -1] = evidence
        probabilities = classifier.probabilities(WINDOWS, measured)
        named[evidence] = set(np.array(CLASSES)[probabilities.argmax(axis=1)].tolist())

    assert named == {-EVIDENCE_LIMIT: {"S"}, EVIDENCE_LIMIT: {"N"}}


def test_trees_and_network_each_get_their_measures(classifier: BeatClassifier) -> None:
    """The result is that of the parts, the network's with its context alone."""
    measured = MEASURED.copy()
    measured[:, -1] = -EVIDENCE_LIMIT
    found = classifier.probabilities(WINDOWS, measured)

    by_trees = BeatTrees(stumps()).probabilities(measured)
    by_network = ClassifierScorer(network(seed=1)).classify(WINDOWS, measured[:, CONTEXT_COLUMNS])
    both = joined(by_trees, by_network, trees_share(measured))
    np.testing.assert_allclose(found, both, atol=1e-3)


@pytest.mark.parametrize(
    ("longest_s", "share"), [(0.8, TREES_SHARE), (0.9, TREES_SHARE), (1.2, 1.0), (1.6, 1.0)]
)
def test_trees_decide_where_the_longest_intervals_are_long(longest_s: float, share: float) -> None:
    """Median of 0.8 s: near the longest in an even rhythm, far below where ectopy is the rule."""
    measured = np.zeros((2, MEASURES), dtype=np.float32)
    for rr_s, row in zip((0.8, 0.5), measured, strict=True):
        row[MEASURE_NAMES.index("rr_to_median")] = np.log(rr_s / 0.8)
        row[MEASURE_NAMES.index("rr_to_q90")] = np.log(rr_s / longest_s)

    np.testing.assert_allclose(trees_share(measured), share, atol=1e-6)


def test_unknown_intervals_are_even() -> None:
    """Before intervals are known the trees have their least share, and between two bounds more."""
    measured = np.zeros((2, MEASURES), dtype=np.float32)
    measured[1, MEASURE_NAMES.index("rr_to_q90")] = np.log((EVEN + UNEVEN) / 2)

    np.testing.assert_allclose(trees_share(measured), [TREES_SHARE, (TREES_SHARE + 1) / 2])


def test_trees_see_two_leads_where_there_are_two(classifier: BeatClassifier) -> None:
    """Joined by their shares; a beat of one lead is named as without the others, bit for bit."""
    second = RANDOM.standard_normal(MEASURED.shape).astype(np.float32)
    second[::2] = 0.0
    one_lead, found = (
        classifier.parts(WINDOWS, MEASURED),
        classifier.parts(WINDOWS, MEASURED, second),
    )

    np.testing.assert_array_equal(found.network, one_lead.network)
    for part, before in zip(found, one_lead, strict=True):
        np.testing.assert_array_equal(part[::2], before[::2])
    trees = BeatTrees(stumps())
    in_use, in_second = trees.probabilities(MEASURED[1::2]), trees.probabilities(second[1::2])
    share = np.full(BEATS // 2, IN_USE, dtype=np.float32)
    np.testing.assert_array_equal(found.trees[1::2], joined(in_use, in_second, share))
    assert (found.classifier[1::2] != one_lead.classifier[1::2]).any()
    alone = [
        classifier.probabilities(WINDOWS[b : b + 1], MEASURED[b : b + 1], second[b : b + 1])
        for b in range(BEATS)
    ]
    np.testing.assert_array_equal(np.concatenate(alone), found.classifier)


def test_row_is_the_same_in_any_batch(classifier: BeatClassifier) -> None:
    """Bit for bit alone, in part and in another order; no beats have no rows."""
    whole = classifier.probabilities(WINDOWS, MEASURED)

    assert classifier.probabilities(WINDOWS[:0], MEASURED[:0]).shape == (0, len(CLASSES))
    for first, size in ((0, 1), (3, 17), (16, 16), (39, 1)):
        rows = slice(first, first + size)
        part = classifier.probabilities(WINDOWS[rows], MEASURED[rows])
        assert part.tobytes() == whole[rows].tobytes()
    order = RANDOM.permutation(BEATS)
    shuffled = WINDOWS[order], MEASURED[order]
    for one in shuffled:  # as what comes over the wire
        one.flags.writeable = False
    found = classifier.probabilities(*shuffled)
    assert found.tobytes() == whole[order].tobytes()
    assert len(add_leaves.signatures) <= 1  # type: ignore[attr-defined]
    assert found.dtype == np.float32


def test_what_ships_is_loaded() -> None:
    """Trees and network of the package fit this program; the name says which they are."""
    name = BeatClassifier.load().name
    assert "classifier-" in name
    assert "trees-" in name
