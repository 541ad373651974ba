"""Trees as arrays: what they answer, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from models.files.beat_trees import (
    INPUT_COLUMNS,
    INPUT_NAMES,
    load_beat_trees,
    save_beat_trees,
)
from models.inference.beat_trees import BeatTrees
from pipeline.constants import MEASURES
from pipeline.errors import ArtifactError
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS
from tests.support.classifiers import TREES_TRAINING, stumps


def measures(*first: float) -> np.ndarray:
    """Return measures of beats, of which the trees' first is given."""
    rows = np.zeros((len(first), MEASURES), dtype=np.float32)
    rows[:, INPUT_COLUMNS[0]] = first
    return rows


def test_a_beat_walks_to_its_leaf() -> None:
    """A measure of at most the threshold goes left; the leaves of a class add up to its logit."""
    found = BeatTrees(stumps()).probabilities(measures(0.5, np.nextafter(np.float32(0.5), 1)))

    assert found.argmax(axis=1).tolist() == [0, 1]
    expected = np.exp([1.0, -1.0, 0.0, 0.0])
    np.testing.assert_allclose(found[0], expected / expected.sum(), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)


def walked(measured: np.ndarray) -> np.ndarray:
    """Return the logits of the trees that ship: each beat walks each tree, node by node."""
    arrays = load_beat_trees().tensors
    logits = np.tile(arrays["baseline"].astype(float), (len(measured), 1))
    for row, beat in zip(logits, measured[:, INPUT_COLUMNS], strict=True):
        for tree, node in enumerate(arrays["roots"].astype(int)):
            while (feature := int(arrays["feature"][node])) >= 0:
                side = "left" if beat[feature] <= arrays["threshold"][node] else "right"
                node = int(arrays[side][node])
            row[tree % len(row)] += arrays["value"][node]
    return logits


def test_every_beat_comes_to_the_leaf_that_a_walk_leads_to() -> None:
    """Bit for bit, in batches that fill whole vectors and in others, on thresholds as well."""
    measured = np.random.default_rng(5).normal(0, 1, (19, MEASURES)).astype(np.float32)
    arrays = load_beat_trees().tensors
    for node in np.flatnonzero(arrays["feature"] >= 0)[:19]:
        column = INPUT_COLUMNS[int(arrays["feature"][node])]
        measured[node % 19, column] = arrays["threshold"][node]
    logits = walked(measured)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (expected / expected.sum(axis=1, keepdims=True)).astype(np.float32)

    np.testing.assert_array_equal(BeatTrees.load().probabilities(measured), expected)


def test_tree_of_too_many_leaves_is_refused() -> None:
    """A leaf is a bit of 32; nodes that share what is below them would make more than there are."""
    depth = 9
    chain = np.arange(depth + 1, dtype=float)
    doubling = stumps(
        roots=[0.0],
        feature=[0.0] * depth + [-1.0],
        threshold=[0.5] * (depth + 1),
        left=[*(chain[1:]), 0.0],
        right=[*(chain[1:]), 0.0],
        value=[1.0] * (depth + 1),
    )

    with pytest.raises(ArtifactError, match="more than 32 leaves"):
        BeatTrees(doubling)


def test_the_trees_see_what_the_network_does_not() -> None:
    """Each measure has one reader: the context is the network's, all others are the trees'."""
    assert sorted((*INPUT_COLUMNS, *CONTEXT_COLUMNS)) == list(range(MEASURES))
    assert len(INPUT_NAMES) == len(INPUT_COLUMNS)
    rows = measures(0.2, 0.8)
    other = rows.copy()
    other[:, CONTEXT_COLUMNS] = 7.0
    trees = BeatTrees(stumps())
    np.testing.assert_array_equal(trees.probabilities(rows), trees.probabilities(other))


def test_a_batch_changes_nothing() -> None:
    """A beat's row is the same in any batch, an empty one included."""
    trees = BeatTrees(stumps())
    rows = measures(*np.linspace(0, 1, 9))
    whole = trees.probabilities(rows)

    assert trees.probabilities(rows[:0]).shape == (0, 4)
    np.testing.assert_array_equal(
        np.concatenate([trees.probabilities(rows[i : i + 1]) for i in range(9)]), whole
    )


def test_files_give_back_the_trees(tmp_path: Path) -> None:
    """What is read is what was written."""
    sha256 = save_beat_trees(stumps(), tmp_path / "trees.json")
    loaded = load_beat_trees(tmp_path / "trees.json")

    assert loaded.sha256 == sha256
    assert loaded.training == TREES_TRAINING
    for name, array in stumps().tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], array)


@pytest.mark.parametrize(
    "changed",
    [
        {"left": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]},
        {"right": [0.0, 6.0, 0.0, 0.0, 0.0, 0.0]},
        {"right": [0.0, 2.5, 0.0, 0.0, 0.0, 0.0]},
        {"left": [-1.0, 2.0, 0.0, 0.0, 0.0, 0.0]},
        {"feature": [-1.0, float(len(INPUT_NAMES)), -1.0, -1.0, -1.0, -1.0]},
        {"roots": [0.0, 1.0, 4.0, 6.0]},
    ],
)
def test_nodes_that_make_no_trees_are_refused(
    tmp_path: Path, changed: dict[str, list[float]]
) -> None:
    """No walk goes in a circle, leaves the arrays, or asks for a measure that there is not."""
    with pytest.raises(ArtifactError, match="make no trees"):
        save_beat_trees(stumps(**changed), tmp_path / "trees.json")


def test_altered_arrays_are_refused(tmp_path: Path) -> None:
    """The description holds the checksum of the arrays."""
    save_beat_trees(stumps(), tmp_path / "trees.json")
    other = stumps(value=[1.0, 0.0, -1.0, 2.0, 0.0, 0.0])
    save_beat_trees(other, tmp_path / "other.json")
    (tmp_path / "trees.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes())

    with pytest.raises(ArtifactError, match="altered"):
        load_beat_trees(tmp_path / "trees.json")


def test_measures_that_are_none_are_refused() -> None:
    """As many as have names, all finite."""
    trees = BeatTrees(stumps())

    with pytest.raises(ValueError, match="shape"):
        trees.probabilities(measures(0.0)[:, :-1])
    with pytest.raises(ValueError, match="finite"):
        trees.probabilities(measures(np.nan))
