"""The published figures come from beats that the student has never seen, and only from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from databases import database

from models.artifact import SHIPPED_STUDENT, Artifact, load_artifact
from models.dataset import Beats, annotation_digest, split_beats
from models.evaluate import evaluate_beatgan, evaluate_on, teacher_reconstruction
from models.metrics import roc_auc
from models.student import StudentScorer
from pipeline.errors import ArtifactError, InputError


@pytest.fixture(scope="module")
def beats() -> Beats:
    """400 humps, a fifth of them upside down and called ventricular or fusion beats."""
    n = 400
    kind = np.arange(n) % 5 == 0
    centres = np.random.default_rng(0).uniform(120, 160, (n, 1))
    humps = 2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1
    return Beats(
        windows=np.where(kind[:, None], -humps, humps).astype(np.float32),
        symbols=np.where(kind, np.where(np.arange(n) % 2, "F", "V"), "N"),
        records=np.full(n, "100"),
        samples=np.arange(n) * 300,
        detected=np.ones(n, dtype=bool),
    )


@pytest.fixture(scope="module")
def artifact(beats: Beats) -> Artifact:
    """The shipped weights, as if trained on fold 2 of these beats."""
    training = {"fold": 2, "seed": 9, "annotations_sha256": annotation_digest(beats)}
    return replace(load_artifact(), training=training)


def test_figures_are_those_of_the_test_part_of_its_own_fold(
    beats: Beats, artifact: Artifact
) -> None:
    """Neither training nor validation beats enter."""
    rows = split_beats(beats, fold=2, seed=9).test
    anomalous = ~beats.normal[rows]
    scores = StudentScorer(artifact, device="cpu").score(beats.windows[rows]).scores

    figures = evaluate_on(beats, artifact, device="cpu")

    assert figures["auc"] == roc_auc(scores, anomalous)
    assert (figures["normal_beats"], figures["abnormal_beats"]) == (58, 72)
    assert set(figures["auc_by_symbol"]) == {"F", "V"}
    assert sum(figures["beats_by_symbol"].values()) == figures["abnormal_beats"]
    assert figures["us_per_beat"]["batch_64"] > 0

    spoiled = replace(beats, windows=beats.windows.copy())
    spoiled.windows[np.setdiff1d(np.arange(400), rows)] = 0
    assert evaluate_on(spoiled, artifact, device="cpu")["auc"] == figures["auc"]


@pytest.mark.parametrize("changes", [{"fold": None}, {"fold": 7}, {"fold": True}, {"seed": "9"}])
def test_student_of_an_unknown_fold_is_refused(
    beats: Beats, artifact: Artifact, changes: dict
) -> None:
    """Without its fold and seed no beat is known to be unseen."""
    unknown = replace(artifact, training=artifact.training | changes)
    with pytest.raises(ArtifactError, match="fold"):
        evaluate_on(beats, unknown, device="cpu")


def test_student_of_other_annotations_is_refused(beats: Beats, artifact: Artifact) -> None:
    """Other annotations make another split: test beats could have been trained on."""
    moved = replace(beats, samples=beats.samples + 1)
    with pytest.raises(ArtifactError, match="other annotations"):
        evaluate_on(moved, artifact, device="cpu")


def test_missing_database_is_bad_input(tmp_path: Path) -> None:
    """The error names the records and the command that fetches them."""
    with pytest.raises(InputError, match="monitor fetch mitdb"):
        evaluate_beatgan(tmp_path)


def test_teacher_to_measure_against_takes_the_students_windows(beats: Beats) -> None:
    """Full size, same input, same shape of output."""
    reconstruction = teacher_reconstruction()(beats.windows[:3])

    assert reconstruction.shape == (3, 320)
    assert reconstruction.dtype == np.float32


@pytest.mark.data
def test_shipped_student_keeps_its_promise() -> None:
    """AUC 0.93 on the published protocol, and the figures in its description are the real ones.

    They may differ in the last digits: the student was measured on another processor.
    """
    promised = load_artifact(SHIPPED_STUDENT).metrics

    figures = evaluate_beatgan(database("mitdb"))

    assert figures["auc"] >= 0.93
    assert figures["auc"] == pytest.approx(promised["auc"], abs=2e-3)
    assert figures["ap"] == pytest.approx(promised["ap"], abs=5e-3)
