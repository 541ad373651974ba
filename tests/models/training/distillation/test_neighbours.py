"""The mean of a beat's nearest others: which are near, and what is left of a beat in it."""

import numpy as np
import torch

from models.training.distillation.losses import smoothed_score
from models.training.distillation.neighbours import NEIGHBOURS, nearest, neighbours_mean


def _beats(n: int, noise: float = 0.0) -> torch.Tensor:
    """Humps of two widths, in turn, with noise of their own, float32[n, 320]."""
    ticks, random = torch.arange(320.0), torch.Generator().manual_seed(0)
    widths = torch.tensor([10.0, 30.0]).repeat((n + 1) // 2)[:n, None]
    humps = 2 * torch.exp(-(((ticks - 140) / widths) ** 2)) - 1
    return humps + noise * torch.randn(n, 320, generator=random)


def test_near_is_what_the_score_calls_near() -> None:
    """The rows are those of the smallest scores of the difference, and never the beat's own.

    Against all pairs, by the score itself; more beats than one batch of distances.
    """
    beats = _beats(300, noise=0.3)
    rows = nearest(beats)

    assert rows.shape == (300, NEIGHBOURS)
    for beat in (0, 255, 256, 299):
        scores = smoothed_score(beats - beats[beat])
        scores[beat] = torch.inf
        assert beat not in rows[beat]
        # Every fourth tick of the moving average stands for all: nearly the same beats.
        fifth = scores.sort().values[NEIGHBOURS - 1]
        assert (scores[rows[beat]] <= 1.05 * fifth).all()


def test_mean_has_the_shape_of_the_beat_and_not_its_noise() -> None:
    """It is nearer to the beat without its noise than the beat is, and of the beat's own kind."""
    noisy, clean = _beats(60, noise=0.3), _beats(60)
    mean = neighbours_mean(noisy[:, None], nearest(noisy), torch.arange(60))[:, 0]

    assert (mean - clean).square().mean() < 0.5 * (noisy - clean).square().mean()
    other_kind = clean.roll(1, dims=0)
    assert (smoothed_score(mean - clean) < smoothed_score(mean - other_kind)).all()


def test_few_beats_have_all_others() -> None:
    """Of three beats each has the other two."""
    assert [set(row) for row in nearest(_beats(3)).tolist()] == [{1, 2}, {0, 2}, {0, 1}]


def test_rows_do_not_depend_on_the_order_of_the_beats() -> None:
    """Turned round, each beat has the same others."""
    beats = _beats(40, noise=0.3)
    forth, back = nearest(beats).numpy(), 39 - nearest(beats.flip(0)).numpy()[::-1]

    np.testing.assert_array_equal(np.sort(forth), np.sort(back))
