"""Beat by beat: pairs, beats that are not counted, and annotators with far too many beats."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ec57.annotators import Annotator, Score, VebScore
from models.ec57.bxb import LABELS, BeatComparison, compare_beats
from models.ec57.matching import CLASS_OF, LABEL_OF, match_beats, match_samples
from models.ec57.sumstats import Average, sum_beats
from tests.support.annotators import FS_HZ, LEARNING, annotator, anything, beats, sparse, together

LENGTH = 1_000_000


def compare(true: Annotator, found: Annotator, length: int | None = LENGTH) -> BeatComparison:
    """Compare two annotators at 100 Hz."""
    return compare_beats(true, found, FS_HZ, length)


def counts(got: BeatComparison) -> dict[str, int]:
    """Return the elements of the matrix that are not 0, named as in bxb: Nn, Vo."""
    return {
        LABELS[row] + LABELS[column].lower(): int(got.matrix[row, column])
        for row, column in np.argwhere(got.matrix)
    }


@given(annotations=sparse("NLRBejnAaJSVErF/fQ?"))
def test_an_annotator_agrees_with_itself(annotations: Annotator) -> None:
    """All on the diagonal, nothing missed or extra, no error of intervals or positions."""
    got = compare(annotations, annotations)
    after = np.asarray(annotations.sample) >= LEARNING

    assert got.matrix.sum() == np.trace(got.matrix) == after.sum()
    assert got.qrs == Score(after.sum(), 0, after.sum(), 0)
    assert got.rr_squares == 0
    assert (np.diff(got.matched, axis=1) == 0).all()


@given(true=sparse("NASVFQ"), found=sparse("NASVFQ"))
def test_every_beat_is_counted_once(true: Annotator, found: Annotator) -> None:
    """Rows hold the reference's beats, columns the test's; only those at the start may differ."""
    got = compare(true, found)
    late = (np.asarray(true.sample) >= LEARNING).sum()
    found_late = (np.asarray(found.sample) >= LEARNING).sum()

    assert got.matrix[:5].sum() == late
    assert abs(got.matrix[:, :5].sum() - found_late) <= 1
    assert (got.matrix[5:, 5:] == 0).all()
    assert len(got.matched) == got.qrs.tps


@given(
    true=st.lists(st.integers(100, 3000), max_size=40, unique=True).map(sorted),
    found=st.lists(st.integers(100, 3000), max_size=40, unique=True).map(sorted),
)
def test_beats_of_no_special_kind_are_matched_as_in_a_list(
    true: list[int], found: list[int]
) -> None:
    """Far from the learning period and without flutter the rule is that of `match_beats`."""
    got = compare(annotator(*((at, "N") for at in true)), annotator(*((at, "N") for at in found)))
    pairs = match_beats(np.array(true), np.array(found), match_samples(FS_HZ))
    expected = [[true[i], found[j]] for i, j in enumerate(pairs) if j >= 0]

    assert (got.matched - LEARNING).tolist() == expected


@given(true=anything(), found=anything(), length=st.sampled_from([None, 0, LEARNING, 10**6]))
def test_no_annotator_is_too_wild(true: Annotator, found: Annotator, length: int | None) -> None:
    """Out of order, outside the record, flutter without end: always a result, never a count < 0."""
    got = compare(true, found, length)

    assert (got.matrix >= 0).all()
    assert got.matrix[:5, :5].sum() == len(got.matched)
    assert sum_beats([got, got]).gross.qrs.fn == 2 * got.qrs.fn


def test_escape_beats_are_supraventricular_here() -> None:
    """The program counts e, j and n as S, the machine-learning literature as N; else the same."""
    differ = {symbol for symbol in CLASS_OF if CLASS_OF[symbol] != LABEL_OF[symbol]}

    assert set(CLASS_OF) == set(LABEL_OF)
    assert differ == set("ejn")
    assert counts(compare(beats("NejnN"), beats("NNNNN"))) == {"Nn": 2, "Sn": 3}


def test_fusions_called_ectopic_are_no_false_positives_of_v() -> None:
    """F and Q named V are forgiven, N and S are not; of S only Q is."""
    got = compare(beats("FQNAV"), beats("VVVVV"))
    assert got.veb == VebScore(1, 0, 1, 2, tn=0)
    got = compare(beats("FQNVA"), beats("AAAAA"))
    assert got.sveb == Score(1, 0, 1, 3)
    assert sum_beats([got]).gross.sveb == Score(1, 0, 1, 2)


def test_a_flutter_wave_outside_flutter_is_a_beat_of_no_class() -> None:
    """The program pairs it and counts the other side as extra or missed."""
    assert counts(compare(beats("N!N"), beats("NNN"))) == {"Nn": 2, "On": 1}
    assert counts(compare(beats("NNN"), beats("N!N"))) == {"Nn": 2, "No": 1}


def test_what_is_found_in_flutter_does_not_count() -> None:
    """Between [ and ] of the reference nothing is right or wrong; after it all counts again."""
    true = annotator((100, "N"), (180, "["), (200, "!"), (400, "]"), (480, "N"))
    found = annotator((100, "N"), (250, "N"), (320, "V"), (430, "N"), (480, "N"))

    assert counts(compare(true, found)) == {"Nn": 2, "On": 1}


def test_beats_missed_in_a_shutdown_are_apart() -> None:
    """X instead of O, and its time, while the test annotator cannot read the signal."""
    true = beats("NNVNN", first=100, apart=100)
    found = annotator((100, "N"), (150, "~x"), (350, "~"), (400, "N"), (500, "N"))
    got = compare(true, found)

    assert counts(got) == {"Nn": 3, "Nx": 1, "Vx": 1}
    assert got.shutdown_s == 2
    assert counts(compare(found, true)) == {"Nn": 3, "Xn": 1, "Xv": 1}


def test_a_shutdown_may_be_one_mark_in_its_middle() -> None:
    """As in the AHA database: it lasts from one beat to the next, less the match window."""
    true = annotator((100, "N"), (200, "N"), (300, "N"), (500, "N"))
    found = annotator((100, "N"), (300, "~x"), (500, "N"))
    got = compare(true, found)

    assert counts(got) == {"Nn": 2, "Nx": 2}
    assert got.shutdown_s == 4


def test_a_shutdown_without_end_lasts_to_that_of_the_record() -> None:
    """Its time is known only if that of the record is."""
    true, found = beats("NNNNN", 100, 100), annotator((100, "N"), (200, "N"), (250, "~x"))

    got = compare(true, found, LEARNING + 1050)
    assert counts(got) == {"Nn": 2, "Nx": 3}
    assert got.shutdown_s == 8
    assert compare(true, found, None).shutdown_s == 0


def test_a_beat_before_the_test_period_may_match_one_in_it() -> None:
    """An early detection of the first beat is one; an annotation before the period is none."""
    true, found = beats("NN", 5, 100), beats("NN", -3, 105)

    assert counts(compare(true, found)) == {"Nn": 2}
    assert counts(compare(found, true)) == {"Nn": 1}


def test_what_lies_beyond_the_record_does_not_count() -> None:
    """The comparison ends with the record, or with the reference if its length is unknown."""
    true, found = beats("NN", 100, 100), beats("NNNN", 100, 100)

    assert counts(compare(true, found, LEARNING + 250)) == {"Nn": 2}
    assert counts(compare(true, found, None)) == {"Nn": 2}
    assert counts(compare(true, found, LEARNING + 350)) == {"Nn": 2, "On": 1}


def test_nothing_compares_with_nothing() -> None:
    """No beats, no figures."""
    got = compare(together([], []), together([], []))

    assert counts(got) == {}
    assert got.qrs.sensitivity is got.qrs.positive_predictivity is None
    assert got.rms_rr_error_ms is got.veb.false_positive_rate is None
    assert sum_beats([]).average.qrs == Average(sensitivity=None, positive_predictivity=None)


@pytest.mark.parametrize("fs_hz", [0.0, -360.0, 0.5, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(fs_hz: float) -> None:
    """One documented error, whatever stands in for a sampling rate."""
    with pytest.raises(ValueError, match="sampling rate"):
        compare_beats(beats("N"), beats("N"), fs_hz)


def test_a_record_shorter_than_the_learning_period_is_refused() -> None:
    """There is nothing in it to compare."""
    with pytest.raises(ValueError, match="for learning"):
        compare(beats("N"), beats("N"), LEARNING - 1)


@pytest.mark.parametrize(
    "columns",
    [
        {"sample": np.array([np.inf])},
        {"sample": np.array([[5]])},
        {"subtype": ["x"]},
        {"symbol": []},
        {"sample": [1, 2]},
    ],
)
def test_columns_that_are_none_are_refused(columns: dict[str, object]) -> None:
    """Positions and subtypes are integers, and there are as many of each."""
    good = {"sample": [5], "symbol": ["N"], "subtype": [0], "aux_note": [""]}
    assert compare(SimpleNamespace(**good), beats("N")).matrix.sum() == 1

    with pytest.raises(ValueError, match=r"integers|as many"):
        compare(SimpleNamespace(**{**good, **columns}), beats("N"))
