"""Curves in braille show every sample, exactly like a slow reference drawing."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.dashboard.braille import curve, envelope


def slow_envelope(x, start, per_column, columns):
    """Low and high of the polyline through ``x`` in each column, sample by sample."""

    def at(position):
        left = math.floor(position)
        if not 0 <= position <= len(x) - 1:
            return math.nan
        if left == len(x) - 1:
            return float(x[left])
        share = position - left
        if share == 0:
            return float(x[left])
        return float(x[left]) + share * (float(x[left + 1]) - float(x[left]))

    low, high = [], []
    for i in range(columns):
        a, b = start + i * per_column, start + (i + 1) * per_column
        seen = [at(a), at(b)] + [float(v) for j, v in enumerate(x) if a <= j < b]
        seen = [v for v in seen if not math.isnan(v)]
        low.append(min(seen, default=math.nan))
        high.append(max(seen, default=math.nan))
    return low, high


def slow_dots(low, high, rows, bottom, top):
    """The set of (row, column) that are to be drawn."""
    dots = 4 * rows
    drawn = set()
    for column, (a, b) in enumerate(zip(low, high, strict=True)):
        if math.isnan(a) or math.isnan(b):
            continue
        rows_of = [round((top - v) / ((top - bottom) / (dots - 1))) for v in (b, a)]
        first, last = (min(max(row, 0), dots - 1) for row in rows_of)
        drawn |= {(row, column) for row in range(first, last + 1)}
    return drawn


def dots_of(lines):
    """The set of (row, column) that ``lines`` of braille show, by the Unicode dot numbers."""
    places = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    seen = set()
    for i, line in enumerate(lines):
        for j, char in enumerate(line):
            code = 0 if char == " " else ord(char) - 0x2800
            assert 0 <= code < 256
            seen |= {(4 * i + r, 2 * j + c) for n, (r, c) in enumerate(places) if code >> n & 1}
    return seen


signals = st.lists(st.sampled_from([*range(-8, 9), math.nan]), max_size=60)


@given(
    x=signals,
    start=st.integers(-80, 80),
    per_column=st.sampled_from([0.25, 0.5, 1.0, 1.25, 3.0, 7.5]),
    columns=st.integers(1, 40),
)
def test_envelope_equals_the_slow_one_where_there_are_no_gaps(x, start, per_column, columns):
    """Lowest and highest of each column are those of the polyline, peaks included."""
    x = [0.0 if math.isnan(v) else float(v) for v in x]
    low, high = envelope(np.array(x), start / 4, per_column, columns)
    expected_low, expected_high = slow_envelope(x, start / 4, per_column, columns)
    np.testing.assert_allclose(low, expected_low, atol=1e-9)
    np.testing.assert_allclose(high, expected_high, atol=1e-9)


@given(x=signals, per_column=st.sampled_from([0.5, 1.0, 2.5, 6.0]))
def test_no_sample_is_lost_and_no_signal_invented(x, per_column):
    """Every known sample lies within its column; a column of unknown samples stays empty."""
    columns = 150
    low, high = envelope(np.array(x, dtype=np.float64), 0.0, per_column, columns)
    assert np.array_equal(np.isnan(low), np.isnan(high))
    for i, value in enumerate(x):
        if not math.isnan(value):
            assert low[int(i / per_column)] <= value <= high[int(i / per_column)]
    for column in range(columns):
        first, last = math.floor(column * per_column), math.ceil((column + 1) * per_column)
        if all(math.isnan(v) for v in x[first : last + 1]):
            assert np.isnan(low[column])


@given(
    ends=st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 2), st.booleans()), max_size=40),
    rows=st.integers(1, 6),
)
def test_curve_shows_exactly_the_dots_of_the_slow_drawing(ends, rows):
    """Each column is drawn from its lowest to its highest point, the rest stays empty."""
    low = np.array([math.nan if gap else a for a, _, gap in ends])
    high = np.array([math.nan if gap else a + b for a, b, gap in ends])
    lines = curve(low, high, rows, -2.0, 2.0)
    assert len(lines) == rows
    assert {len(line) for line in lines} == {(len(ends) + 1) // 2}
    assert dots_of(lines) == slow_dots(low.tolist(), high.tolist(), rows, -2.0, 2.0)


def test_a_step_is_drawn_without_a_hole():
    """Neighbouring columns meet, so that the steep flank of a QRS is one line."""
    x = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    low, high = envelope(x, 0.0, 0.5, 10)
    rows = {row for row, _ in dots_of(curve(low, high, 3, 0.0, 1.0))}
    assert rows == set(range(12))
