"""Name every beat by trees over its measures (`pipeline.scoring.beat_features`), compiled.

A beat's result never depends on its batch: it walks by itself, and leaves are added up in the order
of the trees. Thread-safe: trees do not change after they are made.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.beat_trees import INPUT_NAMES, BeatTreesArtifact, load_beat_trees
from pipeline.constants import CLASSES
from pipeline.signal.kernels.naming.trees import walk

LEAST: Final = np.float32(1e-6)
"""No probability that is joined is lower."""

TREES_SHARE: Final = 0.15
S_FACTOR: Final = 1.3
"""Of three by three pairs the one of the highest mean F1 of V and S in DS1 and svdb, by
cross-validation."""

_N, _S = CLASSES.index("N"), CLASSES.index("S")


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
    def load(cls, description: Path) -> "BeatTrees":
        """Return the trees in the file ``description``.

        Raises:
            ArtifactError: anything is missing, altered, or made for something else.
        """
        return cls(load_beat_trees(description))

    def probabilities(self, measures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of `CLASSES`, float32[B, 4], rows of sum 1.

        Args:
            measures: float32[B, len(INPUT_NAMES)], finite; B may be any number, 0 included.

        Raises:
            ValueError: another shape, or a measure that is not finite.
        """
        if measures.ndim != 2 or measures.shape[1] != len(INPUT_NAMES):
            raise ValueError(f"measures of shape {measures.shape}, not [B, {len(INPUT_NAMES)}]")
        if not np.isfinite(measures).all():
            raise ValueError("a measure is not finite")
        logits = np.tile(self._baseline, (len(measures), 1))
        walk(
            np.ascontiguousarray(measures, dtype=np.float32),
            self._roots, self._feature, self._threshold, self._left, self._right, self._value,
            logits,
        )  # fmt: skip
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        found: NDArray[np.float32] = (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)
        assert found.shape[1] == len(CLASSES)
        return found


def joined(trees: NDArray[np.float32], network: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of trees and network together, float32[B, 4], rows of sum 1.

    The weighted geometric mean, the trees with `TREES_SHARE`; S weighs `S_FACTOR` as much.
    """
    logs = TREES_SHARE * np.log(np.maximum(trees, LEAST))
    logs += (1.0 - TREES_SHARE) * np.log(np.maximum(network, LEAST))
    mean = np.exp(logs)
    mean[:, _S] *= S_FACTOR
    found: NDArray[np.float32] = (mean / mean.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def without_fibrillation(
    probabilities: NDArray[np.float32], evidence: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return probabilities, float32[B, 4], in which no beat is S because the atria fibrillate.

    In atrial fibrillation intervals are irregular and P waves absent, so many a conducted beat
    comes early; there is no premature atrial beat. The probability of S goes to N by as much as the
    rhythm is atrial fibrillation.

    Args:
        probabilities: of `CLASSES`.
        evidence: float64[B], the logarithm of the odds of atrial fibrillation
            (`pipeline.alarms.atrial_fibrillation`); NaN where not known.
    """
    share = np.nan_to_num(1.0 / (1.0 + np.exp(-np.clip(evidence, -30.0, 30.0))))
    found = probabilities.copy()
    moved = found[:, _S] * share.astype(np.float32)
    found[:, _S] -= moved
    found[:, _N] += moved
    return found
