"""The shapes of one patient's beats, and which of them are usual. Compiled.

`pipeline.scoring.beat_templates` explains the rules. The first ``known`` of the templates are in
use; each has a column of `NUMBERS`.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import copy, jit

MAX_TEMPLATES: Final = 8
"""Where there are more shapes, the template that came least gives way."""

COMPARED_FROM: Final = 20
COMPARED_TO: Final = 200
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

COST_OF_PREMATURITY: Final = 10.0
COST_OF_ERROR: Final = 1 / 1.5
RARE: Final = 0.02

WEIGHT, COUNT, EARLY, ERROR, NUMBERS = range(5)
"""Rows: how many beats came lately, each forgotten by `FORGETTING`; how many came in all; mean
prematurity; mean logarithm of the student's score."""


@jit
def measure_distances(
    window: NDArray[np.float32],
    templates: NDArray[np.float32],
    known: int,
    distances: NDArray[np.float64],
) -> int:
    """Write how far a window lies from each template; return the nearest one, -1 of none."""
    nearest = -1
    for t in range(known):
        template = templates[t]
        one = two = three = four = 0.0  # these do not wait for each other
        for k in range(COMPARED_FROM, COMPARED_TO, 4):
            apart = np.float64(template[k] - window[k])
            one += apart * apart
            apart = np.float64(template[k + 1] - window[k + 1])
            two += apart * apart
            apart = np.float64(template[k + 2] - window[k + 2])
            three += apart * apart
            apart = np.float64(template[k + 3] - window[k + 3])
            four += apart * apart
        squares = (one + two) + (three + four)
        distances[t] = math.sqrt(squares / (COMPARED_TO - COMPARED_FROM))
        if nearest < 0 or distances[t] < distances[nearest]:
            nearest = t
    return nearest


@jit
def find_usual(numbers: NDArray[np.float64], known: int, usual: NDArray[np.bool_]) -> None:
    """Write whether each template is usual; at least one is, where there is any."""
    weights, early, error = numbers[WEIGHT], numbers[EARLY], numbers[ERROR]
    total = 0.0
    for t in range(known):
        total += weights[t]
    least_error = math.inf
    for t in range(known):
        if weights[t] >= RARE * total:
            least_error = min(least_error, error[t])
    main, most = 0, -math.inf
    for t in range(known):
        cost = COST_OF_PREMATURITY * max(early[t], 0.0)
        cost += COST_OF_ERROR * max(error[t] - least_error, 0.0)
        plausible = weights[t] * math.exp(-cost)
        if plausible > most:
            main, most = t, plausible
    for t in range(known):
        common = weights[t] >= COMMON_SHARE * weights[main]
        in_time = early[t] < max(PREMATURE, early[main] + 0.02)
        usual[t] = t == main or (common and in_time and error[t] < error[main] + WORSE)


@jit
def add(
    window: NDArray[np.float32],
    nearest: int,
    near: bool,
    early: float,
    error: float,
    is_usual: bool,
    templates: NDArray[np.float32],
    numbers: NDArray[np.float64],
    known: int,
    usual: NDArray[np.bool_],
) -> int:
    """Take in a beat; return how many templates are in use then.

    Args:
        window: float32[320].
        nearest: template of those in use, and
        near: whether the beat has its shape.
        early: the beat's prematurity, negative for a late one.
        error: logarithm of the student's score.
        is_usual: whether it may move a usual template.
        templates: float32[MAX_TEMPLATES, 320].
        numbers: float64[NUMBERS, MAX_TEMPLATES].
        known: how many templates are in use.
        usual: bool[MAX_TEMPLATES], room to find the usual ones.
    """
    for t in range(known):
        numbers[WEIGHT, t] *= FORGETTING
    if not near:
        return _begin(window, early, error, templates, numbers, known)
    numbers[WEIGHT, nearest] += 1.0
    numbers[COUNT, nearest] += 1.0
    step = max(1.0 / numbers[COUNT, nearest], TEMPLATE_STEP)
    numbers[EARLY, nearest] += step * (early - numbers[EARLY, nearest])
    numbers[ERROR, nearest] += step * (error - numbers[ERROR, nearest])
    if not is_usual:
        find_usual(numbers, known, usual)
    if is_usual or not usual[nearest]:
        template, part = templates[nearest], np.float32(step)
        for k in range(window.size):
            template[k] += part * (window[k] - template[k])
    return known


@jit
def _begin(
    window: NDArray[np.float32],
    early: float,
    error: float,
    templates: NDArray[np.float32],
    numbers: NDArray[np.float64],
    known: int,
) -> int:
    """Begin a template of a new shape, in the place of the one that came least if need be."""
    at = known
    if known == MAX_TEMPLATES:
        at = 0
        for t in range(1, known):
            if numbers[WEIGHT, t] < numbers[WEIGHT, at]:
                at = t
    copy(window, templates[at])
    numbers[WEIGHT, at] = numbers[COUNT, at] = 1.0
    numbers[EARLY, at] = early
    numbers[ERROR, at] = error
    return max(known, at + 1)
