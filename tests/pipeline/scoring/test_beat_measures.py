"""What a scorer is given of a beat beside its window: its columns, finite and limited."""

import numpy as np

from pipeline.constants import MEASURES
from pipeline.scoring.beat_features import FEATURE_NAMES
from pipeline.scoring.beat_measures import EVIDENCE_LIMIT, MEASURE_NAMES, with_evidence


def test_columns_are_named_once_each() -> None:
    """As many names as the wire carries columns; atrial fibrillation is the last."""
    assert len(set(MEASURE_NAMES)) == len(MEASURE_NAMES) == MEASURES
    assert MEASURE_NAMES[-1] == "atrial_fibrillation"


def test_evidence_is_the_last_column_and_limited() -> None:
    """Of too few beats there is no sign of fibrillation; a feature that is not finite is 0."""
    features = np.arange(6 * len(FEATURE_NAMES), dtype=np.float32).reshape(6, -1)
    features[5, :2] = np.nan, np.inf
    evidence = np.array([0.5, -0.25, np.nan, 100.0, -np.inf, 0.0])

    measures = with_evidence(features, evidence)

    assert (measures.shape, measures.dtype) == ((6, MEASURES), np.float32)
    assert measures[:, -1].tolist() == [
        0.5, -0.25, -EVIDENCE_LIMIT, EVIDENCE_LIMIT, -EVIDENCE_LIMIT, 0.0
    ]  # fmt: skip
    np.testing.assert_array_equal(measures[:5, :-1], features[:5])
    assert measures[5, :2].tolist() == [0.0, 0.0]


def test_no_beats_have_no_measures() -> None:
    """A segment may complete none."""
    none = with_evidence(np.empty((0, len(FEATURE_NAMES)), np.float32), np.empty(0))
    assert none.shape == (0, MEASURES)
