"""The scorer that ships: the student's score and residual, and the classifier's probabilities.

Both answer for each beat alone, so a row of `BeatScorer.score` is the same, bit for bit, in any
batch. Thread-safe: a scorer does not change after it is made.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.student import SHIPPED_STUDENT
from models.inference.beat_classifier import BeatClassifier
from models.inference.student import StudentScorer
from pipeline.constants import MEASURES
from pipeline.scoring.protocols import ScoredBatch

Floats = NDArray[np.float32]


class BeatScorer:
    """Satisfies `pipeline.scoring.protocols.Scorer` with a student and a classifier."""

    def __init__(self, student: StudentScorer, classes: BeatClassifier) -> None:
        self._student = student
        self._classes = classes
        self.name: Final = student.name
        self.device: Final = student.device
        self.class_model: Final = classes.name

    def score(self, windows: Floats, measures: Floats, second: Floats | None = None) -> ScoredBatch:
        """Score and classify beats, see `pipeline.scoring.protocols.Scorer`.

        Raises:
            ValueError: another shape, a value that is not finite, or a window outside [-1, 1].
        """
        expected = len(windows), MEASURES
        for one in (measures,) if second is None else (measures, second):
            if one.shape != expected:
                raise ValueError(f"measures of shape {one.shape}, not {expected}")
        scored = self._student.score(windows)
        return ScoredBatch(
            scores=scored.scores,
            residuals=scored.residuals,
            probabilities=self._classes.probabilities(windows, measures, second),
        )


def load_scorer(description: Path = SHIPPED_STUDENT, *, device: str | None = None) -> BeatScorer:
    """Return the scorer that ships.

    Args:
        description: of the student, in place of the one that ships.
        device: on which the student computes: ``cpu``, ``cuda``, None for the best there is.

    Raises:
        ArtifactError: a model is missing, altered, or made for something else.
    """
    return BeatScorer(StudentScorer.load(description, device=device), BeatClassifier.load())
