"""A teacher built on the student's own encoder: feature refinement, dropped after training.

FRSKD (Ji, Shin, Hwang, Park and Moon, "Refine Myself by Teaching Myself: Feature Refinement via
Self-Knowledge Distillation", CVPR 2021) in one dimension, for an autoencoder. A BiFPN takes the
maps of the student's own encoder, mixes the stages from deep to shallow and back, and returns a
refined map of each. A head and a decoder of its own turn the deepest into a second reconstruction
of the beat, which trains the self-teacher. The student imitates its maps
(`models.training.distillation.losses.attention_loss`) and its scores
(`models.training.distillation.losses.kd_loss`).

Layers after the paper: 1x1 lateral convolutions, depthwise-separable ones on the paths, channels
of each stage in proportion to the encoder's, and weighted sums normalised as in EfficientDet
(Tan, Pang & Le, CVPR 2020). Where the paper classifies, this one reconstructs.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.beatgan import BOTTLENECK_SAMPLES, LEAK, STAGES, Decoder, channels

_NEAR_ZERO: Final = 1e-4


class _Fusion(nn.Module):
    """A weighted sum of maps of one shape; the weights are learned, positive, and sum to 1."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))

    def forward(self, *maps: Tensor) -> Tensor:
        weights = self.weights.relu()
        weights = weights / (weights.sum() + _NEAR_ZERO)
        total = weights[0] * maps[0]
        for weight, one in zip(weights[1:], maps[1:], strict=True):
            total = total + weight * one
        return total


def _pointwise(before: int, after: int) -> nn.Sequential:
    """Change the channels, sample by sample."""
    return nn.Sequential(
        nn.Conv1d(before, after, 1, bias=False), nn.BatchNorm1d(after), nn.LeakyReLU(LEAK)
    )


def _separable(width: int) -> nn.Sequential:
    """Convolve three neighbours in each channel, then across the channels."""
    return nn.Sequential(
        nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False), *_pointwise(width, width)
    )


class SelfTeacher(nn.Module):
    """Maps of the student's encoder -> refined maps of the same shapes, and a reconstruction."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        widths = channels(width)
        deepest = STAGES - 1
        self.laterals = nn.ModuleList(_pointwise(size, size) for size in widths)
        # Path from deep to shallow: one node for each stage but the deepest.
        self.narrow = nn.ModuleList(_pointwise(widths[i + 1], widths[i]) for i in range(deepest))
        self.down_fusions = nn.ModuleList(_Fusion(2) for _ in range(deepest))
        self.down = nn.ModuleList(_separable(widths[i]) for i in range(deepest))
        # And back: one for each stage but the shallowest; the deepest has no node on the way down.
        self.widen = nn.ModuleList(_pointwise(widths[i], widths[i + 1]) for i in range(deepest))
        self.up_fusions = nn.ModuleList(
            _Fusion(2 if i + 1 == deepest else 3) for i in range(deepest)
        )
        self.up = nn.ModuleList(_separable(widths[i + 1]) for i in range(deepest))
        self.head = nn.Conv1d(widths[-1], latent, BOTTLENECK_SAMPLES, bias=False)
        self.decoder = Decoder(width, latent)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the refined maps and the reconstruction [B, 1, 320].

        Args:
            maps: `models.training.distillation.losses.stage_maps` of the student, with their
                graph: the gradient of the self-teacher's loss reaches the student's encoder.
        """
        laterals = [lateral(one) for lateral, one in zip(self.laterals, maps, strict=True)]
        down = [laterals[-1]]
        for i in reversed(range(STAGES - 1)):
            # Narrowed before it is stretched: the same values for half the work.
            deeper = functional.interpolate(self.narrow[i](down[0]), scale_factor=2.0)
            down.insert(0, self.down[i](self.down_fusions[i](laterals[i], deeper)))
        refined = [down[0]]
        for i in range(STAGES - 1):
            inputs = [laterals[i + 1], self.widen[i](functional.max_pool1d(refined[-1], 2))]
            if i + 1 < STAGES - 1:
                inputs.append(down[i + 1])
            refined.append(self.up[i](self.up_fusions[i](*inputs)))
        return refined, self.decoder(self.head(refined[-1]))
