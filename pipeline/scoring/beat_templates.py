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

import threading
from typing import Annotated, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State
from pipeline.scoring.qrs_shape import QRS, QrsShape, shape_of
from pipeline.signal.kernels.scoring import live, templates
from pipeline.signal.kernels.scoring import shape as kernel

MAX_TEMPLATES: Final = templates.MAX_TEMPLATES
SAME_SHAPE: Final = templates.SAME_SHAPE
FORGETTING: Final = templates.FORGETTING
TEMPLATE_STEP: Final = templates.TEMPLATE_STEP


class BeatTemplatesState(State):
    """All memory of `BeatTemplates`: arrays of `pipeline.signal.kernels.scoring.templates`."""

    templates: Annotated[NDArray[np.float32], Shape((MAX_TEMPLATES, WINDOW_SAMPLES))]
    numbers: Annotated[NDArray[np.float64], Shape((templates.NUMBERS, MAX_TEMPLATES))]
    known: int = 0
    """How many templates are in use, the first ones."""

    @classmethod
    def fresh(cls) -> Self:
        """Return the state before the first beat."""
        return cls(
            np.zeros((MAX_TEMPLATES, WINDOW_SAMPLES), dtype=np.float32),
            np.zeros((templates.NUMBERS, MAX_TEMPLATES)),
        )


class Likeness(NamedTuple):
    """A beat beside the templates and the beat before."""

    nearest: int
    """The nearest template; -1 where none is looked at."""
    shape: QrsShape
    """How its QRS compares with the usual ones and with the beat before."""


class _Room(threading.local):
    """What `BeatTemplates.look` found of a beat; all streams of a thread use the same memory.

    Of many streams each would find its own outside the processor's cache.
    """

    def __init__(self) -> None:
        self.distances = np.zeros(MAX_TEMPLATES)
        """Of the beat to each template."""
        self.is_usual = np.zeros(MAX_TEMPLATES, dtype=np.bool_)
        """Which templates were usual for it."""
        self.apart = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
        """The beat less the nearest of the usual ones."""
        self.shape = np.zeros(kernel.SHAPE_NUMBERS)


room: Final = _Room()
"""Valid until a beat of any stream is looked at by the same thread."""


class BeatTemplates:
    """Sorts the beats of one patient by shape."""

    def __init__(self, state: BeatTemplatesState | None = None) -> None:
        """Continue from ``state``, or begin.

        Raises:
            SnapshotError: the state is not one that the kernel can trust.
        """
        self.state = state = state or BeatTemplatesState.fresh()
        if not 0 <= state.known <= MAX_TEMPLATES:
            raise SnapshotError(f"state of {state.known} templates")
        if not (np.isfinite(state.numbers).all() and np.isfinite(state.templates).all()):
            raise SnapshotError("state of templates with numbers that are not finite")
        if (state.numbers[templates.COUNT, : state.known] < 1).any():
            raise SnapshotError("state of templates without a beat")

    def look(
        self,
        window: NDArray[np.float32],
        before: NDArray[np.float32] | None = None,
        *,
        known: bool = True,
    ) -> Likeness:
        """Compare a beat, float32[320], with the one before and, if ``known``, the templates."""
        state, follows = self.state, before is not None
        before = window if before is None else before
        nearest = live.look(
            window, before, follows, state.templates, state.numbers, state.known if known else 0,
            room.distances, room.is_usual, room.apart, room.shape,
        )  # fmt: skip
        return Likeness(nearest, shape_of(room.shape.tolist()))

    @property
    def mean_squares(self) -> tuple[float, float]:
        """Of the beat in the `room` less the nearest usual template: of all, and of the QRS."""
        apart = room.apart
        in_qrs = apart[QRS]
        return float(apart.dot(apart)) / WINDOW_SAMPLES, float(in_qrs.dot(in_qrs)) / in_qrs.size

    def add(self, window: NDArray[np.float32], early: float, error: float, *, usual: bool) -> None:
        """Remember a beat.

        Args:
            window: float32[320].
            early: the beat's prematurity, negative for a late one.
            error: logarithm of the student's score.
            usual: whether it may move a usual template.
        """
        state, distances = self.state, room.distances
        nearest = templates.measure_distances(window, state.templates, state.known, distances)
        near = nearest >= 0 and bool(distances[nearest] <= SAME_SHAPE)
        state.known = templates.add(
            window, nearest, near, early, error, usual, state.templates, state.numbers,
            state.known, room.is_usual,
        )  # fmt: skip
