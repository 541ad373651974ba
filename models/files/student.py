"""The trained student as two files: ``student.safetensors`` and, beside it, ``student.json``.

The JSON holds the format version, input, network, score rule, training, metrics, and the SHA-256 of
the weights. Loading checks all of it before a single window is scored. It refuses a missing or
altered file, another window, rate, band or version, and tensors that are not exactly the expected
ones, with an `ArtifactError` that says what differs and what to do. The files hold no pickle and no
code.

The weights are those of the autoencoder with each BatchNorm folded into its convolution, in
PyTorch's layout, float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.files.model_file import (
    SHIPPED,
    Tensors,
    TrainingSettings,
    WeightsKind,
    read_training,
    read_weights,
    write_weights,
)
from models.files.strict_json import JsonObject, to_json
from pipeline.constants import BAND_PASS_HZ, SAMPLING_RATE_HZ, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.errors import ArtifactError

FORMAT: Final = 2
SHIPPED_STUDENT: Final = SHIPPED / "student.json"

MODEL: Final = "beatgan-student"
SCORE_RULE: Final = "mean square over some ticks of the residual after a moving average"

STAGES: Final = 5
"""Each stage of the network halves the window."""

BOTTLENECK_SAMPLES: Final = WINDOW_SAMPLES >> STAGES

MAX_WIDTH: Final = 64
MAX_SMOOTHING_TICKS: Final = 63

# What the program does to a signal before the student sees it. A student made for anything else
# would score nonsense without failing.
INPUT: Final[JsonObject] = {
    "window_samples": WINDOW_SAMPLES,
    "samples_before_r": WINDOW_BEFORE_R,
    "sampling_rate_hz": SAMPLING_RATE_HZ,
    "band_pass_hz": list(BAND_PASS_HZ),
    "scaling": "each window to [-1, 1] by its own extremes",
}

_RETRAIN: Final = "install this version's weights again, or train them with `monitor train student`"

_KIND: Final = WeightsKind(model=MODEL, format=FORMAT, input=INPUT, network={}, remedy=_RETRAIN)


@dataclass(frozen=True, kw_only=True)
class StudentSettings(TrainingSettings):
    """What decides the outcome of a student's training."""

    width: int
    latent: int
    target: str = "beat"
    """What it was trained to reconstruct, one of `models.training.student.TARGETS`."""
    method: str
    alpha: float
    beta: float
    temperature: float
    beats_sha256: str
    """Of the windows that train it."""
    teachers_sha256: tuple[str, ...] = ()
    """Of each teacher's checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSource:
    """A teacher that a student was distilled from."""

    config: JsonObject
    """The settings of its training."""
    best_epoch: int
    validation: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class StudentData:
    """What a student was trained on and by."""

    database: str
    records: tuple[str, ...]
    annotations_sha256: str
    """`models.data.annotated_beats.annotation_digest`: which beats were dealt out."""
    train_beats: int
    validation_beats: int
    teachers: tuple[TeacherSource, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudentTraining(StudentSettings, StudentData):
    """Where the weights of a student come from."""

    epoch: int
    """The best on the validation part, which was kept."""
    validation_ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentArtifact:
    """A student that passed every check."""

    width: int
    """Channels after the first stage; each later stage doubles them."""
    latent: int
    smoothing_ticks: int
    """Length of the moving average over the residual; odd."""
    scored_ticks: tuple[int, int]
    """The score counts the ticks from the first to before the second."""
    training: StudentTraining
    metrics: JsonObject
    """Figures on the test part, as they were measured after the training; none for a student of
    whole patients."""
    tensors: Tensors
    """Exactly those of `tensor_shapes`."""
    sha256: str = ""
    """Of the weights file; `load_student` fills it in."""


def tensor_shapes(width: int, latent: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of a student of this size."""
    widths = [width << stage for stage in range(STAGES)]
    shapes: dict[str, tuple[int, ...]] = {"encoder.0.weight": (width, 1, 4)}
    for stage in range(1, STAGES):
        shapes[f"encoder.{stage}.weight"] = (widths[stage], widths[stage - 1], 4)
        shapes[f"encoder.{stage}.bias"] = (widths[stage],)
    shapes["latent.weight"] = (latent, widths[-1], BOTTLENECK_SAMPLES)
    shapes["decoder.0.weight"] = (latent, widths[-1], BOTTLENECK_SAMPLES)
    shapes["decoder.0.bias"] = (widths[-1],)
    for stage in range(1, STAGES):
        shapes[f"decoder.{stage}.weight"] = (widths[-stage], widths[-stage - 1], 4)
        shapes[f"decoder.{stage}.bias"] = (widths[-stage - 1],)
    shapes["output.weight"] = (width, 1, 4)
    return shapes


def save_student(artifact: StudentArtifact, description: Path) -> str:
    """Write the weights and then ``description`` (a ``.json`` path); return the SHA-256.

    Each file replaces its predecessor in one step; between the two, a reader refuses the pair.

    Raises:
        ArtifactError: the tensors are not those of `tensor_shapes`, or the files cannot be written.
    """
    parts = {
        "network": {"width": artifact.width, "latent": artifact.latent},
        "score": {
            "rule": SCORE_RULE,
            "smoothing_ticks": artifact.smoothing_ticks,
            "first_tick": artifact.scored_ticks[0],
            "end_tick": artifact.scored_ticks[1],
        },
        "training": to_json(artifact.training),
        "metrics": artifact.metrics,
    }
    shapes = tensor_shapes(artifact.width, artifact.latent)
    return write_weights(_KIND, parts, artifact.tensors, shapes, description)


def load_student(description: Path = SHIPPED_STUDENT) -> StudentArtifact:
    """Read a student and check all of it.

    Args:
        description: the ``.json`` file; the weights lie beside it.

    Raises:
        ArtifactError: anything is missing, altered, or made for something else.
    """

    def size(network: JsonObject) -> tuple[int, int]:
        width = _whole(network, "width", 1, MAX_WIDTH, description)
        return width, _whole(network, "latent", 1, MAX_WIDTH, description)

    files = read_weights(_KIND, lambda network: tensor_shapes(*size(network)), description)
    width, latent = size(files.network)
    smoothing, scored_ticks = _score_rule(files.description.get("score"), description)
    return StudentArtifact(
        width=width,
        latent=latent,
        smoothing_ticks=smoothing,
        scored_ticks=scored_ticks,
        training=read_training(StudentTraining, _KIND, files, description),
        metrics=files.metrics,
        tensors=files.tensors,
        sha256=files.sha256,
    )


def _score_rule(score: object, path: Path) -> tuple[int, tuple[int, int]]:
    """Return the length of the moving average, and the first and the end of the scored ticks."""
    if not isinstance(score, dict):
        raise ArtifactError(f"{path} has no 'score'; {_RETRAIN}")
    if score.get("rule") != SCORE_RULE:
        raise ArtifactError(
            f"{path} scores by {score.get('rule')!r:.80}, this program by {SCORE_RULE!r}; "
            f"{_RETRAIN}"
        )
    smoothing = _whole(score, "smoothing_ticks", 1, MAX_SMOOTHING_TICKS, path)
    if smoothing % 2 == 0:
        raise ArtifactError(f"{path}: smoothing_ticks {smoothing} is even; {_RETRAIN}")
    first = _whole(score, "first_tick", 0, WINDOW_SAMPLES - 1, path)
    return smoothing, (first, _whole(score, "end_tick", first + 1, WINDOW_SAMPLES, path))


def _whole(part: JsonObject, key: str, low: int, high: int, path: Path) -> int:
    value = part.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ArtifactError(f"{path}: {key} {value!r:.80} is not {low} to {high}; {_RETRAIN}")
    return value
