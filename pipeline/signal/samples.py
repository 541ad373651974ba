"""Consecutive samples of one stream, on their way from a source to the segmenter."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.state import State


class SampleBlock(State):
    """Consecutive samples of one epoch."""

    first_sample: int
    """Index of the first one in the source's own sampling rate, counted from 0."""
    samples: NDArray[np.float32]
    """float32[n], mV; NaN where no value is known."""
    flags: NDArray[np.uint8] | None = None
    """uint8[n] of `pipeline.schema.messages.FLAG_LEAD_OFF` and `FLAG_SATURATED`; None for none."""
    epoch: int = 0
    """Which numbering of the source this is: a looped record begins the next one."""
    stamp_s: float | None = None
    """When the last sample was taken by the source's clock, seconds since 1970; None for a record,
    whose samples were taken long ago."""
    arrived_at: float = 0.0
    """When it arrived, in seconds of the receiver's clock; for latencies only."""

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.samples)


def in_blocks(samples: NDArray[np.float32], length: int) -> Iterator[SampleBlock]:
    """Yield a whole signal, float32[n] in mV, in blocks of ``length`` samples."""
    for first in range(0, samples.size, length):
        yield SampleBlock(first, samples[first : first + length])
