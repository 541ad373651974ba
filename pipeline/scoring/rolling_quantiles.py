"""Quantiles of the latest values of a series. Pure in memory."""

from bisect import bisect_left, insort
from math import isfinite

from pipeline.errors import SnapshotError


class RollingQuantiles:
    """The last values of a series, and their quantiles, each in logarithmic time."""

    def __init__(self, size: int, values: list[float]) -> None:
        """Keep the last ``size`` values in ``values``, the oldest first.

        Raises:
            SnapshotError: there are more, or some have no order.
        """
        if len(values) > size or not all(map(isfinite, values)):
            raise SnapshotError(f"state of {len(values)} values that are not the latest {size}")
        self._values = values
        self._sorted = sorted(values)
        self._size = size

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Remember a value, and forget the oldest where there are more than ``size``."""
        if len(self._values) == self._size:
            del self._sorted[bisect_left(self._sorted, self._values.pop(0))]
        self._values.append(value)
        insort(self._sorted, value)

    def quantile(self, part: float) -> float:
        """Return the quantile, interpolated linearly as by `numpy.quantile`; 0 of nothing."""
        if not self._sorted:
            return 0.0
        at = part * (len(self._sorted) - 1)
        low = int(at)
        high = min(low + 1, len(self._sorted) - 1)
        return self._sorted[low] + (at - low) * (self._sorted[high] - self._sorted[low])
