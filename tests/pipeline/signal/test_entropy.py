"""The sample entropy of intervals is that of the definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.signal.kernels.alarms.entropy import NEAR_S, sample_entropy

_interval = st.tuples(st.integers(200, 260), st.booleans())


@given(intervals=st.lists(_interval, min_size=1, max_size=32))
def test_sample_entropy_counts_pairs_that_go_on_alike(intervals: list[tuple[int, bool]]) -> None:
    """Of the pairs whose first intervals match, those whose second ones match as well."""
    rr = np.array([ticks / 360.0 for ticks, _ in intervals])
    follows = np.array([float(follows) for _, follows in intervals])
    places = [i for i in range(1, len(rr)) if follows[i] > 0.0]
    pairs = [(i, j) for i in places for j in places if i < j]
    alike = [(i, j) for i, j in pairs if abs(rr[i - 1] - rr[j - 1]) < NEAR_S]
    both = sum(abs(rr[i] - rr[j]) < NEAR_S for i, j in alike)

    entropy = sample_entropy(rr, follows, len(rr), np.empty(32), np.empty(32))

    assert entropy == pytest.approx(-math.log((both + 0.5) / (len(alike) + 1.0)), rel=1e-12)
