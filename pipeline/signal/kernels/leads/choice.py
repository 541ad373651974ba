"""Which lead a patient is watched by: the one that shows the beats best."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.evidence import (
    BETTER_BEATS,
    BETTER_BY,
    FALSE,
    LEARNED,
    LEAST_NOISE,
    PREFERRED_BY,
    SENSITIVITY,
    SPANS,
    USUAL_BEATS,
    Seen,
    can_show,
    noise_before,
)
from pipeline.signal.kernels.sections import jit

FEW_ERRORS = 0.02  # a beat; with fewer, noise decides between leads


@jit
def choose(
    seen: Seen,
    at: int,
    settings: NDArray[np.float64],
    chosen: int,
    better: int,
    better_for: int,
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    of_lead: NDArray[np.float64],
    ring: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Choose another lead if it was better for several beats in a row.

    Return the chosen one, which would be chosen instead, and for how many beats in a row.

    The first lead is preferred while it is nearly as good. A lead that does not know the patient
    cannot be chosen, and one that did not find this beat is no better now. But a chosen lead that
    shows nothing at all is left for any that has found the beat, at once.
    """
    inside = min(max(seen.begin + at, seen.begin), seen.end - 1)
    blind = of_lead[chosen] < 0 and not can_show(int(seen.masks[chosen, inside]))
    best, highest = chosen, -np.inf
    if not blind:
        highest = settings[BETTER_BY] + worth_of(
            seen, chosen, at, record[chosen], spans[chosen, SPANS], ring
        )
        if chosen == 0:
            highest += settings[PREFERRED_BY]
    for k in range(record.shape[0]):
        if k == chosen or of_lead[k] < 0 or (record[k, LEARNED] < USUAL_BEATS and not blind):
            continue
        preferred = settings[PREFERRED_BY] if k == 0 else 0.0
        if most_worth(record[k]) + preferred <= highest:
            continue
        worth = preferred + worth_of(seen, k, at, record[k], spans[k, SPANS], ring)
        if worth > highest:
            best, highest = k, worth
    if best == chosen:
        return chosen, better, 0
    better_for = better_for + 1 if best == better else 1
    if blind or better_for >= settings[BETTER_BEATS]:
        return best, best, 0
    return chosen, best, better_for


@jit
def worth_of(
    seen: Seen,
    k: int,
    at: int,
    record: NDArray[np.float64],
    span: float,
    ring: NDArray[np.float64],
) -> float:
    """Return how well a lead shows the patient's beats: by its errors and its noise."""
    x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
    return float(most_worth(record) - np.log(noise_before(x, codes, at, span, ring) / LEAST_NOISE))


@jit
def most_worth(record: NDArray[np.float64]) -> float:
    """Return what `worth_of` would be without noise."""
    errors = 1.0 - record[SENSITIVITY] + record[FALSE]
    return float(-np.log(errors + FEW_ERRORS) - np.log(LEAST_NOISE))
