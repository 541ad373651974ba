"""The classifier's network: a one-dimensional ResNeXt over the window and the context of a beat.

Each stage is a residual block of grouped convolutions (1x1, 3 in 32 groups, 1x1; Xie et al.,
"Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017) that halves the length.
After each block a skip connection concatenates the window itself, brought to the stage's shape by a
convolution, BatchNorm and average pooling, so that no stage depends on what earlier ones kept. The
last map is flattened rather than averaged: its place in the window distinguishes a P wave from a T
wave. The context of the beat joins before the head.

A window alone identifies the patient as much as the beat, and a shape that is abnormal in one
patient is normal in another. Therefore training often drops what the head sees of the window, and
adds noise to the context. On unseen patients of DS1 that improves more than any change of the
layers.

Network, loss and export only: `models.training.classifier` trains, `models.inference.classifier` is
the same network without torch.
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from models.files.classifier import (
    CONTEXT_WIDTH,
    FLAT_WIDTH,
    GROUPS,
    HEAD_WIDTH,
    INNER_WIDTHS,
    LAST_SAMPLES,
    LEAK,
    SKIP_WIDTH,
    STEM_KERNEL,
    STEM_STRIDE,
    STEM_WIDTH,
    WIDTHS,
    stage_inputs,
)
from pipeline.constants import CLASSES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS

MAP_DROPOUT: Final = 0.5
"""Share of the last map's values that are dropped in training."""

WINDOW_DROPOUT: Final = 0.6
"""Share of the beats whose window is dropped as a whole in training."""

CONTEXT_NOISE: Final = 0.3
"""Standard deviation of the noise that training adds to the normalised context."""


class Block(nn.Module):
    """A residual block of grouped convolutions: [B, in, T] -> [B, out, T / 2]."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.reduce = _convolution(inputs, inner, 1)
        self.grouped = _convolution(inner, inner, 3, stride=2, padding=1, groups=GROUPS)
        self.expand = _convolution(inner, outputs, 1)
        self.shortcut = _convolution(inputs, outputs, 1)

    def forward(self, x_bct: Tensor) -> Tensor:
        """Return the block's map."""
        inner = F.leaky_relu(self.reduce(x_bct), LEAK)
        inner = F.leaky_relu(self.grouped(inner), LEAK)
        return F.leaky_relu(self.expand(inner) + self.shortcut(F.avg_pool1d(x_bct, 2)), LEAK)


class ResNeXt(nn.Module):
    """Windows and contexts to one logit per class of `pipeline.constants.CLASSES`."""

    def __init__(self) -> None:
        super().__init__()
        self.window = _convolution(
            1,
            STEM_WIDTH + len(WIDTHS) * SKIP_WIDTH,
            STEM_KERNEL,
            stride=STEM_STRIDE,
            padding=(STEM_KERNEL - STEM_STRIDE) // 2,
        )
        inputs = stage_inputs()
        self.stages = nn.ModuleList(map(Block, inputs, INNER_WIDTHS, WIDTHS))
        self.flat = nn.Linear(inputs[-1] * LAST_SAMPLES, FLAT_WIDTH)
        self.context_norm = nn.BatchNorm1d(len(CONTEXT_COLUMNS), affine=False)
        self.context = nn.Linear(len(CONTEXT_COLUMNS), CONTEXT_WIDTH)
        self.join = nn.Linear(FLAT_WIDTH + CONTEXT_WIDTH, HEAD_WIDTH)
        self.head = nn.Linear(HEAD_WIDTH, len(CLASSES))

    def forward(
        self, windows_b1t: Tensor, context_bf: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """Return the logits [B, 4] of windows [B, 1, 320] with contexts [B, contexts].

        In training, ``rng`` on the CPU draws what is dropped and the noise of the context, so that
        a run can be repeated. Without it nothing is dropped or added.
        """
        first = self.window(windows_b1t)
        x = F.leaky_relu(first[:, :STEM_WIDTH], LEAK)
        given = first[:, STEM_WIDTH:].split(SKIP_WIDTH, dim=1)
        for stage, (block, untouched) in enumerate(zip(self.stages, given, strict=True)):
            x = torch.cat((block(x), F.avg_pool1d(untouched, 2 << stage)), dim=1)
        from_window = F.leaky_relu(self.flat(_dropped(x.flatten(1), MAP_DROPOUT, rng)), LEAK)
        context = self.context_norm(context_bf)
        if rng is not None:
            kept = _kept((len(from_window), 1), WINDOW_DROPOUT, rng)
            from_window = from_window * kept.to(from_window.device)
            noise = torch.randn(context.shape, generator=rng).to(context.device)
            context = context + CONTEXT_NOISE * noise
        context = F.leaky_relu(self.context(context), LEAK)
        joined = F.leaky_relu(self.join(torch.cat((from_window, context), dim=1)), LEAK)
        logits: Tensor = self.head(joined)
        return logits


def _dropped(x: Tensor, share: float, rng: torch.Generator | None) -> Tensor:
    """Return ``x`` with a share of its values set to 0 and the others scaled up to compensate."""
    if rng is None:
        return x
    return x * _kept(tuple(x.shape), share, rng).to(x.device) / (1.0 - share)


def _kept(shape: tuple[int, ...], share: float, rng: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=rng) >= share


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm1d(outputs),
    )


def focal_loss(logits: Tensor, classes: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Return the mean focal loss: -w (1 - p)^gamma log p, p the probability of the true class.

    Beats that are classified with confidence count little, so that the many normal ones do not
    outweigh the few others (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017).

    Args:
        logits: [B, classes].
        classes: int64[B], the true ones.
        weights: w of each class, [classes].
        gamma: the larger, the less they count; 0 is weighted cross-entropy.
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, classes[:, None])[:, 0]
    return (-weights[classes] * (1.0 - log_p.exp()) ** gamma * log_p).mean()


def folded_classifier(network: ResNeXt) -> dict[str, NDArray[np.float32]]:
    """Return the weights with each BatchNorm folded into what comes before or after it.

    Computed in float64 from the running statistics (evaluation mode), returned as the float32
    tensors of `models.files.classifier.tensor_shapes`.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            convolution, norm = module
            assert isinstance(convolution, nn.Conv1d)
            assert isinstance(norm, nn.BatchNorm1d)
            mean, deviation = _running(norm)
            gain = norm.weight.double() / deviation
            tensors[f"{name}.weight"] = convolution.weight.double() * gain[:, None, None]
            tensors[f"{name}.bias"] = norm.bias.double() - mean * gain
    for name in ("flat", "context", "join", "head"):
        layer = getattr(network, name)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = (
            layer.weight.double(),
            layer.bias.double(),
        )
    mean, deviation = _running(network.context_norm)
    gain = 1.0 / deviation
    tensors["context.bias"] = tensors["context.bias"] - tensors["context.weight"] @ (mean * gain)
    tensors["context.weight"] = tensors["context.weight"] * gain
    return {name: t.detach().cpu().float().contiguous().numpy() for name, t in tensors.items()}


def _running(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return the running mean and standard deviation of a norm, float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean.double(), (norm.running_var.double() + norm.eps).sqrt()
