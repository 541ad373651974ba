"""Train a student: alone, after a teacher, or after a teacher grown on itself.

    monitor train student --data DIR --split ds1

The loss is L_G + alpha L_KD + beta L_F: the student's own mean squared residual, its scores against
the teacher's (`models.training.distillation.kd_loss`), and the attention of its encoder against the
teacher's (`models.training.distillation.attention_loss`). The method decides which of the last two
count and what the teacher is: the BeatGAN teacher, or
`models.training.self_distillation.SelfTeacher`, which is trained with the student and dropped.

The training runs on CUDA where there is one and on the CPU otherwise. It writes a checkpoint after
each epoch and continues from it (`models.training.run`). The best epoch on the validation part
(average precision) is kept; test beats are used only after every choice is made.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.data.annotated_beats import (
    PATIENT_SPLITS,
    Beats,
    annotation_digest,
    load_beats,
    split_named,
)
from models.data.mitdb import DATABASE, RECORDS
from models.files.strict_json import JsonObject
from models.files.student import (
    StudentArtifact,
    StudentData,
    StudentSettings,
    TeacherSource,
    load_student,
    save_student,
)
from models.inference.student import STUDENT_LATENT, STUDENT_WIDTH
from models.nets.beatgan import Autoencoder
from models.training.checkpoint import read_checkpoint
from models.training.config import TrainingConfig, chosen_device, settings_of
from models.training.distillation import (
    TeacherTable,
    attention,
    attention_loss,
    kd_loss,
    new_student,
    smoothed_score,
    stage_maps,
    teacher_table,
)
from models.training.export import export_student
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
from models.training.self_distillation import SelfTeacher
from models.training.teacher import load_teacher
from pipeline.errors import ConfigError

METHODS: Final = ("none", "kd", "ft", "kd+ft", "frskd")
"""No distillation, by scores, by feature maps, by both, self-distillation."""

SCORE_METHODS: Final = ("kd", "kd+ft", "frskd")
MAP_METHODS: Final = ("ft", "kd+ft", "frskd")
TEACHER_METHODS: Final = ("kd", "ft", "kd+ft")

Evaluate = Callable[[Beats, StudentArtifact], JsonObject]
"""Returns the figures of a student on the test part of its fold of the beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig(TrainingConfig):
    """How a student is trained."""

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 3e-3
    """Top of the one-cycle schedule."""
    width: int = STUDENT_WIDTH
    """Channels after the first stage."""
    latent: int = STUDENT_LATENT
    method: str = "none"
    """One of `METHODS`."""
    teacher: Path | None = None
    """``best.safetensors`` of a teacher trained on the same split and seed, for a method with a
    teacher."""
    # Weights from short runs (6,000 beats, 6 epochs), by AP on the validation part: ten times the
    # alpha cost both residual and AP, ten times the beta some AP.
    alpha: float = 1e-3
    """Weight of L_KD."""
    beta: float = 1e-4
    """Weight of L_F."""
    temperature: float = 2.0
    """T of L_KD."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        TrainingConfig.__post_init__(self)
        if self.method not in METHODS:
            raise ConfigError(
                f"there is no method {self.method!r:.40}: choose one of {', '.join(METHODS)}"
            )
        if self.teacher is None and self.method in TEACHER_METHODS:
            raise ConfigError(
                f"method {self.method} needs a teacher: train one with `monitor train teacher` and "
                f"name its best.safetensors"
            )
        if self.teacher is not None and self.method not in TEACHER_METHODS:
            raise ConfigError(
                f"method {self.method} has no teacher: leave it out, or choose one of "
                f"{', '.join(TEACHER_METHODS)}"
            )
        if self.width < 1 or self.latent < 1:
            raise ConfigError(f"no network has width {self.width} and latent {self.latent}")
        if not (self.alpha >= 0 and self.beta >= 0 and self.temperature > 0):
            raise ConfigError(
                f"alpha {self.alpha} and beta {self.beta} must not be negative, "
                f"and temperature {self.temperature} must be positive"
            )


def train_student(config: StudentConfig, progress: Progress, evaluate: Evaluate) -> Path:
    """Train a student; return its finished ``student.json``.

    The file records how the student was trained, its figure on the validation part, and, for a
    student of a fold, its figures on the test part.

    Args:
        config: how it is trained.
        progress: called within each epoch and after it.
        evaluate: measures the student of a fold, once it is trained.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the teacher is missing, or was trained on another split.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    teacher = _teacher_of(config)
    beats = load_beats(config.data)
    train, validation = parts_of(beats, config)
    table = None if teacher is None else teacher_table(teacher, torch.from_numpy(train))
    best = fit_student(config, train, validation, progress, table)
    return finish_student(best, config.folder / "student.json", beats, config, evaluate)


def find_student_rate(config: StudentConfig, progress: Progress) -> RangeTest:
    """Run the learning-rate range test instead.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the teacher is missing, or was trained on another split.
        ConfigError: no rate could be found.
    """
    teacher = _teacher_of(config)
    train, _ = parts_of(load_beats(config.data), config)
    table = None if teacher is None else teacher_table(teacher, torch.from_numpy(train))
    return find_rate(student_run(config, train, table), progress)


def _teacher_of(config: StudentConfig) -> Autoencoder | None:
    if config.teacher is None:
        return None
    return load_teacher(config.teacher, split=config.split, seed=config.seed, device=config.device)


def finish_student(
    best: Path, description: Path, beats: Beats, config: StudentConfig, evaluate: Evaluate
) -> Path:
    """Write the files of the checkpoint ``best``, with test figures for a student of a fold."""
    split = split_named(beats, config.split, seed=config.seed)
    data = StudentData(
        database=DATABASE,
        records=PATIENT_SPLITS.get(config.split, RECORDS),
        annotations_sha256=annotation_digest(beats),
        train_beats=int(split.train.size),
        validation_beats=int(split.validation.size),
        teacher=None if config.teacher is None else _teacher_source(config.teacher),
    )
    export_student(best, description, data=data, metrics={})
    if split.test.size:
        artifact = load_student(description)
        metrics = {"command": "monitor evaluate beatgan", **evaluate(beats, artifact)}
        save_student(dataclasses.replace(artifact, metrics=metrics), description)
    return description


def _teacher_source(path: Path) -> TeacherSource:
    state = read_checkpoint(path).state
    return TeacherSource(
        config=state.config, best_epoch=state.best_epoch, validation=state.validation
    )


def fit_student(
    config: StudentConfig,
    train: NDArray[np.float32],
    validation: Validation,
    progress: Progress,
    teacher: TeacherTable | None = None,
) -> Path:
    """Train a student on windows float32[n, 320]; return the file of its best epoch.

    ``teacher`` holds the teacher's outputs for the same windows, for a method with a teacher.
    """
    run = student_run(config, train, teacher)
    return run.finish(autoencoder_validator(validation), progress)


def student_run(
    config: StudentConfig, train: NDArray[np.float32], teacher: TeacherTable | None
) -> TrainingRun:
    """Return the training that `fit_student` runs, before its first step."""
    trainer = StudentTrainer(config, train, teacher)
    teacher_sha256 = None
    if config.teacher is not None:
        teacher_sha256 = hashlib.sha256(config.teacher.read_bytes()).hexdigest()
    return TrainingRun(
        config=config,
        settings=settings_of(StudentSettings, config, train, teacher_sha256=teacher_sha256),
        networks=trainer.networks,
        optimisers={"optimiser": trainer.optimiser},
        validated="student",
        beats=len(train),
        train_batch=trainer.train_batch,
        schedule=one_cycle,
    )


class StudentTrainer:
    """The student, its optimiser, and its loss on a batch by any of the `METHODS`."""

    def __init__(
        self, config: StudentConfig, train: NDArray[np.float32], teacher: TeacherTable | None
    ) -> None:
        """Draw the weights and move everything to the device.

        Args:
            config: of the training; a method with a teacher needs ``teacher``.
            train: float32[n, 320].
            teacher: the teacher's outputs for each row of ``train``.
        """
        device = chosen_device(config.device)
        self._config = config
        self._beats = torch.from_numpy(train)[:, None].to(device)
        self._teacher = teacher
        self._self_teacher: SelfTeacher | None = None
        self.student = new_student(config.width, config.latent)
        self.networks: dict[str, nn.Module] = {"student": self.student}
        if config.method == "frskd":
            self._self_teacher = SelfTeacher(config.width, config.latent)
            self.networks["self_teacher"] = self._self_teacher
        rng = torch.Generator().manual_seed(config.seed)
        for network in self.networks.values():
            initialise_on(device, network, rng)
        self.optimiser = torch.optim.AdamW(
            [weight for network in self.networks.values() for weight in network.parameters()],
            config.learning_rate,
        )

    def train_batch(self, run: TrainingRun, rows: Tensor, _: torch.Generator) -> dict[str, float]:
        """Take one step on these rows of the training part; return the parts of the loss."""
        total, parts = self.loss(rows, run.autocast())
        run.step("optimiser", total)
        return {"total": total.item()} | {name: part.item() for name, part in parts.items()}

    def loss(self, rows: Tensor, autocast: torch.autocast) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss on these rows, and the parts that it is the weighted sum of.

        The networks run under ``autocast``, the losses in float32.
        """
        config, x_b1t = self._config, self._beats[rows]
        with autocast:
            maps = stage_maps(self.student.encoder, x_b1t)
            reconstruction = self.student.decoder(self.student.encoder.head(maps[-1]))
            refined, again = self._self_teacher(maps) if self._self_teacher else (maps, x_b1t)
        residual = x_b1t - reconstruction.float()
        parts = {"residual": residual.square().mean()}
        total = parts["residual"]
        if self._self_teacher is not None:
            of_self_teacher = x_b1t - again.float()
            parts["self_teacher"] = of_self_teacher.square().mean()
            total = total + parts["self_teacher"]
            teacher_score = smoothed_score(of_self_teacher[:, 0])
            teacher_attention = attention(refined)
        elif self._teacher is not None:
            teacher_score = self._teacher.scores[rows]
            teacher_attention = self._teacher.attention[rows]
        if config.method in SCORE_METHODS:
            score = smoothed_score(residual[:, 0])
            parts["kd"] = kd_loss(score, teacher_score, config.temperature)
            total = total + config.alpha * parts["kd"]
        if config.method in MAP_METHODS:
            parts["ft"] = attention_loss(attention(maps), teacher_attention)
            total = total + config.beta * parts["ft"]
        return total, parts
