"""The hold of the measures is that of the live score: the same numbers and the same decisions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R
from pipeline.scoring import baseline_hold, qrs_shape
from pipeline.scoring.baseline_hold import BaselineHold
from pipeline.scoring.qrs_shape import QrsShape
from pipeline.signal.kernels.naming import hold, slots

BEATS = {
    "usual": (0.8, 0.99, 0.99),
    "fast and usual": (0.5, 0.99, 0.99),
    "fast and unlike": (0.5, 0.4, 0.97),
    "slow and unlike": (0.7, 0.4, 0.97),
    "not known": (math.nan, 0.4, 0.97),
}
"""Interval in seconds, likeness to the usual ones, and to the beat before."""


def test_the_numbers_are_the_same() -> None:
    """Whoever changes one of them changes the other."""
    names = ("BEGINS_AFTER", "MOST_LEVEL", "OTHER_TAKES_OFF", "HELD_AT_MOST", "FAST_RR_S")
    for name in (*names, "FIRST_RR_S"):
        assert getattr(hold, name) == getattr(baseline_hold, name), name
    assert hold.UNLIKE == qrs_shape.UNUSUAL
    assert hold.REPEATED == qrs_shape.REPEATED
    step_ms = 2 * 1000.0 / SAMPLING_RATE_HZ
    assert hold.WIDE * math.sqrt(12.0) * step_ms == pytest.approx(baseline_hold.WIDE_MS, abs=0.2)


def test_both_look_at_the_same_qrs() -> None:
    """In steps of two ticks and at every tick."""
    assert WINDOW_BEFORE_R == 2 * slots.R == slots.CONTEXT_R
    assert slice(2 * slots.QRS_FROM, 2 * slots.QRS_TO) == qrs_shape.QRS
    assert slots.PART_FROM[slots.QRS_PART] == qrs_shape.QRS.start
    assert slots.PART_TO[slots.QRS_PART] == qrs_shape.QRS.stop


@settings(max_examples=50)
@given(
    runs=st.lists(st.tuples(st.sampled_from(sorted(BEATS)), st.integers(1, 9)), max_size=30),
    late=st.booleans(),
    wide=st.booleans(),
    on_end=st.sampled_from((0, 0, hold.HELD_AT_MOST + 9)),
)
def test_both_hold_the_same_beats(
    runs: list[tuple[str, int]], late: bool, wide: bool, on_end: int
) -> None:
    """Of any sequence, with and without usual beats to compare with."""
    counters = np.zeros(slots.COUNTERS, dtype=np.int64)
    row = np.zeros(slots.COLUMNS, dtype=np.float32)
    other = BaselineHold()
    for name, times in [*runs, ("fast and unlike", on_end), *runs]:
        rr_s, likeness, repeats = BEATS[name]
        row[slots.LATE_KNOWN] = slots.LEAST_LATE if late else 0
        row[slots.LATE_QRS_LAG], row[slots.LAST_QRS] = likeness, repeats
        row[slots.WIDTH] = 9.0 if wide else 5.0
        shape = QrsShape(
            likeness=likeness if late else math.nan,
            repeats=repeats,
            width_ms=170.0 if wide else 90.0,
        )
        for _ in range(times):
            assert hold.hold(rr_s, row, counters) == other.on_beat(rr_s, shape)
            assert hold.active(counters) == other.active
