"""Train a student: what it reconstructs, and what else it takes from a teacher.

    monitor train student --data DIR --split ds1

The loss is L_R + alpha L_KD + beta L_F: the mean square by which the student misses its target,
its scores against the teacher's, and the attention of its encoder against the teacher's
(`models.training.distillation.losses`).

The target is the beat itself, the mean of the nearest other normal beats
(`models.training.distillation.neighbours`), or the mean reconstruction of one or more teachers.
The method decides which of L_KD and L_F count and whose scores and attention they follow: those of
the teachers (`models.training.teacher`), or of a self-teacher, which is trained with the student
and dropped (`models.training.distillation.self_teacher`).

The training runs on CUDA where there is one and on the CPU otherwise. It writes a checkpoint after
each epoch and continues from it (`models.training.run`). The best epoch on the validation part
(average precision) is kept; test beats are used only after every choice is made.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
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
from models.training.distillation.losses import (
    TeacherTable,
    attention,
    attention_loss,
    kd_loss,
    new_student,
    smoothed_score,
    stage_maps,
    teacher_table,
)
from models.training.distillation.neighbours import nearest, neighbours_mean
from models.training.distillation.self_teacher import SelfTeacher
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
from models.training.teacher import load_teacher
from pipeline.errors import ConfigError

METHODS: Final = ("none", "kd", "ft", "kd+ft", "frskd")
"""No distillation, by scores, by feature maps, by both, self-distillation."""

SCORE_METHODS: Final = ("kd", "kd+ft", "frskd")
MAP_METHODS: Final = ("ft", "kd+ft", "frskd")
TEACHER_METHODS: Final = ("kd", "ft", "kd+ft")

TARGETS: Final = ("beat", "neighbours", "teacher")
"""What is reconstructed: the beat, the mean of its nearest others, the teachers' mean."""

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
    target: str = "neighbours"
    """One of `TARGETS`."""
    method: str = "none"
    """One of `METHODS`."""
    teachers: tuple[Path, ...] = ()
    """``best.safetensors`` of one or more teachers trained on the same split and seed, for a target
    or a method that needs them. Their reconstructions and their attention are averaged."""
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
        if self.target not in TARGETS:
            raise ConfigError(
                f"there is no target {self.target!r:.40}: choose one of {', '.join(TARGETS)}"
            )
        needed = self.method in TEACHER_METHODS or self.target == "teacher"
        if needed and not self.teachers:
            raise ConfigError(
                f"target {self.target} by method {self.method} needs a teacher: train one with "
                f"`monitor train teacher` and name its best.safetensors"
            )
        if self.teachers and not needed:
            raise ConfigError(
                f"target {self.target} by method {self.method} has no teacher: leave it out, or "
                f"choose target teacher or one of the methods {', '.join(TEACHER_METHODS)}"
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
    teachers = _teachers_of(config)
    beats = load_beats(config.data)
    train, validation = parts_of(beats, config)
    table = teacher_table(teachers, torch.from_numpy(train)) if teachers else None
    best = fit_student(config, train, validation, progress, table)
    return finish_student(best, config.folder / "student.json", beats, config, evaluate)


def find_student_rate(config: StudentConfig, progress: Progress) -> RangeTest:
    """Run the learning-rate range test instead.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the teacher is missing, or was trained on another split.
        ConfigError: no rate could be found.
    """
    teachers = _teachers_of(config)
    train, _ = parts_of(load_beats(config.data), config)
    table = teacher_table(teachers, torch.from_numpy(train)) if teachers else None
    return find_rate(student_run(config, train, table), progress)


def _teachers_of(config: StudentConfig) -> list[Autoencoder]:
    return [
        load_teacher(path, split=config.split, seed=config.seed, device=config.device)
        for path in config.teachers
    ]


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
        teachers=tuple(map(_teacher_source, config.teachers)),
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

    ``teacher`` holds the teachers' outputs for the same windows, where there are any.
    """
    run = student_run(config, train, teacher)
    return run.finish(autoencoder_validator(validation), progress)


def student_run(
    config: StudentConfig, train: NDArray[np.float32], teacher: TeacherTable | None
) -> TrainingRun:
    """Return the training that `fit_student` runs, before its first step."""
    trainer = StudentTrainer(config, train, teacher)
    return TrainingRun(
        config=config,
        settings=settings_of(
            StudentSettings, config, train, teachers_sha256=digests_of(config.teachers)
        ),
        networks=trainer.networks,
        optimisers={"optimiser": trainer.optimiser},
        validated="student",
        beats=len(train),
        train_batch=trainer.train_batch,
        schedule=one_cycle,
    )


def digests_of(files: Iterable[Path]) -> tuple[str, ...]:
    """Return the SHA-256 of each file."""
    return tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


class StudentTrainer:
    """The student, its optimiser, and its loss on a batch by any of the `METHODS`."""

    def __init__(
        self, config: StudentConfig, train: NDArray[np.float32], teacher: TeacherTable | None
    ) -> None:
        """Draw the weights and move everything to the device.

        Args:
            config: of the training; target or method may need ``teacher``.
            train: float32[n, 320].
            teacher: the teachers' outputs for each row of ``train``.
        """
        device = chosen_device(config.device)
        self._config = config
        self._beats = torch.from_numpy(train)[:, None].to(device)
        self._teacher = teacher
        self._nearest = nearest(self._beats[:, 0]) if config.target == "neighbours" else None
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
        target_b1t = self._target(rows)
        residual = x_b1t - reconstruction.float()
        parts = {"missed": (target_b1t - reconstruction.float()).square().mean()}
        total = parts["missed"]
        if self._self_teacher is not None:
            parts["self_teacher"] = (target_b1t - again.float()).square().mean()
            total = total + parts["self_teacher"]
            teacher_score = smoothed_score((x_b1t - again.float())[:, 0])
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

    def _target(self, rows: Tensor) -> Tensor:
        """Return what the student is to give for these rows, float32[B, 1, 320]."""
        if self._nearest is not None:
            return neighbours_mean(self._beats, self._nearest, rows)
        if self._config.target == "teacher" and self._teacher is not None:
            return self._teacher.reconstructions[rows][:, None].float()
        return self._beats[rows]
