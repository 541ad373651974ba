"""Sums of decision trees, walked for many beats. Compiled; nothing is allocated."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def walk(
    x: NDArray[np.float32],
    roots: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Add the leaf of each tree that each beat comes to.

    Args:
        x: float32[n, k], finite.
        roots: first node of each tree; tree t is one of class t modulo the number of classes.
        feature: of each node the number below k that it asks for, -1 for a leaf.
        threshold: a beat goes left where its number is at most this.
        left: node that follows then,
        right: and otherwise. Each comes after the node itself, so every walk ends.
        value: of each leaf.
        out: float64[n, classes], added to.
    """
    classes = out.shape[1]
    # All beats walk one tree before the next: it stays in the processor's cache.
    for tree in range(roots.size):
        kind = tree % classes
        for beat in range(x.shape[0]):
            node = roots[tree]
            while feature[node] >= 0:
                goes_left = x[beat, feature[node]] <= threshold[node]
                node = left[node] if goes_left else right[node]
            out[beat, kind] += value[node]
