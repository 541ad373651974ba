"""Train the network of the classifier.

The beats are those of `models.data.training_beats`, without the streams of heavy ectopy, which cost
more than they bring here. An epoch uses a limited
number of beats of each record and class, drawn again for each batch, so that neither the many
normal beats nor the patients with many ectopic beats dominate. The loss is the focal loss; the
optimiser is AdaBound (Luo et al., ICLR 2019).

The training itself holds out no patient to choose an
epoch: few patients have supraventricular beats, and the training needs them. It keeps the epoch
that fits the training patients best, which is one of the last.

The training runs on CUDA where there is one and on the CPU otherwise. It writes a checkpoint after
each epoch and continues from it (`models.training.run`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.data.training_beats import (
    FIBRILLATION,
    NORMAL_RHYTHM,
    OTHER_VIEW,
    TrainingRecord,
)
from models.files.classifier import (
    ClassifierArtifact,
    ClassifierSettings,
    ClassifierTraining,
)
from models.measure.metrics import average_precision
from models.nets.classifier import ResNeXt, focal_loss, folded_classifier
from models.training.checkpoint import read_checkpoint, restore_network, settings_in
from models.training.config import TrainingConfig, chosen_device, settings_of
from models.training.progress import Progress
from models.training.run import EVALUATION_BATCH, TrainingRun, Validator, constant
from pipeline.constants import CLASSES
from pipeline.errors import ConfigError, InputError
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS

FINAL_RATE: Final = 0.1
"""Of AdaBound: the rate of gradient descent that its bounds converge to."""

CLASS_WEIGHTS: Final = {"N": 1.0, "S": 2.0, "V": 1.0, "F": 1.0}
"""Of the focal loss."""

FOCUS: Final = 2.0
"""Gamma of the focal loss."""

MAX_NORMAL: Final = 200
MAX_OTHERS: Final = 150
"""Most beats of a record and class in an epoch: of class N, of every other class."""

MOST_OF_A_VIEW: Final = {"N": 100, "others": 75}
"""The same of another view of a record."""

MOST_OF_A_RHYTHM: Final = {NORMAL_RHYTHM: 4, FIBRILLATION: 25}
"""Of a record of which the rhythm alone is known."""

SHIFT_TICKS: Final = 3
"""Windows are shifted by up to this much, as the detector's R peak is not the annotator's."""

WINDOW_NOISE: Final = 0.05
"""Highest standard deviation of the noise that is added to windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(TrainingConfig):
    """How the classifier is trained."""

    split: str = "ds1"
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBeats:
    """Beats to train on, one row each, ordered by group."""

    windows: NDArray[np.float32]
    context: NDArray[np.float32]
    classes: NDArray[np.int64]
    """Index into `pipeline.constants.CLASSES`."""
    groups: NDArray[np.int64]
    """int64[groups, 3]: first row and number of rows of each record's beats of each class, and how
    many of them an epoch has."""


def training_beats(records: Sequence[TrainingRecord]) -> TrainingBeats:
    """Collect the beats of these records, record by record and class by class."""
    windows, context, classes, groups = [], [], [], []
    first = 0
    for record in records:
        for number, name in enumerate(CLASSES):
            rows = record.rows(number)
            if not rows.size:
                continue
            windows.append(record.windows[rows])
            context.append(record.measures[rows][:, CONTEXT_COLUMNS])
            classes.append(np.full(rows.size, number, dtype=np.int64))
            groups.append((first, rows.size, min(rows.size, _most(record.kind, name))))
            first += rows.size
    return TrainingBeats(
        windows=np.concatenate(windows),
        context=np.concatenate(context),
        classes=np.concatenate(classes),
        groups=np.array(groups, dtype=np.int64),
    )


def _most(kind: str, name: str) -> int:
    """Return how many beats of a class an epoch has at most, of a record of this kind."""
    most = MOST_OF_A_VIEW if kind == OTHER_VIEW else {"N": MAX_NORMAL, "others": MAX_OTHERS}
    return MOST_OF_A_RHYTHM.get(kind, most["N" if name == "N" else "others"])


def fit_classifier(
    config: ClassifierConfig,
    records: Sequence[TrainingRecord],
    names: Mapping[str, tuple[str, ...]],
    progress: Progress,
) -> ClassifierArtifact:
    """Train the network; return it with BatchNorm folded, ready for inference.

    Args:
        config: how; an interrupted training continues from the checkpoints in its folder.
        records: with beats of every class.
        names: the records by database, for the description.
        progress: called within each epoch and after it.

    Raises:
        InputError: the records lack beats of a class.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    beats = training_beats(records)
    best = classifier_run(config, beats).finish(_validator(beats, config), progress)
    checkpoint = read_checkpoint(best)
    settings = settings_in(ClassifierSettings, checkpoint, best)
    counted = np.bincount(beats.classes, minlength=len(CLASSES)).tolist()
    training = ClassifierTraining(
        **vars(settings),
        records=names,
        beats=dict(zip(CLASSES, counted, strict=True)),
        class_weights=CLASS_WEIGHTS,
        focus=FOCUS,
        most_of_a_record={
            "N": MAX_NORMAL,
            "others": MAX_OTHERS,
            **{f"{OTHER_VIEW}, {name}": most for name, most in MOST_OF_A_VIEW.items()},
            **MOST_OF_A_RHYTHM,
        },
        epoch=checkpoint.state.best_epoch,
    )
    return ClassifierArtifact(training=training, tensors=folded_classifier(load_network(best)))


def load_network(checkpoint: Path) -> ResNeXt:
    """Return the network of a ``best.safetensors``, in evaluation mode, on the CPU.

    Raises:
        ArtifactError: the checkpoint is missing or not a classifier's.
    """
    network = ResNeXt()
    restore_network(network, "classifier", read_checkpoint(checkpoint).tensors)
    return network.eval()


def classifier_run(config: ClassifierConfig, beats: TrainingBeats) -> TrainingRun:
    """Return the training of the network, before its first step."""
    trainer = ClassifierTrainer(config, beats)
    return TrainingRun(
        config=config,
        settings=settings_of(
            ClassifierSettings,
            config,
            beats.windows,
            beats.context,
            beats.classes,
            optimiser="adabound",
        ),
        networks={"classifier": trainer.network},
        optimisers={"optimiser": trainer.optimiser},
        validated="classifier",
        beats=trainer.slots,
        train_batch=trainer.train_batch,
        schedule=constant,
    )


class ClassifierTrainer:
    """The classifier, its optimiser, and its step on a batch."""

    def __init__(self, config: ClassifierConfig, beats: TrainingBeats) -> None:
        """Draw the weights and move everything to the device."""
        self._device = chosen_device(config.device)
        with torch.random.fork_rng(devices=[]):
            # On the CPU, whose random numbers are the same everywhere.
            torch.manual_seed(config.seed)
            self.network = ResNeXt()
        self.network.to(self._device)
        self.optimiser = _optimiser(config, self.network)
        self._windows = torch.from_numpy(beats.windows)
        self._context = torch.from_numpy(beats.context)
        self._classes = torch.from_numpy(beats.classes)
        self._weights = torch.tensor([CLASS_WEIGHTS[name] for name in CLASSES]).to(self._device)
        self._groups = torch.from_numpy(beats.groups)
        self._group_of_slot = torch.from_numpy(_slots(beats))
        self.slots = len(self._group_of_slot)
        """Number of rows in an epoch. A slot belongs to a group; each time it stands for a beat of
        the group drawn at random."""

    def train_batch(
        self, run: TrainingRun, slots: Tensor, rng: torch.Generator
    ) -> dict[str, float]:
        """Take one step on these slots; return the loss."""
        rows = self._rows(slots, rng)
        windows = augmented(self._windows[rows], rng).to(self._device)
        context, classes = self._context[rows].to(self._device), self._classes[rows]
        with run.autocast():
            logits = self.network(windows[:, None], context, rng)
        loss = focal_loss(logits.float(), classes.to(self._device), self._weights, FOCUS)
        run.step("optimiser", loss)
        return {"focal": loss.item()}

    def _rows(self, slots: Tensor, rng: torch.Generator) -> Tensor:
        first, size, _ = self._groups[self._group_of_slot[slots]].unbind(dim=1)
        return first + (torch.rand(len(slots), generator=rng) * size).long().clamp(max=size - 1)


def _slots(beats: TrainingBeats) -> NDArray[np.int64]:
    """Return the group of each slot, as many slots as an epoch has beats of the group."""
    return np.repeat(np.arange(len(beats.groups)), beats.groups[:, 2])


def _optimiser(config: ClassifierConfig, network: nn.Module) -> torch.optim.Optimizer:
    try:
        from pytorch_optimizer import AdaBound
    except ImportError:
        raise ConfigError("AdaBound is not installed: pip install 'ecg-monitor[train]'") from None
    # The library scales the final rate with the current one; the ratio of 100 is Luo et al.'s.
    return AdaBound(
        network.parameters(), config.learning_rate, final_lr=FINAL_RATE, weight_decay=1e-2
    )


def augmented(windows: Tensor, rng: torch.Generator) -> Tensor:
    """Return windows [B, 320] shifted by a few ticks, with repeated end values, and with noise."""
    beats, ticks = windows.shape
    shift = torch.randint(-SHIFT_TICKS, SHIFT_TICKS + 1, (beats, 1), generator=rng)
    shifted = windows.gather(1, (torch.arange(ticks) + shift).clamp(0, ticks - 1))
    strength = WINDOW_NOISE * torch.rand(beats, 1, generator=rng)
    return shifted + strength * torch.randn(beats, ticks, generator=rng)


@torch.no_grad()
def probabilities_of(
    network: nn.Module, windows: NDArray[np.float32], context: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the class probabilities float32[n, 4] of a network, on its device.

    The network is in evaluation mode from now on.
    """
    device = next(network.parameters()).device
    network.eval()
    parts = [
        torch.softmax(network(w.to(device)[:, None], c.to(device)), dim=1).cpu().numpy()
        for w, c in zip(
            torch.from_numpy(windows).split(EVALUATION_BATCH),
            torch.from_numpy(context).split(EVALUATION_BATCH),
            strict=True,
        )
    ]
    return np.concatenate(parts)


def _validator(beats: TrainingBeats, config: ClassifierConfig) -> Validator:
    """Return the validator: AP of S and V on as many training beats as an epoch has."""
    random = np.random.RandomState(config.seed)
    rows = np.concatenate(
        [first + random.permutation(size)[:most] for first, size, most in beats.groups.tolist()]
    )
    classes = beats.classes[rows]
    for name in ("S", "V"):
        if not (classes == CLASSES.index(name)).any():
            raise InputError(f"the records to train on hold no beat of class {name}: add one")

    def validator(network: nn.Module) -> Mapping[str, float]:
        found = probabilities_of(network, beats.windows[rows], beats.context[rows])
        if not np.isfinite(found).all():
            raise FloatingPointError("probabilities")
        of = {
            name: average_precision(found[:, number], classes == number)
            for number, name in enumerate(CLASSES)
            if name in ("S", "V")
        }
        return {"ap": (of["S"] + of["V"]) / 2, "ap_s": of["S"], "ap_v": of["V"]}

    return validator
