"""Training: the published layers and losses, honest modes, exact resumption."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import models.train_student
import models.train_teacher
from models.artifact import load_artifact
from models.beatgan import (
    Autoencoder,
    Discriminator,
    Encoder,
    discriminator_loss,
    generator_loss,
    initialise,
)
from models.checkpoint import read_checkpoint, save_checkpoint
from models.dataset import Beats, annotation_digest, split_beats
from models.distillation import distillation_loss, new_student, smoothed_score
from models.train_student import StudentConfig, fit_student, one_cycle, train_student
from models.train_teacher import TeacherConfig, fit_teacher, load_teacher, train_teacher
from models.training_run import EpochReport, Validation, score_windows, shuffled_batches
from pipeline.errors import ArtifactError, ConfigError

BEATS = 40


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Humps in slightly different places, scaled to [-1, 1]."""
    centres = np.random.default_rng(0).uniform(130, 150, (BEATS, 1))
    return (2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1).astype(np.float32)


@pytest.fixture(scope="module")
def validation(windows: np.ndarray) -> Validation:
    """Half of the beats upside down."""
    return Validation(
        windows=np.concatenate((windows[:10], -windows[:10])), anomalous=np.arange(20) >= 10
    )


def _teacher_config(folder: Path, **changes: object) -> TeacherConfig:
    settings: dict = {"data": folder, "folder": folder, "epochs": 2, "batch": 16} | changes
    return TeacherConfig(**settings)


@pytest.fixture(scope="module")
def teacher(
    tmp_path_factory: pytest.TempPathFactory, windows: np.ndarray, validation: Validation
) -> Path:
    """A teacher of one epoch."""
    folder = tmp_path_factory.mktemp("teacher")
    return fit_teacher(_teacher_config(folder, epochs=1), windows, validation, lambda _: None)


def _student_config(folder: Path, teacher: Path, **changes: object) -> StudentConfig:
    settings: dict = {
        "data": folder, "folder": folder, "teacher": teacher, "epochs": 3, "batch": 16,
    } | changes  # fmt: skip
    return StudentConfig(**settings)


def _same(one: Path, other: Path) -> None:
    """Both checkpoints hold the same facts and, bit for bit, the same tensors."""
    (facts, tensors), (other_facts, other_tensors) = read_checkpoint(one), read_checkpoint(other)
    assert facts == other_facts
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other_tensors[name]), name


def _interrupt_after(epoch: int):
    def progress(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise KeyboardInterrupt

    return progress


def test_networks_are_beatgans() -> None:
    """Parameters, shapes and ranges of the published layers, and of the student's."""
    teacher, x = Autoencoder().eval(), torch.rand(3, 1, 320) * 2 - 1

    features = [m for m in teacher.encoder.modules() if isinstance(m, torch.nn.Conv1d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0]) for m in features] == [
        (32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1), (512, 4, 2, 1),
        (50, 10, 1, 0),
    ]  # fmt: skip
    assert sum(isinstance(m, torch.nn.BatchNorm1d) for m in teacher.encoder.modules()) == 4
    assert all(m.bias is None for m in features)
    assert teacher(x).shape == x.shape
    assert teacher(x).abs().max() <= 1
    logits, features = Discriminator().eval()(x)
    assert logits.shape == (3,)
    assert features.shape == (3, 512, 10)
    assert sum(p.numel() for p in teacher.parameters()) == pytest.approx(1.9e6, rel=0.02)
    assert sum(p.numel() for p in new_student().parameters()) == 108_560


def test_initial_weights_are_those_of_the_paper() -> None:
    """N(0, 0.02), BatchNorm N(1, 0.02) without bias, running memory at rest, from a seed."""
    encoder, again = Encoder(32, 50), Encoder(32, 50)
    encoder.train()(torch.rand(4, 1, 320))
    for network in (encoder, again):
        initialise(network, torch.Generator().manual_seed(0))

    assert encoder.head.weight.std().item() == pytest.approx(0.02, rel=0.05)
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert torch.cat([m.weight for m in norms]).mean().item() == pytest.approx(1, abs=0.01)
    assert all(not m.bias.any() and not m.running_mean.any() for m in norms)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_losses_are_those_of_the_paper() -> None:
    """L_D = BCE(D(x), 1) + BCE(D(x'), 0); L_G = MSE(x, x') + w MSE(f(x), f(x'))."""
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    expected = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    assert discriminator_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-5)

    x, y, f, g = (torch.randn(2, 1, 8) for _ in range(4))
    expected = ((x - y) ** 2).mean() + 0.3 * ((f - g) ** 2).mean()
    assert generator_loss(x, y, f, g, 0.3).item() == pytest.approx(expected.item(), rel=1e-5)


def test_distillation_alone_reaches_every_weight_of_the_student(windows: np.ndarray) -> None:
    """The gradient of the distillation term is not zero anywhere in the student."""
    student = new_student().train()
    initialise(student, torch.Generator().manual_seed(0))
    x = torch.from_numpy(windows)[:, None]
    targets = torch.linspace(0.01, 0.1, BEATS)

    distillation_loss(smoothed_score((x - student(x))[:, 0]), targets, 0.5).backward()

    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_following_the_distillation_gradient_brings_the_student_closer(
    windows: np.ndarray,
) -> None:
    """A few steps on the distillation term alone lower it."""
    student = new_student().train()
    initialise(student, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(student.parameters(), 1e-3)
    x, targets = torch.from_numpy(windows)[:, None], torch.linspace(0.01, 0.1, BEATS)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = distillation_loss(smoothed_score((x - student(x))[:, 0]), targets, 0.5)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_teacher_changes_what_the_student_learns(
    windows: np.ndarray, validation: Validation, teacher: Path, tmp_path: Path
) -> None:
    """Two teachers that disagree make two students, all else equal."""
    students = []
    for name, targets in (("up", np.linspace(0.1, 1, BEATS)), ("down", np.linspace(1, 0.1, BEATS))):
        config = _student_config(tmp_path / name, teacher, epochs=1)
        fit_student(config, windows, targets.astype(np.float32), validation, lambda _: None)
        students.append(read_checkpoint(config.folder / "last.safetensors")[1])
    weight = "student/encoder.head.weight"
    assert not torch.equal(students[0][weight], students[1][weight])


def test_each_epoch_deals_all_beats_anew() -> None:
    """Whole batches of distinct beats, in another order each epoch, the same for the same seed."""
    first, second, again = (
        torch.cat(list(shuffled_batches(103, 10, seed=1, epoch=epoch))) for epoch in (1, 2, 1)
    )
    assert len(set(first.tolist())) == len(set(second.tolist())) == 100
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_distillation_ignores_the_scale_of_scores() -> None:
    """Proportional scores lose nothing; another order costs."""
    scores = torch.tensor([0.1, 0.2, 0.4])

    assert distillation_loss(3 * scores, scores, 0.5).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(scores.flip(0), scores, 0.5).item() > 0.1
    assert math.isfinite(distillation_loss(torch.zeros(3), scores, 0.5).item())


def test_scoring_uses_evaluation_mode(windows: np.ndarray) -> None:
    """Scores do not depend on the batch and leave the running statistics alone."""
    student = new_student().train()
    before = {name: tensor.clone() for name, tensor in student.named_buffers()}

    whole, alone = score_windows(student, windows), score_windows(student, windows[:1])

    assert alone[0] == pytest.approx(whole[0], rel=1e-4)
    for name, tensor in student.named_buffers():
        assert torch.equal(tensor, before[name]), name


def test_training_uses_training_mode(
    windows: np.ndarray, validation: Validation, teacher: Path, tmp_path: Path
) -> None:
    """Every epoch moves the running statistics, also after a validation."""
    steps = []
    for epochs in (1, 2):
        folder = tmp_path / str(epochs)
        fit_student(
            _student_config(folder, teacher, epochs=epochs),
            windows, np.ones(BEATS, np.float32), validation, lambda _: None,
        )  # fmt: skip
        _, tensors = read_checkpoint(folder / "last.safetensors")
        (counted,) = {int(v) for k, v in tensors.items() if k.endswith("num_batches_tracked")}
        steps.append(counted)
    assert steps == [BEATS // 16, 2 * (BEATS // 16)]


def test_interrupted_student_ends_as_an_uninterrupted_one(
    windows: np.ndarray, validation: Validation, teacher: Path, tmp_path: Path
) -> None:
    """Stopped after each epoch and started again: the same bits."""
    targets = np.linspace(0.1, 1, BEATS, dtype=np.float32)
    whole = _student_config(tmp_path / "whole", teacher)
    fit_student(whole, windows, targets, validation, lambda _: None)

    pieces = _student_config(tmp_path / "pieces", teacher)
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            fit_student(pieces, windows, targets, validation, _interrupt_after(epoch))
    fit_student(pieces, windows, targets, validation, lambda _: None)

    for name in ("best.safetensors", "last.safetensors"):
        _same(whole.folder / name, pieces.folder / name)


def test_interrupted_teacher_ends_as_an_uninterrupted_one(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Also across a restart of the discriminator, which each step here triggers."""
    whole = _teacher_config(tmp_path / "whole", restart_below=10.0)
    fit_teacher(whole, windows, validation, lambda _: None)

    pieces = _teacher_config(tmp_path / "pieces", restart_below=10.0)
    with pytest.raises(KeyboardInterrupt):
        fit_teacher(pieces, windows, validation, _interrupt_after(1))
    fit_teacher(pieces, windows, validation, lambda _: None)

    for name in ("best.safetensors", "last.safetensors"):
        _same(whole.folder / name, pieces.folder / name)


def test_discriminator_restarts_when_it_has_won(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Below the limit it is drawn anew, with a fresh optimiser; above, it learns on."""
    states = []
    for limit in (10.0, 0.0):
        config = _teacher_config(tmp_path / str(limit), epochs=1, restart_below=limit)
        fit_teacher(config, windows, validation, lambda _: None)
        states.append(read_checkpoint(config.folder / "last.safetensors")[1])
    restarted, kept = states

    memory = "discriminator_optimiser/0/exp_avg"
    assert memory not in restarted
    assert memory in kept
    name = "discriminator/encoder.head.weight"
    assert restarted[name].std().item() == pytest.approx(0.02, rel=0.1)


def test_run_that_diverges_stops_at_its_last_good_checkpoint(
    windows: np.ndarray, validation: Validation, teacher: Path, tmp_path: Path
) -> None:
    """A loss that is not finite ends the run with an error; the checkpoint is untouched."""
    config = _student_config(tmp_path, teacher)
    targets = np.ones(BEATS, np.float32)
    with pytest.raises(KeyboardInterrupt):
        fit_student(config, windows, targets, validation, _interrupt_after(1))
    before = (tmp_path / "last.safetensors").read_bytes()
    targets[:] = np.nan
    with pytest.raises(ConfigError, match=r"epoch 2 .*holds epoch 1.*lower learning rate"):
        fit_student(config, windows, targets, validation, lambda _: None)

    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_run_with_other_settings_or_beats_is_not_continued(
    windows: np.ndarray, validation: Validation, teacher: Path, tmp_path: Path
) -> None:
    """A folder belongs to one run."""
    targets = np.ones(BEATS, np.float32)
    config = _student_config(tmp_path, teacher, epochs=1)
    fit_student(config, windows, targets, validation, lambda _: None)
    for changed, beats in (
        (_student_config(tmp_path, teacher, epochs=1, seed=1), windows),
        (config, -windows),
    ):
        with pytest.raises(ConfigError, match="other settings"):
            fit_student(changed, beats, targets, validation, lambda _: None)


def test_teacher_of_another_split_is_refused(teacher: Path, tmp_path: Path) -> None:
    """It has seen what the student is tested on."""
    assert not load_teacher(teacher, fold=0, seed=0).training
    with pytest.raises(ArtifactError, match="trained with fold 0, not 1"):
        load_teacher(teacher, fold=1, seed=0)
    with pytest.raises(ArtifactError, match="train it first"):
        load_teacher(tmp_path / "none.safetensors", fold=0, seed=0)


def test_checkpoint_that_is_none_is_refused(teacher: Path, tmp_path: Path) -> None:
    """Torn files, pickles and other networks raise our error."""
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(teacher.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="no checkpoint"):
        read_checkpoint(torn)
    torn.write_bytes(b"\x80\x04.")
    with pytest.raises(ArtifactError, match="no checkpoint"):
        read_checkpoint(torn)
    other = tmp_path / "other.safetensors"
    save_checkpoint(
        other, {"config": {"fold": 0, "seed": 0}}, networks={"generator": new_student()}
    )
    with pytest.raises(ArtifactError, match="not for this generator"):
        load_teacher(other, fold=0, seed=0)


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"fold": 5}, {"seed": -1}]
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError):
        _teacher_config(tmp_path, **changes)


def test_too_few_beats_are_refused(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Less than one batch is no training."""
    with pytest.raises(ConfigError, match="fewer than one batch"):
        fit_teacher(_teacher_config(tmp_path), windows[:5], validation, lambda _: None)


def test_learning_rate_rises_and_falls_once() -> None:
    """From a 25th to the top after three tenths, then down to nearly nothing."""
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.3) == pytest.approx(1)
    assert one_cycle(1) == pytest.approx(0, abs=1e-5)
    rates = [one_cycle(i / 100) for i in range(101)]
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)


def test_training_from_records_to_the_artifact_that_ships(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Teacher, student, export and figures in one go; the artifact says all that is needed."""
    n, kind = 300, np.arange(300) % 5 == 0
    centres = np.random.default_rng(0).uniform(120, 160, (n, 1))
    humps = 2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1
    beats = Beats(
        windows=np.where(kind[:, None], -humps, humps).astype(np.float32),
        symbols=np.where(kind, "V", "N"),
        records=np.full(n, "100"),
        samples=np.arange(n) * 300,
        detected=np.ones(n, dtype=bool),
    )
    for module in (models.train_teacher, models.train_student):
        monkeypatch.setattr(module, "load_beats", lambda _: beats)
    reports: list[EpochReport] = []
    teacher = train_teacher(
        _teacher_config(tmp_path / "teacher", epochs=1, fold=3, seed=8), reports.append
    )
    config = _student_config(tmp_path / "student", teacher, epochs=2, batch=32, fold=3, seed=8)
    artifact = load_artifact(train_student(config, reports.append))

    assert [report.epoch for report in reports] == [1, 1, 2]
    assert (artifact.training["fold"], artifact.training["seed"]) == (3, 8)
    assert artifact.training["annotations_sha256"] == annotation_digest(beats)
    split = split_beats(beats, fold=3, seed=8)
    assert artifact.training["train_beats"] == split.train.size
    assert artifact.training["teacher_facts"]["config"]["adversarial_weight"] == 1.0
    assert artifact.metrics["normal_beats"] + artifact.metrics["abnormal_beats"] == split.test.size
    assert 0 <= artifact.metrics["auc"] <= 1
    assert all(math.isfinite(loss) for report in reports for loss in report.losses.values())
