"""Templates of beats: sorted by shape, usual by how often and how early they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.scoring.beat_templates import (
    FORGETTING,
    MAX_TEMPLATES,
    SAME_SHAPE,
    TEMPLATE_STEP,
    BeatTemplates,
)
from pipeline.signal.kernels.scoring import templates as kernel

SHAPES = np.random.default_rng(0).uniform(-1, 1, (12, 320)).astype(np.float32)
"""Far apart: any two differ by more than SAME_SHAPE."""

COMPARED = slice(kernel.COMPARED_FROM, kernel.COMPARED_TO)


def add(
    templates: BeatTemplates, window: NDArray[np.float32], early: float, *, usual: bool
) -> None:
    """Add a beat as the live score does."""
    templates.add(window, early, -5.0, usual=usual)


def add_all(shapes: list[tuple[int, float]]) -> BeatTemplates:
    """Return templates of beats of (shape, prematurity)."""
    templates = BeatTemplates()
    for shape, early in shapes:
        add(templates, SHAPES[shape], early, usual=True)
    return templates


def shape_of(templates: BeatTemplates, index: int) -> int:
    """Return which of SHAPES a template has."""
    return int(np.square(SHAPES - templates.state.templates[index]).mean(axis=1).argmin())


def usual_shapes(templates: BeatTemplates) -> set[int]:
    """Return which of SHAPES are usual."""
    usual = np.zeros(MAX_TEMPLATES, dtype=np.bool_)
    kernel.find_usual(templates.state.numbers, templates.state.known, usual)
    return {shape_of(templates, int(index)) for index in np.flatnonzero(usual)}


def test_two_normal_shapes_are_both_usual() -> None:
    """A patient may have more than one normal beat."""
    assert usual_shapes(add_all([(n % 2, 0.0) for n in range(40)])) == {0, 1}


def test_bigeminy_does_not_become_usual() -> None:
    """However often a shape comes, it is not usual where its beats are early on the whole."""
    assert usual_shapes(add_all([(0, 0.0), (1, 0.4)] * 200)) == {0}


def test_a_minority_among_the_first_is_not_usual() -> None:
    """One odd beat of sixteen is no second normal shape."""
    assert usual_shapes(add_all([(0, 0.0)] * 15 + [(1, 0.0)])) == {0}


def test_a_shape_that_the_student_cannot_follow_is_not_usual() -> None:
    """Late ectopic beats are kept out by their reconstruction error."""
    templates = BeatTemplates()
    for n in range(60):
        window, error = (SHAPES[1], -1.0) if n % 3 == 0 else (SHAPES[0], -6.0)
        templates.add(window, 0.0, error, usual=True)

    assert usual_shapes(templates) == {0}


def test_unusual_beats_do_not_move_a_usual_template() -> None:
    """A template learns only from beats that may teach it; other templates learn always."""
    templates = add_all([(0, 0.0)] * 30)
    template = templates.state.templates[0]
    before = template.copy()
    add(templates, SHAPES[0] + np.float32(0.1), 0.4, usual=False)

    np.testing.assert_array_equal(template, before)
    add(templates, SHAPES[0] + np.float32(0.1), 0.0, usual=True)
    assert not np.array_equal(template, before)


def slow_templates(beats: list[tuple[int, float]]) -> dict[int, tuple[float, float, float]]:
    """Return weight, prematurity and offset of each shape's template, beat by beat."""
    kept: dict[int, list[float]] = {}
    for shape, offset in beats:
        for values in kept.values():
            values[0] *= FORGETTING
        if shape not in kept:
            if len(kept) == MAX_TEMPLATES:
                del kept[min(kept, key=lambda s: kept[s][0])]
            kept[shape] = [1.0, offset, offset, 1]
            continue
        values = kept[shape]
        values[0] += 1
        values[3] += 1
        step = max(1 / values[3], TEMPLATE_STEP)
        values[1] += step * (offset - values[1])
        values[2] += step * (offset - values[2])
    return {shape: (v[0], v[1], v[2]) for shape, v in kept.items()}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-0.1, 0.1)), min_size=1, max_size=60))
def test_templates_are_those_of_a_slow_reference(beats: list[tuple[int, float]]) -> None:
    """Prematurity and templates follow from the beats in order; the rarest one is forgotten."""
    templates = BeatTemplates()
    for shape, offset in beats:
        add(templates, SHAPES[shape] + np.float32(offset), offset, usual=True)
    expected = slow_templates(beats)

    state = templates.state
    found = {shape_of(templates, index): index for index in range(state.known)}
    assert set(found) == set(expected)
    for shape, (_, early, offset) in expected.items():
        index = found[shape]
        assert abs(state.numbers[kernel.EARLY, index] - early) < 1e-9
        moved = SHAPES[shape] + np.float32(offset)
        np.testing.assert_allclose(state.templates[index], moved, atol=1e-5)


@given(st.integers(0, 11))
def test_distance_is_over_the_compared_ticks(shape: int) -> None:
    """What differs outside of P wave and QRS does not make a new template."""
    state, distances = add_all([(shape, 0.0)]).state, np.full(MAX_TEMPLATES, np.nan)
    window = SHAPES[shape].copy()
    window[COMPARED.stop :] = 0.0
    window[: COMPARED.start] = 0.0

    assert kernel.measure_distances(window, state.templates, state.known, distances) == 0
    assert distances[0] == 0.0
    apart = np.sqrt(np.square(SHAPES[(shape + 1) % 12] - SHAPES[shape])[COMPARED].mean())
    assert apart > SAME_SHAPE


@pytest.mark.parametrize(
    ("row", "value"),
    [("WEIGHT", np.nan), ("EARLY", np.inf), ("ERROR", -np.inf), ("COUNT", 0.0)],
)
def test_state_with_impossible_numbers_is_refused(row: str, value: float) -> None:
    """Without it no template is the commonest, and the next beat ended the hub."""
    state = add_all([(0, 0.0), (1, 0.0)]).state
    assert usual_shapes(BeatTemplates(state)) == {0, 1}
    state.numbers[getattr(kernel, row), 0] = value
    with pytest.raises(SnapshotError):
        BeatTemplates(state)


@pytest.mark.parametrize("known", [-1, MAX_TEMPLATES + 1])
def test_state_of_too_many_templates_is_refused(known: int) -> None:
    """The kernel would read beyond its arrays."""
    state = add_all([(0, 0.0)]).state
    state.known = known
    with pytest.raises(SnapshotError):
        BeatTemplates(state)
