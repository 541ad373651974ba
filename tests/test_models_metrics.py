"""AUC and average precision against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import average_precision, roc_auc

# Few distinct scores, so that ties are common.
cases = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({anomalous for _, anomalous in rows}) == 2
)


def _arrays(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, anomalous = zip(*rows, strict=True)
    return np.array(scores, dtype=np.float32), np.array(anomalous)


@settings(deadline=None)
@given(rows=cases)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    """Every anomalous beat meets every normal one; a tie counts half."""
    scores, anomalous = _arrays(rows)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[anomalous] for n in scores[~anomalous]]

    assert roc_auc(scores, anomalous) == pytest.approx(np.mean(pairs))


@settings(deadline=None)
@given(rows=cases)
def test_average_precision_is_the_mean_over_anomalous_beats(rows: list[tuple[int, bool]]) -> None:
    """Each anomalous beat's own score is the threshold once."""
    scores, anomalous = _arrays(rows)
    precisions = [anomalous[scores >= score].mean() for score in scores[anomalous]]

    assert average_precision(scores, anomalous) == pytest.approx(np.mean(precisions))


@settings(deadline=None)
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
