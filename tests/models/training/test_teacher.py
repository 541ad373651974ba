"""The teacher: BeatGAN's autoencoder, a discriminator that cannot win, reports of collapse."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import models.training.teacher
from models.data.annotated_beats import Beats
from models.nets.beatgan import (
    Autoencoder,
    Discriminator,
    Encoder,
    discriminator_loss,
    generator_loss,
    initialise,
    normalise_spectrally,
)
from models.training.checkpoint import TrainingState, read_checkpoint, save_checkpoint
from models.training.distillation.losses import new_student
from models.training.distillation.neighbours import nearest, neighbours_mean
from models.training.progress import EpochReport, StepReport
from models.training.run import Validation, score_windows
from models.training.teacher import (
    ALIKE_BELOW,
    WON_BELOW,
    TeacherConfig,
    collapse,
    find_teacher_rate,
    fit_teacher,
    load_teacher,
    teacher_run,
    train_teacher,
)
from models.training.warping import warped_ticks
from pipeline.errors import ArtifactError, ConfigError

pytestmark = pytest.mark.system

BEATS = 40


def _humps(n: int) -> np.ndarray:
    """Humps in slightly different places, scaled to [-1, 1]."""
    centres = np.random.default_rng(0).uniform(130, 150, (n, 1))
    return (2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1).astype(np.float32)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Normal beats."""
    return _humps(BEATS)


@pytest.fixture(scope="module")
def validation(windows: np.ndarray) -> Validation:
    """Half of the beats upside down."""
    return Validation(
        windows=np.concatenate((windows[:10], -windows[:10])), anomalous=np.arange(20) >= 10
    )


def _config(folder: Path, **changes: object) -> TeacherConfig:
    settings: dict = {
        "data": folder, "folder": folder, "epochs": 2, "batch": 16, "width": 4, "latent": 6,
        "target": "beat", "device": "cpu", "bf16": False,
    } | changes  # fmt: skip
    return TeacherConfig(**settings)


@pytest.fixture(scope="module")
def teacher(
    tmp_path_factory: pytest.TempPathFactory, windows: np.ndarray, validation: Validation
) -> Path:
    """A teacher of one epoch."""
    folder = tmp_path_factory.mktemp("teacher")
    return fit_teacher(_config(folder, epochs=1), windows, validation, lambda _: None)


def _drawn_discriminator(scale: float = 1.0) -> Discriminator:
    network = Discriminator(4)
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in network.parameters():
            weight *= scale
    return network


def test_networks_are_beatgans() -> None:
    """Parameters, shapes and ranges of the published layers, and of the student's."""
    teacher, x = Autoencoder().eval(), torch.rand(3, 1, 320) * 2 - 1

    features = [m for m in teacher.encoder.modules() if isinstance(m, nn.Conv1d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0]) for m in features] == [
        (32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1), (512, 4, 2, 1),
        (50, 10, 1, 0),
    ]  # fmt: skip
    assert sum(isinstance(m, nn.BatchNorm1d) for m in teacher.encoder.modules()) == 4
    assert all(m.bias is None for m in features)
    assert teacher(x).shape == x.shape
    assert teacher(x).abs().max() <= 1
    logits, features = Discriminator().eval()(x)
    assert logits.shape == (3,)
    assert features.shape == (3, 512, 10)
    assert sum(p.numel() for p in teacher.parameters()) == pytest.approx(1.9e6, rel=0.02)
    assert sum(p.numel() for p in new_student().parameters()) == 103_440


def test_initial_weights_are_those_of_the_paper() -> None:
    """N(0, 0.02), BatchNorm N(1, 0.02) without bias, running memory at rest, from a seed."""
    encoder, again = Encoder(32, 50), Encoder(32, 50)
    encoder.train()(torch.rand(4, 1, 320))
    for network in (encoder, again):
        initialise(network, torch.Generator().manual_seed(0))

    assert encoder.head.weight.std().item() == pytest.approx(0.02, rel=0.05)
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm1d)]
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


def test_discriminators_weights_stretch_nothing() -> None:
    """Each weight's largest singular value is 1, whatever its own scale."""
    network = _drawn_discriminator(scale=50.0)
    normalise_spectrally(network, 0)
    x = torch.rand(4, 1, 320)
    for _ in range(100):  # a step of the power iteration each
        network.train()(x)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1, rel=0.01)
    assert not any(isinstance(m, nn.BatchNorm1d) for m in network.modules())


def test_power_iteration_starts_from_its_seed_alone() -> None:
    """Not from random numbers of others, and it takes none from them."""
    states = []
    for seed, of_others in ((7, 1), (7, 2), (8, 1)):
        network = _drawn_discriminator()
        torch.manual_seed(of_others)
        normalise_spectrally(network, seed)
        taken = torch.rand(3)
        assert torch.equal(taken, torch.rand(3, generator=torch.Generator().manual_seed(of_others)))
        states.append(network.state_dict())
    first, again, other = states

    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_discriminators_features_guide_the_generator(windows: np.ndarray, tmp_path: Path) -> None:
    """A step with their weight is another than one without, in every weight of the generator."""
    after = []
    for weight in (0.0, 40.0):
        run = teacher_run(_config(tmp_path, adversarial_weight=weight), windows)
        for network in run.networks.values():
            network.train()
        for _ in range(2):
            run.train_batch(run, torch.arange(16), torch.Generator().manual_seed(0))
        after.append(dict(run.networks["generator"].named_parameters()))
    for name, weight in after[0].items():
        assert not torch.equal(weight, after[1][name]), name


def test_both_networks_follow_their_own_loss(
    windows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of each is that of Adam on its loss, taken from where both stood before."""
    config = _config(tmp_path, adversarial_weight=3.0)
    run, before = teacher_run(config, windows), teacher_run(config, windows)
    for network in [*run.networks.values(), *before.networks.values()]:
        network.train()
    monkeypatch.setattr(models.training.teacher, "WARPED_SHARE", 0.0)
    losses = run.train_batch(run, torch.arange(16), torch.Generator())

    generator, discriminator = before.networks["generator"], before.networks["discriminator"]
    x = torch.from_numpy(windows[:16])[:, None]
    reconstruction = generator(x)
    real, features = discriminator(x)
    fake, fake_features = discriminator(reconstruction)
    of_generator = generator_loss(x, reconstruction, features.detach(), fake_features, 3.0)
    of_discriminator = discriminator_loss(real, fake)
    for name, loss in (("generator", of_generator), ("discriminator", of_discriminator)):
        assert losses[name] == pytest.approx(loss.item(), rel=1e-6)
        weights = list(before.networks[name].parameters())
        for weight, gradient in zip(
            weights, torch.autograd.grad(loss, weights, retain_graph=True), strict=True
        ):
            weight.grad = gradient
    for optimiser in before.optimisers.values():
        optimiser.step()
    for name, network in run.networks.items():
        for key, weight in network.named_parameters():
            expected = dict(before.networks[name].named_parameters())[key]
            assert torch.allclose(weight, expected, rtol=0, atol=1e-7), f"{name} {key}"


def test_target_of_neighbours_is_reconstructed_and_warped_with_the_beat(
    windows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generator and discriminator learn from the mean of the nearest others, ticks moved alike."""
    seen = []

    def keep(run: object, x_b1t: torch.Tensor, target_b1t: torch.Tensor, _: float) -> dict:
        seen.append((x_b1t, target_b1t))
        return {}

    monkeypatch.setattr(models.training.teacher, "_train_both", keep)
    monkeypatch.setattr(models.training.teacher, "WARPED_SHARE", 1.0)
    run = teacher_run(_config(tmp_path, target="neighbours"), windows)
    rows = torch.arange(16)
    run.train_batch(run, rows, torch.Generator().manual_seed(3))

    beats = torch.from_numpy(windows)[:, None]
    mean = neighbours_mean(beats, nearest(beats[:, 0]), rows)
    ticks = warped_ticks(16, 1.0, torch.Generator().manual_seed(3))[:, None]
    assert torch.equal(seen[0][0], beats[rows].gather(2, ticks))
    assert torch.equal(seen[0][1], mean.gather(2, ticks))


def test_members_of_an_ensemble_differ_on_one_split(windows: np.ndarray, tmp_path: Path) -> None:
    """First weights and order of the beats are each member's own; the seed of the split is not."""
    one, other = (_config(tmp_path, member=member) for member in (0, 1))
    first, second = (teacher_run(config, windows).networks["generator"] for config in (one, other))

    assert (one.seed, one.draw) == (0, 0)
    assert (other.seed, other.draw) != (0, 0)
    assert not torch.equal(first.encoder.head.weight, second.encoder.head.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"target": "teacher"}, "no target 'teacher'"), ({"member": -1}, "member -1")],
)
def test_teacher_that_cannot_be_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match=message):
        _config(tmp_path, **changes)


def test_discriminator_that_learns_alone_does_not_win(windows: np.ndarray, tmp_path: Path) -> None:
    """Even against a fixed generator near its beats, L_D stays away from 0."""
    real = torch.from_numpy(windows)[:, None]
    near = real + 0.02 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    network = _drawn_discriminator().train()
    normalise_spectrally(network, 0)
    optimiser = torch.optim.Adam(network.parameters(), 4e-3, (0.5, 0.999))
    for _ in range(60):
        optimiser.zero_grad()
        loss = discriminator_loss(network(real)[0], network(near)[0])
        loss.backward()
        optimiser.step()
    chance = 2 * math.log(2)  # up to the rounding of the processor
    assert WON_BELOW < loss.item() < 1.001 * chance


def test_collapse_is_reported() -> None:
    """Of either network, with its figures; a balanced epoch has no remark."""
    balanced = {"discriminator": 1.2, "told_apart": 0.6, "spread": 0.9}
    assert collapse(balanced) == ""
    won = balanced | {"discriminator": WON_BELOW / 2, "told_apart": 1.0}
    assert "discriminator has won (L_D 0.050, 100% told apart)" in collapse(won)
    assert "alike (1.0% of the variance)" in collapse(balanced | {"spread": ALIKE_BELOW / 5})


def test_collapse_stands_in_the_report_and_in_the_curves(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """A generator that hardly learns reconstructs one beat for all; the remark says so."""
    reports: list = []
    config = _config(tmp_path, epochs=1, learning_rate=1e-9)
    fit_teacher(config, windows, validation, reports.append)

    assert "all reconstructions are alike" in reports[-1].remark
    assert reports[-1].losses["spread"] < ALIKE_BELOW
    rows = (tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert reports[-1].remark in rows[1]


def test_scoring_uses_evaluation_mode(windows: np.ndarray) -> None:
    """Scores do not depend on the batch and leave the running statistics alone."""
    network = Autoencoder(4, 6).train()
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}

    whole, alone = score_windows(network, windows), score_windows(network, windows[:1])

    assert alone[0] == pytest.approx(whole[0], rel=1e-4)
    for name, tensor in network.named_buffers():
        assert torch.equal(tensor, before[name]), name


def test_training_uses_training_mode(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Every epoch moves the running statistics, also after a validation."""
    fit_teacher(_config(tmp_path), windows, validation, lambda _: None)
    tensors = read_checkpoint(tmp_path / "last.safetensors").tensors
    counted = {int(v) for k, v in tensors.items() if k.endswith("num_batches_tracked")}
    assert counted == {2 * (BEATS // 16)}


def test_interrupted_teacher_ends_as_an_uninterrupted_one(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Warping, power iteration and both optimisers included: the same bits."""

    def interrupt(report: EpochReport | StepReport) -> None:
        if isinstance(report, EpochReport):
            raise KeyboardInterrupt

    whole, pieces = _config(tmp_path / "whole"), _config(tmp_path / "pieces")
    fit_teacher(whole, windows, validation, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        fit_teacher(pieces, windows, validation, interrupt)
    torch.rand(5)  # random numbers of others play no part
    fit_teacher(pieces, windows, validation, lambda _: None)

    for name in ("best.safetensors", "last.safetensors"):
        one, other = (read_checkpoint(config.folder / name) for config in (whole, pieces))
        assert one.state.best_epoch == other.state.best_epoch
        assert one.state.validation == other.state.validation
        assert one.tensors.keys() == other.tensors.keys()
        for key, tensor in one.tensors.items():
            assert torch.equal(tensor, other.tensors[key]), key


def test_teacher_of_another_split_is_refused(teacher: Path, tmp_path: Path) -> None:
    """It has seen what the student is tested on."""
    loaded = load_teacher(teacher, split="0", seed=0, device="cpu")
    assert not loaded.training
    assert (loaded.width, loaded.latent) == (4, 6)
    with pytest.raises(ArtifactError, match="trained with split 0, not ds1"):
        load_teacher(teacher, split="ds1", seed=0)
    with pytest.raises(ArtifactError, match="trained with seed 0, not 1"):
        load_teacher(teacher, split="0", seed=1)
    with pytest.raises(ArtifactError, match="train it first"):
        load_teacher(tmp_path / "none.safetensors", split="0", seed=0)


def test_checkpoint_that_is_no_teacher_is_refused(teacher: Path, tmp_path: Path) -> None:
    """Torn files, pickles and other networks raise our error."""
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(teacher.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="no checkpoint"):
        read_checkpoint(torn)
    torn.write_bytes(b"\x80\x04.")
    with pytest.raises(ArtifactError, match="is a pickle"):
        read_checkpoint(torn)
    other = tmp_path / "other.safetensors"
    config = {"split": "0", "seed": 0}
    state = TrainingState(config=config, epoch=1, best_epoch=1, validation={"ap": 0.5})
    save_checkpoint(other, state, networks={"student": new_student()})
    with pytest.raises(ArtifactError, match="no checkpoint of a teacher"):
        load_teacher(other, split="0", seed=0)
    save_checkpoint(other, state, networks={"generator": Discriminator(4)})
    with pytest.raises(ArtifactError, match="not for this generator"):
        load_teacher(other, split="0", seed=0)


def test_too_few_beats_are_refused(
    windows: np.ndarray, validation: Validation, tmp_path: Path
) -> None:
    """Less than one batch is no training."""
    with pytest.raises(ConfigError, match="fewer than one batch"):
        fit_teacher(_config(tmp_path), windows[:5], validation, lambda _: None)


def test_teacher_is_trained_on_the_split_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the records to a checkpoint that load_teacher takes; the range test leaves none."""
    n = 300
    normal = np.arange(n) % 5 != 0
    beats = Beats(
        windows=np.where(normal[:, None], _humps(n), -_humps(n)).astype(np.float32),
        symbols=np.where(normal, "N", "V"),
        records=np.where(np.arange(n) % 2, "100", "101"),
        samples=np.arange(n) * 300,
        detected=np.ones(n, dtype=bool),
    )
    monkeypatch.setattr(models.training.teacher, "load_beats", lambda _: beats)
    config = _config(tmp_path / "teacher", epochs=1, batch=32, split="ds1", seed=8)

    best = train_teacher(config, lambda _: None)

    assert load_teacher(best, split="ds1", seed=8).latent == 6
    steps = read_checkpoint(tmp_path / "teacher" / "last.safetensors").tensors
    # 120 normal beats of record 101, of DS1, less a tenth for validation; record 100 is of DS2.
    assert int(steps["generator/encoder.features.3.num_batches_tracked"]) == 108 // 32

    test = find_teacher_rate(_config(tmp_path / "rate", batch=32, split="ds1"), lambda _: None)
    assert test.rates[0] < test.suggested < 1
    assert not (tmp_path / "rate").exists()
