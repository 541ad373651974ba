"""The trees of the classifier, over the measures of a beat, compiled.

A beat's result never depends on its batch: its leaves are added up in the order of the trees.
Thread-safe: trees do not change after they are made.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.files.beat_trees import (
    INPUT_COLUMNS,
    KIND,
    NODE_ARRAYS,
    SHIPPED_TREES,
    BeatTreesArtifact,
    load_beat_trees,
)
from pipeline.constants import MEASURES
from pipeline.errors import ArtifactError
from pipeline.signal.kernels.network.lanes import LANES
from pipeline.signal.kernels.network.probabilities import single_of_sum_one
from pipeline.signal.kernels.network.trees import MOST_LEAVES, add_leaves

ALL_BITS: Final = (1 << 32) - 1


class BeatTrees:
    """Trees, ready to name beats."""

    def __init__(self, artifact: BeatTreesArtifact) -> None:
        """Bring the arrays into the form that is asked.

        Raises:
            ArtifactError: a tree has more than `MOST_LEAVES` leaves.
        """
        self.name: Final = f"trees-{artifact.sha256[:12]}"
        trees = [_tree(artifact, int(root)) for root in artifact.tensors["roots"]]
        nodes = [node for tree in trees for node in tree.nodes]
        self._ends = np.cumsum([len(tree.nodes) for tree in trees])
        self._feature = np.array([INPUT_COLUMNS[node.feature] for node in nodes], dtype=np.int64)
        self._threshold = np.array([node.threshold for node in nodes], dtype=np.float32)
        self._left = np.array([node.left for node in nodes], dtype=np.uint32).view(np.int32)
        self._values = np.zeros((len(trees), max(len(tree.leaves) for tree in trees)), np.float32)
        for row, tree in zip(self._values, trees, strict=True):
            row[: len(tree.leaves)] = tree.leaves
        self._baseline = artifact.tensors["baseline"].astype(np.float64)

    @classmethod
    def load(cls, description: Path = SHIPPED_TREES) -> "BeatTrees":
        """Return the trees in the file ``description``, by default those that ship.

        Raises:
            ArtifactError: anything is missing, altered, or made for something else.
        """
        return cls(load_beat_trees(description))

    def probabilities(self, measures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of `CLASSES`, float32[B, 4], rows of sum 1.

        Args:
            measures: float32[B, MEASURES], finite; B may be any number, 0 included.

        Raises:
            ValueError: another shape, or a measure that is not finite.
        """
        if measures.ndim != 2 or measures.shape[1] != MEASURES:
            raise ValueError(f"measures of shape {measures.shape}, not [B, {MEASURES}]")
        if not np.isfinite(measures).all():
            raise ValueError("measures that are not finite")
        beats, classes = len(measures), len(self._baseline)
        logits = np.empty((beats, classes), dtype=np.float64)
        add_leaves(
            np.array(measures, dtype=np.float32),  # for what comes over the wire is read-only
            self._baseline, self._ends, self._feature, self._threshold, self._left, self._values,
            np.empty((MEASURES, LANES), dtype=np.float32), np.empty(LANES, dtype=np.int32), logits,
        )  # fmt: skip
        np.exp(logits, out=logits)
        found = np.empty((beats, classes), dtype=np.float32)
        single_of_sum_one(logits, found)
        return found


class _Node(NamedTuple):
    feature: int
    threshold: float
    left: int
    """All bits but those of the leaves on its left."""


class _Tree(NamedTuple):
    nodes: list[_Node]
    leaves: list[float]
    """From left to right."""


def _tree(artifact: BeatTreesArtifact, root: int) -> _Tree:
    """Return the tree below a node; raise `ArtifactError` where it has too many leaves."""
    feature, threshold, left, right, value = (artifact.tensors[name] for name in NODE_ARRAYS)
    nodes, leaves = list[_Node](), list[float]()
    # A node is seen twice: on the way down, and when all that lies on its left has been seen.
    waiting: list[tuple[int, int | None]] = [(root, None)]
    while waiting:
        node, first = waiting.pop()
        if feature[node] < 0:
            leaves.append(float(value[node]))
        elif first is None:
            waiting += (node, len(leaves)), (int(left[node]), None)
        else:
            on_left = (1 << len(leaves)) - (1 << first)
            nodes.append(_Node(int(feature[node]), float(threshold[node]), ALL_BITS ^ on_left))
            waiting.append((int(right[node]), None))
        if len(leaves) > MOST_LEAVES or len(waiting) > 2 * MOST_LEAVES:
            raise ArtifactError(
                f"trees {artifact.sha256[:12]} have one of more than {MOST_LEAVES} leaves; "
                f"{KIND.remedy}"
            )
    return _Tree(nodes, leaves)
