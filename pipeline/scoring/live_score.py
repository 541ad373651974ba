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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.schema.state import State, field
from pipeline.scoring.baseline_hold import BaselineHold, BaselineHoldState
from pipeline.scoring.beat_templates import SAME_SHAPE, BeatTemplates, BeatTemplatesState
from pipeline.scoring.protocols import Window
from pipeline.scoring.qrs_shape import QRS, QrsShape, compare
from pipeline.scoring.reason import reason_of
from pipeline.scoring.rolling_quantiles import RollingQuantiles
from pipeline.scoring.typical import USUAL_BEATS, Typical

LEARNING_BEATS: Final = 16
RECENT_RR: Final = 20
LONG_RR: Final = 100
LONG_RR_QUANTILE: Final = 0.85
"""This quantile stays that of usual beats until five of six are premature."""

NOT_EARLY: Final = 0.15
"""A usual beat comes at most this much early."""

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
UNIVERSAL: Final = ("model", "early", "late")
"""Those that are known from the first beats on."""

CLASS_WEIGHT: Final = 3.0
CLASS_LIMIT: Final = 8.0 / 3.0
"""Of the log odds of not-N, natural: beyond 14 to 1 nothing is surer, and no class outweighs the
strangest shapes. Chosen on patients that the classifier has not seen
(``docs/models/trials.md``)."""

_FLOOR: Final = 1e-6


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


def _class_contribution(normal: float) -> float:
    """Return `class_contribution` of one beat, of class N with this probability, as numbers."""
    log_odds = float(np.log(max(1.0 - normal, _FLOOR) / max(normal, _FLOOR)))
    return CLASS_WEIGHT * min(max(log_odds, -CLASS_LIMIT), CLASS_LIMIT)


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
    """What each known component, ``class`` and ``typical`` contribute; their sum is the score."""
    shape: QrsShape = field(default_factory=QrsShape)
    """The QRS beside the patient's usual ones and the beat before."""
    held: bool = False
    """Whether nothing was learned from the beat: it lies within a fast stretch of unusual ones."""


class Observed(NamedTuple):
    """What is seen of one beat beside its patient's past."""

    raw: dict[str, float]
    """Every component that is known, unscaled."""
    shape: QrsShape
    learning: bool
    """Whether the patient's usual beats were still being learned."""
    held: bool
    """Whether nothing was learned from the beat."""


class LiveScoreState(State):
    """All memory of a `LiveScore`; every list of values is that of a `RollingQuantiles`."""

    templates: BeatTemplatesState
    recent_rr_s: list[float] = field(default_factory=list)
    long_rr_s: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    """``own`` of the latest usual beats,"""
    shape: list[float] = field(default_factory=list)
    """their ``shape``,"""
    qrs: list[float] = field(default_factory=list)
    """and their ``qrs``, before their medians are taken off."""
    ordinary: list[float] = field(default_factory=list)
    """What the components of the latest ordinary beats sum up to."""
    learned: int = 0
    """Beats from which the patient's usual ones were learned, `LEARNING_BEATS` at most."""
    learning: list[tuple[Window, float]] = field(default_factory=list)
    """Those beats while they are learned: window and error."""
    hold: BaselineHoldState = field(default_factory=BaselineHoldState)
    before: Window | None = None
    """The latest beat that could be analysed."""


class LiveScore:
    """Scores the beats of one patient, and learns from them."""

    def __init__(self, config: LiveScoreConfig, state: LiveScoreState | None = None) -> None:
        self.state = state = state or LiveScoreState(BeatTemplatesState.fresh())
        self._config = config
        self._recent_rr = RollingQuantiles(RECENT_RR, state.recent_rr_s)
        self._long_rr = RollingQuantiles(LONG_RR, state.long_rr_s)
        self._templates = BeatTemplates(state.templates)
        self._usual = {
            "own": RollingQuantiles(USUAL_BEATS, state.own),
            "shape": RollingQuantiles(USUAL_BEATS, state.shape),
            "qrs": RollingQuantiles(USUAL_BEATS, state.qrs),
        }
        self._typical = Typical(state.ordinary)
        self._hold = BaselineHold(state.hold)

    @property
    def learning(self) -> bool:
        """Whether the patient's usual beats are still being learned."""
        return self.state.learned < LEARNING_BEATS

    def skip(self, rr_s: float) -> None:
        """Take in a beat that cannot be analysed: its RR interval still belongs to the rhythm."""
        self.state.before = None
        if not self._hold.active:
            self._keep_rhythm(rr_s)

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
        return self.assess(self.observe(window, rr_s, model_score), probabilities)

    def observe(self, window: NDArray[np.float32], rr_s: float, model_score: float) -> Observed:
        """Return what is seen of a beat, and learn from it; arguments as for `score`.

        Neither depends on a scale or a threshold.
        """
        learning = self.learning
        usual = [] if learning else self._templates.usual()
        templates = [self._templates.template(index) for index in usual]
        shape = compare(window, templates, self.state.before)
        self.state.before = window
        held = self._hold.on_beat(rr_s, shape)
        raw = self._observe(window, rr_s, model_score, usual, learns=not held)
        return Observed(raw, shape, learning, held)

    def assess(self, seen: Observed, probabilities: NDArray[np.float32]) -> Verdict:
        """Return the verdict on the beat observed last; it learns what is typical from that."""
        config = self._config
        contributions = contributions_of(seen.raw, config.scales)
        if not seen.learning:
            total = sum(contributions.values())
            contributions["typical"] = self._typical.contribution(total, learns=not seen.held)
        contributions["class"] = _class_contribution(float(probabilities[0]))
        threshold = config.learning_threshold if seen.learning else config.threshold
        score = sum(contributions.values())
        anomalous = score > threshold
        reason = reason_of(_scaled(contributions), seen.raw, probabilities) if anomalous else ""
        return Verdict(
            score=score,
            threshold=threshold,
            anomalous=anomalous,
            learning=seen.learning,
            reason=reason,
            contributions=contributions,
            shape=seen.shape,
            held=seen.held,
        )

    def _observe(
        self,
        window: NDArray[np.float32],
        rr_s: float,
        model_score: float,
        usual: list[int],
        *,
        learns: bool,
    ) -> dict[str, float]:
        error = math.log(max(model_score, _FLOOR))
        raw = {"model": error}
        early = 0.0
        if len(self._recent_rr) and math.isfinite(rr_s):
            median = self._recent_rr.quantile(0.5)
            early = 1.0 - rr_s * (1 / median + 1 / self._long_rr.quantile(LONG_RR_QUANTILE)) / 2
            raw |= {"early": max(0.0, early), "late": max(0.0, rr_s / median - 1.0)}
        if learns:
            self._keep_rhythm(rr_s)
        if not self.learning:
            raw |= self._compare(window, early, error, usual, learns=learns)
        elif learns:
            self._learn(window, early, error)
        return raw

    def _keep_rhythm(self, rr_s: float) -> None:
        if math.isfinite(rr_s):
            self._recent_rr.add(rr_s)
            self._long_rr.add(rr_s)

    def _compare(
        self,
        window: NDArray[np.float32],
        early: float,
        error: float,
        usual: list[int],
        *,
        learns: bool,
    ) -> dict[str, float]:
        """Return the components about the patient; remember the beat if it may be learned."""
        templates = self._templates
        distances = templates.distances(window)
        found = self._against(usual, distances, window, error)
        raw = {name: value - self._usual[name].quantile(0.5) for name, value in found.items()}
        nearest = int(distances.argmin())
        near = bool(distances[nearest] <= SAME_SHAPE)
        raw["family"] = max(0.0, templates.prematurity(nearest)) if near else 0.0
        if not learns:
            return raw
        is_usual = near and nearest in usual and early < NOT_EARLY
        if is_usual:
            self._remember(found)
        templates.add(window, distances, early, error, is_usual=is_usual)
        return raw

    def _learn(self, window: NDArray[np.float32], early: float, error: float) -> None:
        """Remember one of the first beats; after the last one, find those that are usual."""
        templates = self._templates
        templates.add(window, templates.distances(window), early, error, is_usual=True)
        state = self.state
        state.learned += 1
        state.learning.append((window, error))
        if self.learning:
            return
        usual = templates.usual()
        for beat, its_error in state.learning:
            distances = templates.distances(beat)
            if int(distances.argmin()) in usual:
                self._remember(self._against(usual, distances, beat, its_error))
        state.learning.clear()

    def _against(
        self,
        usual: list[int],
        distances: NDArray[np.float64],
        window: NDArray[np.float32],
        error: float,
    ) -> dict[str, float]:
        """Return error and distances to the nearest usual template, their medians included."""
        nearest = min(usual, key=distances.tolist().__getitem__)
        apart = window - self._templates.template(nearest)
        return {"own": error, "shape": _log_rms(apart), "qrs": _log_rms(apart[QRS])}

    def _remember(self, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            self._usual[name].add(value)


def _log_rms(x: NDArray[np.float32]) -> float:
    return math.log(max(math.sqrt(float(x @ x) / x.size), _FLOOR))


def _scaled(contributions: Mapping[str, float]) -> dict[str, float]:
    """Return the components, limited, with the 95th percentile of normal beats at 1."""
    return {name: contributions.get(name, 0.0) / WEIGHTS[name] for name in COMPONENTS}
