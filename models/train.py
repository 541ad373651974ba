"""Train the BeatGAN teacher, and distil the student from it.

    monitor train teacher --data DIR      then      monitor train student --data DIR

Both run on CUDA where there is one and on the CPU otherwise, write a checkpoint after each epoch
and continue from it (`models.training_run`). The epoch that is kept is the best on the validation
part (average precision); no test beat is ever looked at.

Who watches passes ``progress``, called with an `EpochReport` after each epoch.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.artifact import load_artifact, save_artifact
from models.beatgan import Autoencoder, Discriminator, discriminator_loss, generator_loss
from models.checkpoint import read_checkpoint, restore_network
from models.dataset import (
    DATABASE,
    FOLDS,
    RECORDS,
    Beats,
    annotation_digest,
    load_beats,
    split_beats,
)
from models.distillation import distillation_loss, new_student, smoothed_score
from models.evaluate import evaluate_on
from models.export import export_student
from models.training_run import (
    Means,
    Progress,
    TrainingRun,
    Validation,
    best_device,
    initialise_on,
    score_windows,
    shuffled_batches,
)
from pipeline.errors import ArtifactError, ConfigError

SCORE_EXPONENT: Final = 0.5
"""Of the distilled scores: see `models.distillation.distillation_loss`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """How the teacher is trained; the defaults are BeatGAN's."""

    data: Path
    """Folder of the records, or the folder that holds ``mitdb/``."""
    folder: Path
    """Where ``last.safetensors`` (to continue) and ``best.safetensors`` (the result) are kept."""
    epochs: int = 10
    batch: int = 64
    learning_rate: float = 1e-4
    first_momentum: float = 0.5
    adversarial_weight: float = 1.0
    restart_below: float = 5e-6
    """The discriminator starts anew when its loss falls below."""
    fold: int = 0
    seed: int = 0
    bf16: bool = True
    """Convolutions in bfloat16; losses and weights stay in float32."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig:
    """How the student is trained."""

    data: Path
    """Folder of the records, or the folder that holds ``mitdb/``."""
    teacher: Path
    """``best.safetensors`` of the teacher, trained on the same fold and seed."""
    folder: Path
    """Where ``last.safetensors`` (to continue), ``best.safetensors`` and the finished
    ``student.json`` and ``student.safetensors`` are kept."""
    epochs: int = 20
    batch: int = 128
    learning_rate: float = 3e-3
    """Top of the one-cycle schedule."""
    distillation_weight: float = 0.003
    """Of `models.distillation.distillation_loss`, beside the mean squared residual. Small, for on
    the validation part more of it did not help: this teacher knows less than its student finds
    out alone."""
    fold: int = 0
    seed: int = 0
    bf16: bool = True
    """Convolutions in bfloat16; losses and weights stay in float32."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        _check(self)


Config = TeacherConfig | StudentConfig


def _check(config: Config) -> None:
    if config.epochs < 1 or config.batch < 2 or not 0 < config.learning_rate < 1:
        raise ConfigError(
            f"cannot train {config.epochs} epochs in batches of {config.batch} at learning rate "
            f"{config.learning_rate}: at least 1 epoch, 2 beats a batch, a rate between 0 and 1"
        )
    if not 0 <= config.fold < FOLDS or not 0 <= config.seed < 2**32:
        raise ConfigError(f"fold {config.fold} or seed {config.seed} is none: folds are 0 to 4")


def train_teacher(config: TeacherConfig, progress: Progress) -> Path:
    """Train the teacher; return the file of its best epoch.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    train, validation = _parts(load_beats(config.data), config)
    return fit_teacher(config, train, validation, progress)


def train_student(config: StudentConfig, progress: Progress) -> Path:
    """Distil the student from the teacher; return its finished ``student.json``.

    The artifact records how it was trained, how it did on the validation part, and its figures
    on the test part, read once, when there is nothing left to choose.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the teacher is missing, or was trained on another split.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    teacher = load_teacher(config.teacher, fold=config.fold, seed=config.seed)
    beats = load_beats(config.data)
    train, validation = _parts(beats, config)
    best = fit_student(config, train, score_windows(teacher, train), validation, progress)
    return finish_student(best, config.folder / "student.json", beats, config)


def finish_student(best: Path, description: Path, beats: Beats, config: StudentConfig) -> Path:
    """Write the artifact of the checkpoint ``best`` with its figures on the test part."""
    split = split_beats(beats, fold=config.fold, seed=config.seed)
    training = {
        "database": DATABASE,
        "records": list(RECORDS),
        "annotations_sha256": annotation_digest(beats),
        "train_beats": int(split.train.size),
        "validation_beats": int(split.validation.size),
        "teacher_facts": read_checkpoint(config.teacher)[0],
        "score_exponent": SCORE_EXPONENT,
    }
    export_student(best, description, training=training, metrics={})
    artifact = load_artifact(description)
    figures = evaluate_on(beats, artifact, device="cpu")
    for of_this_machine in ("us_per_beat", "device", "student"):
        del figures[of_this_machine]
    metrics = {"command": "monitor evaluate beatgan"} | figures
    save_artifact(dataclasses.replace(artifact, metrics=metrics), description)
    return description


def _parts(beats: Beats, config: Config) -> tuple[NDArray[np.float32], Validation]:
    split = split_beats(beats, fold=config.fold, seed=config.seed)
    return beats.windows[split.train], Validation(
        windows=beats.windows[split.validation], anomalous=~beats.normal[split.validation]
    )


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
        settings=_settings(config, train),
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


def fit_student(
    config: StudentConfig,
    train: NDArray[np.float32],
    teacher_scores: NDArray[np.float32],
    validation: Validation,
    progress: Progress,
) -> Path:
    """Train the student on windows float32[n, 320] with the teacher's scores of them, float32[n].

    Returns the file of the best epoch.
    """
    device = best_device()
    student = new_student()
    initialise_on(device, student, torch.Generator().manual_seed(config.seed))
    optimiser = torch.optim.AdamW(student.parameters(), config.learning_rate)
    run = TrainingRun(
        folder=config.folder,
        settings=_settings(config, train),
        epochs=config.epochs,
        bf16=config.bf16,
        networks={"student": student},
        optimisers={"student_optimiser": optimiser},
        judged="student",
    )
    beats = torch.from_numpy(train)[:, None].to(device)
    targets = torch.from_numpy(teacher_scores).to(device)
    steps = len(beats) // config.batch

    def train_epoch(epoch: int) -> dict[str, float]:
        student.train()
        means = Means()
        batches = shuffled_batches(len(beats), config.batch, seed=config.seed, epoch=epoch)
        for step, rows in enumerate(batches):
            done = ((epoch - 1) * steps + step) / (config.epochs * steps)
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * one_cycle(done)
            x = beats[rows]
            with run.autocast():
                reconstruction = student(x)
            residual = x - reconstruction.float()
            squared = residual.square().mean()
            scores = smoothed_score(residual[:, 0])
            distilled = distillation_loss(scores, targets[rows], SCORE_EXPONENT)
            run.step("student_optimiser", squared + config.distillation_weight * distilled)
            means.add({"residual": squared.item(), "distillation": distilled.item()})
        return means.of_epoch()

    return run.finish(train_epoch, validation, progress)


def one_cycle(done: float) -> float:
    """Return the share of the top learning rate when ``done`` (0 to 1) of all steps are done.

    From a 25th up to 1 over the first three tenths, then down to nearly nothing, along cosines
    (Smith & Topin 2018, with the proportions of PyTorch's OneCycleLR).
    """
    warm, start, end = 0.3, 1 / 25, 1 / 250_000
    if done < warm:
        return 1 + (start - 1) * (1 + math.cos(math.pi * done / warm)) / 2
    return end + (1 - end) * (1 + math.cos(math.pi * (done - warm) / (1 - warm))) / 2


def _settings(config: Config, train: NDArray[np.float32]) -> dict[str, Any]:
    """Return all that decides the outcome of a run, without where its files happen to lie.

    Raises:
        ConfigError: there are fewer beats than one batch.
    """
    if len(train) < config.batch:
        raise ConfigError(f"{len(train)} beats are fewer than one batch of {config.batch}")
    settings = dataclasses.asdict(config)
    for place in ("data", "folder", "teacher"):
        settings.pop(place, None)
    if isinstance(config, StudentConfig):
        settings["teacher_sha256"] = hashlib.sha256(config.teacher.read_bytes()).hexdigest()
    return settings | {"windows_sha256": hashlib.sha256(train.tobytes()).hexdigest()}


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
