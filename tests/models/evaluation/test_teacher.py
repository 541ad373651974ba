"""The teacher is measured on beats that it has not seen, by its own score and the student's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.training.teacher
from models.data.annotated_beats import annotation_digest, split_beats
from models.evaluation.protocols.teacher import evaluate_teachers, teacher_reconstruction
from models.measure.metrics import roc_auc
from models.nets.beatgan import Autoencoder
from models.training.checkpoint import TrainingState, save_checkpoint
from models.training.teacher import TeacherConfig, train_teacher
from pipeline.errors import ArtifactError
from tests.support.evaluations import humps

pytestmark = pytest.mark.system


def checkpoint(path: Path, draw: int = 0, **changes: Any) -> Path:
    """Write an untrained teacher as if trained on fold 1 of the humps, but for the changes."""
    digest = annotation_digest(humps())
    config = {"split": "1", "seed": 3, "annotations_sha256": digest, **changes}
    torch.manual_seed(draw)
    state = TrainingState(config=config, epoch=1, best_epoch=1, validation={"ap": 0.5})
    save_checkpoint(path, state, networks={"generator": Autoencoder()})
    return path


def test_figures_are_those_of_the_test_part(tmp_path: Path) -> None:
    """By BeatGAN's own score, the mean square of the residual, against the network itself."""
    torch.set_num_threads(1)
    beats = humps()
    figures = evaluate_teachers(beats, [checkpoint(tmp_path / "best.safetensors")])
    rows = split_beats(beats, fold=1, seed=3).test
    torch.manual_seed(0)
    network = Autoencoder().eval()
    with torch.no_grad():
        x = torch.from_numpy(beats.windows[rows])[:, None]
        plain = (x - network(x)).square().mean(dim=(1, 2)).numpy()

    assert (figures.fold, figures.seed) == ("1", 3)
    assert figures.ranking.normal_beats + figures.ranking.abnormal_beats == rows.size
    assert figures.plain.auc == pytest.approx(roc_auc(plain, ~beats.normal[rows]), abs=1e-3)
    assert figures.parameters == sum(p.numel() for p in network.parameters())
    assert figures.us_per_beat.cpu.batch_64 > 0


def test_teachers_are_measured_together_by_their_mean(tmp_path: Path) -> None:
    """The mean of the reconstructions is scored, not the mean of the scores."""
    torch.set_num_threads(1)
    beats = humps()
    paths = [checkpoint(tmp_path / f"{draw}.safetensors", draw) for draw in (0, 1)]

    figures = evaluate_teachers(beats, paths)

    rows = split_beats(beats, fold=1, seed=3).test
    x = torch.from_numpy(beats.windows[rows])[:, None]
    mean = torch.zeros_like(x)
    for draw in (0, 1):
        torch.manual_seed(draw)
        with torch.no_grad():
            mean += Autoencoder().eval()(x) / 2
    plain = (x - mean).square().mean(dim=(1, 2)).numpy()
    assert figures.teachers == 2
    assert figures.plain.auc == pytest.approx(roc_auc(plain, ~beats.normal[rows]), abs=1e-3)
    with pytest.raises(ArtifactError, match="split 2"):
        evaluate_teachers(beats, [paths[0], checkpoint(tmp_path / "2.safetensors", split="2")])


def test_a_teacher_as_it_is_trained_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training writes is what the evaluation asks for."""
    torch.set_num_threads(1)
    beats = humps()
    monkeypatch.setattr(models.training.teacher, "load_beats", lambda data: beats)
    config = TeacherConfig(
        data=tmp_path, folder=tmp_path, split="1", seed=3, epochs=1, batch=8, width=2, latent=4,
        device="cpu",
    )  # fmt: skip

    best = train_teacher(config, lambda report: None)

    assert evaluate_teachers(beats, [best]).parameters > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "ds1"}, "which fold"),
        ({"seed": None}, "which fold"),
        ({"annotations_sha256": "0" * 64}, "other beats"),
    ],
)
def test_a_teacher_of_unknown_beats_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """Not of a fold, or trained on other windows than the fold's: no beat is known to be unseen."""
    path = checkpoint(tmp_path / "best.safetensors", **changes)
    with pytest.raises(ArtifactError, match=said):
        evaluate_teachers(humps(), [path])


def test_teacher_to_measure_against_takes_the_students_windows() -> None:
    """Full size, same input, same shape of output."""
    reconstruction = teacher_reconstruction()(humps(3).windows)

    assert reconstruction.shape == (3, 320)
    assert reconstruction.dtype == np.float32
