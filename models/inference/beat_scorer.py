"""The scorer that ships: the student's score and residual, and the class model's probabilities.

Both answer for each beat alone, so a row of `BeatScorer.score` is the same, bit for bit, in any
batch. Thread-safe: a scorer does not change after it is made.
"""

from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.files.student import SHIPPED_STUDENT
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from pipeline.constants import MEASURES, RR_FEATURES
from pipeline.scoring.protocols import ScoredBatch

Floats = NDArray[np.float32]


class ClassModel(Protocol):
    """Names the class of beats by window and measures, each by itself."""

    @property
    def name(self) -> str:
        """Name and version."""
        ...

    def probabilities(self, windows: Floats, measures: Floats) -> Floats:
        """Return the probabilities of `pipeline.constants.CLASSES`, float32[B, 4], rows of sum 1.

        Stateless and independent of the batch, bit for bit; arguments as of
        `pipeline.scoring.protocols.Scorer.score`.
        """
        ...


class BeatScorer:
    """Satisfies `pipeline.scoring.protocols.Scorer` with a student and a class model."""

    def __init__(self, student: StudentScorer, classes: ClassModel) -> None:
        self._student = student
        self._classes = classes
        self.name: Final = student.name
        self.device: Final = student.device
        self.class_model: Final = classes.name

    def score(self, windows: Floats, measures: Floats) -> ScoredBatch:
        """Score and classify beats, see `pipeline.scoring.protocols.Scorer`.

        Raises:
            ValueError: another shape, a value that is not finite, or a window outside [-1, 1].
        """
        expected = len(windows), MEASURES
        if measures.shape != expected or not np.isfinite(measures).all():
            raise ValueError(f"measures of shape {measures.shape}, not {expected}, or not finite")
        scored = self._student.score(windows)
        return ScoredBatch(
            scores=scored.scores,
            residuals=scored.residuals,
            probabilities=self._classes.probabilities(windows, measures),
        )


def load_scorer(description: Path = SHIPPED_STUDENT, *, device: str | None = None) -> BeatScorer:
    """Return the scorer that ships.

    Args:
        description: of the student, in place of the one that ships.
        device: on which the student computes: ``cpu``, ``cuda``, None for the best there is.

    Raises:
        ArtifactError: a model is missing, altered, or made for something else.
    """
    return BeatScorer(StudentScorer.load(description, device=device), load_class_model())


def load_class_model() -> ClassModel:
    """Return the class model that ships.

    Raises:
        ArtifactError: it is missing, altered, or made for something else.
    """
    return _ByWindow(ClassifierScorer.load())


class _ByWindow:
    """The classifier of anomalous beats as a class model: it sees no RR context."""

    def __init__(self, classifier: ClassifierScorer) -> None:
        self._classifier = classifier
        self.name: Final = classifier.name

    def probabilities(self, windows: Floats, measures: Floats) -> Floats:
        """Return what the classifier says of the windows alone."""
        no_context = np.zeros((len(windows), RR_FEATURES), dtype=np.float32)
        return self._classifier.classify(windows, no_context)
