"""Ventricular fibrillation and flutter, found from the waveform alone.

It uses no R peak and no model: a fibrillating heart has no beats to find. Two measures over four
seconds decide, every half second. A heart that beats rests between its beats, so most slopes of its
ECG are small beside the steepest; a fibrillating one never rests (the fraction of flat slopes; the
isoelectric content of Clayton and others, Med. Biol. Eng. Comput. 31, 1993, is of this kind). And
fibrillation is slow and nearly a sine: most of its power lies between 2 and 7 Hz (the spectral
algorithm of Barro et al., J. Biomed. Eng. 11, 1989). Their weights are a logistic regression on
the records that ``models/weights/fibrillation.json`` names; `monitor train fibrillation` gives them
again.

Pure in memory: no clock. Positions count samples of the 360 Hz stream.
"""

from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.state import Shape, State
from pipeline.signal.kernels import fibrillation as kernel

FIBRILLATION_S: Final = 4.0
"""This much of it is needed (Challenge 2015, bedside monitors): the four seconds of a measure."""

FIBRILLATION_STEP_S: Final = kernel.THIN * kernel.EVERY / SAMPLING_RATE_HZ
"""From one measure to the next."""

FLAT_WEIGHT: Final = -12.71
LOW_WEIGHT: Final = 8.03
BIAS: Final = 0.53

BEGINS_ABOVE: Final = 2.55
"""Of the weighted sum: the lowest that gives at most two false alarms in 24 h on the records of
the training in which nothing fibrillates."""

CONTINUES_ABOVE: Final = 1.0
"""The sum is the logarithm of the odds: as long as fibrillation is nearly three times as likely as
not, what wavers is one episode."""

NEVER_FLATTER: Final = (LOW_WEIGHT + BIAS - CONTINUES_ABOVE) / -FLAT_WEIGHT
"""With more flat slopes it is no fibrillation, whatever the share of the power."""

LEAST_MV: Final = 0.15
"""Peak to peak. Fibrillation below 0.1 mV is called asystole, from 0.2 mV on it is coarse (AHA
recommendations for defibrillators, Kerber et al., Circulation 95, 1997); noise lies there too."""

BEGINS_AFTER: Final = 3
"""Measures in a row: one may be an artefact."""

ENDS_AFTER: Final = 4
"""Measures in a row without it: 2 s."""


GIVEN_UP_AFTER: Final = 12
"""Measures in a row that hold too many masked samples: 2 s of them, and the 4 s that each sees."""


RULES: Final = np.array(
    [
        FLAT_WEIGHT, LOW_WEIGHT, BIAS, LEAST_MV, BEGINS_ABOVE, CONTINUES_ABOVE, BEGINS_AFTER,
        ENDS_AFTER, GIVEN_UP_AFTER,
    ]
)  # fmt: skip
"""Rules of `kernel.follow`, in the order of its slots."""

# Second-order Butterworth band-passes for thinned samples, at 120 Hz, rows b0 b1 b2 a1 a2; as
# numbers for the reason that `pipeline.signal.filters` gives. scipy.signal.butter(2, (1, 30),
# "bandpass", fs=120, output="sos") and (2, 7) give the same.
BAND: Final = np.array(
    (
        (
            0.2777220252841924,
            0.5554440505683848,
            0.2777220252841924,
            -0.030099096074011504,
            0.18543572991940044,
        ),
        (1.0, -2.0, 1.0, -1.9260492157682811, 0.9288302439499991),
    )
)
"""1 to 30 Hz: where the steepness of slopes is measured."""

LOW: Final = np.array(
    (
        (
            0.014401440346511226,
            0.02880288069302245,
            0.014401440346511226,
            -1.6718896856991425,
            0.7633859559155748,
        ),
        (1.0, -2.0, 1.0, -1.891206366565096, 0.9046523817866413),
    )
)
"""2 to 7 Hz: where most of the power of fibrillation lies."""


class Change(NamedTuple):
    """Fibrillation begins or ends."""

    position: int
    """Where that was sure."""
    active: bool
    """Whether it begins."""
    begun_at: int
    """Where the condition began, or ended, as far as the measures show."""
    hz: float
    """Dominant frequency, by zero crossings."""
    mv: float
    """Peak to peak."""


NO_MEASURES: Final = (np.empty(0, np.int64), np.empty((0, kernel.COLUMNS)))
"""What the samples between two measures give."""


class FibrillationState(State):
    """All memory of a `FibrillationWatch`: arrays of `kernel.measure`, and counts of measures."""

    mean: Annotated[NDArray[np.float64], Shape((1,))]
    wide: Annotated[NDArray[np.float64], Shape((2, 2))]
    low: Annotated[NDArray[np.float64], Shape((2, 2))]
    rings: Annotated[NDArray[np.float32], Shape((2, kernel.KEPT))]
    counters: Annotated[NDArray[np.int64], Shape((kernel.SIZE,))]
    counts: Annotated[NDArray[np.int64], Shape((kernel.COUNTS,))]
    """Of measures in a row, for `kernel.follow`."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first sample."""
        return cls(
            mean=np.zeros(1),
            wide=np.zeros((2, 2)),
            low=np.zeros((2, 2)),
            rings=np.zeros((2, kernel.KEPT), dtype=np.float32),
            counters=np.zeros(kernel.SIZE, dtype=np.int64),
            counts=np.zeros(kernel.COUNTS, dtype=np.int64),
        )

    @property
    def active(self) -> bool:
        """Whether it fibrillates now."""
        return bool(self.counts[kernel.ACTIVE])

    @property
    def is_consistent(self) -> bool:
        """Whether the kernel may trust the places and counts of a state that was read."""
        count, at, since, filled = self.counters[: kernel.LOST].tolist()
        thinned, row = count // kernel.THIN, kernel.THIN * kernel.EVERY
        return (
            count >= 0
            and at == thinned % kernel.KEPT
            and since == thinned % kernel.EVERY
            and filled == min(thinned, kernel.KEPT)
            and all(0 <= lost <= row for lost in self.counters[kernel.LOST :].tolist())
            and all(0 <= n <= thinned for n in self.counts[: kernel.ACTIVE].tolist())
            and self.counts[kernel.ACTIVE] in (0, 1)
        )


class FibrillationWatch:
    """Measures one uninterrupted stretch of signal, for training."""

    def __init__(self, state: FibrillationState | None = None, most_flat: float = np.inf) -> None:
        """Begin, or continue from ``state``.

        From the share ``most_flat`` of flat slopes on, the share of the power is given as 0, and so
        are the zero crossings once nothing can end: `NEVER_FLATTER` and more leave every decision
        as it is.
        """
        self._most_flat = most_flat
        self._positions, self._rows = np.empty(1, np.int64), np.empty((1, kernel.COLUMNS))
        self._scratch = np.empty(kernel.SCRATCH, dtype=np.float32)
        self.state = state or FibrillationState.fresh()

    def measure(
        self, clean: NDArray[np.float32], masked: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Take the next samples; return positions and rows of measures.

        int64[m] and float64[m, kernel.COLUMNS], one for each half second.

        Args:
            clean: float32[n], mV at 360 Hz, finite.
            masked: uint8[n] of `Reason`, why a sample is masked, 0 where it is not. Four seconds
                with more than a tenth of such samples give no measure; those at a rail count.
        """
        state = self.state
        most = clean.size // (kernel.THIN * kernel.EVERY) + 1
        if most > self._positions.size:
            self._positions, self._rows = np.empty(most, np.int64), np.empty((most, kernel.COLUMNS))
        n = kernel.measure(
            clean, masked, state.mean, BAND, state.wide, LOW, state.low, self._most_flat,
            int(state.counts[kernel.BELOW]), ENDS_AFTER, state.rings, self._scratch,
            state.counters, self._positions, self._rows,
        )  # fmt: skip
        return (self._positions[:n].copy(), self._rows[:n].copy()) if n else NO_MEASURES


def changes_of(changes: NDArray[np.int64], rows: NDArray[np.float64]) -> list[Change]:
    """List the changes that `kernel.follow` wrote, with what the ``rows`` of measures say of them.

    int64[c, kernel.CHANGE] and float64[m, kernel.COLUMNS].
    """
    return [_change(change, rows) for change in changes.tolist()]


def _change(change: list[int], rows: NDArray[np.float64]) -> Change:
    position, begins, begun_at, row = change
    hz = float(rows[row, kernel.CROSSINGS]) / FIBRILLATION_S if row >= 0 else 0.0
    mv = float(rows[row, kernel.SPAN]) if row >= 0 else 0.0
    return Change(position, bool(begins), begun_at, hz, mv)
