"""The trained student as two files: ``student.safetensors`` and, beside it, ``student.json``.

The JSON describes: format version, input, network, score rule, training data, metrics, and the
SHA-256 of the weights. Loading checks everything that can be checked before a single window is
scored, and refuses with an `ArtifactError` that says what differs and what to do: a missing or
altered file, another window, rate, band or version, tensors that are not exactly the expected
ones. No pickle, no code in the files.

The weights are those of the autoencoder with each BatchNorm folded into its convolution, in
PyTorch's layout, float32.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.constants import BAND_PASS_HZ, SAMPLING_RATE_HZ, WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.errors import ArtifactError

FORMAT: Final = 2
SHIPPED_STUDENT: Final = Path(__file__).parent / "weights" / "student.json"

MODEL: Final = "beatgan-student"
SCORE_RULE: Final = "mean square over some ticks of the residual after a moving average"

STAGES: Final = 5
"""Each stage of the network halves the window."""

BOTTLENECK_SAMPLES: Final = WINDOW_SAMPLES >> STAGES

MAX_DESCRIPTION_BYTES: Final = 65_536
MAX_WEIGHTS_BYTES: Final = 1_000_000
MAX_WIDTH: Final = 64
MAX_SMOOTHING_TICKS: Final = 63

# What the program itself does to a signal before the student sees it; an artifact made for
# anything else would score nonsense without failing.
INPUT: Final[Mapping[str, Any]] = {
    "window_samples": WINDOW_SAMPLES,
    "samples_before_r": WINDOW_BEFORE_R,
    "sampling_rate_hz": SAMPLING_RATE_HZ,
    "band_pass_hz": list(BAND_PASS_HZ),
    "scaling": "each window to [-1, 1] by its own extremes",
}

_RETRAIN: Final = "install this version's weights again, or train them with `monitor train student`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A student that passed every check."""

    width: int
    """Channels after the first stage; each later stage doubles them."""
    latent: int
    smoothing_ticks: int
    """Length of the moving average over the residual; odd."""
    scored_ticks: tuple[int, int]
    """The score counts the ticks from the first to before the second."""
    training: dict[str, Any]
    """Database, records, split and settings that the weights come from."""
    metrics: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]
    """Exactly those of `tensor_shapes`."""
    sha256: str = ""
    """Of the weights file; filled in by `save_artifact` and `load_artifact`."""


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


def save_artifact(artifact: Artifact, description: Path) -> str:
    """Write the weights and then ``description`` (a ``.json`` path); return the SHA-256.

    Each file replaces its predecessor in one step; between the two a reader refuses the pair.

    Raises:
        ArtifactError: the tensors are not those of `tensor_shapes`, or the place is not writable.
    """
    _check_tensors(artifact.tensors, artifact.width, artifact.latent, description)
    weights = save({name: np.ascontiguousarray(t) for name, t in sorted(artifact.tensors.items())})
    sha256 = hashlib.sha256(weights).hexdigest()
    text = json.dumps(
        {
            "format": FORMAT,
            "model": MODEL,
            "input": dict(INPUT),
            "network": {"width": artifact.width, "latent": artifact.latent},
            "score": {
                "rule": SCORE_RULE,
                "smoothing_ticks": artifact.smoothing_ticks,
                "first_tick": artifact.scored_ticks[0],
                "end_tick": artifact.scored_ticks[1],
            },
            "training": artifact.training,
            "metrics": artifact.metrics,
            "weights_sha256": sha256,
        },
        indent=2,
        allow_nan=False,
    )
    try:
        description.parent.mkdir(parents=True, exist_ok=True)
        _replace(weights_path(description), weights)
        _replace(description, (text + "\n").encode())
    except OSError as error:
        raise ArtifactError(f"cannot write {description}: {error.strerror}") from None
    return sha256


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def weights_path(description: Path) -> Path:
    """Return where the weights of ``description`` lie."""
    return description.with_suffix(".safetensors")


def load_artifact(description: Path = SHIPPED_STUDENT) -> Artifact:
    """Read a student and check all of it.

    Args:
        description: the ``.json`` file; the weights lie beside it.

    Raises:
        ArtifactError: anything is missing, altered, or made for something else.
    """
    facts = _description(_read(description, MAX_DESCRIPTION_BYTES), description)
    network, score = facts["network"], facts["score"]
    width = _whole(network, "width", 1, MAX_WIDTH, description)
    latent = _whole(network, "latent", 1, MAX_WIDTH, description)
    smoothing = _whole(score, "smoothing_ticks", 1, MAX_SMOOTHING_TICKS, description)
    if smoothing % 2 == 0:
        raise ArtifactError(f"{description}: smoothing_ticks {smoothing} is even; {_RETRAIN}")
    first_tick = _whole(score, "first_tick", 0, WINDOW_SAMPLES - 1, description)
    end_tick = _whole(score, "end_tick", first_tick + 1, WINDOW_SAMPLES, description)

    path = weights_path(description)
    weights = _read(path, MAX_WEIGHTS_BYTES)
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != facts["weights_sha256"]:
        raise ArtifactError(
            f"{path} is not the file that {description.name} describes (SHA-256 {sha256[:12]}...): "
            f"it was altered or mixed up; {_RETRAIN}"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is no safetensors file: {error}; {_RETRAIN}") from None
    _check_tensors(tensors, width, latent, path)
    return Artifact(
        width=width,
        latent=latent,
        smoothing_ticks=smoothing,
        scored_ticks=(first_tick, end_tick),
        training=facts["training"],
        metrics=facts["metrics"],
        tensors=tensors,
        sha256=sha256,
    )


def _read(path: Path, limit: int) -> bytes:
    """Return a regular file's bytes; raise `ArtifactError` if it is missing or over ``limit``."""
    try:
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {_RETRAIN}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; {_RETRAIN}") from None
    if len(content) > limit:
        raise ArtifactError(f"{path} is larger than {limit} bytes: no student of ours; {_RETRAIN}")
    return content


def _description(text: bytes, path: Path) -> dict[str, Any]:
    """Return the description as an object whose every part is there and fits this program."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path} is not JSON; {_RETRAIN}") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or facts.get("model") != MODEL:
        found = (
            (facts.get("model"), facts.get("format")) if isinstance(facts, dict) else "no object"
        )
        raise ArtifactError(
            f"{path} describes {found!r:.80}, this program reads {MODEL!r} of format {FORMAT}; "
            f"{_RETRAIN}"
        )
    for key, kind in (
        ("input", dict),
        ("network", dict),
        ("score", dict),
        ("training", dict),
        ("metrics", dict),
        ("weights_sha256", str),
    ):
        if not isinstance(facts.get(key), kind):
            raise ArtifactError(f"{path} has no {key!r}; {_RETRAIN}")
    for key, wanted in INPUT.items():
        found = facts["input"].get(key)
        if found != wanted or isinstance(found, bool):
            raise ArtifactError(
                f"{path} was made for {key} {found!r:.80}, this program uses {wanted!r}; {_RETRAIN}"
            )
    if facts["score"].get("rule") != SCORE_RULE:
        raise ArtifactError(
            f"{path} scores by {facts['score'].get('rule')!r:.80}, this program by {SCORE_RULE!r}; "
            f"{_RETRAIN}"
        )
    return facts


def _whole(facts: dict[str, Any], key: str, low: int, high: int, path: Path) -> int:
    value = facts.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ArtifactError(f"{path}: {key} {value!r:.80} is not {low} to {high}; {_RETRAIN}")
    return value


def _check_tensors(
    tensors: Mapping[str, NDArray[np.float32]], width: int, latent: int, path: Path
) -> None:
    wanted = tensor_shapes(width, latent)
    if differing := sorted(set(wanted) ^ set(tensors)):
        raise ArtifactError(
            f"{path}: missing or unknown tensors {', '.join(differing)[:200]}; {_RETRAIN}"
        )
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise ArtifactError(
                f"{path}: {name} is {tensor.dtype}{list(tensor.shape)}, not float32{list(shape)}; "
                f"{_RETRAIN}"
            )
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"{path}: {name} holds values that are not finite; {_RETRAIN}")
