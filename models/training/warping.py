"""BeatGAN's augmentation: beats warped in time, for no heart keeps its intervals to the tick.

On each side of the R peak seven ticks are dropped and seven are doubled, so that the waves move
against the R peak, which stays where it is, and the window keeps its length (Zhou, Liu, Hooi,
Cheng and Ye, IJCAI 2019, section 4).
"""

from typing import Final

import torch
from torch import Tensor

from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES

WARPED_TICKS: Final = 7
"""Dropped, and as many doubled, on each side."""


def warped_ticks(beats: int, share: float, draws: torch.Generator) -> Tensor:
    """Return which tick of the window each tick of a warped window shows, int64[beats, 320].

    Rows ascend; tick 140, the R peak, shows itself.

    Args:
        beats: rows.
        share: the chance of a beat to be warped; the others keep every tick.
        draws: on the CPU.
    """
    shown = torch.ones(beats, WINDOW_SAMPLES, dtype=torch.int64)
    warped = torch.rand(beats, generator=draws) < share
    for start, end in ((0, WINDOW_BEFORE_R), (WINDOW_BEFORE_R + 1, WINDOW_SAMPLES)):
        order = torch.rand(beats, end - start, generator=draws).argsort(dim=1)
        shown[:, start:end].scatter_(1, order[:, :WARPED_TICKS], 0)
        shown[:, start:end].scatter_(1, order[:, WARPED_TICKS : 2 * WARPED_TICKS], 2)
    shown[~warped] = 1
    ticks = torch.arange(WINDOW_SAMPLES).repeat(beats)
    return ticks.repeat_interleave(shown.flatten()).reshape(beats, WINDOW_SAMPLES)


def warp(x_b1t: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """Return beats [B, 1, 320], each warped at random with the chance ``share``."""
    ticks = warped_ticks(len(x_b1t), share, draws).to(x_b1t.device)
    return x_b1t.gather(2, ticks[:, None])
