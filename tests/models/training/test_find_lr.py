"""The learning-rate range test: the steepest fall, its end, what it leaves."""

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.find_lr import (
    HIGHEST_RATE,
    LOWEST_RATE,
    find_rate,
    range_test,
    write_range_test,
)
from models.training.run import StepReport
from models.training.teacher import TeacherConfig, teacher_run
from pipeline.errors import ConfigError


def _valley(falls_at: float, runs_away_at: float) -> Callable[[float], float]:
    """A loss that falls along a sigmoid of the log rate and explodes later."""

    def step(rate: float) -> float:
        fall = 1 / (1 + math.exp(-3 * math.log(rate / falls_at)))
        return 1.0 - 0.8 * fall + (rate / runs_away_at) ** 4

    return step


@pytest.mark.parametrize("falls_at", [1e-4, 1e-3, 1e-2])
def test_rate_of_the_steepest_fall_is_suggested(falls_at: float) -> None:
    """Within what smoothing delays it: seven tenths of a decade."""
    test = range_test(_valley(falls_at, 100 * falls_at))

    assert abs(math.log10(test.suggested / falls_at)) < 0.7
    assert test.suggested in test.rates


def test_test_ends_where_the_loss_runs_away() -> None:
    """Before the highest rate, with the rates so far in rising order, each with a finite loss."""
    tried: list[float] = []

    def step(rate: float) -> float:
        tried.append(rate)
        return _valley(1e-3, 1e-2)(rate)

    test = range_test(step)

    assert test.rates == tried[: len(test.rates)]
    assert len(tried) - len(test.rates) <= 1
    assert test.rates[0] == pytest.approx(LOWEST_RATE)
    assert test.rates[-1] < HIGHEST_RATE / 10
    assert np.diff(np.log(test.rates)) == pytest.approx(np.log(test.rates[1] / test.rates[0]))
    assert np.isfinite(test.losses).all()


def test_loss_without_a_fall_is_refused() -> None:
    """Rather than a rate that means nothing."""
    with pytest.raises(ConfigError, match="fell at no rate"):
        range_test(lambda rate: 1.0 + rate / 10)
    coming = iter([1.0, 1.0, 1.0, math.nan])
    with pytest.raises(ConfigError, match="ran away within 3 steps"):
        range_test(lambda _: next(coming))


def test_training_is_tried_at_the_rates_of_the_test(tmp_path: Path) -> None:
    """On batches of its own beats, both optimisers in their ratio; progress rises to the end."""
    torch.set_num_threads(1)
    config = TeacherConfig(
        data=tmp_path, folder=tmp_path / "run", batch=8, width=2, latent=2, device="cpu",
        learning_rate=1e-3, discriminator_rate=4e-3,
    )  # fmt: skip
    windows = np.sin(np.arange(320) / 20 + np.arange(20)[:, None]).astype(np.float32)
    run, reports, seen, rows_seen = teacher_run(config, windows), [], [], set()
    train_batch = run.train_batch

    def noting(one: object, rows: torch.Tensor, rng: torch.Generator) -> dict[str, float]:
        seen.append([o.param_groups[0]["lr"] for o in run.optimisers.values()])
        rows_seen.update(rows.tolist())
        return train_batch(one, rows, rng)

    run.train_batch = noting
    test = find_rate(run, reports.append, steps=30)

    assert [generator for generator, _ in seen[: len(test.rates)]] == pytest.approx(test.rates)
    assert [d / g for g, d in seen] == pytest.approx([4] * len(seen))
    assert rows_seen == set(range(20))
    assert all(isinstance(report, StepReport) for report in reports)
    assert [report.done for report in reports] == [(i + 1) / 30 for i in range(len(reports))]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("matplotlib", [True, False])
def test_table_and_picture(
    tmp_path: Path, matplotlib: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each rate; without matplotlib the table alone."""
    if not matplotlib:
        monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    test = range_test(_valley(1e-3, 1e-1))
    write_range_test(tmp_path / "new", test)

    with (tmp_path / "new" / "lr.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == test.rates
    assert [float(row["smoothed_loss"]) for row in rows] == test.losses
    picture = tmp_path / "new" / "lr.png"
    assert picture.exists() == matplotlib
    assert not matplotlib or picture.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="choose another"):
        write_range_test(tmp_path / "file", test)
