"""What the ordinary beats of one patient typically score, which the live score takes off by half.

Pure and causal: no clock, no I/O.
"""

from typing import Final

from pipeline.scoring.rolling_quantiles import RollingQuantiles

USUAL_BEATS: Final = 128
"""Over this many usual beats the medians are taken: about two minutes."""

ORDINARY: Final = 8.0
"""A beat whose components without its class sum up to at most this is ordinary, whatever the
threshold."""

TYPICAL_WEIGHT: Final = 0.5


class Typical:
    """What the ordinary beats of one patient typically score."""

    def __init__(self, ordinary: list[float] | None = None) -> None:
        """Begin, or continue from the sums of the latest ordinary beats."""
        self._ordinary = RollingQuantiles(USUAL_BEATS, [] if ordinary is None else ordinary)

    def contribution(self, total: float, *, learns: bool) -> float:
        """Return its contribution to the score of a beat whose components sum up to ``total``.

        It learns ``total`` then, if it may: not within a fast stretch of unusual beats.
        """
        contribution = -TYPICAL_WEIGHT * self._ordinary.quantile(0.5)
        if learns and total <= ORDINARY:
            self._ordinary.add(total)
        return contribution
