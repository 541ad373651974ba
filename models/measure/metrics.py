"""How well scores rank anomalous beats above normal ones, exact, ties handled.

Pure: arrays in, numbers out. A curve has one point for each distinct score as threshold, from the
highest down, for beats of equal score are called together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


class Curve(NamedTuple):
    """What calling every beat anomalous whose score is at least the threshold would give."""

    sensitivity: NDArray[np.float64]
    """Share of the anomalous beats that are called, ascending to 1."""
    false_positive_rate: NDArray[np.float64]
    """Share of the normal beats that are called, ascending to 1."""
    precision: NDArray[np.float64]
    """Share of anomalous beats among those called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Several values of one figure, as of folds or of seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation; None of a single value."""
    min: float
    max: float


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
    curve = ranking_curve(scores, anomalous)
    return float(np.sum(np.diff(curve.sensitivity, prepend=0.0) * curve.precision))


def ranking_curve(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> Curve:
    """Return sensitivity, false positive rate and precision at every threshold.

    Args:
        scores: float[n], finite.
        anomalous: bool[n], with both kinds in it.

    Raises:
        ValueError: a score is not finite, or a kind is missing.
    """
    positives, negatives = _counts(scores, anomalous)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    found = np.cumsum(anomalous[order])[last_of_tie]
    called = last_of_tie + 1
    return Curve(found / positives, (called - found) / negatives, found / called)


def summary(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation, least and greatest of at least one value."""
    array = np.asarray(values, dtype=np.float64)
    return Summary(
        mean=float(array.mean()),
        sd=float(array.std(ddof=1)) if array.size > 1 else None,
        min=float(array.min()),
        max=float(array.max()),
    )


def _counts(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> tuple[int, int]:
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    positives = int(np.count_nonzero(anomalous))
    if positives in (0, anomalous.size):
        raise ValueError("ranking needs both normal and anomalous beats")
    return positives, int(anomalous.size) - positives
