"""`monitor train`: what a person reads, what goes where, and one line for what cannot be done."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.training.config import TrainingConfig, settings_of
from models.training.find_lr import RangeTest, find_rate
from models.training.learning_curves import NO_PICTURE
from models.training.progress import EpochReport, Progress
from models.training.run import TrainingRun
from monitor.cli import app as cli
from monitor.commands.train import epoch_line, run_training
from tests.support.trainings import LineSettings

pytestmark = pytest.mark.system

BEATS = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]


def _exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    """Two epochs of five steps."""
    return TrainingConfig(
        data=tmp_path, folder=tmp_path / "run", epochs=2, batch=8, learning_rate=0.01, device="cpu"
    )


def _run(config: TrainingConfig) -> TrainingRun:
    """A line through the origin, fitted to y = 2 x."""
    network, x = nn.Linear(1, 1, bias=False), torch.from_numpy(BEATS)

    def train_batch(run: TrainingRun, rows: torch.Tensor, _: torch.Generator) -> dict[str, float]:
        loss = (network(x[rows]) - 2 * x[rows]).square().mean()
        run.step("sgd", loss)
        return {"squared": loss.item()}

    return TrainingRun(
        config=config,
        settings=settings_of(LineSettings, config, BEATS),
        networks={"line": network},
        optimisers={"sgd": torch.optim.SGD(network.parameters(), config.learning_rate)},
        validated="line",
        beats=len(BEATS),
        train_batch=train_batch,
        remark=lambda losses: "[slow]",
    )


def _train(config: TrainingConfig, progress: Progress) -> Path:
    return _run(config).finish(lambda network: {"ap": float(network.weight.detach())}, progress)


def _find_rate(config: TrainingConfig, progress: Progress) -> RangeTest:
    return find_rate(_run(config), progress)


def test_epochs_go_to_stderr_and_the_file_to_stdout(
    config: TrainingConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line for each epoch, remark included; a script can read the file's name."""
    run_training("line", config, _train, _find_rate, find_lr=False)

    out, err = capfd.readouterr()
    assert out == f"{config.folder / 'best.safetensors'}\n"
    lines = [line for line in err.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("squared" in line and line.endswith("[slow]") for line in lines)
    assert (config.folder / "curves.png").exists()
    assert NO_PICTURE not in err


def test_found_rate_goes_to_stdout_and_nothing_trained_is_kept(
    config: TrainingConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rate is one of the table's, beside which the picture lies."""
    run_training("line", config, _train, _find_rate, find_lr=True)

    out, err = capfd.readouterr()
    with (config.folder / "lr.csv").open(encoding="utf-8", newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert min(abs(float(out) / rate - 1) for rate in rates) < 0.05
    assert "lr.csv" in err
    assert {path.name for path in config.folder.iterdir()} == {"lr.csv", "lr.png"}


@pytest.mark.parametrize("find_lr", [False, True])
def test_missing_matplotlib_is_reported_once(
    config: TrainingConfig,
    find_lr: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With how to install it; the training continues without."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    run_training("line", config, _train, _find_rate, find_lr=find_lr)

    out, err = capfd.readouterr()
    assert out
    assert err.count(NO_PICTURE) == 1


def test_line_of_an_epoch_says_all_of_its_report() -> None:
    """Losses, figures, which epoch is best, seconds, and what is wrong."""
    report = EpochReport(
        epoch=3, epochs=7, losses={"generator": 0.01234, "discriminator": 1.2},
        figures={"ap": 0.93, "auc": 0.95}, rates={"adam": 1e-3}, best_epoch=2, seconds=61.4,
        remark="collapse: so it is",
    )  # fmt: skip
    assert epoch_line(report) == (
        "epoch 3 of 7: generator 0.01234, discriminator 1.2; validation ap 0.9300, auc 0.9500 "
        "(best 2); 61 s; collapse: so it is"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("teacher",), "monitor fetch mitdb"),
        (("student",), "monitor fetch mitdb"),
        (("student", "--find-lr"), "monitor fetch mitdb"),
        (("teacher", "--split", "7"), "no split '7'"),
        (("teacher", "--epochs", "0"), "at least 1 epoch"),
        (("teacher", "--device", "tpu"), "choose one of auto, cpu, cuda"),
        (("student", "--method", "kd"), "needs a teacher"),
        (("student", "--method", "magic"), "no method 'magic'"),
        (("student", "--target", "magic"), "no target 'magic'"),
        (("student", "--target", "teacher"), "needs a teacher"),
        (("student", "--teacher", "a", "--teacher", "b"), "has no teacher"),
        (("student", "--method", "kd", "--teacher", "none.safetensors"), "train it first"),
        (("teacher", "--target", "teacher"), "no target 'teacher'"),
        (("teacher", "--latent", "0"), "latent 0"),
        (("ablation", "--teacher", "none.safetensors"), "train it first"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_exit_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It names the remedy; nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_DATA", raising=False)
    (tmp_path / "data").mkdir()

    assert _exit_code(monkeypatch, "train", *arguments) == 2

    out, err = capfd.readouterr()
    assert out == ""
    line = err.strip().splitlines()[-1]
    assert line.startswith("monitor: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_each_teacher_that_is_named_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated, the option makes an ensemble, for students and the ablation, in the order given."""
    asked = []
    for module in ("models.training.student", "models.experiments.ablation"):
        monkeypatch.setattr(f"{module}.load_teacher", lambda path, **_: asked.append(path.name))
    (tmp_path / "mitdb").mkdir()
    teachers = ("--teacher", "a", "--teacher", "b", "--data", str(tmp_path))
    for command in (("student", "--target", "teacher"), ("ablation",)):
        asked.clear()
        assert _exit_code(monkeypatch, "train", *command, *teachers) == 2
        assert asked == ["a", "b"]


def test_incomplete_data_folder_says_which_records_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By name, and how to fetch them."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for extension in ("hea", "dat", "atr"):
        (folder / f"100.{extension}").touch()

    assert _exit_code(monkeypatch, "train", "teacher", "--data", str(tmp_path)) == 2
    err = capfd.readouterr().err
    assert "lacks 43 of 44 records" in err
    assert "101, 103" in err
