"""Find a learning rate: take steps at rising rates, and see where the loss falls fastest.

The range test of Smith ("Cyclical Learning Rates for Training Neural Networks", WACV 2017): from
its initial weights a network takes one step at each of many rates, evenly spaced by factors. Too
low a rate changes nothing, and too high a rate raises the loss. The rate of the steepest fall
between is a good rate to train at, or a good top of a schedule. The trained weights are dropped.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from models.training.learning_curves import draw_panels, write_table
from models.training.progress import Progress, StepReport
from models.training.run import TrainingRun, shuffled_batches
from pipeline.errors import ConfigError

LOWEST_RATE: Final = 1e-6
HIGHEST_RATE: Final = 1.0
STEPS: Final = 150

SMOOTHING: Final = 0.9
"""Weight of the earlier losses in their running mean."""

DIVERGED: Final = 4.0
"""The test ends at this multiple of the lowest smoothed loss."""

FEWEST_STEPS: Final = 10
"""A slope over fewer is not reliable."""


@dataclass(frozen=True, slots=True)
class RangeTest:
    """The loss at each learning rate, and the suggested rate."""

    rates: list[float]
    """Ascending; fewer than planned if the loss diverged."""
    losses: list[float]
    """Smoothed."""
    suggested: float
    """One of ``rates``."""


def range_test(step: Callable[[float], float], *, steps: int = STEPS) -> RangeTest:
    """Take ``steps`` steps at rising rates.

    Args:
        step: takes one step at the learning rate given and returns the loss before it.
        steps: at most; the test ends where the loss is not finite or far above its lowest.

    Raises:
        ConfigError: the loss diverged at once, or never fell.
    """
    rates: list[float] = []
    losses: list[float] = []
    running = 0.0
    for number, rate in enumerate(np.geomspace(LOWEST_RATE, HIGHEST_RATE, steps).tolist(), 1):
        loss = step(rate)
        running = SMOOTHING * running + (1 - SMOOTHING) * loss
        # Divided by the weights so far: a mean from the first step on.
        smoothed = running / (1 - SMOOTHING**number)
        if not math.isfinite(smoothed) or smoothed > DIVERGED * min(losses, default=math.inf):
            break
        rates.append(rate)
        losses.append(smoothed)
    if len(rates) < FEWEST_STEPS:
        raise ConfigError(f"the loss ran away within {len(rates)} steps: there is no rate to take")
    slopes = np.gradient(np.array(losses), np.log(rates))
    steepest = int(slopes.argmin())
    if slopes[steepest] >= 0:
        raise ConfigError(f"the loss fell at no rate up to {rates[-1]:.3g}: there is none to take")
    return RangeTest(rates, losses, rates[steepest])


def find_rate(run: TrainingRun, progress: Progress, *, steps: int = STEPS) -> RangeTest:
    """Run the test on a training that has not begun; it cannot be used afterwards.

    The loss is the first that the run's batches return. Several optimisers keep the ratio of
    their rates; the rates of the test are those of ``run.config.learning_rate``.

    Raises:
        ConfigError: no rate could be found.
    """
    rng = torch.Generator().manual_seed(run.config.seed)
    batches = itertools.chain.from_iterable(
        shuffled_batches(run.beats, run.config.batch, rng) for _ in itertools.count()
    )
    done = itertools.count(1)
    for network in run.networks.values():
        network.train()

    def step(rate: float) -> float:
        run.set_rates(rate / run.config.learning_rate)
        loss = next(iter(run.train_batch(run, next(batches), rng).values()))
        progress(StepReport(epoch=1, epochs=1, done=next(done) / steps))
        return loss

    return range_test(step, steps=steps)


def write_range_test(folder: Path, test: RangeTest) -> None:
    """Write ``lr.csv`` and, where matplotlib is there, ``lr.png`` into ``folder``.

    Raises:
        ConfigError: the files cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}; choose another") from None
    rows = [
        {"learning_rate": rate, "smoothed_loss": loss}
        for rate, loss in zip(test.rates, test.losses, strict=True)
    ]
    write_table(folder / "lr.csv", rows)
    draw_panels(
        folder / "lr.png",
        "learning rate",
        test.rates,
        {"loss": {"smoothed": test.losses}},
        logarithmic=("learning rate",),
        marked=test.suggested,
    )
