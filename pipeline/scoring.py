"""What the stream asks of a model: windows in, scores and residuals out.

The pipeline knows no model. Whatever satisfies `Scorer` can score its beats; `models.student`
has the one that ships.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """A scorer's answer, one row a window."""

    scores: NDArray[np.float32]
    """float32[B], at least 0: the higher, the less like the beats the model was trained on."""
    residuals: NDArray[np.float32]
    """float32[B, 320]: window minus reconstruction, tick by tick."""


class Scorer(Protocol):
    """Scores beats, each by itself."""

    def score(self, windows: NDArray[np.float32]) -> ScoredBatch:
        """Score float32[B, 320] windows in [-1, 1]; B may be any number, 0 included.

        Stateless: on one machine a window's row is the same, bit for bit, whatever other windows
        share its batch, so that no decision depends on how beats were batched.
        """
        ...
