"""The band-passed signal of a stream on its way to who looks at it and to the log.

Within the hub it is an array: a number that nobody looks at never becomes an object.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.public import SignalStrip


class Strip(NamedTuple):
    """Consecutive values of one stream."""

    epoch: int
    first_sample: int
    """Position of the first value, at 360 Hz."""
    mv: NDArray[np.float32]
    """float32[n]; NaN where the signal is masked."""


def public_strip(stream: str, strip: Strip) -> SignalStrip:
    """Return ``strip`` as it is published and logged: three decimals, None for NaN."""
    # As float32 each number would be printed with all the digits of its neighbour in float64.
    values = np.round(strip.mv.astype(np.float64), 3).tolist()
    return SignalStrip(
        stream=stream,
        epoch=strip.epoch,
        first_sample=strip.first_sample,
        fs_hz=float(SAMPLING_RATE_HZ),
        mv=[None if v != v else v for v in values],
    )
