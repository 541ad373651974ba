"""One anomaly score per beat: components about model, patient and rhythm, and the beat's class.

A model of all patients alone does not hold on a patient it has never seen. So the beat is also
compared with this patient's own usual beats and with this patient's own rhythm. Each component is a
number, and larger means more unusual:

* Model. ``model``: logarithm of the student's reconstruction error.
* Patient. ``own``: the same, less its median over this patient's usual beats. ``shape``: logarithm
  of the root mean square distance to the nearest of the patient's usual templates
  (`pipeline.scoring.beat_templates`) over the whole window, less its median: how far the beat lies
  outside of what varies in this patient anyway. ``qrs``: the same over the QRS complex alone.
* Class. ``class``: what the classifier says, `class_contribution`. A beat that is surely N is
  rarely anomalous, however its window looks, and one that is surely S is, though its shape be the
  usual one.
* Rhythm. ``early``: prematurity, 1 - RR / usual RR, where that is the mean of two ratios, to the
  median of the last 20 intervals and to the 85th percentile of the last 100: the median fails a
  patient whose every second beat is premature. ``family``: how early the beats of this template
  come on average. ``late``: RR / median - 1, a pause.

Each component is brought to a common scale by its distribution over the normal beats of the
calibration records: 0 at their median, 1 at their 95th percentile. `LIMITS` bound it, so that no
single component outweighs all others. The score is their sum, weighted by `WEIGHTS`, less half of
what this patient's ordinary beats typically score (``typical``, a contribution below 0): in a
patient whose every beat is a little unusual it takes more to be called anomalous. A beat is
anomalous above the threshold that the calibration found for a stated rate of false alerts.

The first `LEARNING_BEATS` beats are scored without the components about the patient, against a
threshold of its own, which few normal beats of people never seen before exceed. Which beats are
usual depends on no threshold and no class: asking for fewer alerts must not teach the baseline
ectopic beats. Nothing is learned from a fast stretch of unusual ones
(`pipeline.scoring.baseline_hold`).

Pure and causal: depends on this stream's beats alone, in order. No clock, no I/O.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, SnapshotError
from pipeline.schema.state import State, field
from pipeline.scoring.baseline_hold import BaselineHold, BaselineHoldState
from pipeline.scoring.beat_templates import BeatTemplates, BeatTemplatesState, room
from pipeline.scoring.protocols import Window
from pipeline.scoring.qrs_shape import QrsShape
from pipeline.scoring.reason import reason_of
from pipeline.scoring.rolling_quantiles import RollingState, series_of
from pipeline.signal.kernels.scoring import live as kernel

LEARNING_BEATS: Final = 16
NOT_EARLY: Final = kernel.NOT_EARLY

LIMITS: Final = {
    "model": 3.0,
    "own": 2.0,
    "shape": 1.5,
    "qrs": 5.0,
    "early": 1.5,
    "family": 3.0,
    "late": 3.0,
}
"""A scaled component is at most this, and at least 0."""

WEIGHTS: Final = {
    "model": 0.25,
    "own": 0.5,
    "shape": 1.0,
    "qrs": 2.0,
    "early": 1.5,
    "family": 1.0,
    "late": 0.3,
}
"""Chosen with the limits on DS1, each half scored by a student that had not seen it: area under
the curve, average precision, and sensitivity to V at twelve false alerts an hour."""

COMPONENTS: Final = tuple(WEIGHTS)

CLASS_WEIGHT: Final = kernel.CLASS_WEIGHT
CLASS_LIMIT: Final = kernel.CLASS_LIMIT

_FLOOR: Final = kernel.FLOOR
_IN_ORDER: Final = ("model", "early", "late", "own", "shape", "qrs", "family")
"""The components in the order of the kernel."""
_CONTRIBUTIONS: Final = (*_IN_ORDER, "typical", "class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How one component is distributed over normal beats."""

    median: float
    p95: float

    def __post_init__(self) -> None:
        """Refuse a scale that cannot divide."""
        if not self.p95 > self.median:
            raise ConfigError(f"95th percentile {self.p95} is not above the median {self.median}")

    def apply(self, value: float) -> float:
        """Return ``value`` with the median at 0 and the 95th percentile at 1."""
        return (value - self.median) / (self.p95 - self.median)


def contributions_of(raw: Mapping[str, float], scales: Mapping[str, Scale]) -> dict[str, float]:
    """Return what each component contributes to the score: scaled, limited and weighted."""
    return {
        name: WEIGHTS[name] * min(LIMITS[name], max(0.0, scales[name].apply(value)))
        for name, value in raw.items()
    }


def class_contribution(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the class of beats contributes to their scores, float64[...].

    That is the logarithm of the odds of not-N, limited and weighted. Below 0 for a beat that is
    more probably N than not.

    Args:
        probabilities: float32[..., 4], of each of `CLASSES`.
    """
    normal = np.asarray(probabilities, dtype=np.float64)[..., 0]
    log_odds = np.log(np.maximum(1.0 - normal, _FLOOR) / np.maximum(normal, _FLOOR))
    contribution: NDArray[np.float64] = CLASS_WEIGHT * np.clip(log_odds, -CLASS_LIMIT, CLASS_LIMIT)
    return contribution


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScoreConfig:
    """Scales and thresholds, as the calibration found them."""

    scales: Mapping[str, Scale]
    threshold: float
    learning_threshold: float
    """Holds while nothing is known of the patient."""

    def __post_init__(self) -> None:
        """Refuse a calibration for other components."""
        if set(self.scales) != set(COMPONENTS):
            raise ConfigError(
                f"calibration has components {sorted(self.scales)}, not {sorted(COMPONENTS)}: "
                "calibrate again with monitor train calibration"
            )


class Verdict(State, eq=True, kw_only=True):
    """The live score of one beat, and whether it is anomalous."""

    score: float
    threshold: float
    anomalous: bool
    learning: bool
    reason: str
    """What is unusual, in words; empty for a beat that is not anomalous."""
    contributions: dict[str, float] = field(default_factory=dict)
    """Of an anomalous beat `LiveScore.contributions`; empty for another one."""
    shape: QrsShape = field(default_factory=QrsShape)
    """The QRS beside the patient's usual ones and the beat before."""
    held: bool = False
    """Whether nothing was learned from the beat: it lies within a fast stretch of unusual ones."""


class LiveScoreState(State):
    """All memory of a `LiveScore`."""

    templates: BeatTemplatesState
    series: RollingState
    """RR intervals; ``own``, ``shape`` and ``qrs`` of the latest usual beats, before their medians
    are taken off; what the components of the latest ordinary beats sum up to."""
    learned: int = 0
    """Beats from which the patient's usual ones were learned, `LEARNING_BEATS` at most."""
    learning: list[tuple[Window, float]] = field(default_factory=list)
    """Those beats while they are learned: window and error."""
    hold: BaselineHoldState = field(default_factory=BaselineHoldState)
    before: Window | None = None
    """The latest beat that could be analysed."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first beat."""
        return cls(BeatTemplatesState.fresh(), RollingState.fresh())


class LiveScore:
    """Scores the beats of one patient, and learns from them."""

    def __init__(self, config: LiveScoreConfig, state: LiveScoreState | None = None) -> None:
        """Continue from ``state``, or begin.

        Raises:
            SnapshotError: the state is not one that the kernels can trust.
        """
        self.state = state = state or LiveScoreState.fresh()
        self._config = config
        self._scales = _scales(config.scales)
        self._templates = BeatTemplates(state.templates)
        self._series = series_of(state.series)
        self._hold = BaselineHold(state.hold)
        self._raw = np.full(kernel.COMPONENTS, np.nan)
        self._out = np.full(kernel.CONTRIBUTIONS, np.nan)
        if not (self.learning or state.templates.known):
            raise SnapshotError("state of a patient who is known without a template")

    @property
    def learning(self) -> bool:
        """Whether the patient's usual beats are still being learned."""
        return self.state.learned < LEARNING_BEATS

    def skip(self, rr_s: float) -> None:
        """Take in a beat that cannot be analysed: its RR interval still belongs to the rhythm."""
        self.state.before = None
        if not self._hold.active:
            kernel.keep_rhythm(rr_s, *self._series)

    def score(
        self,
        window: NDArray[np.float32],
        rr_s: float,
        model_score: float,
        probabilities: NDArray[np.float32],
    ) -> Verdict:
        """Score one analysable beat and learn from it.

        Args:
            window: float32[320], scaled to [-1, 1].
            rr_s: RR interval before the beat in seconds, NaN if unknown.
            model_score: the student's score, > 0.
            probabilities: float32[4], of each of `CLASSES`.
        """
        state, templates, learning = self.state, self._templates, self.learning
        nearest, shape = templates.look(window, state.before, known=not learning)
        state.before = window
        held = self._hold.on_beat(rr_s, shape)
        error, normal = math.log(max(model_score, _FLOOR)), probabilities.item(0)
        if learning:
            early = kernel.observe_rhythm(error, rr_s, not held, *self._series, self._raw)
            score = kernel.assess(
                self._raw, normal, True, not held, self._scales, *self._series, self._out
            )
            if not held:
                self._learn(window, early, error)
        else:
            its, (whole, qrs) = templates.state, templates.mean_squares
            its.known, score = kernel.score(
                window, error, rr_s, nearest, whole, qrs, normal, not held, its.templates,
                its.numbers, its.known, room.distances, room.is_usual, *self._series, self._scales,
                self._raw, self._out,
            )  # fmt: skip
        threshold = self._config.learning_threshold if learning else self._config.threshold
        verdict = Verdict(
            score=score,
            threshold=threshold,
            anomalous=score > threshold,
            learning=learning,
            reason="",
            shape=shape,
            held=held,
        )
        if verdict.anomalous:
            verdict.contributions = self.contributions
            verdict.reason = reason_of(_scaled(verdict.contributions), self.raw, probabilities)
        return verdict

    @property
    def raw(self) -> dict[str, float]:
        """The known components of the beat that was scored last, unscaled.

        They depend on no scale, no threshold and no class.
        """
        return _known(_IN_ORDER, self._raw)

    @property
    def contributions(self) -> dict[str, float]:
        """What ``class``, ``typical`` and each known component contribute to the latest score.

        Their sum is the score.
        """
        return _known(_CONTRIBUTIONS, self._out)

    def _learn(self, window: NDArray[np.float32], early: float, error: float) -> None:
        """Remember one of the first beats; after the last one, find those that are usual."""
        templates, state = self._templates, self.state
        templates.add(window, early, error, usual=True)
        state.learned += 1
        state.learning.append((window, error))
        if self.learning:
            return
        for beat, its_error in state.learning:
            if room.is_usual[templates.look(beat).nearest]:
                shape, qrs = map(kernel.log_rms, templates.mean_squares)
                kernel.remember(its_error, shape, qrs, *self._series)
        state.learning.clear()


def _known(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    """Return the values that are known, by name."""
    named = zip(names, values.tolist(), strict=True)
    return {name: value for name, value in named if value == value}  # no NaN


def _scales(scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    """Return the scales as the kernel has them."""
    rows = [
        (scales[name].median, scales[name].p95 - scales[name].median, LIMITS[name], WEIGHTS[name])
        for name in _IN_ORDER
    ]
    return np.array(rows, dtype=np.float64).T.copy()


def _scaled(contributions: Mapping[str, float]) -> dict[str, float]:
    """Return the components, limited, with the 95th percentile of normal beats at 1."""
    return {name: contributions.get(name, 0.0) / WEIGHTS[name] for name in COMPONENTS}
