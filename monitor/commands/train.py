"""`monitor train`: find the data, show the progress, say what came out."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.inputs import data_folder

if TYPE_CHECKING:
    from models.training import run as training_run
    from models.training.find_lr import RangeTest

    Train = Callable[[Any, training_run.Progress], Path]
    FindRate = Callable[[Any, training_run.Progress], RangeTest]


def train_teacher(data: Path | None, *, find_lr: bool, **settings: Any) -> None:
    """Train the BeatGAN teacher, or go on where it stopped; print its file.

    Args:
        data: as in `data_folder`.
        find_lr: run the learning-rate range test instead.
        settings: of `models.training.teacher.TeacherConfig`; None stands for its default.
    """
    from models.training import teacher

    config = teacher.TeacherConfig(data=data_folder(data), **_given(settings))
    run_training(
        "teacher", config, teacher.train_teacher, teacher.find_teacher_rate, find_lr=find_lr
    )


def train_student(data: Path | None, *, find_lr: bool, **settings: Any) -> None:
    """Train a student, or go on where it stopped; print its file.

    Args:
        data: as in `data_folder`.
        find_lr: run the learning-rate range test instead.
        settings: of `models.training.student.StudentConfig`; None stands for its default.
    """
    from models.training import student

    config = student.StudentConfig(data=data_folder(data), **_given(settings))
    run_training(
        "student", config, student.train_student, student.find_student_rate, find_lr=find_lr
    )


def train_classifier(data: Path | None, *, find_lr: bool, **settings: Any) -> None:
    """Train the classifier, or go on where it stopped; print its file.

    Args:
        data: as in `data_folder`.
        find_lr: run the learning-rate range test instead.
        settings: of `models.training.classifier.ClassifierConfig`; None stands for its default.
    """
    from models.training import classifier

    config = classifier.ClassifierConfig(data=data_folder(data), **_given(settings))
    run_training(
        "classifier",
        config,
        classifier.train_classifier,
        classifier.find_classifier_rate,
        find_lr=find_lr,
    )


def compare_optimisers(data: Path | None, folder: Path, result: Path) -> None:
    """Judge the classifier's optimisers on patients of DS1 that they have not seen.

    Args:
        data: as in `data_folder`.
        folder: for checkpoints; a comparison that was cut off goes on.
        result: JSON of the figures; its path is printed.
    """
    from models.experiments.classifier_folds import COMPARED, compare_optimisers
    from models.training.classifier import ClassifierConfig

    configs = [
        ClassifierConfig(data=data_folder(data), folder=folder / str(one["optimiser"]), **one)
        for one in COMPARED
    ]
    with _bar() as progress:
        written = compare_optimisers(configs, result, _Watch("classifier", progress))
    sys.stdout.write(f"{written}\n")


def ablate(data: Path | None, **settings: Any) -> None:
    """Train the cells of the ablation that nobody has trained yet; print the table's file.

    Args:
        data: as in `data_folder`.
        settings: of `models.experiments.ablation.AblationConfig`; None stands for its default.
    """
    from models.experiments.ablation import AblationConfig, run_ablation

    config = AblationConfig(data=data_folder(data), **_given(settings))
    with _bar() as progress:
        task = progress.add_task("ablation")

        def on_cell(finished: int, cells: int, text: str) -> None:
            progress.update(task, completed=finished, total=cells, description=text)

        table = run_ablation(config, on_cell)
    sys.stdout.write(f"{table}\n")


def calibrate(data: Path | None, student: Path | None, half_a: Path, half_b: Path) -> None:
    """Calibrate the live score for a student and write it beside its weights.

    Args:
        data: as in `data_folder`.
        student: description of the student; by default of the one that ships.
        half_a: of the student trained with ``--split ds1a``, otherwise alike.
        half_b: of the one trained with ``--split ds1b``.
    """
    from models.data.protocol_beats import DS1
    from models.files.model_file import pin
    from models.files.student_artifact import SHIPPED_STUDENT
    from models.training.calibration import calibrate, half_scorer, save_calibration

    description = student or SHIPPED_STUDENT
    scorers = half_scorer(half_a, "ds1a"), half_scorer(half_b, "ds1b")
    with _bar() as progress:
        task = progress.add_task("calibration", total=len(DS1))

        def on_step(text: str) -> None:
            progress.update(task, advance=1, description=text)

        calibration = calibrate(data_folder(data), *scorers, on_step)
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
    from models.training.fibrillation import fit_fibrillation

    with _bar() as bar:
        task = bar.add_task("fibrillation", total=None)
        figures = fit_fibrillation(
            data_folder(data), lambda text: bar.update(task, description=text)
        )
    sys.stdout.write(json.dumps(figures) + "\n")


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def run_training(
    what: str, config: Any, train: "Train", find_rate: "FindRate", *, find_lr: bool
) -> None:
    """Train, or look for a learning rate; the file or the rate goes to stdout, the rest to stderr.

    Args:
        what: is trained.
        config: its settings.
        train: trains it and returns the file.
        find_rate: runs the range test.
        find_lr: which of the two.
    """
    from models.training.find_lr import write_range_test
    from models.training.learning_curves import NO_PICTURE

    picture = config.folder / ("lr.png" if find_lr else "curves.png")
    with _bar() as progress:
        watch = _Watch(what, progress)
        if find_lr:
            test = find_rate(config, watch)
            write_range_test(config.folder, test)
            result = f"{test.suggested:.2g}"
            watch.say(f"learning rate {result}: the loss falls fastest; see {config.folder}/lr.csv")
        else:
            result = str(train(config, watch))
        if not picture.exists():
            watch.say(NO_PICTURE)
    sys.stdout.write(f"{result}\n")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _Watch:
    """A line for each epoch, and a bar over all of them that moves within each."""

    def __init__(self, what: str, progress: Progress) -> None:
        self._what = what
        self._progress = progress
        self._task = progress.add_task(f"{what}: reading the records", total=None)

    def __call__(self, report: "training_run.EpochReport | training_run.StepReport") -> None:
        from models.training.run import EpochReport

        done = report.epoch if isinstance(report, EpochReport) else report.epoch - 1 + report.done
        if isinstance(report, EpochReport):
            self.say(epoch_line(report))
        self._progress.update(
            self._task,
            completed=done,
            total=report.epochs,
            description=f"{self._what}: epoch {report.epoch} of {report.epochs}",
        )

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


def epoch_line(report: "training_run.EpochReport") -> str:
    """Return one line on an epoch: losses, validation, whether it is the best, what is wrong."""
    losses = ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
    figures = ", ".join(f"{name} {value:.4f}" for name, value in report.figures.items())
    best = "the best" if report.best_epoch == report.epoch else f"best {report.best_epoch}"
    remark = f"; {report.remark}" if report.remark else ""
    return (
        f"epoch {report.epoch} of {report.epochs}: {losses}; validation {figures} ({best}); "
        f"{report.seconds:.0f} s{remark}"
    )
