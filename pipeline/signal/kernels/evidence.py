"""What one lead says for and against a complex that leads have found, and how it is remembered."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sampling import GAP, LEAD_OFF, NO_SIGNAL, SATURATED
from pipeline.signal.kernels.sections import (
    correlation,
    correlation_with,
    jit,
    sum_of_squares,
    value_range,
)
from pipeline.signal.kernels.slots import FLAT, MOTION, NOISE

# Columns of a lead's record: its sensitivity, its false complexes for each beat, by how many
# samples its R peaks come after those of the first lead, and how many beats were learned from.
SENSITIVITY, FALSE, OFFSET, LEARNED, RECORD = range(5)

# Settings of `kernels.agreement.agree`; `pipeline.signal.leads.agreement` fills them.
(
    SAME, APART, BEHIND, KEEP_FOR, LIKE_WEIGHT, SIZE_WEIGHT, MOST_SIZE, NOISE_WEIGHT, FOUND_BIAS,
    UNSEEN_WEIGHT, UNSEEN_BIAS, SOON, SOON_WEIGHT, OVERDUE_WEIGHT, MOST_OVERDUE, MEMORY,
    USUAL_SENSITIVITY, USUAL_FALSE, MOST_TRUST, FLAT_SPAN, BETTER_BY, PREFERRED_BY, BETTER_BEATS,
    EARLY_WEIGHT, ON_TIME, SETTINGS,
) = range(26)  # fmt: skip

USUAL_BEATS = 8
SPANS = USUAL_BEATS  # the ring of spans; behind it their median
SHAPE_REACH = 36  # 100 ms before and after the R peak: where a complex lies
PLAY, PLAY_STEP = 12, 2  # by so much, in such steps, a complex may be shifted against the usual one
SIZE_REACH = 25  # 69 ms each way, within which a complex is measured beside the noise
NOISE_SAMPLES, NOISE_STEP = 1440, 36  # four seconds before, each tenth of a second
NOISE_SHARE = 0.4  # so much of the time between beats is without P, QRS and T
LEAST_NOISE = 0.05  # of a beat's span: no lead is quieter for what beats vary by themselves
USUAL_LIKENESS, LEAST_USUAL = 0.8, 0.5  # as `lead_state` has it for the detector
FIRST_NOISE = 0.5  # of the span of a first beat: it is twice as high as what lies before it,
FIRST_LATE = 1.5  # or so many intervals after the last one
FIRST_ODDS = 3.0  # 20 to 1: what stands out so much is hardly noise
USUAL_RR = 288  # 75 bpm until it is known
FLAT_REACH = 179  # half a second each way, and no further than a complex is decided on


class Seen(NamedTuple):
    """What leads show before a decision: the samples [``begin``, ``end``) of the arrays.

    A lead's own are cut out as ``filtered[k, begin:end]``: that lies in memory without gaps, which
    numba knows of such a row, but not of a row of ``filtered[:, begin:end]``. So the compiler takes
    several samples in a step.
    """

    filtered: NDArray[np.float32]
    masks: NDArray[np.uint8]
    begin: int
    end: int


@jit
def span_around(x: NDArray[np.float32], centre: int, reach: int) -> float:
    """Return the span of x around ``centre``, clipped to the array."""
    begin, end = max(centre - reach, 0), min(centre + reach + 1, x.size)
    if begin >= end:
        return 0.0
    low, top = value_range(x, begin, end)
    return float(top - low)


@jit
def can_show(code: int) -> bool:
    """Return whether a lead that is masked for such a `Reason`, or not masked, can show a beat."""
    return code not in (LEAD_OFF, SATURATED, FLAT, NO_SIGNAL, GAP)


@jit
def is_hidden(mask: NDArray[np.uint8], at: int) -> bool:
    """Return whether noise or motion hides the beats of a lead, at ``at`` or by the last sample."""
    there, now = mask[min(max(at, 0), mask.size - 1)], mask[mask.size - 1]
    return bool(there in (NOISE, MOTION) or now in (NOISE, MOTION))


@jit
def noise_before(
    x: NDArray[np.float32],
    mask: NDArray[np.uint8],
    at: int,
    span: float,
    ring: NDArray[np.float64],
) -> float:
    """Return the noise of a lead in the seconds before ``at`` as a part of a beat's ``span``.

    That is the span of so much signal as a complex takes, in those parts of the time that have
    little: between beats. What a lead does not show is not quiet. ``ring`` is overwritten.
    """
    n = 0
    for k in range(NOISE_SAMPLES // NOISE_STEP):
        centre = at - NOISE_STEP * (k + 1) - SIZE_REACH
        if centre - SIZE_REACH < 0 or centre + SIZE_REACH >= x.size or not can_show(mask[centre]):
            continue
        value = span_around(x, centre, SIZE_REACH)
        i = n
        while i > 0 and ring[i - 1] > value:  # insertion into what is sorted
            ring[i] = ring[i - 1]
            i -= 1
        ring[i] = value
        n += 1
    if n == 0 or span <= 0.0:
        return 1.0
    return float(min(max(ring[int(NOISE_SHARE * n)] / span, LEAST_NOISE), 1.0))


@jit
def likeness(
    x: NDArray[np.float32], centre: int, shape: NDArray[np.float32], enough: float
) -> float:
    """Return the best correlation with a lead's usual complex near ``centre``, at least 0.

    The nearest places come first; where one has ``enough``, no other is looked at.
    """
    best, energy = 0.0, sum_of_squares(shape)
    for k in range(2 * (PLAY // PLAY_STEP) + 1):
        away = PLAY_STEP * ((k + 1) // 2)
        begin = centre + (away if k % 2 else -away) - SHAPE_REACH
        best = max(best, correlation_with(shape, energy, x, begin))
        if best >= enough:
            break
    return best


@jit
def likeness_of(x: NDArray[np.float32], one: int, other: int) -> float:
    """Return the best correlation of two complexes of a lead, as `likeness` has it."""
    best, begin = 0.0, other - SHAPE_REACH
    if begin < 0 or begin + 2 * SHAPE_REACH + 1 > x.size:
        return 0.0
    for away in range(-PLAY, PLAY + 1, PLAY_STEP):
        best = max(best, correlation(x, begin, one + away - SHAPE_REACH, 2 * SHAPE_REACH + 1))
        if best >= USUAL_LIKENESS:
            break
    return best


@jit
def learn_shape(
    x: NDArray[np.float32], begin: int, share: float, shape: NDArray[np.float32]
) -> None:
    """Let a lead's usual complex, of mean 0, follow the one that begins at ``begin``."""
    total = 0.0
    for i in range(shape.size):
        total += x[begin + i]
    mean = total / shape.size
    for i in range(shape.size):
        shape[i] += np.float32(share * (x[begin + i] - mean - shape[i]))


@jit
def is_usual(x: NDArray[np.float32], at: int, span: float, shape: NDArray[np.float32]) -> bool:
    """Return whether a complex is like a lead's usual one, and not much smaller."""
    return bool(
        span_around(x, at, SHAPE_REACH) >= LEAST_USUAL * span
        and likeness(x, at, shape, USUAL_LIKENESS) >= USUAL_LIKENESS
    )


@jit
def votes(
    x: NDArray[np.float32],
    mask: NDArray[np.uint8],
    at: int,
    settings: NDArray[np.float64],
) -> bool:
    """Return whether a lead that has found nothing could have: a line that is flat could not.

    ``at`` is a place in the arrays. An electrode may be off for seconds before that is sure.
    """
    inside = min(max(at, 0), mask.size - 1)
    return bool(
        can_show(int(mask[inside])) and span_around(x, at, FLAT_REACH) > settings[FLAT_SPAN]
    )


@jit
def odds_of_found(
    x: NDArray[np.float32],
    at: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    span: float,
    shape: NDArray[np.float32],
    noise: float,
) -> float:
    """Return what a lead says for a beat at ``at`` that it has found, as the log of odds.

    The more the complex is like this patient's, as large, and the quieter the line around it; and
    the fewer of what this lead found were none.
    """
    like = likeness(x, at, shape, 1.0)
    most = settings[MOST_SIZE]
    size = span_around(x, at, SIZE_REACH) / max(span, 1e-9)
    size = min(size, most) - min(max(size - 2.0 * most, 0.0), most)
    seen = (
        settings[LIKE_WEIGHT] * like
        + settings[SIZE_WEIGHT] * size
        - settings[NOISE_WEIGHT] * np.log(noise)
        + settings[FOUND_BIAS]
    )
    trust = np.log(record[SENSITIVITY] / max(record[FALSE], 0.01)) - np.log(
        settings[USUAL_SENSITIVITY] / settings[USUAL_FALSE]
    )
    return float(seen + min(max(trust, -settings[MOST_TRUST]), settings[MOST_TRUST]))


@jit
def odds_of_unseen(
    x: NDArray[np.float32],
    at: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    span: float,
) -> float:
    """Return what a lead says for a beat at ``at`` that it has not found, as the log of odds.

    The more there is at that place, and the more beats of this patient the lead misses.
    """
    size = min(span_around(x, at, SHAPE_REACH) / max(span, 1e-9), 1.0)
    trust = np.log(1.0 - min(record[SENSITIVITY], 0.99)) - np.log(1.0 - settings[USUAL_SENSITIVITY])
    return float(
        settings[UNSEEN_WEIGHT] * size
        + settings[UNSEEN_BIAS]
        + min(max(trust, -settings[MOST_TRUST]), settings[MOST_TRUST])
    )


@jit
def odds_of(
    seen: Seen,
    at: int,
    since: int,
    usual_rr: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    places: NDArray[np.float64],
    ring: NDArray[np.float64],
) -> float:
    """Return the log of odds that a complex at the place ``at``, found by some leads, is a beat.

    It is one if every lead that could show it has found it. The last beat was ``since`` samples
    before. Size and shape are known after so many beats. Until then, and unless a lead that knows
    the patient has found nothing, a complex is taken for one if it stands out of the line before
    it, or if a beat is late. ``places`` are where leads have found it, -1 where not: each is
    measured at its own, for in noise that may be a tenth of a second away.
    """
    against, knows, begins = 0, False, False
    for k in range(record.shape[0]):
        x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
        learned = record[k, LEARNED] >= USUAL_BEATS
        if places[k] >= 0:
            begins = begins or not learned
        elif votes(x, codes, at, settings):
            against += 1
            knows = knows or learned
    if against == 0:
        return np.inf
    if begins and not knows:
        stands_out = since > FIRST_LATE * max(usual_rr, USUAL_RR)
        for k in range(record.shape[0]):
            if places[k] < 0 or stands_out:
                continue
            x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
            own = span_around(x, int(places[k]), SIZE_REACH)
            stands_out = noise_before(x, codes, at, own, ring) < FIRST_NOISE
        return FIRST_ODDS if stands_out else -FIRST_ODDS
    odds, quietest = 0.0, np.inf
    for k in range(record.shape[0]):
        span = spans[k, SPANS]
        x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
        if places[k] >= 0:
            if record[k, LEARNED] >= USUAL_BEATS:
                noise = noise_before(x, codes, at, span, ring)
                quietest = min(quietest, noise)
                odds += odds_of_found(
                    x, int(places[k]), settings, record[k], span, shapes[k], noise
                )
        elif votes(x, codes, at, settings):
            odds += odds_of_unseen(x, at, settings, record[k], span)
    return odds + odds_of_time(since, usual_rr, quietest if quietest <= 1.0 else 0.0, settings)


@jit
def odds_of_time(since: int, usual_rr: int, noise: float, settings: NDArray[np.float64]) -> float:
    """Return what its time says for a complex, ``since`` samples after a beat, as the log of odds.

    The more overdue a beat is, the rather it is one: hearts beat. But a wave of noise comes at any
    time. So the more ``noise`` there is in the quietest lead that has found it, the less that says,
    and the more it counts against a complex that it comes before its time.
    """
    odds = -settings[SOON_WEIGHT] if since < settings[SOON] else 0.0
    if usual_rr == 0:
        return odds
    late = since / usual_rr - 1.0
    if since >= settings[SOON]:
        overdue = settings[OVERDUE_WEIGHT] * max(late, 0.0)
        odds += (1.0 - noise) * min(overdue, settings[MOST_OVERDUE])
    return float(odds - settings[EARLY_WEIGHT] * noise * (max(-late, 0.0) - settings[ON_TIME]))


@jit
def learn_record(
    seen: Seen,
    at: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    of_lead: NDArray[np.float64],
    sure: float,
) -> None:
    """Learn from a decision how far each lead that could show a beat is to be believed.

    A complex counts as a beat for the probability ``sure`` that it is one, and for the rest as
    none: the expectation of Dawid & Skene's algorithm. If it counted as a beat altogether, a lead
    in noise would prove the others wrong.
    """
    for k in range(record.shape[0]):
        has = of_lead[k] >= 0
        x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
        if not has and not votes(x, codes, at, settings):
            continue
        found = 1.0 if has else 0.0
        record[k, SENSITIVITY] += sure * settings[MEMORY] * (found - record[k, SENSITIVITY])
        false = 1.0 - sure if has else 0.0
        record[k, FALSE] += settings[MEMORY] * (false - record[k, FALSE])
