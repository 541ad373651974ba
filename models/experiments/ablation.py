"""Does distillation help? Students by target, method, size and seed, trained alike, in one table.

    monitor train ablation --data DIR --teacher FILE --teacher FILE

One cell is one student: a target and a method of `models.training.student`, a latent size and a
seed, all with the same beats and epochs. Every target and every latent size is tried without a
method; every method at the size that ships, for the beat as target and for its neighbours. The
epoch is chosen on the validation part and the figures are read once on the test part of fold 0, by
the score rule that ships. The split is the same for every cell, that of seed 0, on which the
teachers were trained; a cell's own seed decides its first weights and the order of its beats.

One JSON file holds the finished cells, which are not trained again; an unfinished cell continues
from its checkpoint. Several processes may work on one file: each takes the next free cell. The
locks are those of the operating system, which end with the process that holds them (POSIX only).
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.annotated_beats import Beats, annotation_digest, load_beats, split_named
from models.data.mitdb import DATABASE
from models.experiments.ablation_table import Ablation, Cell, FinishedCell, Setup, ablation_markdown
from models.files.atomic_write import write_atomically
from models.files.strict_json import from_json, to_json
from models.inference.student import SCORED_TICKS, SMOOTHING_TICKS, STUDENT_LATENT
from models.measure.metrics import average_precision, roc_auc
from models.measure.provenance import provenance
from models.nets.beatgan import Autoencoder
from models.training.checkpoint import read_checkpoint, restore_network
from models.training.config import chosen_bf16, chosen_device
from models.training.distillation.losses import TeacherTable, new_student, teacher_table
from models.training.progress import EpochReport, Progress, StepReport
from models.training.run import Validation, score_windows
from models.training.student import (
    METHODS,
    TARGETS,
    TEACHER_METHODS,
    StudentConfig,
    digests_of,
    fit_student,
)
from models.training.teacher import load_teacher
from pipeline.errors import ConfigError

SPLIT: Final = "0"
SPLIT_SEED: Final = 0
LATENTS: Final = (4, STUDENT_LATENT, 8)
SEEDS: Final = (0, 1, 2)

OnCell = Callable[[int, int, str], None]
"""Called with how many cells are finished, of how many, and what is being done."""


# A seed is finished before the next begins, so that an interrupted table is complete for few seeds.
CELLS: Final = tuple(
    Cell(seed=seed, target=target, method=method, latent=latent)
    for seed, target, latent, method in product(SEEDS, TARGETS, LATENTS, METHODS)
    if method == "none" or (target != "teacher" and latent == STUDENT_LATENT)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationConfig:
    """What to train, and where the results go."""

    data: Path
    teachers: tuple[Path, ...]
    """``best.safetensors`` of each teacher, of split 0, seed 0."""
    folder: Path
    """Checkpoints and locks while cells are trained."""
    result: Path
    """The JSON file; the table lies beside it, as ``.md``."""
    epochs: int = 10
    train_beats: int | None = None
    """Train on this number of beats of the training part, drawn at random, the same for all cells;
    None: on all of them."""
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class _SharedData:
    """The data that all cells share, read once."""

    train: NDArray[np.float32]
    validation: Validation
    test: Validation
    teacher: TeacherTable
    teacher_scores: NDArray[np.float32]
    """Of the validation part, by the teachers' mean reconstruction."""


def run_ablation(config: AblationConfig, on_cell: OnCell) -> Path:
    """Train the cells that are neither finished nor locked; return the table's file.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: a teacher is missing, or was trained on another split.
        ConfigError: a loss is no longer finite, the result cannot be written, or it was begun
            with another budget, other teachers or other beats.
    """
    teachers = [
        load_teacher(path, split=SPLIT, seed=SPLIT_SEED, device=config.device)
        for path in config.teachers
    ]
    on_cell(0, len(CELLS), "reading the records")
    beats = load_beats(config.data)
    shared = _shared_data(beats, teachers, config.train_beats)
    setup = _setup(config, beats, shared)
    for cell in CELLS:
        with _locked(config.folder / f"{cell.name}.lock", wait=False) as mine:
            finished = _finished(config.result, setup)
            if not mine or cell.name in finished:
                continue
            report = partial(on_cell, len(finished), len(CELLS))
            report(cell.name)
            trained = _train_cell(cell, config, shared, partial(_on_epoch, report, cell.name))
            _add(config, setup, trained)
            shutil.rmtree(config.folder / cell.name)
    on_cell(len(_finished(config.result, setup)), len(CELLS), "nothing left to take")
    return config.result.with_suffix(".md")


def _on_epoch(on_text: Callable[[str], None], name: str, report: EpochReport | StepReport) -> None:
    if isinstance(report, EpochReport):
        on_text(f"{name}, epoch {report.epoch} of {report.epochs}")


def _train_cell(
    cell: Cell, config: AblationConfig, shared: _SharedData, progress: Progress
) -> FinishedCell:
    """Train one student and return its figures; go on where it was cut off."""
    folder = config.folder / cell.name
    best = fit_student(
        _student_config(cell, config),
        shared.train,
        shared.validation,
        progress,
        shared.teacher,
    )
    checkpoint = read_checkpoint(best)
    student = new_student(latent=cell.latent)
    restore_network(student, "student", checkpoint.tensors)
    scores = score_windows(student.to(chosen_device(config.device)), shared.test.windows)
    curves = read_checkpoint(folder / "last.safetensors").state.curves
    return FinishedCell(
        **vars(cell),
        parameters=sum(weight.numel() for weight in student.parameters()),
        best_epoch=checkpoint.state.best_epoch,
        validation=checkpoint.state.validation,
        auc=roc_auc(scores, shared.test.anomalous),
        ap=average_precision(scores, shared.test.anomalous),
        seconds=round(sum(epoch.seconds for epoch in curves), 1),
        machine=provenance(),
    )


def _student_config(cell: Cell, config: AblationConfig) -> StudentConfig:
    return StudentConfig(
        data=config.data,
        folder=config.folder / cell.name,
        epochs=config.epochs,
        split=SPLIT,
        seed=cell.seed,
        device=config.device,
        latent=cell.latent,
        target=cell.target,
        method=cell.method,
        teachers=config.teachers
        if cell.method in TEACHER_METHODS or cell.target == "teacher"
        else (),
    )


def _shared_data(
    beats: Beats, teachers: Sequence[Autoencoder], train_beats: int | None
) -> _SharedData:
    split = split_named(beats, SPLIT, seed=SPLIT_SEED)
    # The rows of a split are in random order, so the first ones are a random draw.
    train = beats.windows[split.train[:train_beats]]
    validation, test = (
        Validation(windows=beats.windows[rows], anomalous=~beats.normal[rows])
        for rows in (split.validation, split.test)
    )
    return _SharedData(
        train=train,
        validation=validation,
        test=test,
        teacher=teacher_table(teachers, torch.from_numpy(train)),
        teacher_scores=teacher_table(teachers, torch.from_numpy(validation.windows))
        .scores.cpu()
        .numpy(),
    )


def _setup(config: AblationConfig, beats: Beats, shared: _SharedData) -> Setup:
    cell = _student_config(CELLS[0], config)
    return Setup(
        protocol="beatgan",
        database=DATABASE,
        annotations_sha256=annotation_digest(beats),
        split=SPLIT,
        split_seed=SPLIT_SEED,
        train_beats=len(shared.train),
        validation_beats=len(shared.validation.windows),
        test_beats=len(shared.test.windows),
        epochs=cell.epochs,
        batch=cell.batch,
        learning_rate=cell.learning_rate,
        alpha=cell.alpha,
        beta=cell.beta,
        temperature=cell.temperature,
        bf16=chosen_bf16(cell.bf16, chosen_device(config.device)),
        width=cell.width,
        teachers_sha256=digests_of(config.teachers),
        teachers_validation=_validation_of(shared),
        smoothing_ticks=SMOOTHING_TICKS,
        scored_ticks=SCORED_TICKS,
    )


def _validation_of(shared: _SharedData) -> Mapping[str, float]:
    """Return AP and AUC of the teachers' mean reconstruction on the validation part."""
    anomalous = shared.validation.anomalous
    return {
        "ap": average_precision(shared.teacher_scores, anomalous),
        "auc": roc_auc(shared.teacher_scores, anomalous),
    }


def _finished(result: Path, setup: Setup) -> Mapping[str, FinishedCell]:
    """Return the finished cells by name.

    Raises:
        ConfigError: the file does not hold an ablation, or one of another setup.
    """
    try:
        found = from_json(Ablation, json.loads(result.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{result} is no ablation ({error!r}): remove it") from None
    if found.setup != setup:
        theirs, ours = to_json(found.setup), to_json(setup)
        other = sorted(name for name in ours if theirs[name] != ours[name])
        raise ConfigError(
            f"{result} was begun with other settings or data ({', '.join(other)}): "
            f"name another file or remove it"
        )
    return found.cells


def _add(config: AblationConfig, setup: Setup, cell: FinishedCell) -> None:
    """Add a finished cell to the JSON file and write the table again."""
    with _locked(config.folder / "result.lock"):
        finished = _finished(config.result, setup)
        ablation = Ablation(setup=setup, cells={**finished, cell.name: cell})
        text = json.dumps(to_json(ablation), indent=2, allow_nan=False) + "\n"
        write_atomically(config.result, text)
        write_atomically(config.result.with_suffix(".md"), ablation_markdown(ablation, CELLS))


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock ``path``; without ``wait``, yield False if another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
