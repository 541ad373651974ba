"""A heart too fast for the detector, found without single beats.

A QRS complex is found where its energy is the highest for 200 ms on each side. Above 290 bpm the
next complex lies within that time, and of three one is found: 300 bpm read 100. So this looks for
what repeats itself every fifth of a second: the correlation of the QRS band with itself, over three
seconds, each second.

The likeness after one period must be high, and as high as after two: a T wave as tall as the R
wave, halfway between two beats, or atrial flutter between QRS complexes, makes every second period
alike and not every one. It must also be higher than after any shorter period: mains and tremor
repeat sooner. In 58 h of mitdb, svdb, nstdb and CinC 2017 (first leads) there is no such window;
those in vfdb and cu lie in fibrillation, flutter and ventricular tachycardia.

That takes four seconds, and after four without a QRS an asystole would be raised. So the latest
second is looked at, too: while it repeats itself so, there may be such a rhythm, and no standstill.

Pure in memory: no clock. Positions count samples of the 360 Hz stream.
"""

from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.state import Shape, State
from pipeline.signal.kernels import repetition as kernel

BEGINS_ABOVE: Final = 0.8
"""Likeness after one period (correlation). Made-up tachycardias of 277 to 424 bpm, with R waves
that alternate by a fifth or noise of 50 uV, stay above 0.88."""

CONTINUES_ABOVE: Final = 0.6

AS_MUCH_AS_TWICE: Final = 0.85
"""Likeness after one period as a part of that after two."""

MORE_THAN_SHORTER: Final = 1.25
"""Likeness after one period over the highest after a shorter one."""

LEAST_MV: Final = 0.15
"""Peak to peak in the QRS band: AAMI EC13 asks that nothing below 150 uV counts as a QRS."""

LOST_SHARE: Final = 0.1
"""With more lost samples than this the three seconds say nothing."""

BEGINS_AFTER: Final = 2
"""Measures in a row: with their three seconds, 4 s of it."""

ENDS_AFTER: Final = 2
"""Measures in a row without it, or without signal: 2 s."""


POSSIBLE_FOR: Final = 5
"""Seconds after which the rhythm is sure, or what repeated itself is none."""


RULES: Final = np.array(
    [
        BEGINS_ABOVE, CONTINUES_ABOVE, AS_MUCH_AS_TWICE, MORE_THAN_SHORTER, LEAST_MV, LOST_SHARE,
        BEGINS_AFTER, ENDS_AFTER, POSSIBLE_FOR,
    ]
)  # fmt: skip
"""Rules of `kernel.follow`, in the order of its slots."""


class Change(NamedTuple):
    """A rhythm too fast for the detector, or what may be one, begins or ends."""

    position: int
    """Where that was sure."""
    active: bool
    """Whether it begins."""
    begun_at: int
    """Where the rhythm began, or ended, as far as the measures show."""
    bpm: float
    """Its rate."""
    sure: bool = True
    """Whether there is such a rhythm, or may be; the one ends with the beginning of the other."""


class FastRhythmState(State):
    """What is remembered of one lead: arrays of `kernel.measure`, and counts of measures."""

    ring: Annotated[NDArray[np.float32], Shape((kernel.KEPT,))]
    lost: Annotated[NDArray[np.uint8], Shape((kernel.KEPT,))]
    counters: Annotated[NDArray[np.int64], Shape((kernel.SIZE,))]
    counts: Annotated[NDArray[np.int64], Shape((kernel.COUNTS,))]
    """Of measures in a row, for `kernel.follow`."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first sample."""
        return cls(
            ring=np.zeros(kernel.KEPT, dtype=np.float32),
            lost=np.zeros(kernel.KEPT, dtype=np.uint8),
            counters=np.zeros(kernel.SIZE, dtype=np.int64),
            counts=np.zeros(kernel.COUNTS, dtype=np.int64),
        )

    @property
    def active(self) -> bool:
        """Whether the rhythm is there now."""
        return bool(self.counts[kernel.ACTIVE])

    @property
    def is_consistent(self) -> bool:
        """Whether the kernel may trust the places and counts of a state that was read."""
        count, at, since, filled = self.counters.tolist()
        thinned = count // kernel.THIN
        return (
            count >= 0
            and at == thinned % kernel.KEPT
            and since == thinned % kernel.EVERY
            and filled == min(thinned - since, kernel.KEPT)
            and all(0 <= n <= thinned for n in self.counts.tolist())
            and self.counts[[kernel.ACTIVE, kernel.POSSIBLE]].max() <= 1
        )


def changes_of(changes: NDArray[np.int64], rows: NDArray[np.float64]) -> list[Change]:
    """List the changes that `kernel.follow` wrote, with the rates that the ``rows`` say.

    int64[c, kernel.CHANGE] and float64[m, kernel.MEASURES, kernel.COLUMNS].
    """
    return [_change(change, rows) for change in changes.tolist()]


def _change(change: list[int], rows: NDArray[np.float64]) -> Change:
    position, begins, begun_at, sure, row = change
    period = float(rows[row, kernel.THREE_SECONDS, kernel.PERIOD])
    bpm = 60.0 / (period * kernel.THIN / SAMPLING_RATE_HZ) if begins and sure else 0.0
    return Change(position, bool(begins), begun_at, bpm, bool(sure))
