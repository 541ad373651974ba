"""The shapes of one patient's beats, and which of them are usual.

Beats of one shape share a template. With it are kept how often it came lately, how early its beats
come on average, and how badly the student reconstructs them. A beat belongs to the nearest
template, or begins a new one where none is near.

A template is usual if it comes often, is not premature on average and is no worse for the student
than this patient's commonest one. So a minority of ectopic beats among the first does no harm, a
patient may have more than one normal shape, every second beat may be ectopic without becoming
usual, and a shape that changes permanently becomes usual once it has come often enough. Beats that
come early move no usual template.

Pure and causal: depends on the beats alone, in order. Sorting beats by templates is as old as
ambulatory ECG analysis (Argus, Nolle & Clark 1971); the rule for usual is ours, and its numbers
were chosen on DS1.
"""

import math
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State, field

MAX_TEMPLATES: Final = 8
"""Where there are more shapes, the template that came least gives way."""

COMPARED: Final = slice(20, 200)
"""Ticks that decide to which template a beat belongs: P wave and QRS."""

SAME_SHAPE: Final = 0.25
"""Root mean square distance to its template, in the window's scale, that a beat may have."""

FORGETTING: Final = 0.999
"""Factor on the weight of a beat with each later one: a memory of a quarter of an hour."""

TEMPLATE_STEP: Final = 0.05
COMMON_SHARE: Final = 0.15
"""A usual template comes at least this often, relative to the commonest one."""

PREMATURE: Final = 0.10
"""A template whose beats are on average earlier than this is not usual."""

WORSE: Final = 1.5
"""The log reconstruction error of a usual template exceeds the commonest one's by less."""

_COST_OF_PREMATURITY: Final = 10.0
_COST_OF_ERROR: Final = 1 / 1.5


class BeatTemplatesState(State):
    """All memory of `BeatTemplates`; the lists are parallel, one value a template in use."""

    templates: Annotated[NDArray[np.float32], Shape((MAX_TEMPLATES, WINDOW_SAMPLES))]
    # Eight numbers each: plain lists are faster than arrays.
    weights: list[float] = field(default_factory=list)
    """How many beats came lately, each forgotten by `FORGETTING`."""
    counts: list[int] = field(default_factory=list)
    """How many beats came in all."""
    early: list[float] = field(default_factory=list)
    """Mean prematurity."""
    error: list[float] = field(default_factory=list)
    """Mean logarithm of the student's score."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first beat."""
        return cls(np.zeros((MAX_TEMPLATES, WINDOW_SAMPLES), dtype=np.float32))


class BeatTemplates:
    """The shapes of one patient's beats."""

    def __init__(self, state: BeatTemplatesState | None = None) -> None:
        """Continue from ``state``, or begin.

        Raises:
            SnapshotError: the state is none that templates leave behind.
        """
        self.state = state = state or BeatTemplatesState.fresh()
        in_use = len(state.weights)
        if in_use > MAX_TEMPLATES or any(
            len(one) != in_use for one in (state.counts, state.early, state.error)
        ):
            raise SnapshotError(f"state of {in_use} templates without their numbers")
        if not all(map(math.isfinite, (*state.weights, *state.early, *state.error))):
            raise SnapshotError("state of templates with numbers that are not finite")

    def distances(self, window: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how far float32[320] lies from each template, float64[templates]."""
        apart = self.state.templates[: len(self.state.weights), COMPARED] - window[COMPARED]
        mean_squares = np.einsum("ft,ft->f", apart, apart, dtype=np.float64) / apart.shape[1]
        return np.asarray(np.sqrt(mean_squares), dtype=np.float64)

    def usual(self) -> list[int]:
        """Return the indices of the usual templates, 1 to 8; there must have been a beat."""
        weights, early, error = self.state.weights, self.state.early, self.state.error
        rare = 0.02 * sum(weights)
        least_error = min(e for e, weight in zip(error, weights, strict=True) if weight >= rare)
        plausible = [
            weight
            * math.exp(
                -_COST_OF_PREMATURITY * max(early[index], 0.0)
                - _COST_OF_ERROR * max(error[index] - least_error, 0.0)
            )
            for index, weight in enumerate(weights)
        ]
        main = plausible.index(max(plausible))
        return [
            index
            for index, weight in enumerate(weights)
            if index == main
            or (
                weight >= COMMON_SHARE * weights[main]
                and early[index] < max(PREMATURE, early[main] + 0.02)
                and error[index] < error[main] + WORSE
            )
        ]

    def template(self, index: int) -> NDArray[np.float32]:
        """Return one template, float32[320]."""
        template: NDArray[np.float32] = self.state.templates[index]
        return template

    def prematurity(self, index: int) -> float:
        """Return how early the beats of a template come on average."""
        return self.state.early[index]

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
            is_usual: whether it may move a usual template.
        """
        state = self.state
        state.weights = [FORGETTING * weight for weight in state.weights]
        nearest = int(distances.argmin()) if distances.size else -1
        if nearest < 0 or distances[nearest] > SAME_SHAPE:
            self._begin(window, early, error)
            return
        state.weights[nearest] += 1.0
        state.counts[nearest] += 1
        step = max(1.0 / state.counts[nearest], TEMPLATE_STEP)
        state.early[nearest] += step * (early - state.early[nearest])
        state.error[nearest] += step * (error - state.error[nearest])
        if is_usual or nearest not in self.usual():
            template = state.templates[nearest]
            template += np.float32(step) * (window - template)

    def _begin(self, window: NDArray[np.float32], early: float, error: float) -> None:
        """Begin a template of a new shape, in the place of the one that came least if need be."""
        state = self.state
        if len(state.weights) < MAX_TEMPLATES:
            at = len(state.weights)
            state.weights.append(0.0)
            state.counts.append(0)
            state.early.append(0.0)
            state.error.append(0.0)
        else:
            at = state.weights.index(min(state.weights))
        state.templates[at] = window
        state.weights[at] = 1.0
        state.counts[at] = 1
        state.early[at] = early
        state.error[at] = error
