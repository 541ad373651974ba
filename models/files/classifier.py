"""The trained classifier as two files: ``classifier.safetensors`` and ``classifier.json``.

As for the student (`models.files.student`), the JSON describes the classifier and holds the SHA-256
of the weights. Loading checks all of it before a beat is classified, and refuses with an
`ArtifactError` that says what differs and what to do. The files hold no pickle and no code.

The weights are those of `models.nets.classifier.ResNeXt` with each BatchNorm folded into its
convolution, in PyTorch's layout, float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.files.model_file import (
    Tensors,
    TrainingSettings,
    WeightsKind,
    read_training,
    read_weights,
    write_weights,
)
from models.files.strict_json import JsonObject, to_json
from models.files.student import INPUT as WINDOW_INPUT
from models.files.student import SHIPPED_STUDENT
from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS, MEASURE_NAMES

SHIPPED_CLASSIFIER: Final = SHIPPED_STUDENT.with_name("classifier.json")

GROUPS: Final = 32
"""Groups of each stage's middle convolution: the cardinality of ResNeXt."""

STEM_KERNEL: Final = 12
STEM_STRIDE: Final = 4
STEM_WIDTH: Final = 16
SKIP_WIDTH: Final = 4
"""Channels that the skip connection from the window adds to each stage."""

INNER_WIDTHS: Final = (32, 32, 32)
"""Channels inside the block of each stage; multiples of `GROUPS`."""

WIDTHS: Final = (24, 32, 32)
"""Channels at the end of the block of each stage."""

STEM_SAMPLES: Final = WINDOW_SAMPLES // STEM_STRIDE
LAST_SAMPLES: Final = STEM_SAMPLES >> len(WIDTHS)
FLAT_WIDTH: Final = 8
CONTEXT_WIDTH: Final = 32
HEAD_WIDTH: Final = 32
LEAK: Final = 0.1

# What the program does to a beat before the classifier sees it. Other inputs would be classified
# wrongly without failing.
INPUT: Final[JsonObject] = {
    **WINDOW_INPUT,
    "context": [MEASURE_NAMES[column] for column in CONTEXT_COLUMNS],
    "classes": list(CLASSES),
}

NETWORK: Final[JsonObject] = {
    "groups": GROUPS,
    "stem_width": STEM_WIDTH,
    "given_width": SKIP_WIDTH,
    "inner_widths": list(INNER_WIDTHS),
    "widths": list(WIDTHS),
    "flat_width": FLAT_WIDTH,
    "context_width": CONTEXT_WIDTH,
    "head_width": HEAD_WIDTH,
}

KIND: Final = WeightsKind(
    model="resnext-classifier",
    format=2,
    input=INPUT,
    network=NETWORK,
    remedy="install this version's weights again, or train them with `monitor train classifier`",
)


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(TrainingSettings):
    """What decides the outcome of the classifier's training."""

    optimiser: str
    beats_sha256: str
    """Of the windows, contexts and classes that train it."""


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(ClassifierSettings):
    """Where the weights of a classifier come from."""

    records: Mapping[str, tuple[str, ...]]
    """By database."""
    beats: Mapping[str, int]
    """Number of beats of each class."""
    class_weights: Mapping[str, float]
    focus: float
    """Gamma of the focal loss."""
    most_of_a_record: Mapping[str, int]
    """Beats of a record in an epoch: of class N, of each of the ``others``, and of a record of
    which the rhythm alone is known."""
    epoch: int
    """The one that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierArtifact:
    """A classifier that passed every check."""

    training: ClassifierTraining
    tensors: Tensors
    """Exactly those of `tensor_shapes`."""
    sha256: str = ""
    """Of the weights file; `load_classifier` fills it in."""


def stage_inputs() -> tuple[int, ...]:
    """Return how many channels enter each stage, and the flattening after the last."""
    return (STEM_WIDTH, *(width + SKIP_WIDTH for width in WIDTHS))


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of the classifier."""
    shapes: dict[str, tuple[int, ...]] = {
        "window.weight": (STEM_WIDTH + len(WIDTHS) * SKIP_WIDTH, 1, STEM_KERNEL)
    }
    inputs = stage_inputs()
    for stage, (inner, width) in enumerate(zip(INNER_WIDTHS, WIDTHS, strict=True)):
        prefix = f"stages.{stage}"
        shapes[f"{prefix}.reduce.weight"] = (inner, inputs[stage], 1)
        shapes[f"{prefix}.grouped.weight"] = (inner, inner // GROUPS, 3)
        shapes[f"{prefix}.expand.weight"] = (width, inner, 1)
        shapes[f"{prefix}.shortcut.weight"] = (width, inputs[stage], 1)
    shapes["flat.weight"] = (FLAT_WIDTH, inputs[-1] * LAST_SAMPLES)
    shapes["context.weight"] = (CONTEXT_WIDTH, len(CONTEXT_COLUMNS))
    shapes["join.weight"] = (HEAD_WIDTH, FLAT_WIDTH + CONTEXT_WIDTH)
    shapes["head.weight"] = (len(CLASSES), HEAD_WIDTH)
    biases = {name.replace("weight", "bias"): (shape[0],) for name, shape in shapes.items()}
    return shapes | biases


def save_classifier(artifact: ClassifierArtifact, description: Path) -> str:
    """Write the weights and then ``description`` (a ``.json`` path); return the SHA-256.

    Each file replaces its predecessor in one step; between the two, a reader refuses the pair.

    Raises:
        ArtifactError: the tensors are not those of `tensor_shapes`, or the files cannot be written.
    """
    parts = {"training": to_json(artifact.training), "metrics": {}}
    return write_weights(KIND, parts, artifact.tensors, tensor_shapes(), description)


def load_classifier(description: Path = SHIPPED_CLASSIFIER) -> ClassifierArtifact:
    """Read a classifier and check all of it.

    Args:
        description: the ``.json`` file; the weights lie beside it.

    Raises:
        ArtifactError: anything is missing, altered, or made for something else.
    """
    files = read_weights(KIND, lambda _: tensor_shapes(), description)
    return ClassifierArtifact(
        training=read_training(ClassifierTraining, KIND, files, description),
        tensors=files.tensors,
        sha256=files.sha256,
    )
