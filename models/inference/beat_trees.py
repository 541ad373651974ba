"""The trees of the classifier, over the measures of a beat, compiled.

A beat's result never depends on its batch: it walks by itself, and leaves are added up in the order
of the trees. Thread-safe: trees do not change after they are made.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.beat_trees import INPUT_COLUMNS, SHIPPED_TREES, BeatTreesArtifact, load_beat_trees
from pipeline.constants import CLASSES, MEASURES
from pipeline.signal.kernels.naming.trees import walk


class BeatTrees:
    """Trees, ready to name beats."""

    def __init__(self, artifact: BeatTreesArtifact) -> None:
        """Bring the arrays into the form that is walked."""
        self.name: Final = f"trees-{artifact.sha256[:12]}"
        tensors = artifact.tensors
        self._roots, self._feature, self._left, self._right = (
            np.ascontiguousarray(tensors[name], dtype=np.int32)
            for name in ("roots", "feature", "left", "right")
        )
        self._threshold, self._value = (
            np.ascontiguousarray(tensors[name]) for name in ("threshold", "value")
        )
        self._baseline = tensors["baseline"].astype(np.float64)

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
            raise ValueError("a measure is not finite")
        logits = np.tile(self._baseline, (len(measures), 1))
        walk(
            np.ascontiguousarray(measures[:, INPUT_COLUMNS], dtype=np.float32),
            self._roots, self._feature, self._threshold, self._left, self._right, self._value,
            logits,
        )  # fmt: skip
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        found: NDArray[np.float32] = (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)
        assert found.shape[1] == len(CLASSES)
        return found
