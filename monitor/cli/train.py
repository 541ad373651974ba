"""Parse ``monitor train``; `monitor.commands.train` does the work."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Data, Folder, Student

train_app = typer.Typer(
    help="Train the models that ship; every training can be stopped and resumed."
)

Epochs = Annotated[
    Optional[int],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Epochs to train; by default a number that suits the model."),
]
Split = Annotated[
    str,
    typer.Option(
        help="Training records: a fold of the beatgan protocol (0 to 4), ds1, ds1a or ds1b."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Latent = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Numbers in the bottleneck; by default few, 50 in BeatGAN as published."),
]
Patience = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Stop after this many epochs without improvement on validation."),
]
Rate = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Learning rate, the highest of a schedule; by default that of the model."),
]
Device = Annotated[str, typer.Option(help="auto (CUDA where available), cpu or cuda.")]
Bf16 = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--bf16/--no-bf16", help="Convolve in bfloat16; by default where that is fast."),
]
FindRate = Annotated[
    bool, typer.Option("--find-lr", help="Find a learning rate instead of training.")
]


@train_app.command("teacher")
def train_teacher(
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/teacher"),
    epochs: Epochs = None,
    split: Split = "0",
    seed: Seed = 0,
    member: Annotated[int, typer.Option(help="Number in an ensemble of one split and seed.")] = 0,
    target: Annotated[
        str, typer.Option(help="What it reconstructs: beat or neighbours (the mean of nearest).")
    ] = "neighbours",
    width: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Channels after the first stage; 32 as published."),
    ] = None,
    latent: Latent = None,
    patience: Patience = None,
    learning_rate: Rate = None,
    device: Device = "auto",
    bf16: Bf16 = None,
    find_lr: FindRate = False,
) -> None:
    """Train a BeatGAN teacher on normal beats; several members make an ensemble."""
    from monitor.commands import train as training

    training.train_teacher(
        data,
        find_lr=find_lr,
        member=member,
        target=target,
        width=width,
        latent=latent,
        folder=out,
        epochs=epochs,
        split=split,
        seed=seed,
        patience=patience,
        learning_rate=learning_rate,
        device=device,
        bf16=bf16,
    )


@train_app.command("student")
def train_student(
    data: Data = None,
    target: Annotated[
        str,
        typer.Option(
            help="What it learns to give for a beat: the beat, the mean of its nearest others "
            "(neighbours), or the mean of its teachers (teacher)."
        ),
    ] = "neighbours",
    method: Annotated[
        str,
        typer.Option(help="Distillation beside it: none, kd, ft, kd+ft (of teachers) or frskd."),
    ] = "none",
    teacher: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(help="best.safetensors of a teacher; repeat it for an ensemble."),
    ] = None,
    latent: Latent = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/student"),
    epochs: Epochs = None,
    split: Split = "0",
    seed: Seed = 0,
    patience: Patience = None,
    learning_rate: Rate = None,
    device: Device = "auto",
    bf16: Bf16 = None,
    find_lr: FindRate = False,
) -> None:
    """Train the student, alone or with teachers."""
    from monitor.commands import train as training

    training.train_student(
        data,
        find_lr=find_lr,
        target=target,
        method=method,
        teachers=tuple(teacher or ()),
        latent=latent,
        folder=out,
        epochs=epochs,
        split=split,
        seed=seed,
        patience=patience,
        learning_rate=learning_rate,
        device=device,
        bf16=bf16,
    )


@train_app.command("classifier")
def train_classifier(
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for files and checkpoints.")] = Path(
        "runs/classifier"
    ),
    ds1: Annotated[bool, typer.Option("--ds1", help="Train on the patients of DS1 alone.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train the classifier of every beat on patients of DS1, svdb and the Challenge 2017."""
    from monitor.commands import train as training

    training.train_classifier(data, out, ds1=ds1, seed=seed, device=device)


@train_app.command("ablation")
def train_ablation(
    teacher: Annotated[
        list[Path],
        typer.Option(help="best.safetensors of a teacher of split 0; repeat it for an ensemble."),
    ],
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs/ablation"),
    result: Annotated[
        Path, typer.Option(help="JSON file for the finished cells; the table is written beside it.")
    ] = Path("docs/models/ablation.json"),
    epochs: Epochs = None,
    train_beats: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Train each cell on this many beats, the same ones; by default on all."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train every student of the ablation table; processes may share the work."""
    from monitor.commands import train as training

    training.ablate(
        data,
        teachers=tuple(teacher),
        folder=out,
        result=result,
        epochs=epochs,
        train_beats=train_beats,
        device=device,
    )


@train_app.command("calibration")
def train_calibration(
    half_a: Annotated[Path, typer.Option(help="student.json of a training with --split ds1a.")],
    half_b: Annotated[Path, typer.Option(help="The same with --split ds1b.")],
    data: Data = None,
    student: Student = None,
    folder: Folder = Path("runs/beats"),
) -> None:
    """Calibrate scales and thresholds of the live score on patients that no model has seen."""
    from monitor.commands import train as training

    training.calibrate(data, student, half_a, half_b, folder)


@train_app.command("fibrillation")
def train_fibrillation(
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder with vfdb/, challenge2015/ and mitdb/."),
    ] = None,
) -> None:
    """Fit the weights of the fibrillation rule; print them with their figures."""
    from monitor.commands import train as training

    training.fit_fibrillation(data)


@train_app.command("atrial-fibrillation")
def train_atrial_fibrillation(
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder with mitdb/, cinc17/ and svdb/."),
    ] = None,
) -> None:
    """Fit the weights of atrial fibrillation; print them with their figures."""
    from monitor.commands import train as training

    training.fit_atrial_fibrillation(data)
