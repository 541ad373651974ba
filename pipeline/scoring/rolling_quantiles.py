"""The latest values of the series of a live score, for their quantiles. Pure in memory."""

from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State
from pipeline.signal.kernels.scoring import series as kernel

_SIZES: Final = np.array(kernel.SIZES)


class RollingState(State):
    """All memory of the series, a row each: arrays of `pipeline.signal.kernels.scoring.series`."""

    values: Annotated[NDArray[np.float64], Shape((kernel.SERIES, kernel.LONGEST))]
    counters: Annotated[NDArray[np.int64], Shape((kernel.SERIES, kernel.COUNTERS))]

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first value."""
        return cls(
            values=np.zeros((kernel.SERIES, kernel.LONGEST)),
            counters=np.zeros((kernel.SERIES, kernel.COUNTERS), dtype=np.int64),
        )


class Series(NamedTuple):
    """The arrays that the kernels work on."""

    values: NDArray[np.float64]
    counters: NDArray[np.int64]
    ranks: NDArray[np.uint8]
    """The places of the values by ascending values, which no state need keep."""


def series_of(state: RollingState) -> Series:
    """Return the series that continue from ``state``.

    Raises:
        SnapshotError: the state is not one that a kernel can trust.
    """
    kept, place = state.counters.T
    if (kept < 0).any() or (kept > _SIZES).any() or (place < 0).any() or (place >= _SIZES).any():
        raise SnapshotError("state of latest values whose places are out of range")
    if ((kept < _SIZES) & (place != kept)).any():
        raise SnapshotError("state of latest values with a gap among them")
    if not np.isfinite(state.values).all():
        raise SnapshotError("state of latest values that are not finite")
    ranks = np.zeros(state.values.shape, dtype=np.uint8)
    for row, n in enumerate(kept.tolist()):
        ranks[row, :n] = np.argsort(state.values[row, :n], kind="stable")
    return Series(state.values, state.counters, ranks)
