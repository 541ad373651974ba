"""The arrays of a lead lie side by side in one, and are what they were apart."""

from copy import deepcopy

import numpy as np
import pytest

from pipeline.constants import SAMPLING_RATE_HZ, SAMPLING_RATE_LIMITS_HZ
from pipeline.schema.state import encode
from pipeline.signal.filters import resampling
from pipeline.signal.kernels import candidates
from pipeline.signal.kernels.leads.memory import RECENT, SHORTEST_RR, lay_out_work, work_size
from pipeline.signal.leads.lead_state import DETECTOR, TAIL_SAMPLES, LeadState
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter

MOST_HALF = resampling(SAMPLING_RATE_LIMITS_HZ[1]).half
"""The inputs that a resampler waits for, at the highest rate."""


@pytest.mark.parametrize("half", [0, 3, 5, MOST_HALF])
def test_a_state_is_the_same_once_its_arrays_lie_in_one(half: int) -> None:
    """Each keeps its values, its type and its shape, and shares no place with another."""
    state, rng = LeadState.fresh(half), np.random.default_rng(1)
    for part in _arrays(state):
        part[...] = rng.integers(0, 100, part.shape)
    written = encode(1, state)
    whole = state.gather()
    assert encode(1, state) == written
    assert all(np.shares_memory(part, whole) for part in _arrays(state) if part.size)
    assert sum(part.nbytes for part in _arrays(state)) > whole.nbytes - 16


@pytest.mark.parametrize("n", [0, 1, 7, 90, 179, 1100])
def test_the_work_on_samples_has_room_for_them(n: int) -> None:
    """No array of it overlaps another, and none is too short."""
    whole, none = np.zeros(work_size(n)), np.empty(0)
    work = lay_out_work(whole, n, none, none, none)
    for k, part in enumerate(work):
        part[...] = k
    assert all((part == k).all() for k, part in enumerate(work))
    assert work.inputs.size >= 2 * MOST_HALF + n
    assert work.raw.size == work.response.size == TAIL_SAMPLES + n
    assert work.y.shape == (3, n)
    assert work.clean.size == work.codes.size == n
    assert sum(part.nbytes for part in work) > whole.nbytes - 16


def test_sizes_are_those_of_the_settings() -> None:
    """The kernels repeat what they cannot import."""
    assert DETECTOR[candidates.APART] == SHORTEST_RR
    assert RECENT == SAMPLING_RATE_HZ


def test_a_copied_lead_has_a_memory_of_its_own() -> None:
    """What one stream is sent later changes nothing of its copy."""
    x = np.random.default_rng(2).normal(0.0, 0.3, 720).astype(np.float32)
    segmenter = Segmenter(360.0)
    segmenter.push(SampleBlock(0, x))
    copied, written = deepcopy(segmenter), encode(1, segmenter.state)
    segmenter.push(SampleBlock(x.size, x))
    assert encode(1, copied.state) == written
    copied.push(SampleBlock(x.size, x))
    assert encode(1, copied.state) == encode(1, segmenter.state) != written


def _arrays(state: LeadState) -> list[np.ndarray]:
    parts = (state, state.fibrillation, state.fast_rhythm)
    values = [getattr(part, name) for part in parts for name in part.__struct_fields__]
    return [value for value in values if isinstance(value, np.ndarray)]
