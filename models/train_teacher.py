"""Train the BeatGAN teacher.

    monitor train teacher --data DIR

Runs on CUDA where there is one and on the CPU otherwise, writes a checkpoint after each epoch and
continues from it (`models.training_run`). The epoch that is kept is the best on the validation
part (average precision); no test beat is ever looked at.

Who watches passes ``progress``, called with an `EpochReport` after each epoch.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.beatgan import Autoencoder, Discriminator, discriminator_loss, generator_loss
from models.checkpoint import read_checkpoint, restore_network
from models.dataset import load_beats
from models.training_run import (
    Means,
    Progress,
    TrainingConfig,
    TrainingRun,
    Validation,
    best_device,
    initialise_on,
    parts_of,
    settings_of,
    shuffled_batches,
)
from pipeline.errors import ArtifactError


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig(TrainingConfig):
    """How the teacher is trained; the defaults are BeatGAN's."""

    epochs: int = 10
    batch: int = 64
    learning_rate: float = 1e-4
    first_momentum: float = 0.5
    adversarial_weight: float = 1.0
    restart_below: float = 5e-6
    """The discriminator starts anew when its loss falls below."""


def train_teacher(config: TeacherConfig, progress: Progress) -> Path:
    """Train the teacher; return the file of its best epoch.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    train, validation = parts_of(load_beats(config.data), config)
    return fit_teacher(config, train, validation, progress)


def fit_teacher(
    config: TeacherConfig,
    train: NDArray[np.float32],
    validation: Validation,
    progress: Progress,
) -> Path:
    """Train BeatGAN on windows float32[n, 320]; return the file of the best epoch."""
    device = best_device()
    generator, discriminator = Autoencoder(), Discriminator()
    draws = torch.Generator().manual_seed(config.seed)
    initialise_on(device, generator, draws)
    initialise_on(device, discriminator, draws)
    betas = (config.first_momentum, 0.999)
    run = TrainingRun(
        folder=config.folder,
        settings=settings_of(config, train),
        epochs=config.epochs,
        bf16=config.bf16,
        networks={"generator": generator, "discriminator": discriminator},
        optimisers={
            "generator_optimiser": torch.optim.Adam(
                generator.parameters(), config.learning_rate, betas
            ),
            "discriminator_optimiser": torch.optim.Adam(
                discriminator.parameters(), config.learning_rate, betas
            ),
        },
        judged="generator",
    )
    beats = torch.from_numpy(train)[:, None].to(device)

    def train_epoch(epoch: int) -> dict[str, float]:
        generator.train()
        discriminator.train()
        means = Means()
        for rows in shuffled_batches(len(beats), config.batch, seed=config.seed, epoch=epoch):
            losses = _teacher_step(run, beats[rows], config.adversarial_weight)
            means.add(losses)
            if losses["discriminator"] < config.restart_below:
                initialise_on(device, discriminator, draws.manual_seed(config.seed + epoch))
                run.optimisers["discriminator_optimiser"].state.clear()
        return means.of_epoch()

    return run.finish(train_epoch, validation, progress)


def _teacher_step(run: TrainingRun, x: Tensor, adversarial_weight: float) -> dict[str, float]:
    """One step of the discriminator, then one of the generator, on the same reconstructions."""
    generator, discriminator = run.networks["generator"], run.networks["discriminator"]
    with run.autocast():
        reconstruction = generator(x)
        real, _ = discriminator(x)
        fake, _ = discriminator(reconstruction.detach())
    loss_d = discriminator_loss(real, fake)
    run.step("discriminator_optimiser", loss_d)

    # Its features guide the generator; its weights need no gradient for that.
    discriminator.requires_grad_(False)
    with run.autocast():
        _, fake_features = discriminator(reconstruction)
        with torch.no_grad():
            _, features = discriminator(x)
    loss_g = generator_loss(x, reconstruction, features, fake_features, adversarial_weight)
    run.step("generator_optimiser", loss_g)
    discriminator.requires_grad_(True)
    return {"generator": loss_g.item(), "discriminator": loss_d.item()}


def load_teacher(path: Path, *, fold: int, seed: int) -> Autoencoder:
    """Return the trained teacher in ``path``, in evaluation mode.

    Raises:
        ArtifactError: missing, altered, or trained on another split than ``fold`` and ``seed``.
    """
    facts, tensors = read_checkpoint(path)
    trained_on = facts.get("config")
    if not isinstance(trained_on, dict):
        raise ArtifactError(f"{path} is no checkpoint of a teacher: name its best.safetensors")
    for name, wanted in (("fold", fold), ("seed", seed)):
        if trained_on.get(name) != wanted:
            raise ArtifactError(
                f"{path} was trained with {name} {trained_on.get(name)}, not {wanted}: it has seen "
                f"beats that this split holds out; train a teacher with {name} {wanted}"
            )
    teacher = Autoencoder()
    restore_network(teacher, "generator", tensors)
    return teacher.eval().to(best_device())
