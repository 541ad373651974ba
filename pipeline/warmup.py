"""Compile the kernels before the first sample, and know beforehand whether that takes long."""

from pathlib import Path

import numpy as np

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.kernels import sampling
from pipeline.segmenter import Segmenter


def compiled_before() -> bool:
    """Return whether compiled kernels lie in numba's cache, so that they load in a moment."""
    cache = sampling.filter_bank.stats.cache_path
    return cache is not None and any(Path(cache).glob("sampling.*.nbc"))


def compile_kernels() -> None:
    """Compile or load every kernel by running a few seconds of a pulse through a segmenter."""
    x = np.zeros(8 * SAMPLING_RATE_HZ, dtype=np.float32)
    x[::SAMPLING_RATE_HZ] = 1.0
    for fs_hz in (float(SAMPLING_RATE_HZ), 250.0):
        segmenter = Segmenter(fs_hz)
        segmenter.push(x, first_sample=0)
        segmenter.finish()
