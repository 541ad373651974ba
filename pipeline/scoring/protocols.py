"""The two models of a stream: a score for every beat, a class for the anomalous ones.

The pipeline knows no model. Whatever satisfies `Scorer` can score its beats, whatever satisfies
`Classifier` can name their class; `models.inference.student` has the scorer that ships.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.schema.state import Shape

Window = Annotated[NDArray[np.float32], Shape((WINDOW_SAMPLES,))]
"""float32[320]: a beat's window, scaled to [-1, 1], or its residual."""


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


class Classifier(Protocol):
    """Names the class of beats, each by itself."""

    def classify(
        self, windows: NDArray[np.float32], rr_context: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probabilities of `CLASSES`, float32[B, 4], rows of sum 1.

        Stateless and independent of the batch, bit for bit, as `Scorer.score` is.

        Args:
            windows: float32[B, 320] in [-1, 1]; B may be any number, 0 included.
            rr_context: float32[B, RR_FEATURES], see `pipeline.scoring.rr_context`.
        """
        ...
