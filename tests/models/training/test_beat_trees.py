"""The training of the trees: what is drawn, and that arrays answer as the library does."""

import numpy as np
import pytest

from models.data.heavy_ectopy import LEADING_BEATS, heavy_ectopy
from models.data.training_beats import ANNOTATED, FIBRILLATION, NORMAL_RHYTHM, OTHER_VIEW, STREAM
from models.files.beat_trees import INPUT_COLUMNS
from models.inference.beat_trees import BeatTrees
from models.training.beat_trees import (
    MOST_OF_A_RECORD,
    RHYTHM_WEIGHTS,
    SURELY_VENTRICULAR,
    VIEW_WEIGHT,
    BeatTreesConfig,
    arrays_of,
    beats_to_learn,
    draw,
    fit_beat_trees,
)
from pipeline.errors import ConfigError
from tests.support.classifiers import training_record as record


def test_arrays_answer_as_the_library_does() -> None:
    """The trees in arrays name beats as those that scikit-learn grew, to rounding."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    one = record("1", "NSVF" * 100)
    drawn = draw([one], 0.25, 0)
    grown = ensemble.HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
    grown.fit(drawn.measures, drawn.classes)
    artifact = fit_beat_trees([one], BeatTreesConfig(rounds=2), {})
    arrays = BeatTrees(type(artifact)(training=artifact.training, tensors=arrays_of(grown)))

    np.testing.assert_allclose(
        arrays.probabilities(one.measures),
        grown.predict_proba(one.measures[:, INPUT_COLUMNS]),
        atol=1e-5,
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
    drawn = draw([record("1", "N" * many), record("1", "N" * 8, kind=STREAM)], 0.25, 0)

    assert len(drawn.classes) == MOST_OF_A_RECORD["N"] + 8
    assert sorted(set(drawn.weights.tolist())) == [0.25, 2.0]


def test_beats_of_another_view_weigh_less() -> None:
    """They are the same heart again, not a further patient."""
    many = 4 * MOST_OF_A_RECORD["N"]
    kinds = {kind: record("1", "N" * many, kind=kind) for kind in (OTHER_VIEW, ANNOTATED)}
    other, annotated = (draw([one], 0.25, 0).weights for one in kinds.values())

    np.testing.assert_allclose(other, VIEW_WEIGHT * annotated)


def test_beats_of_a_rhythm_weigh_as_their_rhythm_does() -> None:
    """However many a record has: nobody has looked at its beats one by one."""
    for kind, weight in RHYTHM_WEIGHTS.items():
        many = 4 * MOST_OF_A_RECORD["N"]
        drawn = draw([record("a", "N" * 8, kind=kind), record("b", "N" * many, kind=kind)], 0.25, 0)
        assert set(drawn.weights.tolist()) == {weight}


def test_what_cannot_be_learned_from_is_not_drawn() -> None:
    """Beats that are not usable have no part, whatever their class."""
    one = record("1", "NSVF" * 4)
    one.usable[:8] = False

    assert np.bincount(draw([one], 0.25, 0).classes).tolist() == [2, 2, 2, 2]


def test_ventricular_beats_of_a_rhythm_are_left_out() -> None:
    """What looks like V in a record of a rhythm teaches nothing; annotated beats are untouched."""
    pytest.importorskip("sklearn")
    annotated = record("1", "NSVF" * 100)
    rhythms = []
    for kind in (NORMAL_RHYTHM, FIBRILLATION):
        hidden = record(f"{kind}/1", "NNNV" * 5, kind=kind, seed=4)
        hidden.classes[:] = "N"
        rhythms.append(hidden)
    config = BeatTreesConfig(rounds=30, features_at_a_split=1.0)
    kept = beats_to_learn([rhythms[0], annotated, rhythms[1]], config)

    assert [one.name for one in kept] == ["1", f"{NORMAL_RHYTHM}/1", f"{FIBRILLATION}/1"]
    assert kept[0] is annotated
    for one in kept[1:]:
        assert one.usable.tolist() == [True, True, True, False] * 5
    assert all(one.usable.all() for one in rhythms)
    assert SURELY_VENTRICULAR[FIBRILLATION] < SURELY_VENTRICULAR[NORMAL_RHYTHM]


def test_doubted_beats_of_a_normal_rhythm_come_once_more() -> None:
    """Those that look like S: experts saw no such rhythm there. In fibrillation many look so."""
    pytest.importorskip("sklearn")
    annotated = record("1", "NSVF" * 100)
    rhythms = []
    for kind in (NORMAL_RHYTHM, FIBRILLATION):
        doubted = record(f"{kind}/1", "NNNS" * 5, kind=kind, seed=4)
        doubted.classes[:] = "N"
        rhythms.append(doubted)
    config = BeatTreesConfig(rounds=30, features_at_a_split=1.0)

    of_normal, again, of_fibrillation = beats_to_learn([annotated, *rhythms], config)[1:]

    assert (again.name, again.kind) == (of_normal.name, NORMAL_RHYTHM)
    looks_like_s = np.arange(20) % 4 == 3
    np.testing.assert_array_equal(again.usable, of_normal.usable & looks_like_s)
    assert again.usable.sum() >= 3
    assert of_fibrillation.name == rhythms[1].name


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
