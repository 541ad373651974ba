"""The state of a training run on disk: safetensors, replaced in one step, never a pickle.

A checkpoint holds networks, optimisers and a small JSON object. It is one file, written beside
its final path and then moved there, so that an interrupted write leaves the previous one whole.

Tensors go into the file as they are. The numbers of an optimiser, those in its groups and those in
its state, go into the JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.files.atomic_write import write_atomically
from models.files.model_file import TrainingSettings, refuse_pickle
from models.files.strict_json import JsonObject, from_json, to_json
from models.training.progress import EpochReport
from pipeline.errors import ArtifactError
from replay.headers import quoted

CHECKPOINT_VERSION: Final = 2
"""Rises when a checkpoint of the code before cannot be continued, or not to the same result."""

MAX_CHECKPOINT_BYTES: Final = 512 << 20

_RESTART: Final = "remove it and start over"

Number = bool | int | float

Settings = TypeVar("Settings", bound=TrainingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """How far a training is, apart from its networks and optimisers."""

    config: JsonObject
    """The settings that decide its outcome; a run with others does not continue it."""
    epoch: int
    """How many are finished."""
    best_epoch: int
    """0 before the first is finished."""
    validation: Mapping[str, float]
    """Figures of the best epoch on the validation part; the first decides."""
    curves: tuple[EpochReport, ...] = ()
    """One of each finished epoch; the file of the best epoch has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserNumbers:
    """What an optimiser remembers that is no tensor."""

    groups: tuple[Mapping[str, Number], ...]
    state: Mapping[str, Mapping[str, Number]]
    """By the number of the weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was read."""

    state: TrainingState
    optimisers: Mapping[str, OptimiserNumbers]
    tensors: Mapping[str, Tensor]
    """By the name of their network or optimiser, a slash, and their own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Optimisers:
    optimisers: Mapping[str, OptimiserNumbers]


def save_checkpoint(
    path: Path,
    state: TrainingState,
    *,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer] | None = None,
) -> None:
    """Write state, networks and optimisers to ``path``, all or nothing.

    Raises:
        ConfigError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
    numbers: dict[str, OptimiserNumbers] = {}
    for name, optimiser in (optimisers or {}).items():
        memory = optimiser.state_dict()
        numbers[name] = OptimiserNumbers(
            groups=tuple(map(_numbers, memory["param_groups"])),
            state={str(row): _numbers(of_row) for row, of_row in memory["state"].items()},
        )
        for row, of_row in memory["state"].items():
            tensors |= {f"{name}/{row}/{k}": v for k, v in of_row.items() if torch.is_tensor(v)}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    content = {**to_json(state), "version": CHECKPOINT_VERSION, "optimisers": to_json(numbers)}
    write_atomically(path, save(tensors, metadata={"facts": json.dumps(content)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Return what a checkpoint holds.

    Raises:
        ArtifactError: the file is missing, of another version or not a checkpoint.
    """
    try:
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist: train it first")
        if path.stat().st_size > MAX_CHECKPOINT_BYTES:
            raise ArtifactError(f"{path} is larger than {MAX_CHECKPOINT_BYTES} bytes; {_RESTART}")
        with path.open("rb") as opened:
            refuse_pickle(path, opened.read(8), _RESTART)
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {})["facts"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if not isinstance(content, dict):
            raise ArtifactError(f"{path} is no checkpoint; {_RESTART}")
        if (version := content.pop("version", None)) != CHECKPOINT_VERSION:
            raise ArtifactError(
                f"{path} is a checkpoint of version {version!r:.20}, this program's have version "
                f"{CHECKPOINT_VERSION}: {_RESTART}"
            )
        numbers = {"optimisers": content.pop("optimisers", None)}
        return Checkpoint(
            state=from_json(TrainingState, content),
            optimisers=from_json(_Optimisers, numbers).optimisers,
            tensors=tensors,
        )
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is no checkpoint: {quoted(error)}; {_RESTART}") from None


def settings_in(kind: type[Settings], checkpoint: Checkpoint, path: Path) -> Settings:
    """Return the settings of the training that wrote a checkpoint.

    Args:
        kind: what to return.
        checkpoint: as it was read from ``path``.
        path: named in the error.

    Raises:
        ArtifactError: they are not of this kind.
    """
    try:
        return from_json(kind, checkpoint.state.config)
    except ValueError as error:
        raise ArtifactError(f"{path} has other settings: {quoted(error)}; {_RESTART}") from None


def restore_network(network: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``network`` with the tensors saved under ``name``.

    Raises:
        ArtifactError: they are not this network's.
    """
    try:
        network.load_state_dict(_under(name, tensors))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"checkpoint is not for this {name}: {reason}; start over") from None


def restore_optimiser(optimiser: torch.optim.Optimizer, name: str, checkpoint: Checkpoint) -> None:
    """Fill the memory of ``optimiser`` with what was saved under ``name``.

    Raises:
        ArtifactError: it is not this optimiser's.
    """
    groups = optimiser.state_dict()["param_groups"]
    try:
        numbers = checkpoint.optimisers[name]
        state: dict[int, dict[str, Number | Tensor]] = {
            int(row): dict(of_row) for row, of_row in numbers.state.items()
        }
        for key, value in _under(name, checkpoint.tensors).items():
            row, _, member = key.partition("/")
            state[int(row)][member] = value
        groups = [g | saved for g, saved in zip(groups, numbers.groups, strict=True)]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"checkpoint is not for this {name}: {error}; start over") from None


def _numbers(memory: Mapping[str, object]) -> dict[str, Number]:
    return {key: value for key, value in memory.items() if isinstance(value, int | float)}


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{name}/")
    }
