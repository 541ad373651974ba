"""The trees that name every beat as two files: ``beat_trees.safetensors`` and ``beat_trees.json``.

As for the classifier (`models.files.classifier`), the JSON describes the trees and holds the
SHA-256 of the arrays. Loading checks all of it, that no walk can leave the arrays or go in a circle
among it, and refuses with an `ArtifactError`. The files hold no pickle and no code.

The nodes of all trees lie in a row: one asks for a ``feature``, and goes ``left`` where it is at
most the ``threshold``, otherwise ``right``; a leaf asks for feature -1 and has a ``value``. The
whole numbers are float32 as well, as in every file of weights, and exact up to 2**24.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.files.model_file import (
    Tensors,
    WeightsKind,
    read_training,
    read_weights,
    write_weights,
)
from models.files.strict_json import JsonObject, to_json
from models.files.student import INPUT as WINDOW_INPUT
from models.files.student import SHIPPED_STUDENT
from pipeline.constants import CLASSES
from pipeline.errors import ArtifactError
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS, MEASURE_NAMES

SHIPPED_TREES: Final = SHIPPED_STUDENT.with_name("beat_trees.json")

MOST_TREES: Final = 4_000
MOST_NODES: Final = 60_000

INPUT_COLUMNS: Final = tuple(
    column for column in range(len(MEASURE_NAMES)) if column not in CONTEXT_COLUMNS
)
INPUT_NAMES: Final = tuple(MEASURE_NAMES[column] for column in INPUT_COLUMNS)
"""What the trees see of a beat, in this order: all but what the network sees."""

NODE_ARRAYS: Final = ("feature", "threshold", "left", "right", "value")

KIND: Final = WeightsKind(
    model="beat-trees",
    format=2,
    input={**WINDOW_INPUT, "features": list(INPUT_NAMES), "classes": list(CLASSES)},
    network={},
    remedy="install this version's weights again, or train them with `monitor train classifier`",
)


@dataclass(frozen=True, kw_only=True)
class BeatTreesTraining:
    """Where trees come from: what decides the outcome of their training."""

    records: Mapping[str, tuple[str, ...]]
    """By database."""
    beats: Mapping[str, int]
    """Number of beats of each class that were drawn."""
    rounds: int
    """Each adds a tree a class."""
    leaves: int
    learning_rate: float
    ridge: float
    least_in_leaf: int
    features_at_a_split: float
    """Share of the measures that each split chooses from, drawn at random."""
    synthetic_weight: float
    """Of a beat of a stream of heavy ectopy, beside one of a record; 0 without such streams."""
    rhythm_weights: Mapping[str, float]
    """Of a beat of a record of which the rhythm alone is known, by the name of the rhythm."""
    seed: int
    library: str
    """What trained them, and its version."""
    measures_sha256: str
    """Of the measures, classes and weights that trained them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatTreesArtifact:
    """Trees that passed every check."""

    training: BeatTreesTraining
    tensors: Tensors
    """Those of `tensor_shapes`."""
    sha256: str = ""
    """Of the arrays' file; `load_beat_trees` fills it in."""


def tensor_shapes(trees: int, nodes: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every array."""
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(NODE_ARRAYS, (nodes,))
    return {"roots": (trees,), "baseline": (len(CLASSES),), **shapes}


def save_beat_trees(artifact: BeatTreesArtifact, description: Path) -> str:
    """Write the arrays and then ``description`` (a ``.json`` path); return the SHA-256.

    Raises:
        ArtifactError: the arrays do not make trees, or the files cannot be written.
    """
    tensors = artifact.tensors
    trees, nodes = tensors["roots"].size, tensors["feature"].size
    _check_nodes(tensors, description)
    parts = {
        "network": {"trees": trees, "nodes": nodes},
        "training": to_json(artifact.training),
        "metrics": {},
    }
    return write_weights(KIND, parts, tensors, tensor_shapes(trees, nodes), description)


def load_beat_trees(description: Path = SHIPPED_TREES) -> BeatTreesArtifact:
    """Read trees and check all of them.

    Args:
        description: the ``.json`` file; the arrays lie beside it.

    Raises:
        ArtifactError: anything is missing, altered, or made for something else.
    """
    files = read_weights(KIND, lambda network: _shapes(network, description), description)
    _check_nodes(files.tensors, description)
    return BeatTreesArtifact(
        training=read_training(BeatTreesTraining, KIND, files, description),
        tensors=files.tensors,
        sha256=files.sha256,
    )


def _shapes(network: JsonObject, description: Path) -> dict[str, tuple[int, ...]]:
    sizes = [network.get(name) for name in ("trees", "nodes")]
    trees, nodes = (size if type(size) is int else 0 for size in sizes)
    if set(network) != {"trees", "nodes"} or not (
        0 < trees <= MOST_TREES and 0 < nodes <= MOST_NODES and trees % len(CLASSES) == 0
    ):
        raise ArtifactError(f"{description} describes no trees: {network!r:.80}; {KIND.remedy}")
    return tensor_shapes(trees, nodes)


def _check_nodes(tensors: Tensors, description: Path) -> None:
    """Raise `ArtifactError` unless every walk stays within the arrays and ends."""
    place = np.arange(tensors["feature"].size)
    feature, left, right = (tensors[name] for name in ("feature", "left", "right"))
    inner = feature >= 0
    whole = all(
        (tensors[name] == np.floor(tensors[name])).all()
        for name in ("roots", "feature", "left", "right")
    )
    follows = all(
        (side > place)[inner].all() and (side >= 0).all() and (side < place.size).all()
        for side in (left, right)
    )
    within = bool(((feature >= -1) & (feature < len(INPUT_NAMES))).all())
    rooted = bool(((tensors["roots"] >= 0) & (tensors["roots"] < place.size)).all())
    if not (whole and follows and within and rooted):
        raise ArtifactError(f"{description} describes nodes that make no trees; {KIND.remedy}")
