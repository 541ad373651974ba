"""What a beat should have looked like: the mean of the normal beats that are nearest to it.

A teacher without weights. A student that reconstructs each beat learns its noise, and the more of
it the longer it is trained; what is new in a beat it then reconstructs as well. The mean of the
nearest other normal beats has the beat's shape without what is the beat's alone, so a student that
learns to give it learns what normal beats have in common (the manifold of denoising autoencoders:
Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008;
the local mean as its estimate: Fukunaga & Hostetler, IEEE Trans. Inform. Theory 21, 1975).

Near is what the score calls near: the distance of two beats is the score of one as the residual of
the other, on every fourth tick (the moving average leaves nothing between them).
"""

from typing import Final

import torch
from torch import Tensor

from models.inference.student import SCORED_TICKS
from models.training.distillation.losses import smoothed

NEIGHBOURS: Final = 5
"""By AP on the validation part: 1, 5 and 20 of them, scored as reconstructions themselves, reach
0.970, 0.974 and 0.973."""

_EVERY_TICKS: Final = 4
_BATCH: Final = 256


def nearest(windows_nt: Tensor) -> Tensor:
    """Return for each of float32[n, 320] beats the rows of its nearest others, int64[n, 5].

    A beat is never among its own; of fewer than six beats every row has all others.
    """
    features = _features(windows_nt)
    norms = features.square().sum(dim=1)
    count = min(NEIGHBOURS, len(windows_nt) - 1)
    rows = []
    for first in range(0, len(features), _BATCH):
        part = features[first : first + _BATCH]
        # The square of the distance, less what is the same in a row.
        distance = norms - 2 * part @ features.T
        own = torch.arange(len(part), device=part.device)
        distance[own, first + own] = torch.inf
        rows.append(distance.topk(count, largest=False).indices)
    return torch.cat(rows)


def _features(windows_nt: Tensor) -> Tensor:
    return smoothed(windows_nt)[:, slice(*SCORED_TICKS, _EVERY_TICKS)].contiguous()


def neighbours_mean(windows_n1t: Tensor, nearest_nk: Tensor, rows_b: Tensor) -> Tensor:
    """Return for each of these rows the mean of its nearest beats, [B, 1, 320]."""
    return windows_n1t[nearest_nk[rows_b]].mean(dim=1)
