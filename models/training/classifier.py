"""Train the classifier on the patients of DS1.

    monitor train classifier --data DIR

The beats are those that the stream finds (`models.data.detected_beats`). An epoch uses a limited
number of beats of each record and class, drawn again for each batch, so that neither the many
normal beats nor the patients with many ectopic beats dominate. The loss is the focal loss; the
optimiser is AdaBound (Luo et al., ICLR 2019), or AdamW with a one-cycle schedule.

The settings were chosen by cross-validation on patients of DS1
(`models.experiments.classifier_folds`). The training itself holds out no patient to choose an
epoch: few patients have supraventricular beats, and the training needs them. It keeps the epoch
that fits the training patients best, which is one of the last. Cross-validation finds no
difference between the optimisers beyond that between seeds.

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

from models.data.detected_beats import (
    DetectedRecord,
    TrainingBeats,
    detect_all,
    training_beats,
)
from models.data.mitdb import DATABASE, DS1, database_folder
from models.files.classifier import (
    ClassifierArtifact,
    ClassifierSettings,
    ClassifierTraining,
    save_classifier,
)
from models.measure.metrics import average_precision
from models.nets.classifier import ResNeXt, focal_loss, folded_classifier
from models.training.checkpoint import read_checkpoint, restore_network, settings_in
from models.training.config import TrainingConfig, chosen_device, settings_of
from models.training.find_lr import RangeTest, find_rate
from models.training.progress import Progress
from models.training.run import EVALUATION_BATCH, TrainingRun, Validator, constant, one_cycle
from pipeline.constants import CLASSES
from pipeline.errors import ConfigError, InputError

OPTIMISERS: Final = ("adabound", "adamw")

FINAL_RATE: Final = 0.1
"""Of AdaBound: the rate of gradient descent that its bounds converge to."""

CLASS_WEIGHTS: Final = {"N": 1.0, "S": 2.0, "V": 1.0, "F": 1.0}
"""Of the focal loss."""

FOCUS: Final = 2.0
"""Gamma of the focal loss."""

MAX_NORMAL: Final = 200
MAX_OTHERS: Final = 150
"""Most beats of a record and class in an epoch: of class N, of every other class."""

SHIFT_TICKS: Final = 3
"""Windows are shifted by up to this much, as the detector's R peak is not the annotator's."""

WINDOW_NOISE: Final = 0.05
"""Highest standard deviation of the noise that is added to windows."""

FOLDS: Final = (
    ("209", "106", "203", "101", "122"),
    ("201", "119", "118", "115", "215", "230"),
    ("207", "223", "116", "112", "108"),
    ("220", "208", "124", "109", "114", "205"),
)
"""DS1 in four parts, divided by hand so that each has patients with S and with V beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(TrainingConfig):
    """How the classifier is trained."""

    split: str = "ds1"
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 1e-3
    """Of AdaBound; for AdamW the top of the one-cycle schedule."""
    optimiser: str = "adabound"
    """One of `OPTIMISERS`."""
    held_out: int | None = None
    """Index of the part of `FOLDS` that is left out; None: train on all of DS1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        TrainingConfig.__post_init__(self)
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(
                f"there is no optimiser {self.optimiser!r:.40}: choose one of "
                f"{', '.join(OPTIMISERS)}"
            )
        if self.split != "ds1":
            raise ConfigError(f"the classifier trains on ds1, not on {self.split!r:.40}")
        if self.held_out is not None and not 0 <= self.held_out < len(FOLDS):
            raise ConfigError(f"there is no fold {self.held_out}: choose one of 0 to 3")

    @property
    def records(self) -> tuple[str, ...]:
        """The records to train on."""
        held_out = () if self.held_out is None else FOLDS[self.held_out]
        return tuple(name for name in DS1 if name not in held_out)


def train_classifier(config: ClassifierConfig, progress: Progress) -> Path:
    """Train the classifier; return its finished ``classifier.json``.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: the loss is no longer finite, or the folder holds another run.
    """
    records = detect_all(database_folder(config.data), config.records)
    best = fit_classifier(config, records, progress)
    return finish_classifier(best, config, records)


def find_classifier_rate(config: ClassifierConfig, progress: Progress) -> RangeTest:
    """Run the learning-rate range test instead.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: no rate could be found.
    """
    records = detect_all(database_folder(config.data), config.records)
    return find_rate(classifier_run(config, training_beats(records)), progress)


def finish_classifier(
    best: Path, config: ClassifierConfig, records: Sequence[DetectedRecord]
) -> Path:
    """Write the files of the checkpoint ``best`` into the run's folder; return the JSON."""
    checkpoint = read_checkpoint(best)
    settings = settings_in(ClassifierSettings, checkpoint, best)
    counts = {
        name: int(sum((r.analysable & (r.classes == name)).sum() for r in records))
        for name in CLASSES
    }
    training = ClassifierTraining(
        **vars(settings),
        database=DATABASE,
        records=tuple(record.name for record in records),
        beats=counts,
        class_weights=CLASS_WEIGHTS,
        focus=FOCUS,
        most_of_a_record={"N": MAX_NORMAL, "others": MAX_OTHERS},
        epoch=checkpoint.state.best_epoch,
    )
    artifact = ClassifierArtifact(training=training, tensors=folded_classifier(load_network(best)))
    description = config.folder / "classifier.json"
    save_classifier(artifact, description)
    return description


def load_network(checkpoint: Path) -> ResNeXt:
    """Return the network of a ``best.safetensors``, in evaluation mode, on the CPU.

    Raises:
        ArtifactError: the checkpoint is missing or not a classifier's.
    """
    network = ResNeXt()
    restore_network(network, "classifier", read_checkpoint(checkpoint).tensors)
    return network.eval()


def fit_classifier(
    config: ClassifierConfig, records: Sequence[DetectedRecord], progress: Progress
) -> Path:
    """Train on these records; return the file of the best epoch."""
    beats = training_beats(records)
    return classifier_run(config, beats).finish(_validator(beats, config), progress)


def classifier_run(config: ClassifierConfig, beats: TrainingBeats) -> TrainingRun:
    """Return the training that `fit_classifier` runs, before its first step."""
    trainer = ClassifierTrainer(config, beats)
    return TrainingRun(
        config=config,
        settings=settings_of(
            ClassifierSettings, config, beats.windows, beats.context, beats.classes
        ),
        networks={"classifier": trainer.network},
        optimisers={"optimiser": trainer.optimiser},
        validated="classifier",
        beats=trainer.slots,
        train_batch=trainer.train_batch,
        schedule=one_cycle if config.optimiser == "adamw" else constant,
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
        first, size = self._groups[self._group_of_slot[slots]].unbind(dim=1)
        return first + (torch.rand(len(slots), generator=rng) * size).long().clamp(max=size - 1)


def _slots(beats: TrainingBeats) -> NDArray[np.int64]:
    """Return the group of each slot: one for each beat, up to `MAX_NORMAL` or `MAX_OTHERS`."""
    normal = beats.classes[beats.groups[:, 0]] == CLASSES.index("N")
    most = np.where(normal, MAX_NORMAL, MAX_OTHERS)
    return np.repeat(np.arange(len(beats.groups)), np.minimum(beats.groups[:, 1], most))


def _optimiser(config: ClassifierConfig, network: nn.Module) -> torch.optim.Optimizer:
    if config.optimiser == "adamw":
        return torch.optim.AdamW(network.parameters(), config.learning_rate)
    try:
        from pytorch_optimizer import AdaBound
    except ImportError:
        raise ConfigError(
            "AdaBound is not installed: pip install 'ecg-monitor[train]', or train with adamw"
        ) from None
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
    most = np.bincount(_slots(beats), minlength=len(beats.groups))
    rows = np.concatenate(
        [
            first + random.permutation(size)[:n]
            for (first, size), n in zip(beats.groups.tolist(), most.tolist(), strict=True)
        ]
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
