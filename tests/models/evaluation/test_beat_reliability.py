"""How often a name is right, by its probability."""

import numpy as np

from models.evaluation.protocols.beat_reliability import reliability


def test_share_of_right_names_stands_beside_their_probability() -> None:
    """Of 100 beats named V with 0.85, 80 are V. Unknown beats, and too few, do not count."""
    rows = np.zeros((130, 4), dtype=np.float32)
    rows[:, 0], rows[:, 2] = 0.15, 0.85
    rows[100:110] = [0.95, 0.05, 0.0, 0.0]
    rows[110:] = np.nan
    true = np.array(["V"] * 80 + ["N"] * 50)

    found = reliability(rows, true)

    assert [(one.probability, one.right, one.beats) for one in found["V"]] == [(0.85, 0.8, 100)]
    assert found["N"] == found["S"] == found["F"] == []
