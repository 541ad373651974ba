"""The state of a training run on disk: safetensors, replaced in one step, never a pickle.

A checkpoint holds networks, optimisers and a small JSON object. It is one file, written beside
its place and then moved there, so that an interrupted write leaves the previous one whole.

Tensors go into the file as they are. What else an optimiser remembers, the numbers in its groups
and in its state, goes into the JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.files.atomic_write import write_atomically
from models.files.model_file import refuse_pickle
from pipeline.errors import ArtifactError
from replay.headers import quoted

CHECKPOINT_VERSION: Final = 2
"""Rises when a checkpoint of the code before cannot be continued, or not to the same result."""

MAX_CHECKPOINT_BYTES: Final = 512 << 20


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
    numbers: dict[str, Any] = {}
    for name, optimiser in (optimisers or {}).items():
        memory = optimiser.state_dict()
        numbers[name] = {"groups": list(map(_numbers, memory["param_groups"])), "state": {}}
        for row, of_row in memory["state"].items():
            numbers[name]["state"][row] = _numbers(of_row)
            tensors |= {f"{name}/{row}/{k}": v for k, v in of_row.items() if torch.is_tensor(v)}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    whole = {**facts, "version": CHECKPOINT_VERSION, "optimisers": numbers}
    write_atomically(path, save(tensors, metadata={"facts": json.dumps(whole)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the tensors of a checkpoint.

    Raises:
        ArtifactError: the file is missing, of another version or no checkpoint of ours.
    """
    again = "remove it and start anew"
    try:
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist: train it first")
        if path.stat().st_size > MAX_CHECKPOINT_BYTES:
            raise ArtifactError(f"{path} is larger than {MAX_CHECKPOINT_BYTES} bytes; {again}")
        with path.open("rb") as opened:
            refuse_pickle(path, opened.read(8), again)
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is no checkpoint: {quoted(error)}; {again}") from None
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path} is no checkpoint; {again}")
    if (version := facts.get("version")) != CHECKPOINT_VERSION:
        raise ArtifactError(
            f"{path} is a checkpoint of version {version!r:.20}, this program's have version "
            f"{CHECKPOINT_VERSION}: {again}"
        )
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
    optimiser: torch.optim.Optimizer,
    name: str,
    facts: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    """Fill the memory of ``optimiser`` with what was saved under ``name``.

    Raises:
        ArtifactError: it is not this optimiser's.
    """
    groups = optimiser.state_dict()["param_groups"]
    try:
        numbers = facts["optimisers"][name]
        state = {int(row): dict(of_row) for row, of_row in numbers["state"].items()}
        for key, value in _under(name, tensors).items():
            row, _, what = key.partition("/")
            state[int(row)][what] = value
        groups = [g | saved for g, saved in zip(groups, numbers["groups"], strict=True)]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"checkpoint is not for this {name}: {error}; start anew") from None


def _numbers(of: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in of.items() if isinstance(value, int | float)}


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{name}/")
    }
