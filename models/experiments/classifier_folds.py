"""Cross-validate the training of the classifier by patient, within DS1.

Every choice about the classifier is made here, so that DS2 decides nothing. Each of four parts of
DS1 is classified by a network that was trained on the other three; the counts are added up.

    monitor train optimisers --data DIR
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.data.detected_beats import DetectedRecord, detect_all
from models.data.mitdb import DS1, database_folder
from models.evaluation.protocols.classifier import (
    COUNTING,
    CrossValidation,
    OptimiserComparison,
    class_result,
    tables_of,
)
from models.files.atomic_write import write_atomically
from models.measure.result_json import to_json
from models.training.classifier import (
    FOLDS,
    ClassifierConfig,
    fit_classifier,
    load_network,
    probabilities_of,
)
from models.training.progress import Progress

COMPARED: Final[Mapping[str, float]] = {"adabound": 1e-3, "adamw": 3e-3}
"""Each optimiser with its best learning rate of those tried on DS1."""


class NetworkClassifier:
    """A trained network as a `models.inference.classifier.Classifier`."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def classify(
        self, windows: NDArray[np.float32], rr_context: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probabilities, float32[B, 4]."""
        return probabilities_of(self._network, windows, rr_context)


def cross_validate(
    config: ClassifierConfig, records: Sequence[DetectedRecord], progress: Progress
) -> CrossValidation:
    """Train once without each of `FOLDS` and classify that part.

    Args:
        config: of each training; its folder gets one folder a fold.
        records: all of DS1.
        progress: as in a training.

    Raises:
        ConfigError: as `models.training.classifier.train_classifier`.
    """
    named = {record.name: record for record in records}
    tables: dict[str, NDArray[np.int64]] = {}
    for fold, names in enumerate(FOLDS):
        one = dataclasses.replace(config, held_out=fold, folder=config.folder / f"fold-{fold}")
        best = fit_classifier(one, [named[name] for name in one.records], progress)
        classifier = NetworkClassifier(load_network(best))
        tables |= tables_of([named[name] for name in names], classifier)
    return CrossValidation(
        optimiser=config.optimiser,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        batch=config.batch,
        seed=config.seed,
        classes=class_result({name: tables[name] for name in DS1}),
    )


def compare_optimisers(
    configs: Sequence[ClassifierConfig], result: Path, progress: Progress
) -> Path:
    """Cross-validate each configuration and write the figures to ``result``, which is returned.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: as `cross_validate`, or the file cannot be written.
    """
    records = detect_all(database_folder(configs[0].data), DS1)
    comparison = OptimiserComparison(
        folds=[list(names) for names in FOLDS],
        counting=list(COUNTING),
        runs=[cross_validate(one, records, progress) for one in configs],
    )
    write_atomically(result, json.dumps(to_json(comparison), indent=2) + "\n")
    return result
