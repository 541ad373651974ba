"""The scorer: score, residual and class of each beat, whatever its batch."""

import numpy as np
import pytest

from models.inference.beat_classifier import BeatClassifier
from models.inference.beat_scorer import BeatScorer, load_scorer
from models.inference.beat_trees import BeatTrees
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from pipeline.constants import MEASURES
from tests.support.classifiers import network, stumps

RNG = np.random.default_rng(0)
WINDOWS = RNG.uniform(-1, 1, (40, 320)).astype(np.float32)
MEASURED = RNG.normal(0, 1, (40, MEASURES)).astype(np.float32)


@pytest.fixture(scope="module")
def scorer() -> BeatScorer:
    """The student that ships, on the CPU, and a class model of random weights."""
    classes = BeatClassifier(BeatTrees(stumps()), ClassifierScorer(network(seed=1)))
    return BeatScorer(StudentScorer.load(device="cpu"), classes)


@pytest.mark.parametrize("batch", [1, 7, 16])
def test_row_is_the_same_in_any_batch(scorer: BeatScorer, batch: int) -> None:
    """Bit for bit, so that no class depends on how beats were batched."""
    whole = scorer.score(WINDOWS, MEASURED)
    for a in range(0, len(WINDOWS), batch):
        part = scorer.score(WINDOWS[a : a + batch], MEASURED[a : a + batch])
        for name in ("scores", "residuals", "probabilities"):
            expected = getattr(whole, name)[a : a + batch]
            assert getattr(part, name).tobytes() == expected.tobytes()


def test_score_and_residual_are_those_of_the_student(scorer: BeatScorer) -> None:
    """The class model adds probabilities, rows of sum 1, and changes nothing else."""
    found, student = scorer.score(WINDOWS, MEASURED), StudentScorer.load(device="cpu")
    expected = student.score(WINDOWS)

    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.residuals, expected.residuals)
    assert found.probabilities.shape == (40, 4)
    assert found.probabilities.dtype == np.float32
    assert (found.probabilities >= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (scorer.name, scorer.device) == (student.name, "cpu")


def test_no_beats_have_no_rows(scorer: BeatScorer) -> None:
    """An empty batch is none that fails."""
    found = scorer.score(WINDOWS[:0], MEASURED[:0])
    assert (len(found.scores), found.residuals.shape) == (0, (0, 320))
    assert found.probabilities.shape == (0, 4)


@pytest.mark.parametrize(
    "measures",
    [MEASURED[:39], MEASURED[:, 1:], np.full_like(MEASURED, np.nan)],
    ids=["a row too few", "a column too few", "not finite"],
)
def test_measures_that_do_not_fit_are_refused(scorer: BeatScorer, measures: np.ndarray) -> None:
    """A row for each window, MEASURES columns, finite."""
    with pytest.raises(ValueError, match="measures"):
        scorer.score(WINDOWS, measures)


def test_the_scorer_that_ships_names_beats() -> None:
    """It loads, and says which student and which class model it has."""
    ships = load_scorer(device="cpu")

    assert ships.name == StudentScorer.load(device="cpu").name
    assert ships.class_model == BeatClassifier.load().name
    assert np.isfinite(ships.score(WINDOWS, MEASURED).probabilities).all()
