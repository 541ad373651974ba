"""`monitor train` and `monitor evaluate`: find the data, show the progress, say what came out."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.errors import InputError

if TYPE_CHECKING:
    from models.training_run import EpochReport


def data_folder(data: Path | None) -> Path:
    """Return where the databases lie: ``--data``, $MONITOR_DATA, ./data, or ../shared/data.

    Raises:
        InputError: none of them is there.
    """
    if data is not None:
        return data
    named = os.environ.get("MONITOR_DATA")
    for folder in ([Path(named)] if named else []) + [Path("data"), Path("..") / "shared" / "data"]:
        if folder.is_dir():
            return folder
    raise InputError("no databases found: fetch one with `monitor fetch mitdb`, or name --data")


def train_teacher(data: Path | None, folder: Path, *, epochs: int, fold: int, seed: int) -> None:
    """Train the BeatGAN teacher, or go on where it stopped; print its file."""
    from models import train_teacher

    config = train_teacher.TeacherConfig(
        data=data_folder(data), folder=folder, epochs=epochs, fold=fold, seed=seed
    )
    best = _with_progress("teacher", lambda report: train_teacher.train_teacher(config, report))
    sys.stdout.write(f"{best}\n")


def train_student(
    data: Path | None, teacher: Path, folder: Path, *, epochs: int, fold: int, seed: int
) -> None:
    """Distil the student from the teacher, or go on where it stopped; print its file."""
    from models import train_student

    config = train_student.StudentConfig(
        data=data_folder(data),
        teacher=teacher,
        folder=folder,
        epochs=epochs,
        fold=fold,
        seed=seed,
    )
    description = _with_progress(
        "student", lambda report: train_student.train_student(config, report)
    )
    sys.stdout.write(f"{description}\n")


def calibrate(data: Path | None, student: Path | None) -> None:
    """Calibrate the live score for a student and write it beside its weights."""
    from models.calibration import DS1, calibrate, save_calibration
    from models.student import SHIPPED_STUDENT, StudentScorer

    description = student or SHIPPED_STUDENT
    scorer = StudentScorer.load(description)
    with _bar() as progress:
        task = progress.add_task("calibration", total=len(DS1) + 4)

        def on_step(text: str) -> None:
            progress.update(task, advance=1, description=text)

        calibration = calibrate(data_folder(data), scorer, on_step)
    path = description.with_name("live_score.json")
    save_calibration(calibration, path, description)
    sys.stdout.write(f"{path}\n")


def evaluate_beatgan(data: Path | None, student: Path | None, *, as_json: bool) -> None:
    """Print the published protocol's figures of a student."""
    from models.evaluate import evaluate_beatgan
    from models.student import SHIPPED_STUDENT

    figures = evaluate_beatgan(data_folder(data), student or SHIPPED_STUDENT)
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    sys.stdout.write("\n".join(_figures(figures)) + "\n")


def _figures(figures: dict[str, Any]) -> list[str]:
    by_symbol = ", ".join(
        f"{symbol} {auc:.3f} ({figures['beats_by_symbol'][symbol]})"
        for symbol, auc in figures["auc_by_symbol"].items()
    )
    times = ", ".join(
        f"{us:.0f} us in {batch.replace('_', 'es of ')}"
        for batch, us in figures["us_per_beat"].items()
    )
    return [
        f"student    {figures['student']} on {figures['device']}",
        f"protocol   BeatGAN, {figures['database']}, fold {figures['fold']}, "
        f"{figures['normal_beats']} normal and {figures['abnormal_beats']} abnormal test beats",
        f"AUC        {figures['auc']:.4f}",
        f"AP         {figures['ap']:.4f}",
        f"by class   {by_symbol}",
        f"a beat     {times}",
    ]


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _with_progress(what: str, train: "Callable[[Callable[[EpochReport], None]], Path]") -> Path:
    with _bar() as progress:
        task = progress.add_task(f"{what}: reading the records")

        def on_epoch(report: "EpochReport") -> None:
            losses = ", ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
            progress.console.print(
                f"epoch {report.epoch}: {losses}; validation AUC {report.validation_auc:.4f}, "
                f"AP {report.validation_ap:.4f}; {report.seconds:.0f} s",
                highlight=False,
            )
            progress.update(
                task,
                completed=report.epoch,
                total=report.epochs,
                description=f"{what}: best epoch {report.best_epoch}",
            )

        return train(on_epoch)
