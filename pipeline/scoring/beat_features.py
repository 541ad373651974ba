"""Each beat beside its patient's own past, as numbers for a classifier of every beat.

The references of a patient whose beats are mostly ectopic become the ectopic beats. What comes late
is sinus rhythm even there: so the **late template** is the median, tick by tick, of the last 24
windows whose interval was at or above the 85th percentile of the last 300. The measures are:

* Rhythm. The interval over the means of the last 30, 80, 400 and 1000, over four quantiles of the
  last 300, over the interval before; the two before it; steps between neighbours over the last 64
  and 16: their mean, root mean square, and the share above 6 %.
* The late template. Correlations and distances of P wave, QRS and T wave; width and height.
* The beat before and the one before that: correlations.
* P waves. The correlation with the mean of the last 48, and its mean over them.
* Shapes. Beats whose QRS complexes correlate above 0.9 share a shape: how often the beat's own one
  came lately, how early on average, and how alike the commonest one is.
* The QRS itself. Width, slopes, height, and 15 values, less those of the late template as well.
* The context, what the ResNeXt sees beside the window. With q25, q50, q75, q90 the quantiles of the
  last 1000 intervals and s the median of the last 64 steps: 1 where the interval is known and
  others are; log rr/q75; the same of the interval before and of the one before it; log(rr/q50) over
  0.1 + log q75/q25; log(rr/q75) over 0.1 + log q90/q50; log(rr/q50) over 0.05 + s; the last three
  in [-6, 6]. Usual beats have log rr/q75 between -0.12 and 0.25; their template is the median, tick
  by tick, of 64 of them. Then: 1 where 5 are known, or all the rest is 0; of whole window, P wave,
  QRS and T wave the log of the root mean square distance to the template plus 0.01, less the median
  of the same over the usual beats, in [-2, 4]; these over 0.1 plus the usual beats' 90th percentile
  less median, in [-6, 12]; correlations with the template over QRS, P wave, whole window, and QRS
  at the best lag up to 12 ticks; log of the ratio of the QRS widths; the QRS height over that of
  the template, less 1, in [-1, 1]. The idea: the RR ratios of de Chazal, O'Dwyer & Reilly, IEEE
  Trans. Biomed. Eng. 51 (2004), without the interval after the beat.

Logarithms of ratios are natural and limited to 1.5 on either side; what is not known counts as 0.
Nothing is learned from a fast stretch of unlike beats (`pipeline.signal.kernels.naming.hold`).
Causal: nothing after the window is used. Pure: no clock, no I/O; what is learned depends on the
beats in order, however they are cut into batches. One instance a stream; not thread-safe.
"""

import threading
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State
from pipeline.signal.kernels.naming import features as kernel
from pipeline.signal.kernels.naming import memory, slots
from pipeline.signal.kernels.naming.following import follow
from pipeline.signal.kernels.naming.hold import HELD_AT_MOST, MOST_LEVEL

_PARTS: Final = ("whole", "p", "qrs", "t")

CONTEXT_NAMES: Final = (
    *("context_rr_known", "context_rr_to_upper_quartile", "context_previous_rr_to_upper_quartile"),
    *("context_rr_before_to_upper_quartile", "context_rr_in_spreads_below_median"),
    *("context_rr_in_spreads_below_upper_quartile", "context_rr_in_usual_steps"),
    "context_shape_known",
    *(f"context_{part}_distance" for part in _PARTS),
    *(f"context_{part}_distance_in_spreads" for part in _PARTS),
    *("context_qrs_correlation", "context_p_correlation", "context_whole_correlation"),
    *("context_qrs_correlation_at_best_lag", "context_qrs_width", "context_qrs_height"),
)
"""The last of the measures."""

FEATURE_NAMES: Final = (
    *("known", "rr_to_mean_30", "rr_to_mean_80", "rr_to_mean_400", "rr_to_mean_1000"),
    *("rr_to_q25", "rr_to_median", "rr_to_q75", "rr_to_q90", "last_rr_to_q75"),
    *("rr_before_to_q75", "rr_to_last", "last_step", "mean_step", "rms_step", "few_mean_step"),
    *("unequal", "spread", "late_known", "late_qrs", "late_qrs_at_best_lag", "late_p", "late_t"),
    *("late_whole", "late_distance_p", "late_distance_qrs", "late_distance_t", "width"),
    *("width_to_late", "up_slope", "down_slope", "height", "height_to_late", "r", "deepest"),
    *("p_height", "t_height", "last_qrs", "last_whole", "qrs_before", "last_p", "p_like"),
    *("p_mean_like", "own_like", "own_share", "own_early", "main_like", "main_share"),
    *("last_late_qrs", "last_earliness", "last_width_to_late", "area"),
    *(f"qrs_{k}" for k in range(slots.POINTS)),
    *(f"qrs_less_late_{k}" for k in range(slots.POINTS)),
    *CONTEXT_NAMES,
)
"""In the order of `pipeline.signal.kernels.naming.slots`."""

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]


class BeatFeaturesState(State):
    """All memory of a `BeatFeatures`.

    What lies where in its arrays, `pipeline.signal.kernels.naming.memory` says.
    """

    counters: Annotated[NDArray[np.int64], Shape((slots.COUNTERS,))]
    numbers: Annotated[Doubles, Shape((memory.DOUBLES,))]
    """Intervals and what is counted of shapes and P waves."""
    kept: Annotated[Singles, Shape((memory.SINGLES,))]
    """Windows, and parts of them."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first beat."""
        numbers = np.zeros(memory.DOUBLES)
        numbers[[slots.PREVIOUS, slots.BEFORE]] = np.nan
        counters = np.zeros(slots.COUNTERS, dtype=np.int64)
        return cls(counters, numbers, np.zeros(memory.SINGLES, dtype=np.float32))


LIMITS: Final = (
    (slots.INTERVALS, slots.RR_MEMORY + 1),
    (slots.RR_AT, slots.RR_MEMORY),
    (slots.LATE, slots.LATE_BEATS + 1),
    (slots.LATE_AT, slots.LATE_BEATS),
    (slots.PS, slots.P_BEATS + 1),
    (slots.P_AT, slots.P_BEATS),
    (slots.STEPS_KNOWN, slots.STEPS + 1),
    (slots.STEP_AT, slots.STEPS),
    (slots.SEEN, 3),
    (slots.HOLD_LEVEL, MOST_LEVEL + 1),
    (slots.HELD, HELD_AT_MOST + 1),
    (slots.USUAL, slots.USUAL_BEATS + 1),
    (slots.USUAL_AT, slots.USUAL_BEATS),
    (slots.USUAL_TURN, slots.USUAL_EVERY),
)
"""Counters of a state, each at least 0 and less than this."""


class BeatFeatures:
    """Measures the beats of one patient, and learns from them."""

    def __init__(self, state: BeatFeaturesState | None = None) -> None:
        """Continue from ``state``, or begin.

        Raises:
            SnapshotError: the state is not one that the kernel can trust.
        """
        self.state = state or BeatFeaturesState.fresh()
        counters = self.state.counters
        if not all(0 <= counters[place] < limit for place, limit in LIMITS):
            raise SnapshotError("state of beats whose places are out of range")
        finite = self.state.numbers[slots.NUMBERS :], self.state.kept
        if not all(np.isfinite(its).all() for its in finite):
            raise SnapshotError("state of beats with values that are not finite")
        self._following = np.zeros(memory.FOLLOWING)
        follow(counters, self.state.numbers, self.state.kept, self._following, _rooms.room)

    def measure(
        self,
        rr_s: Doubles,
        windows: Singles,
        usable: NDArray[np.bool_],
    ) -> Singles:
        """Return float32[n, len(FEATURE_NAMES)], finite, of the next beats, and learn from them.

        Args:
            rr_s: float64[n], intervals to the beat before, NaN where it is not known.
            windows: float32[n, 320] in [-1, 1].
            usable: bool[n], whether the window can be analysed; all measures are 0 where not.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        beats = len(rr_s)
        if windows.shape != (beats, WINDOW_SAMPLES) or usable.size != beats:
            raise ValueError(f"{beats} intervals, windows of shape {windows.shape}")
        out = np.empty((beats, slots.COLUMNS), np.float32)  # by place: half the time
        state = self.state
        kernel.extract(
            np.ascontiguousarray(rr_s, dtype=np.float64),
            np.ascontiguousarray(windows, dtype=np.float32),
            np.ascontiguousarray(usable),
            state.counters, state.numbers, state.kept, self._following, _rooms.room, out,
        )  # fmt: skip
        return out


class _Rooms(threading.local):
    """Working memory of all streams, for each thread its own; nothing is remembered in it."""

    def __init__(self) -> None:
        self.room = np.zeros(memory.ROOM)


_rooms: Final = _Rooms()
