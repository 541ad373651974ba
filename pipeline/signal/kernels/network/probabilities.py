"""Probabilities of classes: from logits, and of several parts joined. Compiled.

Exponentials and logarithms are NumPy's, of all rows at once; here is what lies between them, in the
order and precision in which NumPy computes it. Rows are of any number of classes.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def less_highest(logits: NDArray[np.float32]) -> None:
    """Take the highest logit of each row off all of it."""
    for row in range(logits.shape[0]):
        take_highest_off(logits[row])


@jit
def take_highest_off(x: NDArray[np.floating]) -> None:
    """Take the highest number off all of them."""
    highest = x[0]
    for k in range(1, x.size):
        highest = max(highest, x[k])
    for k in range(x.size):
        x[k] -= highest


@jit
def of_sum_one(rows: NDArray[np.float32]) -> None:
    """Divide each row by its sum."""
    for row in range(rows.shape[0]):
        _divide(rows[row], rows[row])


@jit
def single_of_sum_one(rows: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write each row divided by its sum."""
    for row in range(rows.shape[0]):
        _divide(rows[row], out[row])


@jit
def _divide(x: NDArray[np.floating], out: NDArray[np.float32]) -> None:
    total = x[0]
    for k in range(1, x.size):
        total += x[k]
    for k in range(x.size):
        out[k] = np.float32(x[k] / total)


@jit
def weigh(logs: NDArray[np.float32], share: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the weighted mean of two parts, row by row.

    Args:
        logs: float32[2, n, classes].
        share: float32[n], of the first part.
        out: float32[n, classes].
    """
    for row in range(out.shape[0]):
        first = share[row]
        second = np.float32(1.0) - first
        for k in range(out.shape[1]):
            out[row, k] = first * logs[0, row, k] + second * logs[1, row, k]


@jit
def share_between(x: NDArray[np.float32], begins: float, ends: float, least: float) -> None:
    """Put a share in place of each number: ``least`` from ``begins`` on, 1 at ``ends`` and below.

    Between the two it changes evenly.
    """
    first, width = np.float32(begins), np.float32(begins - ends)
    lowest, more = np.float32(least), np.float32(1.0 - least)
    for k in range(x.size):
        part = min(max((first - x[k]) / width, np.float32(0.0)), np.float32(1.0))
        x[k] = lowest + more * part


@jit
def move(
    rows: NDArray[np.float32],
    odds: NDArray[np.float32],
    source: int,
    target: int,
    out: NDArray[np.float32],
) -> None:
    """Write rows of which a class gives a part of its probability to another.

    Args:
        rows: float32[n, classes].
        odds: float32[n], against the move: of 0 all is given, of 1 half.
        source: the class that gives.
        target: the class that is given.
        out: float32[n, classes].
    """
    for row in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            out[row, k] = rows[row, k]
        moved = rows[row, source] * (np.float32(1.0) / (np.float32(1.0) + odds[row]))
        out[row, source] -= moved
        out[row, target] += moved
