"""How long a model takes over a beat, on this machine, now.

The shortest of several runs counts: the one least disturbed by what else the machine does.
"""

import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES

BATCHES: Final = (1, 64)
BEATS: Final = 64
RUNS: Final = 8


def us_per_beat(run: Callable[[NDArray[np.float32]], object]) -> dict[str, float]:
    """Return microseconds a beat of ``run``, which takes windows float32[B, 320] in [-1, 1].

    Keys are ``batch_1`` and ``batch_64``.
    """
    windows = np.random.default_rng(0).uniform(-1, 1, (BEATS, WINDOW_SAMPLES)).astype(np.float32)
    return {f"batch_{batch}": round(1e6 * _shortest_s(run, windows, batch), 1) for batch in BATCHES}


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
