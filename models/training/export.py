"""Export a trained student's checkpoint as the files that ship."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.files.strict_json import JsonObject
from models.files.student import (
    StudentArtifact,
    StudentData,
    StudentSettings,
    StudentTraining,
    save_student,
)
from models.inference.student import SCORED_TICKS, SMOOTHING_TICKS
from models.nets.beatgan import Autoencoder
from models.training.checkpoint import read_checkpoint, restore_network, settings_in
from models.training.distillation.losses import new_student

Floats = NDArray[np.float32]


def folded_tensors(student: Autoencoder) -> dict[str, Floats]:
    """Return the weights with each BatchNorm folded into the convolution before it.

    Computed in float64 from the running statistics (evaluation mode), returned as the float32
    tensors of `models.files.student.tensor_shapes`.
    """
    features, layers = student.encoder.features, student.decoder.layers
    tensors = {
        "encoder.0.weight": _as_float32(_weight(features[0])),
        "latent.weight": _as_float32(_weight(student.encoder.head)),
        "output.weight": _as_float32(_weight(layers[-2])),
    }
    for prefix, layout, first_stage in (("encoder", features, 1), ("decoder", layers, 0)):
        norms = [at for at, layer in enumerate(layout) if isinstance(layer, nn.BatchNorm1d)]
        for stage, at in enumerate(norms, first_stage):
            weight, bias = _folded(layout[at - 1], layout[at])
            tensors |= {f"{prefix}.{stage}.weight": weight, f"{prefix}.{stage}.bias": bias}
    return tensors


def _folded(convolution: nn.Module, norm: nn.Module) -> tuple[Floats, Floats]:
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = _weight(norm) / (_double(norm.running_var) + norm.eps).sqrt()
    shape = (1, -1, 1) if isinstance(convolution, nn.ConvTranspose1d) else (-1, 1, 1)
    bias = _double(norm.bias) - _double(norm.running_mean) * gain
    return _as_float32(_weight(convolution) * gain.reshape(shape)), _as_float32(bias)


def _weight(layer: nn.Module) -> torch.Tensor:
    assert isinstance(layer.weight, torch.Tensor)
    return _double(layer.weight)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().double()


def _as_float32(tensor: torch.Tensor) -> Floats:
    return tensor.float().contiguous().numpy()


def export_student(
    checkpoint: Path, description: Path, *, data: StudentData, metrics: JsonObject
) -> str:
    """Write the files of the student in ``checkpoint``; return the SHA-256 of its weights.

    Args:
        checkpoint: ``best.safetensors`` of `models.training.student.train_student`.
        description: the ``.json`` file to write; the weights go beside it.
        data: what the student was trained on.
        metrics: what was measured with it.

    Raises:
        ArtifactError: the checkpoint is unusable.
        ConfigError: the files cannot be written.
    """
    read = read_checkpoint(checkpoint)
    settings = settings_in(StudentSettings, read, checkpoint)
    student = new_student(settings.width, settings.latent)
    restore_network(student, "student", read.tensors)
    artifact = StudentArtifact(
        width=student.width,
        latent=student.latent,
        smoothing_ticks=SMOOTHING_TICKS,
        scored_ticks=SCORED_TICKS,
        training=StudentTraining(
            **vars(data),
            **vars(settings),
            epoch=read.state.best_epoch,
            validation_ap=read.state.validation["ap"],
        ),
        metrics=metrics,
        tensors=folded_tensors(student),
    )
    return save_student(artifact, description)
