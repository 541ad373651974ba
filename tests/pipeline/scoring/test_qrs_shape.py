"""The QRS beside others: shape apart from size and place, and width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.scoring.qrs_shape import (
    UNUSUAL,
    QrsShape,
    likeness,
    likeness_unshifted,
    shape_of,
    width_ms,
)
from pipeline.signal.kernels.scoring import shape as kernel

T = np.arange(320)


def triangle(width: int, at: int = 140) -> NDArray[np.float32]:
    """Return a window whose QRS is a triangle so many ticks wide."""
    return np.maximum(0.0, 1.0 - 2.0 * np.abs(T - at) / width).astype(np.float32)


def biphasic(at: int = 140) -> NDArray[np.float32]:
    """Return a window whose QRS goes up and down again over 170 ms."""
    return (np.sin((T - at) / 9.0) * np.exp(-(((T - at) / 20.0) ** 2))).astype(np.float32)


def compare(
    window: NDArray[np.float32],
    usual: NDArray[np.float32],
    before: NDArray[np.float32] | None,
) -> QrsShape:
    """Compare a beat with usual templates, float32[templates, 320], and with the beat before."""
    shape, each = np.empty(kernel.SHAPE_NUMBERS), np.ones(len(usual), dtype=np.bool_)
    follows, before = before is not None, window if before is None else before
    kernel.compare(window, usual, each, len(usual), before, follows, shape)
    return shape_of(shape.tolist())


@given(st.floats(0.1, 10.0), st.floats(-1.0, 1.0), st.integers(-12, 12))
def test_neither_size_nor_level_nor_a_little_delay_changes_likeness(
    gain: float, level: float, delay: int
) -> None:
    """The detector may take another peak for R; within 12 ticks the shape is found again."""
    other = np.float32(gain) * triangle(40, 140 + delay) + np.float32(level)
    assert likeness(triangle(40), other) > 0.99


def test_another_shape_is_unusual_and_only_then_measured() -> None:
    """Of a beat that is as usual nothing but the likeness is known."""
    usual = np.stack([triangle(30), triangle(34)])
    as_usual = compare(triangle(32), usual, triangle(30))
    assert as_usual.likeness > 0.95
    assert not as_usual.unusual
    assert np.isnan([as_usual.width_ms, as_usual.widening, as_usual.repeats]).all()

    ectopic = compare(biphasic(), usual, biphasic())
    assert ectopic.likeness < UNUSUAL
    assert ectopic.unusual
    assert ectopic.repeats == pytest.approx(1.0, abs=1e-5)
    assert ectopic.widening > 1.1


def test_nothing_usual_is_known_at_first() -> None:
    """Then the likeness is unknown, the beat is not unusual, and all else is measured."""
    first = compare(triangle(40), np.empty((0, 320), np.float32), None)
    assert np.isnan(first.likeness)
    assert not first.unusual
    assert np.isnan(first.repeats)
    assert first.width_ms > 0


@pytest.mark.parametrize("width", [30, 40, 50, 60])
def test_width_is_that_of_a_triangle(width: int) -> None:
    """Within a tenth: 83 to 167 ms; whatever its height."""
    assert width_ms(triangle(width)) == pytest.approx(width / 0.36, rel=0.1)
    assert width_ms(np.float32(0.2) * triangle(width)) == pytest.approx(
        width_ms(triangle(width)), rel=1e-3
    )


@given(st.integers(0, 2**32 - 1))
def test_likeness_is_the_best_correlation_within_the_lags(seed: int) -> None:
    """Of the QRS, 100 ms before R to 150 ms after it, with that of the other up to 12 ticks off."""
    rng = np.random.default_rng(seed)
    one, other = (
        np.convolve(rng.normal(size=320), np.hanning(9), "same").astype(np.float32) for _ in "ab"
    )
    expected = [
        np.corrcoef(one[104 + lag : 194 + lag], other[104:194])[0, 1] for lag in range(-12, 13, 3)
    ]

    assert likeness(one, other) == pytest.approx(max(expected), abs=1e-6)
    assert likeness_unshifted(one, other) == pytest.approx(expected[4], abs=1e-6)


def test_the_most_alike_of_the_usual_ones_is_compared() -> None:
    """Where none is alike as it lies, the width is compared with that one's."""
    usual = np.stack([triangle(80), biphasic(150)])
    shape = compare(biphasic(), usual, None)
    assert shape.likeness == pytest.approx(likeness(biphasic(), usual[1]))
    assert shape.widening == pytest.approx(width_ms(biphasic()) / width_ms(usual[1]))
