"""How well scores rank anomalous beats above normal ones, exact, ties handled.

Pure: arrays in, a number out.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def roc_auc(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> float:
    """Return the chance that an anomalous beat outscores a normal one, a tie counting half.

    Args:
        scores: float[n], finite.
        anomalous: bool[n], with both kinds in it.

    Raises:
        ValueError: a score is not finite, or a kind is missing.
    """
    positives, negatives = _counts(scores, anomalous)
    rank_sum = float(rankdata(scores)[anomalous].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> float:
    """Return the mean precision over the anomalous beats, each at its own score as threshold.

    Beats of equal score enter together, so the order of ties does not matter.

    Args:
        scores: float[n], finite.
        anomalous: bool[n], with both kinds in it.

    Raises:
        ValueError: a score is not finite, or a kind is missing.
    """
    positives, _ = _counts(scores, anomalous)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    found = np.cumsum(anomalous[order])[last_of_tie]
    precision = found / (last_of_tie + 1)
    return float(np.sum(np.diff(found, prepend=0) * precision) / positives)


def _counts(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> tuple[int, int]:
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    positives = int(np.count_nonzero(anomalous))
    if positives in (0, anomalous.size):
        raise ValueError("ranking needs both normal and anomalous beats")
    return positives, int(anomalous.size) - positives
