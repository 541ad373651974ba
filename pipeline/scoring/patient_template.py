"""How a beat differs from what is usual in this patient, wave by wave.

The template is the median, tick by tick, of `KEPT_BEATS` earlier windows of beats that came when
they were due. Ectopic beats mostly come early and so stay out of it; a median tolerates the rest.
It has no parameter to tune, and no wrong decision can corrupt it: it depends on no score, threshold
or class. Distances are given relative to those of the kept beats themselves, for noise and
breathing make one patient's normal beats differ more than another's.

Pure and causal: depends on this stream's beats alone, in order. No clock, no I/O. One instance per
stream; not thread-safe.
"""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.schema.state import State, field
from pipeline.scoring.protocols import Window

R: Final = WINDOW_BEFORE_R

WHOLE: Final = slice(0, WINDOW_SAMPLES)
P_WAVE: Final = slice(R - 90, R - 28)
"""250 to 80 ms before the R peak."""

QRS: Final = slice(R - 36, R + 54)
"""100 ms before to 150 ms after."""

T_WAVE: Final = slice(R + 54, R + 160)
"""150 to 440 ms after."""

PARTS: Final = {"whole": WHOLE, "p": P_WAVE, "qrs": QRS, "t": T_WAVE}

SHAPE_FEATURE_NAMES: Final = (
    "shape_known",
    *(f"{part}_distance" for part in PARTS),
    *(f"{part}_distance_in_spreads" for part in PARTS),
    "qrs_correlation",
    "p_correlation",
    "whole_correlation",
    "qrs_correlation_at_best_lag",
    "qrs_width",
    "qrs_height",
)
"""The features in order; `PatientTemplate.compare` defines them."""

SHAPE_FEATURES: Final = len(SHAPE_FEATURE_NAMES)

KEPT_BEATS: Final = 64
KEPT_EVERY: Final = 5
"""Once full, every fifth usual beat replaces the oldest: the memory spans some five minutes. Odd,
so that it does not fall into step with a bigeminy."""

FEWEST_BEATS: Final = 5
"""Fewer do not show what is usual."""

DISTANCE_FLOOR: Final = 0.01
"""Added to distances: half a percent of a window's height is nothing."""

SPREAD_FLOOR: Final = 0.1
LAGS: Final = np.arange(-12, 13, 3)
"""Ticks; the detector may take another peak of a wide complex for R."""

_TICKS_SQUARED: Final = np.square(np.arange(QRS.start - R, QRS.stop - R, dtype=np.float64))
_NEVER: Final = 1e-6

Floats = NDArray[np.float64]


class PatientTemplateState(State):
    """All memory of a `PatientTemplate`."""

    kept: list[Window] = field(default_factory=list)
    """The windows of `KEPT_BEATS` usual beats at most, the oldest first."""
    usual_beats: int = 0
    """How many usual beats came in all."""


class PatientTemplate:
    """The usual windows of one patient."""

    def __init__(self, state: PatientTemplateState | None = None) -> None:
        self.state = state or PatientTemplateState()
        self._settled = False
        """Whether the three below are those of the kept beats: computed when first asked for."""
        self._template = self._centre = self._spread = np.empty(0)

    def compare(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how a beat differs from the usual ones so far; nothing is learned from it.

        The features are, in order: 1 if something usual is known, else 0, and then all others are
        0 too; for the whole window, P wave, QRS and T wave the logarithm of the root mean square
        distance to the template (plus 0.01), less the median of the same over the kept beats, in
        [-2, 4]; these four divided by 0.1 plus the kept beats' 90th percentile less median, in
        [-6, 12]; correlation with the template over QRS, P wave, whole window, and QRS shifted by
        up to 12 ticks for the best; the logarithm of the ratio of the QRS widths (root mean
        square distance of the slope from R), in [-1.5, 1.5]; the QRS height over the template's,
        less 1, in [-1, 1].

        Args:
            window: float32[320] of an analysable beat.

        Returns:
            float32[SHAPE_FEATURES], finite.
        """
        features = np.zeros(SHAPE_FEATURES, dtype=np.float32)
        if len(self.state.kept) >= FEWEST_BEATS:
            self._settle()
            features[:] = self._against(self._template, window.astype(np.float64))
        return features

    def remember(self, window: NDArray[np.float32]) -> None:
        """Learn from a beat that came when it was due: float32[320], copied."""
        state = self.state
        full = len(state.kept) == KEPT_BEATS
        state.usual_beats += 1
        if full and state.usual_beats % KEPT_EVERY:
            return
        state.kept.append(window.copy())
        del state.kept[:-KEPT_BEATS]
        self._settled = False

    def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        kept = np.stack(self.state.kept)
        self._template = _medians(kept)
        distances = _log_distances(kept - self._template)
        self._centre, ninth_decile = np.quantile(distances, (0.5, 0.9), axis=0)
        self._spread = ninth_decile - self._centre

    def _against(self, template: Floats, window: Floats) -> Floats:
        further = _log_distances(window - template) - self._centre
        height = np.ptp(window[QRS]) / (np.ptp(template[QRS]) + 0.05) - 1.0
        width = np.log(_width(window) / _width(template))
        return np.concatenate(
            (
                [1.0],
                further.clip(-2.0, 4.0),
                (further / (SPREAD_FLOOR + self._spread)).clip(-6.0, 12.0),
                [_correlation(window[p], template[p]) for p in (QRS, P_WAVE, WHOLE)],
                [
                    _best_correlation(window, template[QRS]),
                    width.clip(-1.5, 1.5),
                    height.clip(-1.0, 1.0),
                ],
            )
        )


def _medians(windows: NDArray[np.float32]) -> Floats:
    """Return the median of each column; sorting rows is ten times as fast as `numpy.median`."""
    ordered = np.sort(np.ascontiguousarray(windows.T), axis=1)
    middle = ordered[:, [(len(windows) - 1) // 2, len(windows) // 2]]
    medians: Floats = middle.mean(axis=1, dtype=np.float64)
    return medians


def _log_distances(apart: Floats) -> Floats:
    """Return log(root mean square + floor) of each of `PARTS`, [..., 320] -> [..., 4]."""
    squared = np.square(apart)
    means = [squared[..., part].mean(axis=-1) for part in PARTS.values()]
    distances: Floats = np.log(np.sqrt(np.stack(means, axis=-1)) + DISTANCE_FLOOR)
    return distances


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + _NEVER))


def _best_correlation(window: Floats, qrs: Floats) -> float:
    """Return the best of the correlations of a QRS with the window shifted by `LAGS`."""
    shifted = sliding_window_view(window, qrs.size)[QRS.start + LAGS]
    shifted = shifted - shifted.mean(axis=1, keepdims=True)
    qrs = qrs - qrs.mean()
    powers = np.square(shifted).sum(axis=1) * (qrs @ qrs)
    return float((shifted @ qrs / np.sqrt(powers + _NEVER)).max())


def _width(window: Floats) -> np.float64:
    """Return how far from R the QRS has its slopes, in ticks, at least 1."""
    slope = np.square(np.diff(window[QRS.start - 1 : QRS.stop]))
    return np.float64(max(1.0, np.sqrt(_TICKS_SQUARED @ slope / (slope.sum() + _NEVER))))
