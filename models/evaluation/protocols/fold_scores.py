"""A student on the test part of the fold of the BeatGAN protocol that it was trained on."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.annotated_beats import FOLDS, PATIENT_SPLITS, Beats, annotation_digest, split_beats
from models.data.mitdb import DATABASE
from models.files.student import StudentArtifact
from models.inference.student import StudentScorer
from pipeline.errors import ArtifactError

FOLD_NAMES: Final = tuple(map(str, range(FOLDS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """Test beats of a fold, scored by the student that was trained on the rest."""

    fold: str
    seed: int
    beats: Beats
    scorer: StudentScorer
    scores: NDArray[np.float32]


def score_fold(beats: Beats, artifact: StudentArtifact, *, device: str | None = None) -> FoldScores:
    """Score the test part of a student's fold of ``beats``.

    Raises:
        ArtifactError: its training beats are not known for certain.
    """
    fold, seed = fold_of(artifact)
    check_annotations(artifact, beats)
    test = rows_of(beats, split_beats(beats, fold=int(fold), seed=seed).test)
    scorer = StudentScorer(artifact, device=device)
    scores = scorer.score(test.windows).scores
    return FoldScores(fold=fold, seed=seed, beats=test, scorer=scorer, scores=scores)


def fold_of(artifact: StudentArtifact) -> tuple[str, int]:
    """Return name and seed of the fold that a student was trained on.

    Raises:
        ArtifactError: it does not say so, or was trained on another kind of split.
    """
    split, seed = artifact.training.split, artifact.training.seed
    if split in PATIENT_SPLITS:
        raise ArtifactError(
            f"the student was trained on whole patients (split {split}), whose normal beats are "
            "test beats of this protocol: name a student of one of the folds 0 to 4, or use "
            "`monitor evaluate interpatient`"
        )
    if split not in FOLD_NAMES or type(seed) is not int:
        raise ArtifactError(
            "the student does not say on which fold it was trained, so no beat is known to be "
            "unseen: train one with `monitor train student`"
        )
    return str(split), seed


def check_annotations(artifact: StudentArtifact, beats: Beats) -> None:
    """Raise `ArtifactError` if a student was trained with other annotations than these.

    They decide which beats are in which fold.
    """
    if artifact.training.annotations_sha256 != annotation_digest(beats):
        raise ArtifactError(
            "the student was trained with other annotations than these, so no beat is known to "
            f"be unseen: use the {DATABASE} it was trained on, or train it again"
        )


def rows_of(beats: Beats, rows: NDArray[np.int64]) -> Beats:
    """Return these rows, int64[m], of ``beats``."""
    return Beats(**{field.name: getattr(beats, field.name)[rows] for field in fields(Beats)})
