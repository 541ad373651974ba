"""`monitor train`: find the data, show the progress, print the result."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.inputs import data_folder

if TYPE_CHECKING:
    from models.data.annotated_beats import Beats
    from models.files.student import StudentArtifact
    from models.inference.beat_classifier import Unseen
    from models.measure.result_json import Json
    from models.training.config import TrainingConfig
    from models.training.find_lr import RangeTest
    from models.training.progress import EpochReport, StepReport
    from models.training.progress import Progress as OnProgress

Config = TypeVar("Config", bound="TrainingConfig")
Setting = TypeVar("Setting")


def train_teacher(data: Path | None, *, find_lr: bool, **settings: Any) -> None:
    """Train the BeatGAN teacher, or continue its training; print its file.

    Args:
        data: as in `data_folder`.
        find_lr: run the learning-rate range test instead.
        settings: of `models.training.teacher.TeacherConfig`; None stands for its default.
    """
    from models.training import teacher

    config = teacher.TeacherConfig(data=data_folder(data), **_without_none(settings))
    run_training(
        "teacher", config, teacher.train_teacher, teacher.find_teacher_rate, find_lr=find_lr
    )


def train_student(data: Path | None, *, find_lr: bool, **settings: Any) -> None:
    """Train a student, or continue its training; print its file.

    Args:
        data: as in `data_folder`.
        find_lr: run the learning-rate range test instead.
        settings: of `models.training.student.StudentConfig`; None stands for its default.
    """
    from models.evaluation.protocols.beatgan import evaluate_on
    from models.measure.result_json import to_json
    from models.training import student

    def evaluate(beats: "Beats", artifact: "StudentArtifact") -> "dict[str, Json]":
        return to_json(evaluate_on(beats, artifact, device="cpu"))

    train = partial(student.train_student, evaluate=evaluate)
    config = student.StudentConfig(data=data_folder(data), **_without_none(settings))
    run_training("student", config, train, student.find_student_rate, find_lr=find_lr)


def train_classifier(data: Path | None, folder: Path, *, ds1: bool, seed: int, device: str) -> None:
    """Train the classifier, or continue its training; print its files.

    Args:
        data: as in `data_folder`.
        folder: for the files and the checkpoints.
        ds1: train on the patients of DS1 alone.
        seed: of all random numbers.
        device: where the network is trained.
    """
    from models.data.mitdb import DATABASE
    from models.data.training_beats import DATABASES, record_names, training_records
    from models.training.beat_classifier import classifier_config, fit

    where = data_folder(data)
    names = record_names(where, (DATABASE,) if ds1 else DATABASES)
    config = classifier_config(where, folder, seed=seed, device=device)
    with _bar() as progress:
        task = progress.add_task("classifier", total=sum(map(len, names.values())))
        records = training_records(
            where, names, lambda text: progress.update(task, advance=1, description=text)
        )
        progress.remove_task(task)
        parts = fit(records, names, config, _ProgressDisplay("classifier", progress))
    for description in parts.save(folder):
        sys.stdout.write(f"{description}\n")


def unseen_classifiers(data: Path, folder: Path) -> "Unseen":
    """Return the classifiers of patients left out; train those that ``folder`` lacks.

    Args:
        data: folder with the databases.
        folder: of the classifiers.
    """
    from models.data.training_beats import DATABASES, record_names
    from models.experiments.beat_folds import classifiers_without
    from models.training.beat_classifier import classifier_config

    config = classifier_config(data, folder)
    records = sum(map(len, record_names(data, DATABASES).values()))
    with _bar() as progress:
        task = progress.add_task("classifiers of patients left out", total=records)
        return classifiers_without(
            data,
            config,
            folder,
            _ProgressDisplay("classifier", progress),
            lambda text: progress.update(task, advance=1, description=text),
        )


def ablate(data: Path | None, **settings: Any) -> None:
    """Train the unfinished cells of the ablation; print the table's file.

    Args:
        data: as in `data_folder`.
        settings: of `models.experiments.ablation.AblationConfig`; None stands for its default.
    """
    from models.experiments.ablation import AblationConfig, run_ablation

    config = AblationConfig(data=data_folder(data), **_without_none(settings))
    with _bar() as progress:
        task = progress.add_task("ablation")

        def on_cell(finished: int, cells: int, text: str) -> None:
            progress.update(task, completed=finished, total=cells, description=text)

        table = run_ablation(config, on_cell)
    sys.stdout.write(f"{table}\n")


def calibrate(
    data: Path | None, student: Path | None, half_a: Path, half_b: Path, folder: Path
) -> None:
    """Calibrate the live score for a student and write it beside its weights.

    Args:
        data: as in `data_folder`.
        student: description of the student; by default of the one that ships.
        half_a: description of a student trained with ``--split ds1a``, otherwise alike.
        half_b: the same with ``--split ds1b``.
        folder: of classifiers of patients left out; those that it lacks are trained.
    """
    from models.files.calibration import save_calibration
    from models.files.model_file import pin
    from models.files.student import SHIPPED_STUDENT
    from models.inference.student import StudentScorer
    from models.training.calibration import Scorers, calibrate, calibration_records, half_scorer

    where, description = data_folder(data), student or SHIPPED_STUDENT
    scorers = Scorers(
        half_scorer(half_a, "ds1a"),
        half_scorer(half_b, "ds1b"),
        StudentScorer.load(description, device="cpu"),
        unseen_classifiers(where, folder),
    )
    with _bar() as progress:
        task = progress.add_task("calibration", total=len(calibration_records(where)))

        def on_step(text: str) -> None:
            progress.update(task, advance=1, description=text)

        calibration = calibrate(where, scorers, on_step)
    path = description.with_name("live_score.json")
    save_calibration(calibration, path, description)
    if student is None:
        pin()
    sys.stdout.write(f"{path}\n")


def fit_fibrillation(data: Path | None) -> None:
    """Fit the weights of the rule for fibrillation; print them as one JSON object.

    Raises:
        InputError: a database or a record is missing or unusable.
    """
    from models.files.strict_json import to_json
    from models.training.rhythms.fibrillation import fit_fibrillation, training_records

    records = training_records()
    with _bar() as bar:
        task = bar.add_task("fibrillation", total=None)
        fit = fit_fibrillation(
            data_folder(data), records, lambda text: bar.update(task, description=text)
        )
    sys.stdout.write(json.dumps(to_json(fit)) + "\n")


def fit_atrial_fibrillation(data: Path | None) -> None:
    """Fit the weights of atrial fibrillation; print them as one JSON object.

    Raises:
        InputError: a database or a record is missing or unusable.
    """
    from models.files.strict_json import to_json
    from models.training.rhythms.atrial_fibrillation import (
        fit_atrial_fibrillation,
        training_records,
    )

    records = training_records()
    with _bar() as bar:
        task = bar.add_task("atrial fibrillation", total=None)
        fit = fit_atrial_fibrillation(
            data_folder(data), records, lambda text: bar.update(task, description=text)
        )
    sys.stdout.write(json.dumps(to_json(fit)) + "\n")


def _without_none(settings: Mapping[str, Setting | None]) -> dict[str, Setting]:
    return {name: value for name, value in settings.items() if value is not None}


def run_training(
    name: str,
    config: Config,
    train: "Callable[[Config, OnProgress], Path]",
    find_rate: "Callable[[Config, OnProgress], RangeTest]",
    *,
    find_lr: bool,
) -> None:
    """Train, or find a learning rate; the file or the rate goes to stdout, the rest to stderr.

    Args:
        name: what is trained.
        config: its settings.
        train: trains it and returns the file.
        find_rate: runs the range test.
        find_lr: which of the two.
    """
    from models.training.find_lr import write_range_test
    from models.training.learning_curves import NO_PICTURE

    picture = config.folder / ("lr.png" if find_lr else "curves.png")
    with _bar() as progress:
        display = _ProgressDisplay(name, progress)
        if find_lr:
            test = find_rate(config, display)
            write_range_test(config.folder, test)
            result = f"{test.suggested:.2g}"
            display.print_line(
                f"learning rate {result}: the loss falls fastest; see {config.folder}/lr.csv"
            )
        else:
            result = str(train(config, display))
        if not picture.exists():
            display.print_line(NO_PICTURE)
    sys.stdout.write(f"{result}\n")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _ProgressDisplay:
    """A line for each epoch, and a progress bar over all epochs that moves within each."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._what = name
        self._progress = progress
        self._task = progress.add_task(f"{name}: reading the records", total=None)

    def __call__(self, report: "EpochReport | StepReport") -> None:
        from models.training.progress import EpochReport

        done = report.epoch if isinstance(report, EpochReport) else report.epoch - 1 + report.done
        if isinstance(report, EpochReport):
            self.print_line(epoch_line(report))
        self._progress.update(
            self._task,
            completed=done,
            total=report.epochs,
            description=f"{self._what}: epoch {report.epoch} of {report.epochs}",
        )

    def print_line(self, line: str) -> None:
        """Print a line above the progress bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


def epoch_line(report: "EpochReport") -> str:
    """Return one line on an epoch: losses, validation, the best epoch, seconds, and the remark."""
    losses = ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
    figures = ", ".join(f"{name} {value:.4f}" for name, value in report.figures.items())
    best = "the best" if report.best_epoch == report.epoch else f"best {report.best_epoch}"
    remark = f"; {report.remark}" if report.remark else ""
    return (
        f"epoch {report.epoch} of {report.epochs}: {losses}; validation {figures} ({best}); "
        f"{report.seconds:.0f} s{remark}"
    )
