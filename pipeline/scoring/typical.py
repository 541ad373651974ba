"""What the ordinary beats of one patient typically score, which the live score takes off by half.

Pure and causal: no clock, no I/O.
"""

from typing import Final

from pipeline.scoring.rolling_quantiles import RollingState, series_of
from pipeline.signal.kernels.scoring import live as kernel

ORDINARY: Final = kernel.ORDINARY_UP_TO
TYPICAL_WEIGHT: Final = kernel.TYPICAL_WEIGHT


class Typical:
    """What the ordinary beats of one patient typically score."""

    def __init__(self) -> None:
        self._series = series_of(RollingState.fresh())

    def contribution(self, total: float, *, learns: bool) -> float:
        """Return its contribution to the score of a beat whose components sum up to ``total``.

        It learns ``total`` then, if it may: not within a fast stretch of unusual beats.
        """
        return kernel.typical(total, learns, *self._series)
