"""Warping in time: seven ticks dropped and seven doubled on each side of the R peak."""

import numpy as np
import pytest
import torch

from models.training.warping import WARPED_TICKS, warp, warped_ticks
from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES


def _draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_side_drops_and_doubles_seven_ticks() -> None:
    """In every beat; the R peak stays in its place, and time never runs backwards."""
    ticks = warped_ticks(50, 1.0, _draws()).numpy()

    assert ticks.shape == (50, WINDOW_SAMPLES)
    assert (ticks[:, WINDOW_BEFORE_R] == WINDOW_BEFORE_R).all()
    assert (np.diff(ticks, axis=1) >= 0).all()
    for row in ticks:
        shown = np.bincount(row, minlength=WINDOW_SAMPLES)
        assert shown[WINDOW_BEFORE_R] == 1
        for side in (shown[:WINDOW_BEFORE_R], shown[WINDOW_BEFORE_R + 1 :]):
            assert (side == 0).sum() == (side == 2).sum() == WARPED_TICKS
            assert side.max() == 2


def test_every_tick_but_the_peak_can_be_dropped_or_doubled() -> None:
    """Over many beats each as often as any other, within chance."""
    ticks = warped_ticks(4000, 1.0, _draws()).numpy()
    shown = np.stack([np.bincount(row, minlength=WINDOW_SAMPLES) for row in ticks])
    before, after = np.split(np.delete(shown, WINDOW_BEFORE_R, axis=1), [WINDOW_BEFORE_R], axis=1)
    for side in (before, after):
        expected = 4000 * WARPED_TICKS / side.shape[1]
        for times in (0, 2):
            found = (side == times).sum(axis=0)
            assert np.abs(found - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1e3, 1e3)]
)
def test_share_of_the_beats_is_warped(share: float, least: float, most: float) -> None:
    """The others are shown as they are."""
    ticks = warped_ticks(1000, share, _draws())
    whole = (ticks == torch.arange(WINDOW_SAMPLES)).all(dim=1)
    assert least <= int((~whole).sum()) <= most


def test_warping_follows_the_generator_alone() -> None:
    """The same draws, the same beats: what resumption rests on."""
    x = torch.rand(8, 1, WINDOW_SAMPLES)
    assert torch.equal(warp(x, 0.5, _draws(3)), warp(x, 0.5, _draws(3)))
    assert not torch.equal(warp(x, 1.0, _draws(3)), warp(x, 1.0, _draws(4)))


def test_beats_are_warped_one_by_one() -> None:
    """Row by row what the ticks say, against a slow reference; values come from that beat alone."""
    x = torch.rand(6, 1, WINDOW_SAMPLES)
    warped, ticks = warp(x, 0.5, _draws()), warped_ticks(6, 0.5, _draws())
    for beat in range(6):
        expected = [float(x[beat, 0, tick]) for tick in ticks[beat].tolist()]
        assert warped[beat, 0].tolist() == expected
