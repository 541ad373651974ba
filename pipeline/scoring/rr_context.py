"""A beat against its patient's own past: what a classifier is given beside the window.

A supraventricular ectopic looks much like a normal beat and comes early. How early is measured
against quantiles of the last `LONG_MEMORY` RR intervals (a quarter of an hour). Quantiles above the
median matter where premature beats are so many that the median is theirs. The same step means less
in a rhythm that is irregular anyway, as in atrial fibrillation, so it is also given in units of the
patient's own spread and of the patient's usual step. Features of the wave form follow those of the
rhythm (`pipeline.scoring.patient_template`). Nothing absolute is passed on: a heart rate or a QRS
width would identify patients, not beats.

Causal: an alert leaves half a second after the R peak, when the next R peak is not known.
Pure: depends on this stream's beats in order alone; no clock, no I/O. One instance per stream; not
thread-safe.

Source of the idea: the RR ratios of de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51
(2004), without the interval after the beat.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import RR_FEATURES
from pipeline.schema.state import State, field
from pipeline.scoring.patient_template import (
    SHAPE_FEATURE_NAMES,
    SHAPE_FEATURES,
    PatientTemplate,
    PatientTemplateState,
)
from pipeline.scoring.rolling_quantiles import RollingQuantiles

RHYTHM_FEATURE_NAMES: Final = (
    "rr_known",
    "rr_to_upper_quartile",
    "previous_rr_to_upper_quartile",
    "rr_before_to_upper_quartile",
    "rr_in_spreads_below_median",
    "rr_in_spreads_below_upper_quartile",
    "rr_in_usual_steps",
)

RR_FEATURE_NAMES: Final = (*RHYTHM_FEATURE_NAMES, *SHAPE_FEATURE_NAMES)
"""What each number of the context is: see `RRContext.compare` and `PatientTemplate.compare`."""

LONG_MEMORY: Final = 1000
STEP_MEMORY: Final = 64

LOG_LIMIT: Final = 1.5
"""Logarithms of ratios are limited to this on either side: a factor of 4.5."""

SPREAD_LIMIT: Final = 6.0
"""So many spreads or steps, on either side, are enough."""

SPREAD_FLOOR: Final = 0.1
"""Added to the spread: in a rhythm like a clock's not every small step is an ectopic."""

STEP_FLOOR: Final = 0.05

DUE: Final = (-0.12, 0.25)
"""A beat whose log(rr / upper quartile) lies between came when it was due."""


class RRContextState(State):
    """All memory of an `RRContext`."""

    template: PatientTemplateState
    intervals: list[float] = field(default_factory=list)
    """The last `LONG_MEMORY` known RR intervals in seconds."""
    steps: list[float] = field(default_factory=list)
    """|log ratio| of the last `STEP_MEMORY` pairs of known neighbours."""
    previous: float = math.nan
    """The latest interval, NaN if it is not known,"""
    before_previous: float = math.nan
    """and the one before it."""


class RRContext:
    """The RR intervals and usual windows of one patient."""

    def __init__(self, state: RRContextState | None = None) -> None:
        self.state = state or RRContextState(PatientTemplateState())
        self._intervals = RollingQuantiles(LONG_MEMORY, self.state.intervals)
        self._steps = RollingQuantiles(STEP_MEMORY, self.state.steps)
        self._template = PatientTemplate(self.state.template)

    def note(self, rr_s: float, window: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the context of the next beat as `compare` does, and `remember` the beat."""
        context = self.compare(rr_s, window)
        self.remember(rr_s, window)
        return context

    def compare(self, rr_s: float, window: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the context of the next beat; nothing is learned from it.

        With q25, q50, q75, q90 the quantiles (linear) of the last 1000 known intervals before
        this one, s the median |log ratio| of neighbours over the last 64 pairs of known ones, p
        and pp the intervals before this one, the rhythm's features are, in order: 1 if the
        interval is known and others are, else 0; log rr/q75; log p/q75; log pp/q75;
        log(rr/q50) / (0.1 + log q75/q25); log(rr/q75) / (0.1 + log q90/q50);
        log(rr/q50) / (0.05 + s). Logarithms are natural and limited to +-1.5, what is divided to
        +-6. What is not known counts as 0. Those of `PatientTemplate.compare` follow.

        Args:
            rr_s: interval to the previous beat in seconds, NaN (or anything that is no positive
                finite number) where it is unknown.
            window: float32[320] in [-1, 1]; None of a beat that cannot be analysed.

        Returns:
            float32[RR_FEATURES], finite.
        """
        context = np.zeros(RR_FEATURES, dtype=np.float32)
        if len(self._intervals):
            context[:-SHAPE_FEATURES] = self._rhythm(_known(rr_s))
        if window is not None:
            context[-SHAPE_FEATURES:] = self._template.compare(window)
        return context

    def remember(
        self, rr_s: float, window: NDArray[np.float32] | None, *, held: bool = False
    ) -> None:
        """Learn from the next beat: once per detected beat. Arguments as for `compare`.

        Of a beat that is ``held`` (`pipeline.scoring.baseline_hold`) the interval is one before
        the next, and no more.
        """
        rr = _known(rr_s)
        if held:
            self.state.before_previous, self.state.previous = self.state.previous, rr
            return
        if window is not None and self._is_due(rr):
            self._template.remember(window)
        if rr == rr:
            if self.state.previous == self.state.previous:
                self._steps.add(abs(_log_ratio(rr, self.state.previous)))
            self._intervals.add(rr)
        self.state.before_previous, self.state.previous = self.state.previous, rr

    def _is_due(self, rr: float) -> bool:
        if rr != rr or not len(self._intervals):
            return False
        return DUE[0] < _log_ratio(rr, self._intervals.quantile(0.75)) < DUE[1]

    def _rhythm(self, rr: float) -> tuple[float, ...]:
        q25, q50, q75, q90 = (self._intervals.quantile(q) for q in (0.25, 0.5, 0.75, 0.9))
        step = self._steps.quantile(0.5)
        below_median, below_upper = _log_ratio(rr, q50), _log_ratio(rr, q75)
        return (
            float(rr == rr),
            below_upper,
            _log_ratio(self.state.previous, q75),
            _log_ratio(self.state.before_previous, q75),
            _limited(below_median / (SPREAD_FLOOR + _log_ratio(q75, q25)), SPREAD_LIMIT),
            _limited(below_upper / (SPREAD_FLOOR + _log_ratio(q90, q50)), SPREAD_LIMIT),
            _limited(below_median / (STEP_FLOOR + step), SPREAD_LIMIT),
        )


def _known(rr_s: float) -> float:
    """Return the interval, NaN for anything that is none."""
    return rr_s if math.isfinite(rr_s) and rr_s > 0.0 else math.nan


def _log_ratio(a: float, b: float) -> float:
    """Return log(a / b), limited; 0 if either is unknown."""
    # The difference of logarithms, for a quotient may leave the range of floats.
    return _limited(math.log(a) - math.log(b), LOG_LIMIT) if a == a and b == b else 0.0


def _limited(value: float, limit: float) -> float:
    return min(limit, max(-limit, value))
