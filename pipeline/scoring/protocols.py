"""The model of a stream: a score and the class of every beat.

The pipeline knows no model. Whatever satisfies `Scorer` can score its beats and name their class;
`models.inference.beat_scorer` has the one that ships.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES, MEASURES, WINDOW_SAMPLES
from pipeline.schema.state import Shape

Window = Annotated[NDArray[np.float32], Shape((WINDOW_SAMPLES,))]
"""float32[320]: a beat's window, scaled to [-1, 1], or its residual."""

Measures = Annotated[NDArray[np.float32], Shape((MEASURES,))]
"""float32[MEASURES]: a beat's row of `pipeline.scoring.beat_measures`."""

Probabilities = Annotated[NDArray[np.float32], Shape((len(CLASSES),))]
"""float32[4], of each of `CLASSES`; their sum is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """A scorer's answer, one row a beat."""

    scores: NDArray[np.float32]
    """float32[B], at least 0: the higher, the less like the beats the model was trained on."""
    residuals: NDArray[np.float32]
    """float32[B, 320]: window minus reconstruction, tick by tick."""
    probabilities: NDArray[np.float32]
    """float32[B, 4], of each of `CLASSES`; rows of sum 1."""


class Scorer(Protocol):
    """Scores beats and names their class, each by itself."""

    def score(
        self,
        windows: NDArray[np.float32],
        measures: NDArray[np.float32],
        second: NDArray[np.float32] | None = None,
    ) -> ScoredBatch:
        """Score and classify beats.

        Stateless: on one machine a beat's row is the same, bit for bit, whatever other beats
        share its batch, so that no decision depends on how beats were batched.

        Args:
            windows: float32[B, 320] in [-1, 1]; B may be any number, 0 included.
            measures: float32[B, MEASURES], finite, see `pipeline.scoring.beat_measures`.
            second: the measures of each beat in a second lead, rows of zeros where there is none
                (`pipeline.scoring.lead_measures`); None where no beat has one.
        """
        ...
