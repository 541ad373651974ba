"""BeatGAN's augmentation: beats warped in time, because intervals vary from beat to beat.

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


def warped_ticks(beats: int, share: float, rng: torch.Generator) -> Tensor:
    """Return from which tick of the window each tick of a warped window comes, int64[beats, 320].

    Rows ascend; tick 140, the R peak, stays where it is.

    Args:
        beats: rows.
        share: the probability that a beat is warped; the others keep every tick.
        rng: on the CPU.
    """
    shown = torch.ones(beats, WINDOW_SAMPLES, dtype=torch.int64)
    warped = torch.rand(beats, generator=rng) < share
    for start, end in ((0, WINDOW_BEFORE_R), (WINDOW_BEFORE_R + 1, WINDOW_SAMPLES)):
        order = torch.rand(beats, end - start, generator=rng).argsort(dim=1)
        shown[:, start:end].scatter_(1, order[:, :WARPED_TICKS], 0)
        shown[:, start:end].scatter_(1, order[:, WARPED_TICKS : 2 * WARPED_TICKS], 2)
    shown[~warped] = 1
    ticks = torch.arange(WINDOW_SAMPLES).repeat(beats)
    return ticks.repeat_interleave(shown.flatten()).reshape(beats, WINDOW_SAMPLES)


def warp(x_bct: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Return beats [B, C, 320], each warped with the probability ``share``, all channels alike."""
    ticks = warped_ticks(len(x_bct), share, rng).to(x_bct.device)
    return x_bct.gather(2, ticks[:, None].expand_as(x_bct))
