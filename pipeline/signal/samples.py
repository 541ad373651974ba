"""Consecutive samples of one stream, of one lead or several, on their way to the segmenter."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_LEAD_OFF, FLAG_SATURATED
from pipeline.schema.state import State

LATEST_SAMPLE: Final = 2**53
"""Positions beyond are refused: no stream lasts that long, and index arithmetic stays exact."""

_SINGLE: Final = np.dtype(np.float32)
_KNOWN_FLAGS: Final = np.uint8(FLAG_LEAD_OFF | FLAG_SATURATED)


class SampleBlock(State):
    """Consecutive samples of one epoch."""

    first_sample: int
    """Index of the first one in the source's own sampling rate, counted from 0."""
    samples: NDArray[np.float32]
    """float32[n] of one lead, float32[leads, n] of several, mV; NaN where no value is known."""
    flags: NDArray[np.uint8] | None = None
    """uint8 as the samples, of `pipeline.schema.messages.FLAG_LEAD_OFF` and
    `FLAG_SATURATED`; None for none."""
    epoch: int = 0
    """Which numbering of the source this is: a looped record begins the next one."""
    stamp_s: float | None = None
    """When the last sample was taken by the source's clock, seconds since 1970; None for a record,
    whose samples were taken long ago."""
    arrived_at: float = 0.0
    """When it arrived, in seconds of the receiver's clock; for latencies only."""

    @property
    def n(self) -> int:
        """Samples of each lead."""
        n: int = self.samples.shape[-1]
        return n

    @property
    def leads(self) -> int:
        """How many leads these are samples of."""
        return 1 if self.samples.ndim == 1 else self.samples.shape[0]

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + self.n


def in_blocks(samples: NDArray[np.float32], length: int) -> Iterator[SampleBlock]:
    """Yield a whole signal, float32[n] or float32[leads, n] in mV, ``length`` samples a block."""
    for first in range(0, samples.shape[-1], length):
        yield SampleBlock(first, samples[..., first : first + length])


def side_by_side(leads: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the signals of several leads, each float32[n], as float32[leads, n].

    Raises:
        ValueError: they are not of one length.
    """
    lengths = {lead.size for lead in leads}
    if len(lengths) > 1:
        raise ValueError(f"leads of different lengths: {min(lengths)} to {max(lengths)} samples")
    return np.stack(leads)


def admit(
    samples: NDArray[np.float32],
    first_sample: int,
    flags: NDArray[np.uint8] | None,
    leads: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return samples and flags of shape (leads, n), of the type of array that all kernels get.

    They are copied unless they are of that type.

    Raises:
        ValueError: they have another shape, or the first sample is beyond all streams.
    """
    x = np.asarray(samples)
    if x.dtype != _SINGLE:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and that is no signal
            x = np.array(x, dtype=np.float32, order="C")
    elif not x.flags.carray:
        x = np.array(x, order="C")
    if x.ndim == 1 and leads == 1:
        x = x[np.newaxis]
    if x.ndim != 2 or len(x) != leads:
        wanted = "(n,)" if leads == 1 else f"({leads}, n)"
        raise ValueError(f"samples have shape {x.shape}, not {wanted}")
    if not 0 <= first_sample < LATEST_SAMPLE:
        raise ValueError(f"first sample {first_sample} is outside 0 to 2**53")
    if flags is None:
        return x, np.zeros(x.shape, dtype=np.uint8)
    marks = np.array(flags, dtype=np.uint8)
    if marks.shape != samples.shape:
        raise ValueError(f"flags have shape {marks.shape}, samples {samples.shape}")
    marks = marks.reshape(x.shape)
    return x, marks & _KNOWN_FLAGS
