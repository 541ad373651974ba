"""The training of the trees: what is drawn, and that arrays answer as the library does."""

import numpy as np
import pytest

from models.data.heavy_ectopy import LEADING_BEATS, heavy_ectopy
from models.files.beat_trees import INPUT_NAMES
from models.inference.beat_trees import BeatTrees
from models.training.beat_trees import (
    MOST_OF_A_RECORD,
    BeatTreesConfig,
    MeasuredRecord,
    arrays_of,
    draw,
    fit_beat_trees,
)
from pipeline.errors import ConfigError


def record(name: str, classes: str, *, synthetic: bool = False) -> MeasuredRecord:
    """Return a record whose first measure tells the classes apart."""
    kinds = np.array(list(classes))
    rng = np.random.default_rng(len(classes))
    measures = rng.standard_normal((kinds.size, len(INPUT_NAMES))).astype(np.float32)
    measures[:, 0] += 4 * np.array(["NSVF".index(kind) for kind in classes])
    return MeasuredRecord(name, measures, kinds, np.ones(kinds.size, dtype=bool), synthetic)


def test_arrays_answer_as_the_library_does() -> None:
    """The trees in arrays name beats as those that scikit-learn grew, to rounding."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    drawn = draw([record("1", "NSVF" * 100)], 0.25, 0)
    grown = ensemble.HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
    grown.fit(drawn.measures, drawn.classes)
    artifact = fit_beat_trees([record("1", "NSVF" * 100)], BeatTreesConfig(rounds=2), {})
    arrays = BeatTrees(type(artifact)(training=artifact.training, tensors=arrays_of(grown)))

    np.testing.assert_allclose(
        arrays.probabilities(drawn.measures), grown.predict_proba(drawn.measures), atol=1e-5
    )


def test_a_training_repeats() -> None:
    """The same beats and settings give the same arrays."""
    pytest.importorskip("sklearn")
    one, other = (
        fit_beat_trees([record("1", "NSVF" * 60)], BeatTreesConfig(rounds=3), {}) for _ in "12"
    )

    assert one.training == other.training
    for name, array in one.tensors.items():
        np.testing.assert_array_equal(array, other.tensors[name])


def test_a_class_without_beats_is_refused() -> None:
    """All four classes must be there."""
    pytest.importorskip("sklearn")
    with pytest.raises(ConfigError, match="lack"):
        fit_beat_trees([record("1", "NSV" * 60)], BeatTreesConfig(rounds=1), {})


def test_no_record_and_class_dominates() -> None:
    """Of many beats of a class some are drawn; each stands for more, and streams weigh less."""
    many = 4 * MOST_OF_A_RECORD["N"]
    drawn = draw([record("1", "N" * many), record("1", "N" * 8, synthetic=True)], 0.25, 0)

    assert len(drawn.classes) == MOST_OF_A_RECORD["N"] + 8
    assert sorted(set(drawn.weights.tolist())) == [0.25, 2.0]


def test_ectopic_beats_are_the_rule_in_a_stream() -> None:
    """After the record's beginning most beats are of the class, and all are the patient's own."""
    classes = np.array(list("NNNNSN" * 100))
    usable = np.ones(classes.size, dtype=bool)
    rows = heavy_ectopy(classes, usable, "S", 0)

    assert (classes[rows[LEADING_BEATS:]] == "S").mean() > 0.6
    assert rows[:LEADING_BEATS].tolist() == list(range(LEADING_BEATS))
    np.testing.assert_array_equal(rows, heavy_ectopy(classes, usable, "S", 0))


def test_few_ectopic_beats_make_no_stream() -> None:
    """A record with a handful of a class says too little of it."""
    classes = np.array(list("NNNNVN" * 3))

    assert heavy_ectopy(classes, np.ones(classes.size, dtype=bool), "V", 0).size == 0
