"""Train a teacher: BeatGAN, as narrow as its student; several make an ensemble.

    monitor train teacher --data DIR --member 0

It reconstructs beats, or the mean of the nearest other normal beats
(`models.training.distillation.neighbours`). The members of an ensemble have the split in common
and differ by their first weights and by the order of the beats. With ``--width 32 --latent 50
--target beat`` it is BeatGAN as published.

Half of the beats of each batch are warped in time (`models.training.warping`). Generator and
discriminator learn from the same reconstructions, each at its own rate (Heusel et al., "GANs
Trained by a Two Time-Scale Update Rule", NeurIPS 2017), both with the one-cycle schedule. Each
epoch reports the balance of the two, and whether one of them has collapsed.

The training runs on CUDA where there is one and on the CPU otherwise. It writes a checkpoint after
each epoch and continues from it (`models.training.run`). The best epoch on the validation part
(average precision) is kept; test beats are never used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.annotated_beats import annotation_digest, load_beats
from models.files.model_file import TrainingSettings
from models.inference.student import STUDENT_LATENT, STUDENT_WIDTH
from models.nets.beatgan import (
    STAGES,
    Autoencoder,
    Discriminator,
    discriminator_loss,
    generator_loss,
    normalise_spectrally,
)
from models.training.checkpoint import read_checkpoint, restore_network
from models.training.config import TrainingConfig, chosen_device, settings_of
from models.training.distillation.neighbours import nearest, neighbours_mean
from models.training.find_lr import RangeTest, find_rate
from models.training.progress import Progress
from models.training.run import (
    TrainingRun,
    Validation,
    autoencoder_validator,
    initialise_on,
    one_cycle,
    parts_of,
)
from models.training.warping import warp
from pipeline.errors import ArtifactError, ConfigError

WARPED_SHARE: Final = 0.5
"""Share of the beats that are warped; the teacher has to score beats as they were recorded."""

TEACHER_TARGETS: Final = ("beat", "neighbours")

_BETWEEN_MEMBERS: Final = 1_000_003
"""Between the seeds of two members of an ensemble."""

WON_BELOW: Final = 0.1
"""Mean L_D of an epoch in which the discriminator recognised nearly every beat; 1.39 is chance."""

ALIKE_BELOW: Final = 0.05
"""Share of the beats' variance below which all reconstructions are practically the same beat."""


@dataclass(frozen=True, kw_only=True)
class TeacherSettings(TrainingSettings):
    """What decides the outcome of a teacher's training."""

    discriminator_rate: float
    first_momentum: float
    width: int
    latent: int
    target: str
    member: int
    adversarial_weight: float
    beats_sha256: str
    """Of the windows that train it."""
    annotations_sha256: str
    """`models.data.annotated_beats.annotation_digest`: which beats were dealt out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig(TrainingConfig):
    """How a teacher is trained; the first momentum is BeatGAN's."""

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 3e-3
    """Top of the generator's one-cycle schedule."""
    discriminator_rate: float = 1e-3
    """Top of the discriminator's."""
    first_momentum: float = 0.5
    width: int = STUDENT_WIDTH
    """Channels after the first stage, of both networks."""
    latent: int = STUDENT_LATENT
    target: str = "neighbours"
    """What the generator reconstructs, one of `TEACHER_TARGETS`."""
    member: int = 0
    """Number in an ensemble."""
    adversarial_weight: float = 40.0
    """Weight of the discriminator's features, which spectral normalisation keeps small."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        TrainingConfig.__post_init__(self)
        if self.target not in TEACHER_TARGETS:
            raise ConfigError(
                f"a teacher has no target {self.target!r:.40}: choose one of "
                f"{', '.join(TEACHER_TARGETS)}"
            )
        if self.width < 1 or self.latent < 1 or self.member < 0:
            raise ConfigError(
                f"no teacher has width {self.width}, latent {self.latent}, member {self.member}"
            )

    @property
    def draw(self) -> int:
        """Seed of the first weights and of the order of the beats."""
        return self.seed + _BETWEEN_MEMBERS * self.member


def train_teacher(config: TeacherConfig, progress: Progress) -> Path:
    """Train the teacher; return the file of its best epoch.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    beats = load_beats(config.data)
    train, validation = parts_of(beats, config)
    return fit_teacher(config, train, validation, progress, annotation_digest(beats))


def find_teacher_rate(config: TeacherConfig, progress: Progress) -> RangeTest:
    """Run the learning-rate range test instead.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: no rate could be found.
    """
    train, _ = parts_of(load_beats(config.data), config)
    return find_rate(teacher_run(config, train), progress)


def fit_teacher(
    config: TeacherConfig,
    train: NDArray[np.float32],
    validation: Validation,
    progress: Progress,
    annotations_sha256: str = "",
) -> Path:
    """Train BeatGAN on windows float32[n, 320]; return the file of the best epoch.

    ``annotations_sha256`` identifies the beats that were split (`annotation_digest`). Without it
    the beats that the teacher has not seen are unknown.
    """
    run = teacher_run(config, train, annotations_sha256)
    return run.finish(autoencoder_validator(validation), progress)


def teacher_run(
    config: TeacherConfig, train: NDArray[np.float32], annotations_sha256: str = ""
) -> TrainingRun:
    """Return the training of BeatGAN on windows float32[n, 320], at its beginning."""
    device = chosen_device(config.device)
    generator = Autoencoder(config.width, config.latent)
    discriminator = Discriminator(config.width)
    rng = torch.Generator().manual_seed(config.draw)
    initialise_on(device, generator, rng)
    initialise_on(device, discriminator, rng)
    normalise_spectrally(discriminator, config.draw)
    beats_b1t = torch.from_numpy(train)[:, None].to(device)
    nearest_nk = nearest(beats_b1t[:, 0]) if config.target == "neighbours" else None
    betas = (config.first_momentum, 0.999)

    def train_batch(run: TrainingRun, rows: Tensor, rng: torch.Generator) -> dict[str, float]:
        x_b1t = target_b1t = beats_b1t[rows]
        if nearest_nk is not None:
            target_b1t = neighbours_mean(beats_b1t, nearest_nk, rows)
        both_b2t = warp(torch.cat((x_b1t, target_b1t), dim=1), WARPED_SHARE, rng)
        return _train_both(run, both_b2t[:, :1], both_b2t[:, 1:], config.adversarial_weight)

    return TrainingRun(
        config=config,
        settings=settings_of(TeacherSettings, config, train, annotations_sha256=annotations_sha256),
        networks={"generator": generator, "discriminator": discriminator},
        optimisers={
            "generator_optimiser": torch.optim.Adam(
                generator.parameters(), config.learning_rate, betas
            ),
            "discriminator_optimiser": torch.optim.Adam(
                discriminator.parameters(), config.discriminator_rate, betas
            ),
        },
        validated="generator",
        beats=len(train),
        train_batch=train_batch,
        schedule=one_cycle,
        remark=collapse,
    )


def _train_both(
    run: TrainingRun, x_b1t: Tensor, target_b1t: Tensor, adversarial_weight: float
) -> dict[str, float]:
    """Take one step of each network, both from the weights before."""
    with run.autocast():
        reconstruction = run.networks["generator"](x_b1t)
        real, features = run.networks["discriminator"](target_b1t)
        fake, fake_features = run.networks["discriminator"](reconstruction)
    loss_g = generator_loss(
        target_b1t, reconstruction, features.detach(), fake_features, adversarial_weight
    )
    loss_d = discriminator_loss(real, fake)
    # In this order: the generator's gradient goes through the discriminator as it was.
    run.step("generator_optimiser", loss_g, again=True)
    run.step("discriminator_optimiser", loss_d)
    with torch.no_grad():
        accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        spread = reconstruction.float().var(dim=0).mean() / target_b1t.var(dim=0).mean()
    return {
        "generator": loss_g.item(),
        "discriminator": loss_d.item(),
        "told_apart": accuracy.item(),
        "spread": spread.item(),
    }


def collapse(losses: Mapping[str, float]) -> str:
    """Return a remark if one of the two networks has stopped learning from the other.

    Args:
        losses: means over an epoch: ``discriminator`` is L_D; ``told_apart`` the share of beats
            and reconstructions that the discriminator calls what they are; ``spread`` the variance
            of the reconstructions across the beats, as a share of the beats' own.
    """
    if losses["discriminator"] < WON_BELOW:
        return (
            f"collapse: the discriminator has won (L_D {losses['discriminator']:.3f}, "
            f"{losses['told_apart']:.0%} told apart)"
        )
    if losses["spread"] < ALIKE_BELOW:
        return f"collapse: all reconstructions are alike ({losses['spread']:.1%} of the variance)"
    return ""


def load_teacher(path: Path, *, split: str, seed: int, device: str = "auto") -> Autoencoder:
    """Return the trained teacher in ``path``, in evaluation mode, on the ``device``.

    Raises:
        ArtifactError: missing, altered, or trained on another split than this one of this seed.
    """
    checkpoint = read_checkpoint(path)
    head = checkpoint.tensors.get("generator/encoder.head.weight")
    if head is None or head.ndim != 3:
        raise ArtifactError(f"{path} is no checkpoint of a teacher: name its best.safetensors")
    for name, wanted in (("split", split), ("seed", seed)):
        found = checkpoint.state.config.get(name)
        if found != wanted:
            raise ArtifactError(
                f"{path} was trained with {name} {found}, not {wanted}: it has seen "
                f"beats that this split holds out; train a teacher with {name} {wanted}"
            )
    teacher = Autoencoder(width=head.shape[1] >> (STAGES - 1), latent=head.shape[0])
    restore_network(teacher, "generator", checkpoint.tensors)
    return teacher.eval().to(chosen_device(device))
