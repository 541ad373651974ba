"""The state of a training run on disk: safetensors, replaced in one step, never a pickle.

A checkpoint holds networks, optimisers and a small JSON object. It is one file, written beside
its place and then moved there, so that an interrupted write leaves the previous one whole.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import ArtifactError, ConfigError


def save_checkpoint(
    path: Path,
    facts: Mapping[str, Any],
    *,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer] | None = None,
) -> None:
    """Write networks, optimisers and the JSON-able ``facts`` to ``path``, all or nothing.

    Raises:
        ConfigError: the place cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
    for name, optimiser in (optimisers or {}).items():
        for row, memory in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}/{row}/{key}": value for key, value in memory.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    unfinished = path.with_suffix(".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished, metadata={"facts": json.dumps(dict(facts))})
        os.replace(unfinished, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another folder") from None


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the tensors of a checkpoint.

    Raises:
        ArtifactError: the file is missing or is no checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: train it first") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is no checkpoint: {error}; remove it and start anew") from None
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path} is no checkpoint: remove it and start anew")
    return facts, tensors


def restore_network(network: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``network`` with the tensors saved under ``name``.

    Raises:
        ArtifactError: they are not this network's.
    """
    try:
        network.load_state_dict(_under(name, tensors))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"checkpoint is not for this {name}: {reason}; start anew") from None


def restore_optimiser(
    optimiser: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor]
) -> None:
    """Fill the memory of ``optimiser`` with the tensors saved under ``name``.

    Raises:
        ArtifactError: they are not this optimiser's.
    """
    memory: dict[int, dict[str, Tensor]] = {}
    try:
        for key, value in _under(name, tensors).items():
            row, _, what = key.partition("/")
            memory.setdefault(int(row), {})[what] = value
        optimiser.load_state_dict(
            {"state": memory, "param_groups": optimiser.state_dict()["param_groups"]}
        )
    except ValueError as error:
        raise ArtifactError(f"checkpoint is not for this {name}: {error}; start anew") from None


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{name}/")
    }
