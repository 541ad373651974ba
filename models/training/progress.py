"""What a training reports while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How far an epoch is."""

    epoch: int
    """Counts from 1."""
    epochs: int
    done: float
    """Share of the epoch, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """What one epoch came to."""

    epoch: int
    """Counts from 1."""
    epochs: int
    losses: Mapping[str, float]
    """Means over the epoch."""
    figures: Mapping[str, float]
    """Of the network on the validation part; the first decides which epoch is best."""
    rates: Mapping[str, float]
    """Learning rate of each optimiser in the last step."""
    best_epoch: int
    """The best so far."""
    seconds: float
    remark: str
    """What is wrong, or why this was the last epoch; mostly empty."""


Progress = Callable[[EpochReport | StepReport], None]
