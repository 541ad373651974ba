"""What every training has in common: epochs, the choice of the best, checkpoints, resumption.

A `TrainingRun` writes a checkpoint after each epoch and continues from it. All that an epoch
does follows from the seed, the epoch's number and the state in the checkpoint, so a run that was
cut off and started again ends with the weights of one that was not.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.beatgan import initialise
from models.checkpoint import read_checkpoint, restore_network, restore_optimiser, save_checkpoint
from models.dataset import FOLDS, Beats, split_beats
from models.distillation import smoothed_score
from models.metrics import average_precision, roc_auc
from pipeline.errors import ConfigError

EVALUATION_BATCH: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """What one epoch came to."""

    epoch: int
    """Counts from 1."""
    epochs: int
    losses: dict[str, float]
    """Means over the epoch."""
    validation_auc: float
    validation_ap: float
    best_epoch: int
    """The best so far, by average precision on the validation part."""
    seconds: float


Progress = Callable[[EpochReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Beats for choosing the epoch."""

    windows: NDArray[np.float32]
    """float32[n, 320]."""
    anomalous: NDArray[np.bool_]
    """bool[n], with both kinds in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What every training is told; each kind adds its own and sets its defaults."""

    data: Path
    """Folder of the records, or the folder that holds ``mitdb/``."""
    folder: Path
    """Where ``last.safetensors`` (to continue) and ``best.safetensors`` (the result) are kept."""
    epochs: int
    batch: int
    learning_rate: float
    fold: int = 0
    seed: int = 0
    bf16: bool = True
    """Convolutions in bfloat16; losses and weights stay in float32."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_settings(self)


def check_settings(config: TrainingConfig) -> None:
    """Raise `ConfigError` for settings that cannot be trained."""
    if config.epochs < 1 or config.batch < 2 or not 0 < config.learning_rate < 1:
        raise ConfigError(
            f"cannot train {config.epochs} epochs in batches of {config.batch} at learning rate "
            f"{config.learning_rate}: at least 1 epoch, 2 beats a batch, a rate between 0 and 1"
        )
    if not 0 <= config.fold < FOLDS or not 0 <= config.seed < 2**32:
        raise ConfigError(f"fold {config.fold} or seed {config.seed} is none: folds are 0 to 4")


def parts_of(beats: Beats, config: TrainingConfig) -> tuple[NDArray[np.float32], Validation]:
    """Return the training windows, float32[n, 320], and the validation part of the fold."""
    split = split_beats(beats, fold=config.fold, seed=config.seed)
    return beats.windows[split.train], Validation(
        windows=beats.windows[split.validation], anomalous=~beats.normal[split.validation]
    )


def settings_of(config: TrainingConfig, train: NDArray[np.float32]) -> dict[str, Any]:
    """Return all that decides the outcome of a run, without where its files happen to lie.

    Raises:
        ConfigError: there are fewer beats than one batch.
    """
    if len(train) < config.batch:
        raise ConfigError(f"{len(train)} beats are fewer than one batch of {config.batch}")
    settings = dataclasses.asdict(config)
    for place in ("data", "folder", "teacher"):
        settings.pop(place, None)
    return settings | {"windows_sha256": hashlib.sha256(train.tobytes()).hexdigest()}


class Means:
    """Running means of the losses of one epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Count one step; raise `FloatingPointError` for a loss that is not finite."""
        if not all(map(math.isfinite, losses.values())):
            raise FloatingPointError(", ".join(f"{name} {v}" for name, v in losses.items()))
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def of_epoch(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / self._steps for name, total in self._sums.items()}


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Networks in training, with their optimisers, epochs and checkpoints."""

    folder: Path
    """Where ``last.safetensors`` (to continue) and ``best.safetensors`` (the result) are kept."""
    settings: dict[str, Any]
    """All that decides the outcome, JSON-able; a checkpoint with others is refused."""
    epochs: int
    bf16: bool
    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    judged: str
    """Name of the network that reconstructs, whose best epoch is kept."""

    def autocast(self) -> torch.autocast:
        """Return the context for the convolutions."""
        return torch.autocast(best_device().type, torch.bfloat16, enabled=self.bf16)

    def step(self, optimiser: str, loss: Tensor) -> None:
        """Follow the gradient of ``loss`` by one step."""
        self.optimisers[optimiser].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[optimiser].step()

    def finish(
        self,
        train_epoch: Callable[[int], dict[str, float]],
        validation: Validation,
        progress: Progress,
    ) -> Path:
        """Train the epochs that are still to do; return the file of the best.

        Args:
            train_epoch: trains the epoch of that number, from 1, and returns its mean losses.
            validation: beats that decide which epoch is best.
            progress: called after each epoch, once its checkpoint is written.

        Raises:
            ConfigError: a loss or score is no longer finite (the checkpoints stay at the epoch
                before), or the folder holds another run.
        """
        last, best = self.folder / "last.safetensors", self.folder / "best.safetensors"
        facts = self._resume(last)
        network = self.networks[self.judged]
        for epoch in range(facts["epoch"] + 1, self.epochs + 1):
            begun = time.perf_counter()
            try:
                losses = train_epoch(epoch)
                scores = score_windows(network, validation.windows)
                ap = average_precision(scores, validation.anomalous)
            except (FloatingPointError, ValueError) as error:
                raise ConfigError(
                    f"epoch {epoch} left the finite numbers ({error}): {self.folder} still holds "
                    f"epoch {epoch - 1}; start anew elsewhere with a lower learning rate"
                ) from None
            facts["epoch"] = epoch
            if ap > facts["best_ap"]:
                facts |= {"best_ap": ap, "best_epoch": epoch}
                # Before `last`: a run cut off in between repeats this epoch and writes the same.
                save_checkpoint(best, facts, networks={self.judged: network})
            save_checkpoint(last, facts, networks=self.networks, optimisers=self.optimisers)
            progress(
                EpochReport(
                    epoch=epoch,
                    epochs=self.epochs,
                    losses=losses,
                    validation_auc=roc_auc(scores, validation.anomalous),
                    validation_ap=ap,
                    best_epoch=facts["best_epoch"],
                    seconds=time.perf_counter() - begun,
                )
            )
        return best

    def _resume(self, last: Path) -> dict[str, Any]:
        if not last.exists():
            return {"config": self.settings, "epoch": 0, "best_epoch": 0, "best_ap": -1.0}
        facts, tensors = read_checkpoint(last)
        if facts.get("config") != self.settings:
            raise ConfigError(
                f"{last} belongs to a run with other settings or data: "
                f"choose another folder or remove it"
            )
        for name, network in self.networks.items():
            restore_network(network, name, tensors)
        for name, optimiser in self.optimisers.items():
            restore_optimiser(optimiser, name, tensors)
        return facts


def shuffled_batches(n: int, batch: int, *, seed: int, epoch: int) -> Iterator[Tensor]:
    """Yield the rows of each whole batch; the order depends on the seed and the epoch alone."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1000 * seed + epoch))
    yield from order[: n - n % batch].split(batch)


def initialise_on(device: torch.device, network: nn.Module, draws: torch.Generator) -> None:
    """Initialise on the CPU, whose random numbers are the same everywhere, and move."""
    initialise(network.cpu(), draws)
    network.to(device)


def best_device() -> torch.device:
    """Return CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def score_windows(network: nn.Module, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smoothed score of windows float32[n, 320] by an autoencoder, float32[n].

    In evaluation mode and float32, whatever the network was in before.
    """
    device = best_device()
    network.eval()
    scores = [
        smoothed_score((x := part.to(device)) - network(x[:, None])[:, 0]).cpu().numpy()
        for part in torch.from_numpy(windows).split(EVALUATION_BATCH)
    ]
    return np.concatenate(scores)
