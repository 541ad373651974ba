"""Whether fast beats are organised, as those of a heart are: they repeat themselves or keep time.

A heart beats above 140 bpm from one focus, over one circuit, or through one conduction system: most
of its complexes are like the one before, even where the intervals are irregular (atrial
fibrillation), and most intervals are alike, even where complexes change. An electrode that moves
adds deflections between the QRS complexes of a slower heart, or a T wave counts as a beat: neither
their shapes nor their intervals are those before.

Pure: no clock, no I/O.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.rate_rules import FAST_BEATS
from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.schema.state import Shape, State, field
from pipeline.signal.kernels.alarms import organisation as kernel

BEATS: Final = FAST_BEATS
"""Beats that are compared: those over which an extreme rate is measured."""

ALIKE: Final = 0.8
"""Correlation of half of the complexes with the one before, at least. In extreme tachycardias (true
alarms of the 2015 challenge, vfdb, mitdb) the median of the correlation is 0.88 or more in 19 of
20; in the electrode motion of nstdb, added to six records of mitdb, it is 0.74 at most."""

IRREGULAR: Final = 0.15
"""An interval that deviates more than this part from the median is irregular."""

REGULAR_SHARE: Final = 0.75
"""Share of the intervals that must be regular. One in four allows for missed and ectopic beats;
with motion between the QRS complexes a third and more are irregular."""

_LAG: Final = 4
"""Steps, 33 ms both ways, by which beats are shifted: the detector may take another peak for R."""

_KEPT: Final = 30 + 2 * _LAG
_FROM: Final = WINDOW_BEFORE_R - 36 - kernel.STEP * _LAG
"""From 100 ms before the R peak to 150 ms after it, with the lags: QRS and ST segment."""

_FEWEST: Final = BEATS // 2
"""With fewer correlations nothing is said of the shapes."""


_NO_WINDOWS: Final = np.empty((0, WINDOW_SAMPLES), dtype=np.float32)


class OrganisationState(State):
    """All memory of an `Organisation`."""

    leads: Annotated[NDArray[np.float32], Shape((None, BEATS, _KEPT))] = field(
        default_factory=lambda: np.zeros((1, BEATS, _KEPT), dtype=np.float32)
    )
    """The latest beats in each lead, the newest last, every third sample; zeros where there is
    none."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first beat of a stream of so many leads."""
        return cls(np.zeros((leads, BEATS, _KEPT), dtype=np.float32))


class Organisation:
    """The shapes of the latest beats of one stream, each lead by itself."""

    def __init__(self, state: OrganisationState | None = None) -> None:
        self.state = state or OrganisationState()
        self._alike = np.empty((len(self.state.leads), BEATS - 1))
        self._line = np.empty(BEATS - 1)

    def take(self, windows: NDArray[np.float32] | None) -> Self:
        """Take in a beat's window, float32[320], or those in all leads, float32[leads, 320].

        None where there is none.
        """
        if windows is None:
            windows = _NO_WINDOWS
        elif windows.ndim == 1:
            windows = windows[np.newaxis]
        kernel.take(windows, _FROM, self.state.leads)
        return self

    def holds(self, intervals_s: Sequence[float]) -> bool:
        """Return whether the latest beats, with these intervals, are organised, as far as known."""
        alike = self.median_likeness()
        return math.isnan(alike) or alike >= ALIKE or _keep_time(intervals_s)

    def median_likeness(self) -> float:
        """Return the median correlation of a beat with the one before, in the lead that has most.

        An electrode that moves hides how alike beats are in its lead alone. NaN if few are known.
        """
        return kernel.median_likeness(self.likeness(), _FEWEST, self._line)

    def likeness(self) -> NDArray[np.float64]:
        """Return the correlation of each beat with the one before, float64[leads, BEATS - 1].

        NaN where one of the two is not known. Valid until the next call.
        """
        kernel.likeness(self.state.leads, _LAG, self._alike)
        return self._alike


def _keep_time(intervals_s: Sequence[float]) -> bool:
    usual = median(intervals_s)
    regular = sum(abs(interval - usual) <= IRREGULAR * usual for interval in intervals_s)
    return regular >= REGULAR_SHARE * len(intervals_s)
