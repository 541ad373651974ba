"""A network in lanes computes what its layers say, and no beat sees another one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.lanes import LaneNetwork, whole
from pipeline.signal.kernels.network.product import LANES


@settings(max_examples=40)
@given(
    ticks=st.integers(1, 12),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 20),
    taps=st.integers(1, 4),
    step=st.integers(1, 3),
    before=st.integers(0, 3),
    leak=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_layer_is_the_sum_of_its_taps(
    ticks: int,
    inputs: int,
    outputs: int,
    taps: int,
    step: int,
    before: int,
    leak: float,
    seed: int,
) -> None:
    """Of every shape, with any rectifier, and with a second layer added to it."""
    random = np.random.default_rng(seed)
    weight, more = random.normal(size=(2, taps, inputs, outputs)).astype(np.float32)
    bias = random.normal(size=outputs).astype(np.float32)
    times = (ticks + before) // step + 1
    network = LaneNetwork()
    source = network.plane(ticks, inputs, before=before, after=taps + step)
    target = network.plane(times, whole(outputs))
    for of_layer, start, of_rectifier in ((weight, bias, 1.0), (more, None, leak)):
        network.layer(
            source, of_layer, start, target,
            leak=of_rectifier, taps=taps, first=-before, step=step, times=times,
        )  # fmt: skip
    beats = random.normal(size=(LANES, ticks * inputs)).astype(np.float32)

    network.write(source, beats)
    network.run()
    found = network.read(target, outputs).reshape(LANES, times, outputs)

    padded = np.zeros((LANES, before + ticks + taps + step, inputs))
    padded[:, before : before + ticks] = beats.reshape(LANES, ticks, inputs)
    for time in range(times):
        patch = padded[:, time * step : time * step + taps]
        sums = bias + np.einsum("bti,tio->bo", patch, weight.astype(float) + more)
        expected = np.where(sums > 0, sums, leak * sums)
        np.testing.assert_allclose(found[:, time], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lane", [0, 5, LANES - 1])
def test_a_lane_sees_no_other(lane: int) -> None:
    """Not even a NaN or an infinity in all the others."""
    random = np.random.default_rng(1)
    network = LaneNetwork()
    source, target = network.plane(1, 7), network.plane(1, whole(3))
    weight = random.normal(size=(1, 7, 3)).astype(np.float32)
    network.layer(source, weight, np.zeros(3, dtype=np.float32), target, leak=0.1, times=1)
    beat = random.normal(size=7).astype(np.float32)
    network.write(source, np.tile(beat, (LANES, 1)))
    network.run()
    alone = network.read(target, 3)[lane].copy()

    others = np.where(np.arange(LANES)[:, None] % 2, np.nan, np.inf) * np.ones(7)
    others[lane] = beat
    network.write(source, others.astype(np.float32))
    network.run()

    np.testing.assert_array_equal(network.read(target, 3)[lane], alone)
