"""The files of a trained model: weights as safetensors and, beside them, a JSON description.

The files are not trusted. A file is read only if it is regular, small enough and not a pickle,
because reading a pickle runs what it holds; nothing in a file is run. A pair is read whole or
refused with an `ArtifactError` of one line: what differs, where, and what to do. It is written so
that a reader sees the old pair, the new pair, or a pair that it refuses because the checksum does
not fit; never half a file.

Files in `SHIPPED` must be, byte for byte, those that the repository pins: ``SHA256SUMS`` beside
them lists their SHA-256, as ``sha256sum --check`` reads it. After a training, ``python -m
models.files.model_file`` writes that list again.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.files.atomic_write import write_atomically
from models.files.strict_json import JsonObject, from_json
from pipeline.errors import ArtifactError
from replay.headers import quoted

SHIPPED: Final = Path(__file__).parents[1] / "weights"
PINNED: Final = SHIPPED / "SHA256SUMS"

MAX_DESCRIPTION_BYTES: Final = 65_536
MAX_WEIGHTS_BYTES: Final = 1_000_000

_MAX_PINNED_BYTES: Final = 65_536
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?)")
_PICKLES: Final = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
"""The first bytes of files of torch.save, new and old, and of every pickle since protocol 2."""

_SAFETENSORS: Final = b"\0\0\0\0\0\0{"
"""What follows the first two bytes of a safetensors file, which are the low bytes of its header's
length. Those two may be the ones of a pickle; no pickle continues like this, for 0 is no opcode."""

Tensors = Mapping[str, NDArray[np.float32]]
Shapes = Mapping[str, tuple[int, ...]]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What decides the outcome of every training; each kind of training adds its own."""

    epochs: int
    batch: int
    learning_rate: float
    split: str
    """One of `models.data.annotated_beats.SPLITS`."""
    seed: int
    patience: int | None
    bf16: bool
    """Whether convolutions ran in bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsKind:
    """What all files of one kind of model have in common; other values are refused."""

    model: str
    format: int
    input: JsonObject
    """What the program does to a signal before the model sees it."""
    network: JsonObject
    """The size of the network; empty for a kind of several sizes, which describes each file."""
    remedy: str
    """What to do about files that are refused; ends the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A pair of files whose common parts passed every check."""

    description: JsonObject
    """The whole object, with the parts that only this kind has."""
    network: JsonObject
    training: JsonObject
    metrics: JsonObject
    tensors: Tensors
    sha256: str
    """Of the weights file."""


def weights_path(description: Path) -> Path:
    """Return the file of the weights that belong to ``description``."""
    return description.with_suffix(".safetensors")


def write_weights(
    kind: WeightsKind,
    parts: JsonObject,
    tensors: Tensors,
    shapes: Shapes,
    description: Path,
) -> str:
    """Write the pair; return the SHA-256 of the weights.

    Args:
        kind: its values go into the description.
        parts: ``training``, ``metrics`` and what else the kind describes.
        tensors: finite float32, exactly those of ``shapes``.
        shapes: name and shape of every tensor.
        description: the ``.json`` file; the weights go beside it.

    Raises:
        ArtifactError: the tensors are not those of ``shapes``.
        ConfigError: the files cannot be written.
    """
    check_tensors(kind, tensors, shapes, description)
    weights = save({name: np.ascontiguousarray(t) for name, t in sorted(tensors.items())})
    sha256 = hashlib.sha256(weights).hexdigest()
    whole = {
        "format": kind.format,
        "model": kind.model,
        "input": dict(kind.input),
        "network": dict(kind.network),
        **parts,
        "weights_sha256": sha256,
    }
    text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    write_atomically(weights_path(description), weights)
    write_atomically(description, text)
    return sha256


def read_weights(
    kind: WeightsKind, shapes: Callable[[JsonObject], Shapes], description: Path
) -> ModelFiles:
    """Read and check a pair.

    Args:
        kind: what the description must say.
        shapes: returns name and shape of every tensor from the ``network``, or refuses it.
        description: the ``.json`` file; the weights lie beside it.

    Raises:
        ArtifactError: anything is missing, altered, or made for something else.
    """
    content = _description(
        kind, read_model_file(description, MAX_DESCRIPTION_BYTES, kind.remedy), description
    )
    network, training, metrics = (
        _part(content, name, kind, description) for name in ("network", "training", "metrics")
    )
    wanted = shapes(network)
    path = weights_path(description)
    weights = read_model_file(path, MAX_WEIGHTS_BYTES, kind.remedy)
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != content["weights_sha256"]:
        raise ArtifactError(
            f"{path} is not the file that {description.name} describes (SHA-256 {sha256[:12]}...): "
            f"it was altered or mixed up; {kind.remedy}"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path} is no safetensors file: {quoted(error)}; {kind.remedy}"
        ) from None
    check_tensors(kind, tensors, wanted, path)
    return ModelFiles(
        description=content,
        network=network,
        training=training,
        metrics=metrics,
        tensors=tensors,
        sha256=sha256,
    )


def read_training(
    training_type: type[T], kind: WeightsKind, files: ModelFiles, description: Path
) -> T:
    """Return what a description says of the training, as the dataclass of its kind.

    Raises:
        ArtifactError: a key is missing or unknown, or a value has another type.
    """
    try:
        return from_json(training_type, files.training)
    except ValueError as error:
        raise ArtifactError(f"{description}: training {quoted(error)}; {kind.remedy}") from None


def check_tensors(kind: WeightsKind, tensors: Tensors, shapes: Shapes, path: Path) -> None:
    """Raise `ArtifactError` unless the tensors are finite float32 of exactly these shapes."""
    if differing := sorted(set(shapes) ^ set(tensors)):
        raise ArtifactError(
            f"{path}: missing or unknown tensors {quoted(', '.join(differing))}; {kind.remedy}"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise ArtifactError(
                f"{path}: {name} is {tensor.dtype}{list(tensor.shape)}, not float32{list(shape)}; "
                f"{kind.remedy}"
            )
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"{path}: {name} holds values that are not finite; {kind.remedy}")


def _description(kind: WeightsKind, text: bytes, path: Path) -> JsonObject:
    """Return the description as an object that has every part and fits this program."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path} is not JSON; {kind.remedy}") from None
    found = (
        (content.get("model"), content.get("format")) if isinstance(content, dict) else "no object"
    )
    if found != (kind.model, kind.format) or isinstance(content["format"], bool):
        raise ArtifactError(
            f"{path} describes {found!r:.80}, this program reads {kind.model!r} of format "
            f"{kind.format}; {kind.remedy}"
        )
    for name, expected in (("input", kind.input), ("network", kind.network)):
        part = _part(content, name, kind, path)
        for key, value in expected.items():
            # As JSON, for there True is not 1 and 1 is not 1.0.
            if json.dumps(part.get(key)) != json.dumps(value):
                raise ArtifactError(
                    f"{path} was made for {key} {part.get(key)!r:.80}, this program uses "
                    f"{value!r:.300}; {kind.remedy}"
                )
    if not isinstance(content.get("weights_sha256"), str):
        raise ArtifactError(f"{path} has no 'weights_sha256'; {kind.remedy}")
    return dict(content)


def _part(content: JsonObject, name: str, kind: WeightsKind, path: Path) -> JsonObject:
    part = content.get(name)
    if not isinstance(part, dict):
        raise ArtifactError(f"{path} has no {name!r}; {kind.remedy}")
    return part


def read_model_file(path: Path, limit: int, remedy: str) -> bytes:
    """Return a file of at most ``limit`` bytes.

    Args:
        path: a file of weights, or of what describes them.
        limit: larger ones are not read.
        remedy: what to do about a file that is refused; ends the error.

    Raises:
        ArtifactError: it is missing, too large, not a regular file, a pickle, or a shipped file
            that is not what the repository pins.
    """
    try:
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {remedy}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; {remedy}") from None
    if len(content) > limit:
        raise ArtifactError(f"{path} is larger than {limit} bytes: no file of ours; {remedy}")
    refuse_pickle(path, content, remedy)
    if path.resolve().is_relative_to(SHIPPED.resolve()):
        name = path.resolve().relative_to(SHIPPED.resolve()).as_posix()
        if pinned().get(name) != hashlib.sha256(content).hexdigest():
            raise ArtifactError(f"{path} is not the file that {PINNED.name} pins; {remedy}")
    return content


def refuse_pickle(path: Path, head: bytes, remedy: str) -> None:
    """Raise `ArtifactError` for a file that begins like a pickle, or like an archive of pickles."""
    if head.startswith(_PICKLES) and not head.startswith(_SAFETENSORS, 2):
        raise ArtifactError(
            f"{path} is a pickle, which can run whatever it holds, and is never read; {remedy}"
        )


def pin() -> None:
    """Write the SHA-256 of every file that ships into `PINNED`.

    Raises:
        ConfigError: the list cannot be written.
    """
    files = sorted({*SHIPPED.rglob("*.json"), *SHIPPED.rglob("*.safetensors")})
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(SHIPPED).as_posix()}\n"
        for file in files
    ]
    write_atomically(PINNED, "".join(lines))


def pinned() -> dict[str, str]:
    """Return the SHA-256 of each shipped file by name; empty if the list cannot be read."""
    try:
        with PINNED.open("rb") as file:
            text = file.read(_MAX_PINNED_BYTES).decode("ascii", "replace")
    except OSError:
        return {}
    return {found[2]: found[1] for line in text.splitlines() if (found := _LINE.fullmatch(line))}


if __name__ == "__main__":
    pin()
