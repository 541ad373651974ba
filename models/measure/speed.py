"""How long a model takes for a beat, on this machine, now.

The shortest of several runs counts: it is the one that other processes disturbed least.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES

BEATS: Final = 64
RUNS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatTime:
    """Microseconds a beat."""

    batch_1: float
    """Beats scored one by one."""
    batch_64: float
    """Beats scored 64 at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTimes:
    """What a beat takes on each device; None where it was not measured."""

    cpu: BeatTime
    cuda: BeatTime | None = None


def us_per_beat(run: Callable[[NDArray[np.float32]], object]) -> BeatTime:
    """Return microseconds a beat of ``run``, which takes windows float32[B, 320] in [-1, 1]."""
    windows = np.random.default_rng(0).uniform(-1, 1, (BEATS, WINDOW_SAMPLES)).astype(np.float32)

    def measured(batch: int) -> float:
        return round(1e6 * _shortest_s(run, windows, batch), 1)

    return BeatTime(batch_1=measured(1), batch_64=measured(64))


def _shortest_s(
    run: Callable[[NDArray[np.float32]], object], windows: NDArray[np.float32], batch: int
) -> float:
    run(windows[:batch])
    shortest = float("inf")
    for _ in range(RUNS):
        begun = time.perf_counter()
        for first in range(0, len(windows), batch):
            run(windows[first : first + batch])
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest / len(windows)
