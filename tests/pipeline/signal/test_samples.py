"""Blocks of one lead and of several."""

import numpy as np
import pytest

from pipeline.signal.samples import SampleBlock, in_blocks, side_by_side


def test_a_block_counts_the_samples_of_each_lead() -> None:
    """Its length and its end are those of one lead, however many lie side by side."""
    one = SampleBlock(10, np.zeros(5, np.float32))
    several = SampleBlock(10, np.zeros((3, 5), np.float32))

    assert (one.n, one.end, one.leads) == (several.n, several.end, 1) == (5, 15, 1)
    assert several.leads == 3
    assert SampleBlock(10, np.zeros((3, 0), np.float32)).end == 10


def test_a_signal_of_several_leads_is_cut_along_its_time() -> None:
    """Every block has all leads."""
    signal = np.arange(21, dtype=np.float32).reshape(3, 7)

    blocks = list(in_blocks(signal, 3))

    assert [(block.first_sample, block.n) for block in blocks] == [(0, 3), (3, 3), (6, 1)]
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks], axis=1), signal)


def test_leads_of_different_lengths_are_refused() -> None:
    """Signals side by side begin and end together."""
    leads = [np.zeros(5, np.float32), np.zeros(4, np.float32)]
    with pytest.raises(ValueError, match="different lengths: 4 to 5 samples"):
        side_by_side(leads)
    assert side_by_side([leads[0], leads[0]]).shape == (2, 5)
