"""Training a student by each method: its gradients, exact resumption, the written files."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import models.training.student
from models.data.annotated_beats import Beats, annotation_digest, split_named
from models.data.mitdb import DS1, DS2
from models.evaluation.protocols.beatgan import evaluate_on
from models.files.student import StudentArtifact, load_student
from models.measure.result_json import to_json
from models.nets.beatgan import Autoencoder, initialise
from models.training.checkpoint import TrainingState, read_checkpoint, save_checkpoint
from models.training.distillation.losses import TeacherTable, kd_loss, smoothed_score, teacher_table
from models.training.distillation.neighbours import nearest
from models.training.progress import EpochReport
from models.training.run import Validation
from models.training.student import (
    METHODS,
    TARGETS,
    TEACHER_METHODS,
    StudentConfig,
    StudentTrainer,
    fit_student,
    train_student,
)
from pipeline.errors import ArtifactError, ConfigError

pytestmark = pytest.mark.system

N = 40


def evaluate_fold(beats: Beats, artifact: StudentArtifact) -> dict[str, object]:
    """Return the figures of a student, as the command has them."""
    return to_json(evaluate_on(beats, artifact, device="cpu"))


def _humps(n: int) -> np.ndarray:
    """Humps in slightly different places, scaled to [-1, 1]."""
    centres = np.random.default_rng(0).uniform(130, 150, (n, 1))
    return (2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1).astype(np.float32)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of split 0 that was drawn and never trained."""
    network = Autoencoder()
    initialise(network, torch.Generator().manual_seed(5))
    path = tmp_path_factory.mktemp("teacher") / "best.safetensors"
    state = TrainingState(
        config={"split": "0", "seed": 0},
        epoch=1,
        best_epoch=1,
        validation={"ap": 0.5, "auc": 0.5},
    )
    save_checkpoint(path, state, networks={"generator": network})
    return path


@pytest.fixture(scope="module")
def table() -> TeacherTable:
    """The outputs of a teacher for the humps."""
    network = Autoencoder()
    initialise(network, torch.Generator().manual_seed(5))
    return teacher_table([network], torch.from_numpy(_humps(N)))


@pytest.fixture(scope="module")
def validation() -> Validation:
    """Half of the beats upside down."""
    humps = _humps(10)
    return Validation(windows=np.concatenate((humps, -humps)), anomalous=np.arange(20) >= 10)


def _config(folder: Path, method: str, teacher: Path, **changes: object) -> StudentConfig:
    settings: dict = {
        "data": folder, "folder": folder, "epochs": 2, "batch": 16, "width": 4, "latent": 3,
        "target": "beat", "method": method, "device": "cpu",
    } | changes  # fmt: skip
    if method in TEACHER_METHODS or settings["target"] == "teacher":
        settings.setdefault("teachers", (teacher,))
    return StudentConfig(**settings)


def _gradients(config: StudentConfig, table: TeacherTable) -> dict[str, torch.Tensor | None]:
    """Gradient of every weight after the loss on the first batch."""
    trainer = StudentTrainer(config, _humps(N), table)
    for network in trainer.networks.values():
        network.train()
    total, _ = trainer.loss(torch.arange(16), torch.autocast("cpu", enabled=False))
    total.backward()
    return {
        f"{name}/{key}": weight.grad
        for name, network in trainer.networks.items()
        for key, weight in network.named_parameters()
    }


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("none", {"missed"}),
        ("kd", {"missed", "kd"}),
        ("ft", {"missed", "ft"}),
        ("kd+ft", {"missed", "kd", "ft"}),
        ("frskd", {"missed", "self_teacher", "kd", "ft"}),
    ],
)
def test_loss_is_the_weighted_sum_of_the_parts_of_the_method(
    method: str, parts: set[str], teacher: Path, table: TeacherTable, tmp_path: Path
) -> None:
    """L_G + alpha L_KD + beta L_F, the self-teacher's own beside them, all of them positive."""
    config = _config(tmp_path, method, teacher, alpha=0.3, beta=0.7)
    trainer = StudentTrainer(config, _humps(N), table)
    total, got = trainer.loss(torch.arange(16), torch.autocast("cpu", enabled=False))

    assert set(got) == parts
    weights = {"missed": 1.0, "self_teacher": 1.0, "kd": 0.3, "ft": 0.7}
    expected = sum(weights[name] * part.item() for name, part in got.items())
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert all(part.item() > 0 for part in got.values())


@pytest.mark.parametrize("method", ["none", "kd", "frskd"])
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_missed_is_missed_of_the_target(
    target: str, method: str, teacher: Path, table: TeacherTable, tmp_path: Path
) -> None:
    """Of the beat, of the mean of its nearest others, or of what the teachers give.

    The scores that are compared stay those of the beat's residual, as the shipped rule has it.
    """
    config = _config(tmp_path, method, teacher, target=target)
    trainer, rows = StudentTrainer(config, _humps(N), table), torch.arange(16)
    for network in trainer.networks.values():
        network.eval()
    beats = torch.from_numpy(_humps(N))
    wanted = {
        "beat": beats[rows],
        "neighbours": beats[nearest(beats)[rows]].mean(dim=1),
        "teacher": table.reconstructions[rows].float(),
    }[target]
    with torch.no_grad():
        reconstruction = trainer.student(beats[rows, None])[:, 0]
        _, parts = trainer.loss(rows, torch.autocast("cpu", enabled=False))

    assert parts["missed"].item() == pytest.approx((wanted - reconstruction).square().mean().item())
    if method == "kd":
        score = smoothed_score(beats[rows] - reconstruction)
        expected = kd_loss(score, table.scores[rows], config.temperature).item()
        assert parts["kd"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", METHODS[1:])
def test_method_moves_the_student_and_without_weight_it_does_not(
    method: str, teacher: Path, table: TeacherTable, tmp_path: Path
) -> None:
    """Every tensor of the encoder has another gradient than without distillation.

    With weights of zero it has the same, bit for bit, but for a self-teacher's own loss.
    """
    alone = _gradients(_config(tmp_path, "none", teacher), table)
    distilled = _gradients(_config(tmp_path, method, teacher, alpha=0.1, beta=0.1), table)
    idle = _gradients(_config(tmp_path, method, teacher, alpha=0.0, beta=0.0), table)

    for name, gradient in alone.items():
        assert gradient is not None, name
        assert gradient.abs().max() > 0, name
        if "encoder.features" in name:
            assert not torch.equal(distilled[name], gradient), name
        if method != "frskd":
            assert torch.equal(idle[name], gradient), name


def test_student_cannot_drag_its_self_teacher_along(
    teacher: Path, table: TeacherTable, tmp_path: Path
) -> None:
    """Whatever the weights of KD and FT, the self-teacher's gradient is that of its own loss."""
    loose = _gradients(_config(tmp_path, "frskd", teacher, alpha=0.0, beta=0.0), table)
    tight = _gradients(_config(tmp_path, "frskd", teacher, alpha=0.5, beta=0.5), table)

    own = [name for name in loose if name.startswith("self_teacher/")]
    assert own
    for name in own:
        assert torch.equal(loose[name], tight[name]), name


@pytest.mark.parametrize(
    ("target", "method"),
    [*(("beat", method) for method in METHODS), ("neighbours", "none"), ("teacher", "kd+ft")],
)
def test_interrupted_student_ends_as_an_uninterrupted_one(
    target: str,
    method: str,
    teacher: Path,
    table: TeacherTable,
    validation: Validation,
    tmp_path: Path,
) -> None:
    """Stopped after an epoch and started again: the same bits. The result is the student alone."""

    def stop_after_first(report: object) -> None:
        if isinstance(report, EpochReport) and report.epoch == 1:
            raise KeyboardInterrupt

    humps = _humps(N)
    whole = _config(tmp_path / "whole", method, teacher, target=target)
    best = fit_student(whole, humps, validation, lambda _: None, table)
    pieces = _config(tmp_path / "pieces", method, teacher, target=target)
    with pytest.raises(KeyboardInterrupt):
        fit_student(pieces, humps, validation, stop_after_first, table)
    fit_student(pieces, humps, validation, lambda _: None, table)

    for name in ("best.safetensors", "last.safetensors"):
        one = read_checkpoint(whole.folder / name).tensors
        other = read_checkpoint(pieces.folder / name).tensors
        assert one.keys() == other.keys()
        for key, tensor in one.items():
            assert torch.equal(tensor, other[key]), key
    assert {key.split("/")[0] for key in read_checkpoint(best).tensors} == {"student"}


def test_methods_make_different_students(
    teacher: Path, table: TeacherTable, validation: Validation, tmp_path: Path
) -> None:
    """One epoch by each method, all else equal: no two weights alike."""
    heads = []
    for method in METHODS:
        config = _config(tmp_path / method, method, teacher, epochs=1, alpha=0.1, beta=0.1)
        fit_student(config, _humps(N), validation, lambda _: None, table)
        tensors = read_checkpoint(config.folder / "last.safetensors").tensors
        heads.append(tensors["student/encoder.head.weight"])
    for i, head in enumerate(heads):
        assert not any(torch.equal(head, other) for other in heads[:i])


def test_run_that_diverges_stops_at_its_last_good_checkpoint(
    teacher: Path, table: TeacherTable, validation: Validation, tmp_path: Path
) -> None:
    """A teacher's score that is not a number ends the run with an error and writes nothing."""
    broken = replace(table, scores=torch.full_like(table.scores, math.nan))
    config = _config(tmp_path, "kd", teacher)

    with pytest.raises(ConfigError, match=r"epoch 1 .*finite"):
        fit_student(config, _humps(N), validation, lambda _: None, broken)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "magic"}, "choose one of none, kd"),
        ({"target": "magic"}, "choose one of beat, neighbours, teacher"),
        ({"method": "kd"}, "kd needs a teacher"),
        ({"target": "teacher"}, "target teacher by method none needs a teacher"),
        ({"method": "frskd", "teachers": (Path("t"),)}, "frskd has no teacher"),
        ({"split": "ds2"}, "choose one of 0, 1"),
        ({"width": 0}, "width 0"),
        ({"alpha": -1.0}, "alpha -1"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"beta": math.nan}, "beta nan"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match=message):
        StudentConfig(data=tmp_path, folder=tmp_path, **changes)


def test_teacher_of_another_split_is_refused(tmp_path: Path, teacher: Path) -> None:
    """It has seen beats that this student's split holds out."""
    with pytest.raises(ArtifactError, match="split"):
        train_student(_config(tmp_path, "kd", teacher, split="1"), lambda _: None, evaluate_fold)


def _beats() -> Beats:
    """A few beats of every record, one in five upside down."""
    records = np.repeat(sorted((*DS1, *DS2)), 12)
    inverted = np.arange(records.size) % 5 == 0
    return Beats(
        windows=np.where(inverted[:, None], -1, 1).astype(np.float32) * _humps(records.size),
        symbols=np.where(inverted, "V", "N"),
        records=records,
        samples=np.arange(records.size) * 300,
        detected=np.ones(records.size, dtype=bool),
    )


def test_student_of_a_fold_carries_its_test_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, teacher: Path
) -> None:
    """From the records to the artifact: split, method, teacher, and figures of unseen beats."""
    beats = _beats()
    monkeypatch.setattr(models.training.student, "load_beats", lambda _: beats)
    config = _config(tmp_path, "kd+ft", teacher, epochs=1)

    artifact = load_student(train_student(config, lambda _: None, evaluate_fold))

    split = split_named(beats, "0", seed=0)
    assert (artifact.width, artifact.latent) == (4, 3)
    training = artifact.training
    assert (training.split, training.seed) == ("0", 0)
    assert (training.method, training.alpha) == ("kd+ft", 1e-3)
    assert training.annotations_sha256 == annotation_digest(beats)
    assert training.train_beats == split.train.size
    assert [one.config for one in training.teachers] == [{"split": "0", "seed": 0}]
    figures = artifact.metrics
    assert figures["normal_beats"] + figures["abnormal_beats"] == split.test.size
    assert 0 <= figures["auc"] <= 1


def test_student_of_patients_has_no_test_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, teacher: Path
) -> None:
    """It is tested on other patients; its files name the records that it was trained on."""
    monkeypatch.setattr(models.training.student, "load_beats", lambda _: _beats())
    config = _config(tmp_path, "none", teacher, epochs=1, split="ds1")

    artifact = load_student(train_student(config, lambda _: None, evaluate_fold))

    assert artifact.training.records == DS1
    assert artifact.training.split == "ds1"
    assert artifact.training.teachers == ()
    assert artifact.metrics == {}
