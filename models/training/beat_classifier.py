"""Train the classifier of every beat: its trees and its network, on the same patients.

    monitor train classifier --data DIR

`models.training.beat_trees` and `models.training.classifier` say how each is trained,
`models.inference.beat_classifier` how they are joined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from models.data.training_beats import STREAM, TrainingRecord
from models.files.beat_trees import SHIPPED_TREES, BeatTreesArtifact, save_beat_trees
from models.files.classifier import SHIPPED_CLASSIFIER, ClassifierArtifact, save_classifier
from models.inference.beat_classifier import BeatClassifier
from models.inference.beat_trees import BeatTrees
from models.inference.classifier import ClassifierScorer
from models.training.beat_trees import BeatTreesConfig, beats_to_learn, fit_beat_trees
from models.training.classifier import ClassifierConfig, fit_classifier
from models.training.progress import Progress


class ClassifierParts(NamedTuple):
    """Trees and network, trained on the same patients."""

    trees: BeatTreesArtifact
    network: ClassifierArtifact

    @property
    def classifier(self) -> BeatClassifier:
        """The two, ready to name beats."""
        return BeatClassifier(BeatTrees(self.trees), ClassifierScorer(self.network))

    def save(self, folder: Path) -> list[Path]:
        """Write the files of both into a folder; return their descriptions.

        Raises:
            ConfigError: the files cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        trees = folder / SHIPPED_TREES.name
        network = folder / SHIPPED_CLASSIFIER.name
        save_beat_trees(self.trees, trees)
        save_classifier(self.network, network)
        return [trees, network]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatClassifierConfig:
    """How trees and network are trained."""

    trees: BeatTreesConfig
    network: ClassifierConfig


def classifier_config(
    data: Path, folder: Path, *, seed: int = 0, device: str = "auto"
) -> BeatClassifierConfig:
    """Return how the classifier that ships is trained.

    Args:
        data: folder of the records.
        folder: for the checkpoints.
        seed: of all random numbers.
        device: where the network is trained.
    """
    return BeatClassifierConfig(
        trees=BeatTreesConfig(seed=seed),
        network=ClassifierConfig(data=data, folder=folder, seed=seed, device=device),
    )


def fit(
    records: Sequence[TrainingRecord],
    names: Mapping[str, tuple[str, ...]],
    config: BeatClassifierConfig,
    progress: Progress,
) -> ClassifierParts:
    """Train on these records.

    Args:
        records: with beats of every class.
        names: the records by database, for the descriptions.
        config: how; the network continues from the checkpoints in its folder.
        progress: called within each epoch of the network and after it.

    Raises:
        InputError: the records lack beats of a class.
        ConfigError: scikit-learn or pytorch_optimizer is not installed, a loss is no longer
            finite, or the folder holds another run.
    """
    learned = beats_to_learn(records, config.trees)
    trees = fit_beat_trees(learned, config.trees, names)
    recorded = [record for record in learned if record.kind != STREAM]
    return ClassifierParts(trees, fit_classifier(config.network, recorded, names, progress))
