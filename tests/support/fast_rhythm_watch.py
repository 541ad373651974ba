"""The measure and the rules of fast rhythms by themselves, without the rest of a lead."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.fast_rhythm import RULES, Change, FastRhythmState, changes_of
from pipeline.signal.kernels import repetition as kernel
from pipeline.signal.quality import Reason


class FastRhythmWatch:
    """Finds a rhythm too fast for the detector in one uninterrupted stretch of signal."""

    def __init__(self) -> None:
        self._state = FastRhythmState.fresh()

    def push(self, y: NDArray[np.float32], masked: NDArray[np.uint8]) -> list[Change]:
        """Take the next samples.

        Args:
            y: float32[n], mV at 360 Hz behind the QRS band-pass, finite.
            masked: uint8[n] of `Reason`: noisy samples count, other masked ones are lost.
        """
        state, most = self._state, y.size // (kernel.THIN * kernel.EVERY) + 1
        positions, rows = np.empty(most, np.int64), np.empty((most, 2, kernel.COLUMNS))
        n = kernel.measure(
            y, masked, int(Reason.NOISE), state.ring, state.lost, state.counters,
            np.empty(kernel.LINE), positions, rows,
        )  # fmt: skip
        changes = np.empty((most, kernel.CHANGE), dtype=np.int64)
        changed = kernel.follow(positions[:n], rows[:n], RULES, state.counts, changes)
        return changes_of(changes[:changed], rows)
