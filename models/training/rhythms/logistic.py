"""The logistic regression that the rules of rhythms are fitted by."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

RIDGE: Final = 1e-3


def fit_logistic(
    x: NDArray[np.float64],
    y: NDArray[np.bool_],
    share: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weights and the bias, float64[k + 1], of a regression with a light ridge.

    Args:
        x: float64[n, k], the measures.
        y: bool[n], what they are to show.
        share: float64[n], how much each counts; the sum is 1.
        mean: float64[k], taken off the measures, which are then divided by
        spread: float64[k].
    """
    scaled = np.column_stack(((x - mean) / spread, np.ones(len(x))))

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = scaled @ theta
        losses = np.logaddexp(0.0, np.where(y, -z, z))
        gradient = scaled.T @ (share * (1.0 / (1.0 + np.exp(-z)) - y))
        gradient[:-1] += 2 * RIDGE * theta[:-1]
        return float(share @ losses + RIDGE * (theta[:-1] ** 2).sum()), gradient

    theta = optimize.minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B").x
    slopes = theta[:-1] / spread
    return np.append(slopes, theta[-1] - slopes @ mean)
