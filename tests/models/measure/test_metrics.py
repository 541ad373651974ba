"""AUC and average precision against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measure.metrics import Summary, average_precision, ranking_curve, roc_auc, summary

# Few distinct scores, so that ties are common.
cases = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({anomalous for _, anomalous in rows}) == 2
)


def _arrays(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, anomalous = zip(*rows, strict=True)
    return np.array(scores, dtype=np.float32), np.array(anomalous)


@given(rows=cases)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    """Every anomalous beat meets every normal one; a tie counts half."""
    scores, anomalous = _arrays(rows)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[anomalous] for n in scores[~anomalous]]

    assert roc_auc(scores, anomalous) == pytest.approx(np.mean(pairs))


@given(rows=cases)
def test_average_precision_is_the_mean_over_anomalous_beats(rows: list[tuple[int, bool]]) -> None:
    """Each anomalous beat's own score is the threshold once."""
    scores, anomalous = _arrays(rows)
    precisions = [anomalous[scores >= score].mean() for score in scores[anomalous]]

    assert average_precision(scores, anomalous) == pytest.approx(np.mean(precisions))


@given(rows=cases, seed=st.integers(0, 99))
def test_order_of_beats_does_not_matter(rows: list[tuple[int, bool]], seed: int) -> None:
    """Shuffling changes neither figure, ties or not."""
    scores, anomalous = _arrays(rows)
    order = np.random.default_rng(seed).permutation(scores.size)
    for figure in (roc_auc, average_precision):
        assert figure(scores[order], anomalous[order]) == pytest.approx(figure(scores, anomalous))


@pytest.mark.parametrize("figure", [roc_auc, average_precision])
def test_ranking_without_both_kinds_or_with_nan_is_refused(figure: object) -> None:
    """No figure is made up where there is nothing to rank."""
    assert callable(figure)
    scores = np.array([1.0, 2.0], dtype=np.float32)
    for anomalous in ([True, True], [False, False]):
        with pytest.raises(ValueError, match="both"):
            figure(scores, np.array(anomalous))
    with pytest.raises(ValueError, match="finite"):
        figure(np.array([1.0, np.nan], dtype=np.float32), np.array([True, False]))


def test_curve_of_a_known_case() -> None:
    """Scores 4, 3, 3, 1, one of the two 3 normal: three thresholds, for ties enter together."""
    curve = ranking_curve(
        np.array([3, 4, 1, 3], dtype=np.float32), np.array([False, True, True, True])
    )

    np.testing.assert_allclose(curve.sensitivity, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.false_positive_rate, [0, 1, 1])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 3 / 4])


@given(rows=cases)
def test_area_under_the_curve_is_the_auc(rows: list[tuple[int, bool]]) -> None:
    """Trapezoids under the points of the curve add up to the share of pairs in order."""
    scores, anomalous = _arrays(rows)
    curve = ranking_curve(scores, anomalous)
    area = np.trapezoid(np.append(0, curve.sensitivity), np.append(0, curve.false_positive_rate))

    assert roc_auc(scores, anomalous) == pytest.approx(area)


def test_summary_of_folds() -> None:
    """The standard deviation is that of a sample; a single value has none."""
    assert summary([1.0, 2.0, 3.0]) == Summary(mean=2.0, sd=1.0, min=1.0, max=3.0)
    assert summary([0.5]) == Summary(mean=0.5, sd=None, min=0.5, max=0.5)
