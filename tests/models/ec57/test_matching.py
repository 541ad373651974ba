"""Counting beats as EC57 does: which beats match, and the class of each symbol."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ec57.matching import (
    ANOMALOUS,
    CLASS_OF,
    CLASSES,
    classes_of,
    match_beats,
    match_samples,
)
from pipeline.constants import CLASSES as CLASSIFIED
from replay.annotations import BEAT_SYMBOLS

positions = st.lists(st.integers(0, 2000), max_size=30, unique=True).map(
    lambda values: np.array(sorted(values), dtype=np.int64)
)


def pairs(reference: list[int], found: list[int], within: int = 54) -> list[int]:
    """Match two lists of positions."""
    return match_beats(np.array(reference), np.array(found), within).tolist()


@given(reference=positions, found=positions, within=st.integers(0, 100))
def test_a_match_is_one_to_one_in_order_and_near(
    reference: np.ndarray, found: np.ndarray, within: int
) -> None:
    """No annotation and no detection is matched twice, none crosswise, none too far."""
    matched = match_beats(reference, found, within)
    there = matched >= 0

    assert matched.shape == reference.shape
    assert (np.diff(matched[there]) > 0).all()
    assert (np.abs(reference[there] - found[matched[there]]) <= within).all()


@given(reference=positions, found=positions, within=st.integers(0, 100))
def test_nothing_that_could_be_matched_stays_alone_beside_another(
    reference: np.ndarray, found: np.ndarray, within: int
) -> None:
    """A missed annotation and a false detection within reach of each other have rivals nearby."""
    matched = match_beats(reference, found, within)
    extra = np.setdiff1d(np.arange(found.size), matched)
    for a in np.flatnonzero(matched < 0):
        for d in extra:
            near = np.abs(reference[a] - found[d]) <= within
            crowded = (np.abs(np.delete(reference, a) - found[d]) <= 2 * within).any() or (
                np.abs(np.delete(found, d) - reference[a]) <= 2 * within
            ).any()
            assert not near or crowded


@given(found=positions, seed=st.integers(0, 99))
def test_well_parted_beats_are_matched_to_the_nearest(found: np.ndarray, seed: int) -> None:
    """Beats further apart than twice the window have at most one candidate, and get it."""
    reference = np.arange(0, 2000, 250)
    shifts = np.random.default_rng(seed).integers(-80, 81, reference.size)
    detections = np.sort(reference + shifts)

    matched = match_beats(reference, detections, 54)

    assert (matched >= 0).tolist() == (np.abs(detections - reference) <= 54).tolist()


def test_the_nearer_of_two_detections_is_the_beat() -> None:
    """The other one is false; either may come first."""
    assert pairs([1000], [960, 1010]) == [1]
    assert pairs([1000], [990, 1040]) == [0]


def test_the_nearer_of_two_annotations_has_the_detection() -> None:
    """The other one was missed."""
    assert pairs([960, 1010], [1000]) == [-1, 0]
    assert pairs([990, 1040], [1000]) == [0, -1]


def test_the_window_is_54_samples_at_360_hz() -> None:
    """150 ms to the nearest sample: a detection 54 samples away is the beat, 55 are too far."""
    within = match_samples(360.0)

    assert within == 54
    assert pairs([1000], [1054], within) == [0]
    assert pairs([1000], [1055], within) == [-1]
    assert match_samples(250.0) == 38
    assert match_samples(128.0) == 19


def test_a_nearer_partner_gives_way_to_one_nearer_still() -> None:
    """A detection nearer to the next annotation stays where it is if that has a better one."""
    assert pairs([1000, 1060], [1035, 1062]) == [0, 1]
    assert pairs([1035, 1062], [1000, 1060]) == [0, 1]


def test_nothing_to_match() -> None:
    """Without annotations there are no pairs; without detections all are missed."""
    assert pairs([], [5]) == []
    assert pairs([5, 900], []) == [-1, -1]


def test_every_beat_symbol_has_a_class() -> None:
    """What the records can hold, EC57 can count; and nothing else."""
    assert set(CLASS_OF) == BEAT_SYMBOLS
    assert set(CLASS_OF.values()) == set(CLASSES)
    assert set(ANOMALOUS) == set(CLASSES) - {"N"}
    assert (*CLASSIFIED, "Q") == CLASSES


def test_classes_are_those_of_the_literature() -> None:
    """Escape beats are N, aberrated and junctional ones S, paced ones Q; a comment is no beat."""
    assert "".join(classes_of("NLRejAaJSVEF/fQ")) == "NNNNNSSSSVVFQQQ"
    assert classes_of([]).shape == (0,)
    with pytest.raises(KeyError):
        classes_of("!")
