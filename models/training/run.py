"""What every training has in common: epochs, the choice of the best, checkpoints, resumption.

A trainer builds its networks and optimisers, trains on a batch in one function
(`TrainingRun.train_batch`), and measures a network on the validation part in another (a
`Validator`). `TrainingRun.finish` does the rest. It writes a checkpoint after each epoch and
continues from it. Everything in an epoch follows from the seed, the epoch's number and the state in
the checkpoint, so a run that was interrupted and continued ends with the same weights as one that
was not.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.data.annotated_beats import Beats, split_named
from models.files.model_file import TrainingSettings
from models.files.strict_json import to_json
from models.measure.metrics import average_precision, roc_auc
from models.nets.beatgan import initialise
from models.training.checkpoint import (
    TrainingState,
    read_checkpoint,
    restore_network,
    restore_optimiser,
    save_checkpoint,
)
from models.training.config import TrainingConfig, chosen_device
from models.training.distillation.losses import smoothed_score
from models.training.learning_curves import write_curves
from models.training.progress import EpochReport, Progress, StepReport
from pipeline.errors import ConfigError

EVALUATION_BATCH: Final = 256
STEP_REPORTS: Final = 200
"""The most that an epoch has."""


Validator = Callable[[nn.Module], Mapping[str, float]]
"""Returns named figures of a network on the validation part. The first decides; more is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The beats that decide which epoch is best."""

    windows: NDArray[np.float32]
    """float32[n, 320]."""
    anomalous: NDArray[np.bool_]
    """bool[n], some of them True and some False."""


def parts_of(beats: Beats, config: TrainingConfig) -> tuple[NDArray[np.float32], Validation]:
    """Return the training windows, float32[n, 320], and the validation part of the split."""
    split = split_named(beats, config.split, seed=config.seed)
    return beats.windows[split.train], Validation(
        windows=beats.windows[split.validation], anomalous=~beats.normal[split.validation]
    )


class Means:
    """Running means of the losses of one epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Count one step; raise `FloatingPointError` for a loss that is not finite."""
        check_finite(losses)
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def of_epoch(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / self._steps for name, total in self._sums.items()}


def check_finite(figures: Mapping[str, float]) -> None:
    """Raise `FloatingPointError`, listing all figures, if one is not finite."""
    if not all(map(math.isfinite, figures.values())):
        raise FloatingPointError(", ".join(f"{name} {v}" for name, v in figures.items()))


def constant(_: float) -> float:
    """Keep the learning rate as it is."""
    return 1.0


def one_cycle(done: float) -> float:
    """Return the share of the top learning rate when ``done`` (0 to 1) of all steps are done.

    From a 25th up to 1 over the first three tenths, then down to nearly nothing, along cosines
    (Smith & Topin 2018, with the proportions of PyTorch's OneCycleLR).
    """
    warm, start, end = 0.3, 1 / 25, 1 / 250_000
    if done < warm:
        return 1 + (start - 1) * (1 + math.cos(math.pi * done / warm)) / 2
    return end + (1 - end) * (1 + math.cos(math.pi * (done - warm) / (1 - warm))) / 2


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Networks in training, with their optimisers, epochs and checkpoints."""

    config: TrainingConfig
    settings: TrainingSettings
    """`models.training.config.settings_of`; a checkpoint with others is refused."""
    networks: dict[str, nn.Module]
    """On ``config.device``."""
    optimisers: dict[str, torch.optim.Optimizer]
    validated: str
    """Name of the network whose best epoch is kept."""
    beats: int
    """Rows to train on."""
    train_batch: "Callable[[TrainingRun, Tensor, torch.Generator], dict[str, float]]"
    """Trains on the rows int64[batch] by calling `step`, and returns its losses by name, the one to
    minimise first. Its random numbers come from the generator, which is on the CPU. The networks
    are in training mode."""
    schedule: Callable[[float], float] = constant
    """Maps the share of all steps that are done, 0 to 1, to a share of each learning rate."""
    remark: Callable[[Mapping[str, float]], str] = lambda losses: ""
    """Returns what is wrong with an epoch of these mean losses; empty if nothing is."""
    _top_rates: dict[str, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the initial learning rates, which the schedule scales."""
        self._top_rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.optimisers.items()
        }

    def autocast(self) -> torch.autocast:
        """Return the context that chooses the precision of the convolutions."""
        device = chosen_device(self.config.device)
        return torch.autocast(device.type, torch.bfloat16, enabled=self.settings.bf16)

    def step(self, optimiser: str, loss: Tensor, *, again: bool = False) -> None:
        """Take one step down the gradient of ``loss``, on the weights of this optimiser alone.

        ``again`` keeps the graph for another loss on the same reconstructions.
        """
        one = self.optimisers[optimiser]
        one.zero_grad(set_to_none=True)
        weights = [weight for group in one.param_groups for weight in group["params"]]
        loss.backward(retain_graph=again, inputs=weights)
        one.step()

    def set_rates(self, share: float) -> None:
        """Set the rate of every optimiser to this share of its initial rate."""
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self._top_rates[name], strict=True):
                group["lr"] = rate * share

    def finish(self, validator: Validator, progress: Progress) -> Path:
        """Train the remaining epochs; return the file of the best.

        Args:
            validator: decides which epoch is best, and with ``config.patience`` which is the last.
            progress: called within each epoch, and after it, once its checkpoint is written.

        Raises:
            ConfigError: a loss or figure is no longer finite (the checkpoints stay at the epoch
                before), or the folder holds another run.
            ArtifactError: the checkpoint is of another version or damaged.
        """
        folder = self.config.folder
        last, best = folder / "last.safetensors", folder / "best.safetensors"
        state, epochs = self._resume(last), self.config.epochs
        network = self.networks[self.validated]
        if state.curves:
            # The run may have been interrupted between its checkpoint and its curves.
            write_curves(folder, state.curves)
        while state.epoch < epochs and not self._out_of_patience(state):
            begun, epoch = time.perf_counter(), state.epoch + 1
            try:
                losses = self._train_epoch(epoch, progress)
                figures = dict(validator(network))
                check_finite(figures)
            except FloatingPointError as error:
                kept = f"holds epoch {epoch - 1}" if epoch > 1 else "holds nothing yet"
                raise ConfigError(
                    f"epoch {epoch} left the finite numbers ({error}): {folder} {kept}; "
                    f"start over elsewhere with a lower learning rate"
                ) from None
            state = replace(state, epoch=epoch)
            if not state.best_epoch or _deciding(figures) > _deciding(state.validation):
                state = replace(state, best_epoch=epoch, validation=figures)
                # Before `last`: a run interrupted in between repeats this epoch with equal result.
                save_checkpoint(best, replace(state, curves=()), networks={self.validated: network})
            report = EpochReport(
                epoch=epoch,
                epochs=epochs,
                losses=losses,
                figures=figures,
                rates={name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()},
                best_epoch=state.best_epoch,
                seconds=time.perf_counter() - begun,
                remark=self._remark_on(losses, state),
            )
            state = replace(state, curves=(*state.curves, report))
            save_checkpoint(last, state, networks=self.networks, optimisers=self.optimisers)
            write_curves(folder, state.curves)
            progress(report)
        return best

    def _train_epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        for network in self.networks.values():
            network.train()
        rng = torch.Generator().manual_seed(1000 * self.config.draw + epoch)
        means, epochs = Means(), self.config.epochs
        steps = self.beats // self.config.batch
        for step, rows in enumerate(shuffled_batches(self.beats, self.config.batch, rng)):
            self.set_rates(self.schedule((epoch - 1 + step / steps) / epochs))
            means.add(self.train_batch(self, rows, rng))
            if step % math.ceil(steps / STEP_REPORTS) == 0:
                progress(StepReport(epoch=epoch, epochs=epochs, done=(step + 1) / steps))
        return means.of_epoch()

    def _out_of_patience(self, state: TrainingState) -> bool:
        patience = self.config.patience
        return patience is not None and state.epoch - state.best_epoch >= patience

    def _remark_on(self, losses: Mapping[str, float], state: TrainingState) -> str:
        remarks = [self.remark(losses)]
        if self._out_of_patience(state) and state.epoch < self.config.epochs:
            remarks.append(f"stopped early: no better for {self.config.patience} epochs")
        return "; ".join(filter(None, remarks))

    def _resume(self, last: Path) -> TrainingState:
        """Return the state to continue from, and fill networks and optimisers with theirs."""
        settings = to_json(self.settings)
        if not last.exists():
            return TrainingState(config=settings, epoch=0, best_epoch=0, validation={})
        checkpoint = read_checkpoint(last)
        found = checkpoint.state.config
        if found != settings:
            other = sorted(k for k in {*found, *settings} if found.get(k) != settings.get(k))
            raise ConfigError(
                f"{last} belongs to a run with other settings or data ({', '.join(other)}): "
                f"choose another folder or remove it"
            )
        for name, network in self.networks.items():
            restore_network(network, name, checkpoint.tensors)
        for name, optimiser in self.optimisers.items():
            restore_optimiser(optimiser, name, checkpoint)
        return checkpoint.state


def _deciding(figures: Mapping[str, float]) -> float:
    return next(iter(figures.values()))


def shuffled_batches(n: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows of each whole batch, int64[batch], in a random order drawn from ``rng``."""
    order = torch.randperm(n, generator=rng)
    yield from order[: n - n % batch].split(batch)


def initialise_on(device: torch.device, network: nn.Module, rng: torch.Generator) -> None:
    """Initialise on the CPU, whose random numbers are the same everywhere, then move."""
    initialise(network.cpu(), rng)
    network.to(device)


def autoencoder_validator(validation: Validation) -> Validator:
    """Return the validator of autoencoders: AP (which decides) and AUC of their scores."""

    def validator(network: nn.Module) -> dict[str, float]:
        scores = score_windows(network, validation.windows)
        if not np.isfinite(scores).all():
            raise FloatingPointError("validation scores")
        return {
            "ap": average_precision(scores, validation.anomalous),
            "auc": roc_auc(scores, validation.anomalous),
        }

    return validator


@torch.no_grad()
def score_windows(network: nn.Module, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smoothed score of windows float32[n, 320] by an autoencoder, float32[n].

    The network runs on its device, in float32 and, from now on, in evaluation mode.
    """
    device = next(network.parameters()).device
    network.eval()
    scores = [
        smoothed_score((x := part.to(device)) - network(x[:, None])[:, 0]).cpu().numpy()
        for part in torch.from_numpy(windows).split(EVALUATION_BATCH)
    ]
    return np.concatenate(scores)
