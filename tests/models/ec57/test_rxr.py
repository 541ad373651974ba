"""Run by run: where runs begin and end, and how long the other annotator's are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ec57.annotators import Annotator, Score
from models.ec57.rxr import RunComparison, compare_runs
from models.ec57.sumstats import sum_runs
from tests.support.annotators import FS_HZ, LEARNING, annotator, anything, beats, sparse


def compare(true: Annotator, found: Annotator, length: int | None = 10**6) -> RunComparison:
    """Compare two annotators at 100 Hz."""
    return compare_runs(true, found, FS_HZ, length)


def cells(matrix: np.ndarray) -> dict[tuple[int, int], int]:
    """Return the elements that are not 0."""
    return {(int(i), int(j)): int(matrix[i, j]) for i, j in np.argwhere(matrix)}


def run_lengths(annotations: Annotator) -> list[int]:
    """Return the lengths of runs after the learning period, the obvious way."""
    late = "".join(
        "V" if symbol in "VF" else "N"
        for at, symbol in zip(annotations.sample, annotations.symbol, strict=True)
        if at >= LEARNING
    )
    return [min(len(run), 6) for run in late.split("N") if run]


@given(annotations=sparse("NNASQVVVF", apart=31))
def test_an_annotator_agrees_with_itself(annotations: Annotator) -> None:
    """Both matrices are diagonal and hold every run once."""
    got = compare(annotations, annotations)
    expected = np.bincount(run_lengths(annotations), minlength=7)

    assert got.sensitivity.tolist() == got.predictivity.tolist() == np.diag(expected).tolist()


@given(true=sparse("NNAVVF"), found=sparse("NNAVVF"))
def test_every_run_is_counted_once(true: Annotator, found: Annotator) -> None:
    """The runs of the reference in the first matrix, those of the test in the second."""
    got = compare(true, found)

    assert (
        got.sensitivity.sum(axis=1).tolist() == np.bincount(run_lengths(true), minlength=7).tolist()
    )
    assert (
        got.predictivity.sum(axis=0).tolist()
        == np.bincount(run_lengths(found), minlength=7).tolist()
    )


@given(true=anything(), found=anything(), length=st.sampled_from([None, 0, LEARNING, 10**6]))
def test_no_annotator_is_too_wild(true: Annotator, found: Annotator, length: int | None) -> None:
    """Out of order, outside the record, flutter without end: always a result."""
    got = compare(true, found, length)

    assert got.sensitivity.shape == got.predictivity.shape == (7, 7)
    assert sum_runs([got]).gross.couplets == got.couplets


def test_runs_have_three_lengths() -> None:
    """A couplet is found if two are, a short run if three are, a long one if six are."""
    true = beats("NVVNVVVNVVVVVVN")
    assert compare(true, beats("NVVNVVVNVVVVVVN")).couplets == Score(1, 0, 1, 0)
    got = compare(true, beats("NVNNVVNNVVVVVNN"))

    assert cells(got.sensitivity) == {(2, 1): 1, (3, 2): 1, (6, 5): 1}
    assert cells(got.predictivity) == {(1, 1): 1, (2, 2): 1, (5, 5): 1}  # as far as found
    assert got.couplets == Score(0, 1, 1, 0)
    assert got.short_runs == Score(0, 1, 1, 0)
    assert got.long_runs == Score(0, 1, 0, 0)


def test_flutter_is_a_long_run() -> None:
    """From [ to ], or from the rhythm (VF to the next, also when it began while learning."""
    true = annotator((100, "N"), (200, "["), (300, "!"), (900, "]"), (1000, "N"))
    assert cells(compare(true, beats("NVVVVVVN", 100, 110)).sensitivity) == {(6, 6): 1}
    rhythm = annotator((100, "N"), (200, "+(VFL"), (900, "+(N"), (1000, "N"))
    assert cells(compare(rhythm, true).predictivity) == {(6, 6): 1}
    early = annotator((-500, "["), (500, "]"), (600, "N"))
    assert cells(compare(early, beats("VVN", 100)).sensitivity) == {(6, 2): 1}


def test_a_shutdown_ends_a_run_and_noise_does_not() -> None:
    """Only where no signal can be read."""
    events = [(100, "V"), (150, "~"), (200, "V"), (300, "N")]
    assert cells(compare(annotator(*events), beats("N")).sensitivity) == {(2, 0): 1}
    events[1] = (150, "~x")
    assert cells(compare(annotator(*events), beats("N")).sensitivity) == {(1, 0): 2}


def test_a_run_at_the_end_counts() -> None:
    """It ends with the annotations."""
    assert cells(compare(beats("NVV"), beats("NVV")).sensitivity) == {(2, 2): 1}


def test_an_annotator_without_annotations_has_no_runs() -> None:
    """Nor does one that falls silent while learning."""
    for silent in (annotator(), annotator((-900, "V"), (-800, "V"))):
        got = compare(silent, beats("NVVN"))
        assert cells(got.sensitivity) == {}
        assert cells(got.predictivity) == {(0, 2): 1}


@pytest.mark.parametrize(("fs_hz", "length"), [(0.0, None), (float("nan"), None), (100.0, 99)])
def test_what_cannot_be_compared_is_refused(fs_hz: float, length: int | None) -> None:
    """One documented error."""
    with pytest.raises(ValueError, match=r"rate|learning"):
        compare_runs(beats("N"), beats("N"), fs_hz, length)
