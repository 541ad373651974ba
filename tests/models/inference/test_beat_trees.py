"""Trees as arrays: what they answer, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from models.files.beat_trees import (
    INPUT_NAMES,
    BeatTreesArtifact,
    BeatTreesTraining,
    load_beat_trees,
    save_beat_trees,
)
from models.inference.beat_trees import (
    TREES_SHARE,
    BeatTrees,
    joined,
    without_fibrillation,
)
from pipeline.errors import ArtifactError

TRAINING = BeatTreesTraining(
    records={"mitdb": ("101",)},
    beats={"N": 1, "S": 1, "V": 1, "F": 1},
    rounds=1,
    leaves=2,
    learning_rate=0.1,
    ridge=0.0,
    least_in_leaf=1,
    features_at_a_split=1.0,
    synthetic_weight=0.0,
    seed=0,
    library="by hand",
    measures_sha256="0" * 64,
)


def stumps(**changed: list[float]) -> BeatTreesArtifact:
    """Return a tree a class: above 0.5 of measure 0 the answer is class S."""
    arrays = {
        "roots": [0.0, 1.0, 4.0, 5.0],
        "baseline": [0.0, 0.0, 0.0, 0.0],
        "feature": [-1.0, 0.0, -1.0, -1.0, -1.0, -1.0],
        "threshold": [0.0, 0.5, 0.0, 0.0, 0.0, 0.0],
        "left": [0.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        "right": [0.0, 3.0, 0.0, 0.0, 0.0, 0.0],
        "value": [1.0, 0.0, -1.0, 3.0, 0.0, 0.0],
    } | changed
    tensors = {name: np.array(values, dtype=np.float32) for name, values in arrays.items()}
    return BeatTreesArtifact(training=TRAINING, tensors=tensors)


def measures(*first: float) -> np.ndarray:
    """Return measures of beats, of which the first is given."""
    rows = np.zeros((len(first), len(INPUT_NAMES)), dtype=np.float32)
    rows[:, 0] = first
    return rows


def test_a_beat_walks_to_its_leaf() -> None:
    """A measure of at most the threshold goes left; the leaves of a class add up to its logit."""
    found = BeatTrees(stumps()).probabilities(measures(0.5, np.nextafter(np.float32(0.5), 1)))

    assert found.argmax(axis=1).tolist() == [0, 1]
    expected = np.exp([1.0, -1.0, 0.0, 0.0])
    np.testing.assert_allclose(found[0], expected / expected.sum(), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)


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
    assert loaded.training == TRAINING
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


def test_trees_and_network_are_joined() -> None:
    """The weighted geometric mean, of sum 1; what both hold for certain stays so."""
    trees = np.array([[0.1, 0.0, 0.9, 0.0]], dtype=np.float32)
    network = np.array([[0.5, 0.0, 0.5, 0.0]], dtype=np.float32)

    both = joined(trees, network)
    np.testing.assert_allclose(both.sum(axis=1), 1.0, rtol=1e-6)
    assert both[0, 2] / both[0, 0] == pytest.approx(9.0**TREES_SHARE, rel=1e-4)
    certain = np.array([[0.0, 0.0, 1.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(joined(certain, certain), certain, atol=1e-5)


def test_no_beat_is_s_in_atrial_fibrillation() -> None:
    """S becomes N by the probability of fibrillation; V stays, and so does all that is unknown."""
    rows = np.tile(np.array([0.1, 0.6, 0.3, 0.0], dtype=np.float32), (3, 1))
    found = without_fibrillation(rows, np.array([20.0, -20.0, np.nan]))

    np.testing.assert_allclose(found[0], [0.7, 0.0, 0.3, 0.0], atol=1e-6)
    np.testing.assert_allclose(found[1:], rows[1:], atol=1e-6)
