"""What every training has in common: resumption, early stop, finite numbers, progress, devices."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.training.checkpoint import (
    CHECKPOINT_VERSION,
    TrainingState,
    read_checkpoint,
    save_checkpoint,
)
from models.training.config import DEVICES, TrainingConfig, chosen_bf16, chosen_device, settings_of
from models.training.progress import EpochReport, StepReport
from models.training.run import (
    TrainingRun,
    Validation,
    Validator,
    autoencoder_validator,
    one_cycle,
    shuffled_batches,
)
from pipeline.errors import ArtifactError, ConfigError
from tests.support.trainings import LineSettings

pytestmark = pytest.mark.system

BEATS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class WeightedSettings(LineSettings):
    """Settings that JSON gives back as another type."""

    weights: tuple[int, int]


FILES = ("best.safetensors", "last.safetensors")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and no matplotlib: drawing would cost more than all the training here."""
    torch.set_num_threads(1)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)


def _config(folder: Path, **changes: object) -> TrainingConfig:
    settings: dict = {
        "data": folder, "folder": folder, "epochs": 4, "batch": 16, "learning_rate": 0.1,
        "device": "cpu",
    } | changes  # fmt: skip
    return TrainingConfig(**settings)


def _run(config: TrainingConfig, *, nan_from: int | None = None) -> TrainingRun:
    """A line fitted to the last column, with noise, dropout by ``rng`` and momentum."""
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.fill_(0.5)
        network.bias.zero_()
    table = torch.from_numpy(BEATS)
    steps = 0

    def train_batch(run: TrainingRun, rows: Tensor, rng: torch.Generator) -> dict[str, float]:
        nonlocal steps
        steps += 1
        x = table[rows] + 0.1 * torch.randn((len(rows), 3), generator=rng)
        loss = (network(x[:, :2])[:, 0] - x[:, 2]).square().mean()
        run.step("adam", loss)
        return {"squared": math.nan if steps == nan_from else loss.item()}

    return TrainingRun(
        config=config,
        settings=settings_of(LineSettings, config, BEATS),
        networks={"line": network},
        optimisers={"adam": torch.optim.Adam(network.parameters(), config.learning_rate)},
        validated="line",
        beats=len(BEATS),
        train_batch=train_batch,
        schedule=one_cycle,
    )


def _validator(aps: list[float] | None = None) -> Validator:
    """Either these figures one after the other, or one that the weights decide."""
    coming = iter(aps or [])

    def validator(network: nn.Module) -> dict[str, float]:
        network.eval()
        decides = next(coming) if aps else -float(network.weight.detach().square().sum())
        return {"ap": decides, "other": -decides}

    return validator


def _epochs(reports: list) -> list[EpochReport]:
    return [report for report in reports if isinstance(report, EpochReport)]


def _interrupt_after(epoch: int) -> Callable[[EpochReport | StepReport], None]:
    def progress(report: EpochReport | StepReport) -> None:
        if isinstance(report, EpochReport) and report.epoch == epoch:
            raise KeyboardInterrupt

    return progress


def _without_times(state: TrainingState) -> TrainingState:
    return replace(state, curves=tuple(replace(row, seconds=0.0) for row in state.curves))


def _assert_same(one: Path, other: Path) -> None:
    """Both checkpoints hold the same state and, bit for bit, the same tensors."""
    first, second = read_checkpoint(one), read_checkpoint(other)
    assert _without_times(first.state) == _without_times(second.state)
    assert first.optimisers == second.optimisers
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


def _columns_without_seconds(csv: Path) -> list[list[str]]:
    rows = [line.split(",") for line in csv.read_text(encoding="utf-8").splitlines()]
    at = rows[0].index("seconds")
    return [row[:at] + row[at + 1 :] for row in rows]


@pytest.mark.parametrize("within", [False, True])
def test_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, within: bool) -> None:
    """Stopped after an epoch or in one and started again: same weights, same curves, each once."""
    whole, pieces = _config(tmp_path / "whole"), _config(tmp_path / "pieces")
    _run(whole).finish(_validator(), lambda _: None)

    def interrupt_within(report: EpochReport | StepReport) -> None:
        if report.epoch == 3:
            raise KeyboardInterrupt

    for interrupt in (_interrupt_after(1), interrupt_within if within else _interrupt_after(3)):
        with pytest.raises(KeyboardInterrupt):
            _run(pieces).finish(_validator(), interrupt)
    _run(pieces).finish(_validator(), lambda _: None)

    for name in FILES:
        _assert_same(whole.folder / name, pieces.folder / name)
    curves = [_columns_without_seconds(c.folder / "curves.csv") for c in (whole, pieces)]
    assert curves[0] == curves[1]
    assert [row[0] for row in curves[0]] == ["epoch", "1", "2", "3", "4"]


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """It returns its file, whatever happens to the curves; they are written again."""
    config = _config(tmp_path)
    best = _run(config).finish(_validator(), lambda _: None)
    before = best.read_bytes()
    (tmp_path / "curves.csv").unlink()
    reports: list = []

    assert _run(config).finish(_validator(), reports.append) == best
    assert reports == []
    assert best.read_bytes() == before
    assert len((tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()) == 5


def test_the_first_figure_decides_which_epoch_is_kept(tmp_path: Path) -> None:
    """The highest, of equals the first; the other figures are only noted."""
    reports: list = []
    best = _run(_config(tmp_path)).finish(_validator([0.2, 0.7, 0.7, 0.1]), reports.append)

    assert [report.best_epoch for report in _epochs(reports)] == [1, 2, 2, 2]
    checkpoint = read_checkpoint(best)
    assert checkpoint.state.best_epoch == 2
    assert checkpoint.state.validation == {"ap": 0.7, "other": -0.7}
    assert set(checkpoint.tensors) == {"line/weight", "line/bias"}


def test_run_stops_early_and_stays_so(tmp_path: Path) -> None:
    """After ``patience`` epochs without improvement, with a remark; it cannot be continued."""
    config, reports = _config(tmp_path, epochs=9, patience=2), []
    best = _run(config).finish(_validator([0.1, 0.5, 0.4, 0.5, 0.9]), reports.append)

    epochs = _epochs(reports)
    assert [report.epoch for report in epochs] == [1, 2, 3, 4]
    assert [bool(report.remark) for report in epochs] == [False, False, False, True]
    assert "no better for 2 epochs" in epochs[-1].remark
    assert read_checkpoint(best).state.best_epoch == 2

    last = (tmp_path / "last.safetensors").read_bytes()
    again: list = []
    _run(config).finish(_validator([0.9]), again.append)
    assert again == []
    assert (tmp_path / "last.safetensors").read_bytes() == last


def test_interruption_does_not_restart_patience(tmp_path: Path) -> None:
    """The epochs without a better one count on."""
    config = _config(tmp_path, epochs=9, patience=2)
    with pytest.raises(KeyboardInterrupt):
        _run(config).finish(_validator([0.5, 0.4]), _interrupt_after(2))
    reports: list = []
    _run(config).finish(_validator([0.4, 0.9]), reports.append)

    assert [report.epoch for report in _epochs(reports)] == [3]


@pytest.mark.parametrize("kind", ["loss", "figure"])
def test_run_that_leaves_the_finite_numbers_stops_at_its_last_good_checkpoint(
    tmp_path: Path, kind: str
) -> None:
    """The error names the last good epoch and the remedy; the checkpoints are untouched."""
    config = _config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        _run(config).finish(_validator([0.5]), _interrupt_after(1))
    before = [(tmp_path / name).read_bytes() for name in FILES]

    run = _run(config, nan_from=2 if kind == "loss" else None)
    with pytest.raises(ConfigError, match=r"epoch 2 .*holds epoch 1.*lower learning rate"):
        run.finish(_validator([math.nan]), lambda _: None)

    assert [(tmp_path / name).read_bytes() for name in FILES] == before
    with pytest.raises(ConfigError, match="holds nothing yet"):
        _run(_config(tmp_path / "new"), nan_from=1).finish(_validator(), lambda _: None)


def test_run_with_other_settings_or_beats_is_not_continued(tmp_path: Path) -> None:
    """A folder belongs to one run; what differs is named. The device is nothing of the kind."""
    _run(_config(tmp_path)).finish(_validator(), lambda _: None)
    for changes, named in (
        ({"seed": 1, "epochs": 5}, "epochs, seed"),
        ({"split": "ds1"}, "split"),
        ({"bf16": not chosen_bf16(None, torch.device("cpu"))}, "bf16"),
        ({"patience": 3}, "patience"),
    ):
        with pytest.raises(ConfigError, match=rf"other settings or data \({named}\)"):
            _run(_config(tmp_path, **changes)).finish(_validator(), lambda _: None)

    other_beats = settings_of(LineSettings, _config(tmp_path), BEATS + 1)
    assert other_beats != settings_of(LineSettings, _config(tmp_path), BEATS)
    auto, cpu = (
        settings_of(LineSettings, _config(tmp_path, device=device, bf16=False), BEATS)
        for device in ("auto", "cpu")
    )
    assert auto == cpu


def test_settings_may_hold_tuples(tmp_path: Path) -> None:
    """A run is continued with what JSON makes of its settings."""
    for expected in (4, 0):
        run, reports = _run(_config(tmp_path)), []
        run.settings = settings_of(WeightedSettings, run.config, BEATS, weights=(1, 2))
        run.finish(_validator(), reports.append)
        assert len(_epochs(reports)) == expected


def test_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    """By its version, before anything in it is used."""
    config = _config(tmp_path)
    last = tmp_path / "last.safetensors"
    _run(config).finish(_validator(), lambda _: None)
    content = last.read_bytes()
    now, then = (f'\\"version\\": {v}'.encode() for v in (CHECKPOINT_VERSION, 1))
    assert content.count(now) == 1
    last.write_bytes(content.replace(now, then))

    with pytest.raises(ArtifactError, match=rf"version 1, .*version {CHECKPOINT_VERSION}: remove"):
        _run(config).finish(_validator(), lambda _: None)


def test_numbers_in_an_optimisers_groups_survive(tmp_path: Path) -> None:
    """Some optimisers count their steps in the group, not in a tensor."""

    class Counting(torch.optim.SGD):
        def step(self, closure: None = None) -> None:
            group = self.param_groups[0]
            group["step"] = group.get("step", 0) + 1
            self.state[group["params"][0]]["seen"] = group["step"]
            group["lr"] = 1.0 / group["step"]
            super().step(closure)

    def counting(folder: Path) -> TrainingRun:
        run = _run(_config(folder))
        run.optimisers["adam"] = Counting(run.networks["line"].parameters(), 1.0)
        run.schedule = lambda _: 1.0
        return run

    whole, resumed = counting(tmp_path / "whole"), counting(tmp_path / "pieces")
    whole.finish(_validator(), lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        counting(tmp_path / "pieces").finish(_validator(), _interrupt_after(2))
    resumed.finish(_validator(), lambda _: None)

    _assert_same(*(run.config.folder / "last.safetensors" for run in (whole, resumed)))
    assert resumed.optimisers["adam"].param_groups[0]["step"] == 4 * (len(BEATS) // 16)


def test_checkpoint_for_other_networks_or_optimisers_is_refused(tmp_path: Path) -> None:
    """After a network or an optimiser is renamed, a run starts again."""
    _run(_config(tmp_path)).finish(_validator(), lambda _: None)
    renamed = _run(_config(tmp_path))
    renamed.optimisers = {"adamw": renamed.optimisers["adam"]}
    with pytest.raises(ArtifactError, match="not for this adamw"):
        renamed.finish(_validator(), lambda _: None)
    renamed = _run(_config(tmp_path))
    renamed.networks = {"curve": renamed.networks["line"]}
    with pytest.raises(ArtifactError, match="not for this curve"):
        renamed.finish(_validator(), lambda _: None)


def test_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """One line that names the place."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    state = TrainingState(config={}, epoch=1, best_epoch=1, validation={"ap": 0.5})
    with pytest.raises(ConfigError, match=r"cannot write .*name another place"):
        save_checkpoint(tmp_path / "file" / "last.safetensors", state, networks={})


def test_progress_moves_within_the_epoch(tmp_path: Path) -> None:
    """Step reports rise to the end of each epoch, which its own report follows."""
    reports: list = []
    _run(_config(tmp_path, epochs=2)).finish(_validator(), reports.append)

    kinds = ["epoch" if isinstance(report, EpochReport) else report.done for report in reports]
    assert kinds == [0.5, 1.0, "epoch"] * 2
    assert [report.epoch for report in reports] == [1, 1, 1, 2, 2, 2]


def test_progress_within_an_epoch_is_sparse(tmp_path: Path) -> None:
    """Many small steps are not reported one by one."""
    run, reports = _run(_config(tmp_path, batch=2, epochs=1)), []
    run.beats, run.train_batch = 2000, lambda *_: {"loss": 0.0}
    run.finish(_validator(), reports.append)

    assert 100 <= len(reports) <= 201


def test_schedule_is_a_share_of_each_optimisers_own_rate(tmp_path: Path) -> None:
    """The report has the rate of the last step; a resumed run has the same top."""
    config, reports = _config(tmp_path, learning_rate=0.2), []
    with pytest.raises(KeyboardInterrupt):
        _run(config).finish(_validator(), _interrupt_after(2))
    _run(config).finish(_validator(), reports.append)

    steps = 4 * (len(BEATS) // 16)
    rates = [report.rates["adam"] for report in _epochs(reports)]
    assert rates == pytest.approx([0.2 * one_cycle(done / steps) for done in (5, 7)])


def test_step_moves_the_weights_of_its_optimiser_alone(tmp_path: Path) -> None:
    """A loss through two networks changes the one whose optimiser follows it."""
    run = _run(_config(tmp_path))
    first, second = run.networks["line"], nn.Linear(1, 1)
    run.optimisers["second"] = torch.optim.SGD(second.parameters(), 0.1)
    before = [weight.clone() for weight in first.parameters()]
    loss = second(first(torch.ones(4, 2))).square().mean()

    run.step("second", loss, again=True)
    assert all(map(torch.equal, before, first.parameters()))
    assert all(weight.grad is None for weight in first.parameters())
    run.step("adam", first(torch.ones(4, 2)).square().mean())
    assert not any(map(torch.equal, before, first.parameters()))


def test_each_epoch_deals_all_beats_anew() -> None:
    """Whole batches of distinct beats; the generator decides the order."""
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.cat(list(shuffled_batches(103, 10, rng))) for _ in range(2))
    again = torch.cat(list(shuffled_batches(103, 10, torch.Generator().manual_seed(1))))

    assert len(set(first.tolist())) == len(set(second.tolist())) == 100
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_learning_rate_rises_and_falls_once() -> None:
    """From a 25th to the top after three tenths, then down to nearly nothing."""
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.3) == pytest.approx(1)
    assert one_cycle(1) == pytest.approx(0, abs=1e-5)
    rates = [one_cycle(i / 100) for i in range(101)]
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)


def test_autoencoders_are_judged_by_their_residual() -> None:
    """What is reconstructed badly counts as called: here, all but flat beats."""

    class Flat(nn.Module):
        def __init__(self, level: float) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.tensor(level))

        def forward(self, x: Tensor) -> Tensor:
            return self.level.expand(x.shape)

    windows = np.zeros((4, 320), np.float32)
    windows[2:] = np.sin(np.arange(320) / 50)
    validator = autoencoder_validator(Validation(windows=windows, anomalous=np.arange(4) >= 2))

    assert validator(Flat(0.0)) == {"ap": 1.0, "auc": 1.0}
    assert next(iter(validator(Flat(0.0)))) == "ap"
    with pytest.raises(FloatingPointError):
        validator(Flat(math.nan))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "at least 1 epoch"),
        ({"batch": 1}, "2 beats a batch"),
        ({"learning_rate": 0.0}, "rate between 0 and 1"),
        ({"split": "5"}, "no split '5'"),
        ({"seed": -1}, "no seed"),
        ({"patience": 0}, "at least 1"),
        ({"device": "gpu"}, "choose one of auto, cpu, cuda"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    """Before anything is read, in a line that names the valid settings."""
    with pytest.raises(ConfigError, match=message):
        _config(tmp_path, **changes)


def test_too_few_beats_are_refused(tmp_path: Path) -> None:
    """Less than one batch is no training."""
    with pytest.raises(ConfigError, match="fewer than one batch"):
        settings_of(LineSettings, _config(tmp_path, batch=41), BEATS)


def test_devices_are_what_the_machine_has(tmp_path: Path) -> None:
    """``auto`` is CUDA where there is one; asking for one that is not there is refused."""
    assert DEVICES[0] == "auto"
    assert chosen_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        assert chosen_device("auto").type == chosen_device("cuda").type == "cuda"
    else:
        assert chosen_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="no CUDA device"):
            _config(tmp_path, device="cuda")


def test_bf16_is_as_wanted_or_as_the_chip_has_it(tmp_path: Path) -> None:
    """The settings record the choice, and it reaches the convolutions."""
    assert chosen_bf16(True, torch.device("cpu"))
    assert not chosen_bf16(False, torch.device("cpu"))
    assert chosen_bf16(None, torch.device("cpu")) == any(
        (torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported())
    )
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        run = _run(_config(tmp_path, bf16=bf16))
        assert run.settings.bf16 is bf16
        with run.autocast():
            assert run.networks["line"](torch.ones(1, 2)).dtype == dtype
