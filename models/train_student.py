"""Train the student that ships, alone or distilled from the teacher.

    monitor train teacher --data DIR      then      monitor train student --data DIR

Runs on CUDA where there is one and on the CPU otherwise, writes a checkpoint after each epoch and
continues from it (`models.training_run`). The epoch that is kept is the best on the validation
part (average precision); no test beat is ever looked at.

Who watches passes ``progress``, called with an `EpochReport` after each epoch.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import load_artifact, save_artifact
from models.checkpoint import read_checkpoint
from models.dataset import DATABASE, RECORDS, Beats, annotation_digest, load_beats, split_beats
from models.distillation import distillation_loss, new_student, smoothed_score
from models.evaluate import evaluate_on
from models.export import export_student
from models.train_teacher import load_teacher
from models.training_run import (
    Means,
    Progress,
    TrainingConfig,
    TrainingRun,
    Validation,
    best_device,
    initialise_on,
    parts_of,
    score_windows,
    settings_of,
    shuffled_batches,
)

SCORE_EXPONENT: Final = 0.5
"""Of the distilled scores: see `models.distillation.distillation_loss`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig(TrainingConfig):
    """How the student is trained."""

    teacher: Path
    """``best.safetensors`` of the teacher, trained on the same fold and seed."""
    epochs: int = 20
    batch: int = 128
    learning_rate: float = 3e-3
    """Top of the one-cycle schedule."""
    distillation_weight: float = 0.003
    """Of `models.distillation.distillation_loss`, beside the mean squared residual. Small, for on
    the validation part more of it did not help: this teacher knows less than its student finds
    out alone."""


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
    train, validation = parts_of(beats, config)
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
        settings=settings_of(config, train)
        | {"teacher_sha256": hashlib.sha256(config.teacher.read_bytes()).hexdigest()},
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
