"""The shapes that one patient's beats have, and which of them are usual.

Beats of one shape form a family: a template, how often it came lately, how early its beats come
on the whole, and how badly the student reconstructs them. A beat belongs to the nearest family,
or begins a new one where none is near.

Usual are the families that come often, are not premature on the whole and are no worse for the
student than this patient's commonest one. So a minority of ectopic beats among the first does no
harm, a patient may have more than one normal shape, every second beat may be ectopic without
becoming usual, and a shape that changes for good becomes usual once it has come often enough.
Beats that come early move the template of no usual family.

Pure and causal: depends on the beats alone, in order. The idea of sorting beats into families is
that of ambulatory ECG analysis since Argus (Nolle & Clark 1971); the rule for usual is ours, and
its numbers were chosen on DS1.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES

FAMILIES: Final = 8
"""The one that came least gives way to a new shape."""

COMPARED: Final = slice(20, 200)
"""Ticks that decide to which family a beat belongs: P wave and QRS."""

SAME_SHAPE: Final = 0.25
"""Root mean square distance to the template, in the window's scale, of beats of one family."""

FORGETTING: Final = 0.999
"""What is left of a beat's weight after the next one: a memory of about a quarter of an hour."""

TEMPLATE_STEP: Final = 0.05
COMMON_SHARE: Final = 0.15
"""A usual family comes at least this often as the commonest one."""

PREMATURE: Final = 0.10
"""A family whose beats are on average earlier than this is not usual."""

WORSE: Final = 1.5
"""By so much may the log reconstruction error of a usual family exceed the commonest one's."""

_COST_OF_PREMATURITY: Final = 10.0
_COST_OF_ERROR: Final = 1 / 1.5


class BeatTemplates:
    """What is remembered of the shapes of one patient's beats."""

    def __init__(self) -> None:
        # Eight numbers each: plain lists are faster than arrays.
        self._templates = np.zeros((FAMILIES, WINDOW_SAMPLES), dtype=np.float32)
        self._weights: list[float] = []
        self._counts: list[int] = []
        self._early: list[float] = []
        self._error: list[float] = []

    def distances(self, window: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how far float32[320] lies from each family's template, float64[families]."""
        apart = self._templates[: len(self._weights), COMPARED] - window[COMPARED]
        mean_squares = np.einsum("ft,ft->f", apart, apart, dtype=np.float64) / apart.shape[1]
        return np.asarray(np.sqrt(mean_squares), dtype=np.float64)

    def usual(self) -> list[int]:
        """Return the families that are usual, 1 to 8 of them; there must have been a beat."""
        weights, early, error = self._weights, self._early, self._error
        share = 0.02 * sum(weights)
        least_error = min(e for e, weight in zip(error, weights, strict=True) if weight >= share)
        plausible = [
            weight
            * math.exp(
                -_COST_OF_PREMATURITY * max(early[family], 0.0)
                - _COST_OF_ERROR * max(error[family] - least_error, 0.0)
            )
            for family, weight in enumerate(weights)
        ]
        main = plausible.index(max(plausible))
        return [
            family
            for family, weight in enumerate(weights)
            if family == main
            or (
                weight >= COMMON_SHARE * weights[main]
                and early[family] < max(PREMATURE, early[main] + 0.02)
                and error[family] < error[main] + WORSE
            )
        ]

    def template(self, family: int) -> NDArray[np.float32]:
        """Return the template of a family, float32[320]."""
        template: NDArray[np.float32] = self._templates[family]
        return template

    def prematurity(self, family: int) -> float:
        """Return how early the beats of a family come on the whole."""
        return self._early[family]

    def add(
        self,
        window: NDArray[np.float32],
        distances: NDArray[np.float64],
        early: float,
        error: float,
        *,
        is_usual: bool,
    ) -> None:
        """Remember a beat.

        Args:
            window: float32[320].
            distances: to the templates, as `distances` returned them.
            early: the beat's prematurity, negative for a late one.
            error: logarithm of the student's score.
            is_usual: whether it may move the template of a usual family.
        """
        self._weights = [FORGETTING * weight for weight in self._weights]
        nearest = int(distances.argmin()) if distances.size else -1
        if nearest < 0 or distances[nearest] > SAME_SHAPE:
            self._begin(window, early, error)
            return
        self._weights[nearest] += 1.0
        self._counts[nearest] += 1
        step = max(1.0 / self._counts[nearest], TEMPLATE_STEP)
        self._early[nearest] += step * (early - self._early[nearest])
        self._error[nearest] += step * (error - self._error[nearest])
        if is_usual or nearest not in self.usual():
            self._templates[nearest] += np.float32(step) * (window - self._templates[nearest])

    def _begin(self, window: NDArray[np.float32], early: float, error: float) -> None:
        if len(self._weights) < FAMILIES:
            family = len(self._weights)
            for values in (self._weights, self._counts, self._early, self._error):
                values.append(0)
        else:
            family = self._weights.index(min(self._weights))
        self._templates[family] = window
        self._weights[family] = 1.0
        self._counts[family] = 1
        self._early[family] = early
        self._error[family] = error
