"""The configuration of a training, where it computes, and what its outcome depends on."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.annotated_beats import check_split
from models.files.model_file import TrainingSettings
from pipeline.errors import ConfigError

Settings = TypeVar("Settings", bound=TrainingSettings)

DEVICES: Final = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The configuration of every training; each kind adds its own and sets the defaults."""

    data: Path
    """Folder of the records, or the folder that holds ``mitdb/``."""
    folder: Path
    """Holds ``last.safetensors`` (to continue), ``best.safetensors`` (the result) and the
    learning curves."""
    epochs: int
    batch: int
    learning_rate: float
    split: str = "0"
    """One of `models.data.annotated_beats.SPLITS`."""
    seed: int = 0
    patience: int | None = None
    """Stop after this number of epochs without improvement on the validation part; None: never."""
    device: str = "auto"
    """``auto`` is CUDA where there is one. A run may continue on another device: its checkpoint
    fits every device, and the results differ by rounding only. On one device they are equal, bit
    for bit."""
    bf16: bool | None = None
    """Convolve in bfloat16, with losses and weights in float32; None: where that is fast."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be trained."""
        check_settings(self)

    @property
    def draw(self) -> int:
        """Seed of the first weights and of the order of the beats; ``seed`` decides the split."""
        return self.seed


def check_settings(config: TrainingConfig) -> None:
    """Raise `ConfigError` for settings that cannot be trained, here or anywhere."""
    if config.epochs < 1 or config.batch < 2 or not 0 < config.learning_rate < 1:
        raise ConfigError(
            f"cannot train {config.epochs} epochs in batches of {config.batch} at learning rate "
            f"{config.learning_rate}: at least 1 epoch, 2 beats a batch, a rate between 0 and 1"
        )
    if not 0 <= config.seed < 2**32:
        raise ConfigError(f"{config.seed} is no seed: choose one from 0 to {2**32 - 1}")
    if config.patience is not None and config.patience < 1:
        raise ConfigError(f"a patience of {config.patience} epochs stops at once: at least 1")
    check_split(config.split)
    chosen_device(config.device)


def chosen_device(name: str) -> torch.device:
    """Return the device called ``name``, one of `DEVICES`.

    Raises:
        ConfigError: there is no such device.
    """
    if name not in DEVICES:
        raise ConfigError(f"there is no device {name!r:.40}: choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "this machine or this build of torch has no CUDA device: use --device cpu or auto"
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # The fastest kernels add in another order each time, but a run has to be reproducible.
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda")


def chosen_bf16(wanted: bool | None, device: torch.device) -> bool:
    """Return whether to convolve in bfloat16: as ``wanted``, or if the processor supports it.

    A CPU that emulates bfloat16 is slower than in float32.
    """
    if wanted is not None:
        return wanted
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Private, but no public function exists in every version of torch that we support.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def settings_of(
    kind: type[Settings],
    config: TrainingConfig,
    *arrays: NDArray[np.generic],
    **more: str | tuple[str, ...],
) -> Settings:
    """Return all that decides the outcome of a run.

    Where its files lie does not, nor does the device; the precision does.

    Args:
        kind: what to return; has a field ``beats_sha256``.
        config: of the run; has every other field but those in ``more``.
        arrays: the training data, one row a beat.
        more: fields that ``config`` does not have.

    Raises:
        ConfigError: there are fewer beats than one batch.
    """
    if len(arrays[0]) < config.batch:
        raise ConfigError(f"{len(arrays[0])} beats are fewer than one batch of {config.batch}")
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    names = {field.name for field in dataclasses.fields(kind)} - {"beats_sha256", *more}
    values = {name: getattr(config, name) for name in names}
    values["bf16"] = chosen_bf16(config.bf16, chosen_device(config.device))
    values |= {"beats_sha256": digest.hexdigest(), **more}
    return kind(**values)
