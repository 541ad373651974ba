"""The live score of a beat, from what is known of its patient. Compiled.

`pipeline.scoring.live_score` explains the components and has their numbers.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.scoring.series import (
    KEPT,
    LONG_RR,
    ORDINARY,
    OWN,
    QRS,
    RECENT_RR,
    SHAPE,
    keep,
    quantile,
)
from pipeline.signal.kernels.scoring.shape import compare
from pipeline.signal.kernels.scoring.templates import (
    EARLY,
    SAME_SHAPE,
    add,
    find_usual,
    measure_distances,
)
from pipeline.signal.kernels.sections import jit

LONG_RR_QUANTILE: Final = 0.85
"""This quantile stays that of usual beats until five of six are premature."""

NOT_EARLY: Final = 0.15
"""A usual beat comes at most this much early."""

FLOOR: Final = 1e-6

ORDINARY_UP_TO: Final = 8.0
"""A beat whose components without its class sum up to at most this is ordinary, whatever the
threshold."""

TYPICAL_WEIGHT: Final = 0.5

CLASS_WEIGHT: Final = 3.0
CLASS_LIMIT: Final = 8.0 / 3.0
"""Of the log odds of not-N, natural: beyond 14 to 1 nothing is surer, and no class outweighs the
strangest shapes. Chosen on patients that the classifier has not seen
(``docs/models/trials.md``)."""

OF_MODEL, OF_EARLY, OF_LATE, OF_OWN, OF_SHAPE, OF_QRS, OF_FAMILY, COMPONENTS = range(8)
"""Places of the components; unknown ones are NaN."""
OF_TYPICAL, OF_CLASS, CONTRIBUTIONS = range(COMPONENTS, COMPONENTS + 3)
"""Places of what else contributes to the score."""

MEDIAN, SPAN, LIMIT, PART, SCALES = range(5)
"""Rows of the scales: median of normal beats, 95th percentile less this, limit and weight."""


@jit
def look(
    window: NDArray[np.float32],
    before: NDArray[np.float32],
    follows: bool,
    templates: NDArray[np.float32],
    numbers: NDArray[np.float64],
    known: int,
    distances: NDArray[np.float64],
    usual: NDArray[np.bool_],
    apart: NDArray[np.float32],
    shape: NDArray[np.float64],
) -> int:
    """Compare a window with the templates and the beat before; return the nearest template.

    Args:
        window: float32[320].
        before: float32[320], the beat before, and
        follows: whether there is one.
        templates: float32[MAX_TEMPLATES, 320].
        numbers: float64[NUMBERS, MAX_TEMPLATES].
        known: how many templates are to be looked at; of none, -1 is returned.
        distances: float64[MAX_TEMPLATES], where the distance to each is written,
        usual: bool[MAX_TEMPLATES], whether each is usual,
        apart: float32[320], the window less the nearest of the usual ones,
        shape: float64[SHAPE_NUMBERS], and what `compare` writes of the QRS.
    """
    nearest = measure_distances(window, templates, known, distances)
    find_usual(numbers, known, usual)
    compare(window, templates, usual, known, before, follows, shape)
    if nearest < 0:
        return nearest
    nearest_usual = -1
    for t in range(known):
        if usual[t] and (nearest_usual < 0 or distances[t] < distances[nearest_usual]):
            nearest_usual = t
    template = templates[nearest_usual]
    for k in range(window.size):
        apart[k] = window[k] - template[k]
    return nearest


@jit
def log_rms(mean_square: float) -> float:
    """Return the logarithm of a root mean square."""
    return math.log(max(math.sqrt(mean_square), FLOOR))


@jit
def keep_rhythm(
    rr_s: float,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
) -> None:
    """Keep an interval in seconds, if it is known; arrays as for `keep`."""
    if math.isfinite(rr_s):
        keep(RECENT_RR, rr_s, values, counters, ranks)
        keep(LONG_RR, rr_s, values, counters, ranks)


@jit
def observe_rhythm(
    error: float,
    rr_s: float,
    learns: bool,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
    raw: NDArray[np.float64],
) -> float:
    """Write ``model``, ``early`` and ``late`` of a beat; return how early it is, 0 if not known.

    All other components become unknown. The interval is kept if it may be learned from; arguments
    as for `score`.
    """
    for c in range(COMPONENTS):
        raw[c] = math.nan
    raw[OF_MODEL] = error
    early = 0.0
    if counters[RECENT_RR, KEPT] and math.isfinite(rr_s):
        median = quantile(RECENT_RR, 0.5, values, counters, ranks)
        long_rr = quantile(LONG_RR, LONG_RR_QUANTILE, values, counters, ranks)
        early = 1.0 - rr_s * (1 / median + 1 / long_rr) / 2
        raw[OF_EARLY] = max(0.0, early)
        raw[OF_LATE] = max(0.0, rr_s / median - 1.0)
    if learns:
        keep_rhythm(rr_s, values, counters, ranks)
    return early


@jit
def remember(
    error: float,
    shape: float,
    qrs: float,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
) -> None:
    """Keep what was found of a usual beat."""
    keep(OWN, error, values, counters, ranks)
    keep(SHAPE, shape, values, counters, ranks)
    keep(QRS, qrs, values, counters, ranks)


@jit
def score(
    window: NDArray[np.float32],
    error: float,
    rr_s: float,
    nearest: int,
    mean_square: float,
    qrs_mean_square: float,
    normal: float,
    learns: bool,
    templates: NDArray[np.float32],
    numbers: NDArray[np.float64],
    known: int,
    distances: NDArray[np.float64],
    usual: NDArray[np.bool_],
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
    scales: NDArray[np.float64],
    raw: NDArray[np.float64],
    out: NDArray[np.float64],
) -> tuple[int, float]:
    """Score a beat of a patient who is known, and learn from it.

    Args:
        window: float32[320].
        error: logarithm of the student's score.
        rr_s: the interval before the beat in seconds, NaN if it is not known.
        nearest: template, as `look` returned it.
        mean_square: of the window less the nearest usual template,
        qrs_mean_square: and of its QRS.
        normal: the probability of class N.
        learns: whether the beat may be learned from.
        templates: float32[MAX_TEMPLATES, 320].
        numbers: float64[NUMBERS, MAX_TEMPLATES].
        known: how many templates are in use.
        distances: float64[MAX_TEMPLATES] to these,
        usual: and bool[MAX_TEMPLATES], whether each is usual, both as `look` wrote them.
        values: float64[SERIES, LONGEST].
        counters: int64[SERIES, COUNTERS].
        ranks: uint8[SERIES, LONGEST].
        scales: float64[SCALES, COMPONENTS].
        raw: float64[COMPONENTS], where the components are written, unscaled,
        out: float64[CONTRIBUTIONS], and what each contributes to the score.

    Returns:
        How many templates are in use then, and the score.
    """
    early = observe_rhythm(error, rr_s, learns, values, counters, ranks, raw)
    # 1. How far from this patient's usual beats, beside how far these lie.
    shape, qrs = log_rms(mean_square), log_rms(qrs_mean_square)
    raw[OF_OWN] = error - quantile(OWN, 0.5, values, counters, ranks)
    raw[OF_SHAPE] = shape - quantile(SHAPE, 0.5, values, counters, ranks)
    raw[OF_QRS] = qrs - quantile(QRS, 0.5, values, counters, ranks)
    # 2. How early beats of this shape come.
    near = distances[nearest] <= SAME_SHAPE
    raw[OF_FAMILY] = max(0.0, numbers[EARLY, nearest]) if near else 0.0
    # 3. The beat belongs to what is usual then, and to its template.
    if learns:
        is_usual = near and usual[nearest] and early < NOT_EARLY
        if is_usual:
            remember(error, shape, qrs, values, counters, ranks)
        known = add(window, nearest, near, early, error, is_usual, templates, numbers, known, usual)
    return known, assess(raw, normal, False, learns, scales, values, counters, ranks, out)


@jit
def typical(
    total: float,
    learns: bool,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
) -> float:
    """Return what is typical of the patient as a contribution, and learn from a sum."""
    contribution = -TYPICAL_WEIGHT * quantile(ORDINARY, 0.5, values, counters, ranks)
    if learns and total <= ORDINARY_UP_TO:
        keep(ORDINARY, total, values, counters, ranks)
    return contribution


@jit
def assess(
    raw: NDArray[np.float64],
    normal: float,
    learning: bool,
    learns: bool,
    scales: NDArray[np.float64],
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
    out: NDArray[np.float64],
) -> float:
    """Write what each component contributes to the score; return their sum.

    Args:
        raw: float64[COMPONENTS], NaN where unknown.
        normal: the probability of class N.
        learning: whether the patient's usual beats are not known yet.
        learns: whether the beat may be learned from.
        scales: float64[SCALES, COMPONENTS].
        values: float64[SERIES, LONGEST].
        counters: int64[SERIES, COUNTERS].
        ranks: uint8[SERIES, LONGEST].
        out: float64[CONTRIBUTIONS], NaN where unknown.
    """
    total = 0.0
    for c in range(COMPONENTS):
        out[c] = math.nan
        if not math.isnan(raw[c]):
            scaled = (raw[c] - scales[MEDIAN, c]) / scales[SPAN, c]
            out[c] = scales[PART, c] * min(scales[LIMIT, c], max(0.0, scaled))
            total += out[c]
    out[OF_TYPICAL] = math.nan
    if not learning:
        out[OF_TYPICAL] = typical(total, learns, values, counters, ranks)
        total += out[OF_TYPICAL]
    log_odds = math.log(max(1.0 - normal, FLOOR) / max(normal, FLOOR))
    out[OF_CLASS] = CLASS_WEIGHT * min(max(log_odds, -CLASS_LIMIT), CLASS_LIMIT)
    return float(total + out[OF_CLASS])
