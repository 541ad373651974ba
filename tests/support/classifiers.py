"""Small trees, networks and training records for the tests of the classifier."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.data.training_beats import ANNOTATED, TrainingRecord
from models.files.beat_trees import INPUT_COLUMNS, BeatTreesArtifact, BeatTreesTraining
from models.files.classifier import ClassifierArtifact, ClassifierTraining, tensor_shapes
from models.training.beat_classifier import ClassifierParts
from pipeline.constants import CLASSES, MEASURES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS

TREES_TRAINING = BeatTreesTraining(
    records={"mitdb": ("101",)},
    beats={"N": 1, "S": 1, "V": 1, "F": 1},
    rounds=1,
    leaves=2,
    learning_rate=0.1,
    ridge=0.0,
    least_in_leaf=1,
    features_at_a_split=1.0,
    synthetic_weight=0.0,
    rhythm_weights={"normal": 0.1},
    seed=0,
    library="by hand",
    measures_sha256="0" * 64,
)

NETWORK_TRAINING = ClassifierTraining(
    epochs=1,
    batch=2,
    learning_rate=0.1,
    split="ds1",
    seed=0,
    patience=None,
    bf16=False,
    optimiser="adabound",
    beats_sha256="0" * 64,
    records={"mitdb": ("101",)},
    beats={"N": 1, "S": 1, "V": 1, "F": 1},
    class_weights={"N": 1.0, "S": 1.0, "V": 1.0, "F": 1.0},
    focus=2.0,
    most_of_a_record={"N": 1, "others": 1},
    epoch=1,
)


def stumps(
    records: Mapping[str, tuple[str, ...]] | None = None, **changed: list[float]
) -> BeatTreesArtifact:
    """Return a tree a class: above 0.5 of the first measure the answer is class S."""
    arrays = {
        "roots": [0.0, 1.0, 4.0, 5.0],
        "baseline": [0.0, 0.0, 0.0, 0.0],
        "feature": [-1.0, 0.0, -1.0, -1.0, -1.0, -1.0],
        "threshold": [0.0, 0.5, 0.0, 0.0, 0.0, 0.0],
        "left": [0.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        "right": [0.0, 3.0, 0.0, 0.0, 0.0, 0.0],
        "value": [1.0, 0.0, -1.0, 3.0, 0.0, 0.0],
    } | changed
    return BeatTreesArtifact(
        training=replace(TREES_TRAINING, records=records or TREES_TRAINING.records),
        tensors={name: np.array(values, dtype=np.float32) for name, values in arrays.items()},
    )


def network(
    records: Mapping[str, tuple[str, ...]] | None = None, *, seed: int | None = None
) -> ClassifierArtifact:
    """Return a network of zeros, for which all classes are alike, or of small random weights."""
    random = np.random.default_rng(seed)
    return ClassifierArtifact(
        training=replace(NETWORK_TRAINING, records=records or NETWORK_TRAINING.records),
        tensors={
            name: (np.zeros(shape) if seed is None else random.normal(0, 0.3, size=shape)).astype(
                np.float32
            )
            for name, shape in tensor_shapes().items()
        },
    )


def save_parts(folder: Path, records: Mapping[str, tuple[str, ...]]) -> Path:
    """Write trees and a network that say that they were trained on these records."""
    ClassifierParts(stumps(records), network(records)).save(folder)
    return folder


def training_record(
    name: str,
    classes: str,
    *,
    kind: str = ANNOTATED,
    database: str = "mitdb",
    seed: int = 0,
) -> TrainingRecord:
    """Return beats whose class shows in a hump of the window, in a measure and in the context."""
    kinds = np.array(list(classes))
    random = np.random.default_rng(seed)
    number = np.array([CLASSES.index(one) for one in classes])
    hump = np.exp(-(((np.arange(WINDOW_SAMPLES) - 140) / 12) ** 2))
    windows = np.outer(0.2 + 0.2 * number, hump)
    windows += 0.01 * random.standard_normal(windows.shape)
    measures = random.standard_normal((kinds.size, MEASURES))
    for column in (INPUT_COLUMNS[0], *CONTEXT_COLUMNS[:1]):
        measures[:, column] += 4 * number
    return TrainingRecord(
        name=name,
        database=database,
        kind=kind,
        windows=windows.astype(np.float32),
        measures=measures.astype(np.float32),
        classes=kinds,
        usable=np.ones(kinds.size, dtype=bool),
    )
