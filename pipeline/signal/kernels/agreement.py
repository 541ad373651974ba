"""The kernel that makes one patient's beats of what the detectors of several leads found."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import copy, jit, median, value_range

LEAD_OFF, SATURATED, FLAT, NO_SIGNAL, GAP = 1, 2, 3, 4, 6  # of `Reason`

# Columns of what a lead's detector found, in order of time: R peak, the sample that confirmed it,
# and what became of it.
R, CONFIRMED, BECAME, COLUMNS = range(4)
WAITS, COUNTED, REFUSED = range(1, 4)
FOUND_KEPT = 48  # of each lead: those of 4 s that were decided, and those that wait

# Slots of the counters; positions count from the segment's start. BETTER is the lead that would be
# chosen instead of CHOSEN, and for how many beats in a row; USUAL_RR follows the intervals, 0 until
# there was one.
LAST_R, CHOSEN, BETTER, BETTER_FOR, USUAL_RR, COUNTERS = range(6)

# Columns of a lead's record: its sensitivity, its false complexes for each beat, by how many
# samples its R peaks come after those of the first lead, and how many beats were learned from.
SENSITIVITY, FALSE, OFFSET, LEARNED, RECORD = range(5)

# Columns of what is written of each beat of the patient: its R peak, the sample with which it was
# decided, and the chosen lead; then follows its R peak in each lead.
PATIENT_R, DECIDED, LEAD, BEAT_COLUMNS = range(4)

# Columns of complexes that are like the usual ones: lead, R peak, and where they are known.
SHOWN_COLUMNS = 3

# Settings of `agree`; `pipeline.signal.leads.agreement` fills them.
(
    SAME, APART, BEHIND, KEEP_FOR, LIKE_WEIGHT, SIZE_WEIGHT, MOST_SIZE, NOISE_WEIGHT, FOUND_BIAS,
    UNSEEN_WEIGHT, UNSEEN_BIAS, SOON, SOON_WEIGHT, OVERDUE_WEIGHT, MOST_OVERDUE, MEMORY,
    USUAL_SENSITIVITY, USUAL_FALSE, MOST_TRUST, FLAT_SPAN, BETTER_BY, PREFERRED_BY, BETTER_BEATS,
    SETTINGS,
) = range(24)  # fmt: skip

SHAPE_REACH = 36  # 100 ms before and after the R peak: where a complex lies
PLAY, PLAY_STEP = 12, 2  # by so much, in such steps, a complex may be shifted against the usual one
SIZE_REACH = 25  # 69 ms each way, within which a complex is measured beside the noise
NOISE_S, NOISE_STEP = 1440, 36  # four seconds before, each tenth of a second
NOISE_SHARE = 0.4  # so much of the time between beats is without P, QRS and T
LEAST_NOISE = 0.05  # of a beat's span: no lead is quieter for what beats vary by themselves
USUAL_LIKENESS, LEAST_USUAL = 0.8, 0.5  # as `segmenter_state` has it for the detector
FEW_ERRORS = 0.02  # a beat; with fewer, noise decides between leads
LONGEST_RR = 1080
FLAT_REACH = 180  # half a second each way
USUAL_BEATS = 8
SPANS = USUAL_BEATS  # the ring of spans; behind it their median
FOLLOW = 0.125  # how fast the usual complex and the offset follow, of each beat


@jit
def agree(
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    first: int,
    upto: int,
    closed: bool,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    found: NDArray[np.int64],
    waiting: NDArray[np.int64],
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    scratch: NDArray[np.float64],
    beats: NDArray[np.int64],
    shown: NDArray[np.int64],
) -> tuple[int, int]:
    """Decide which complexes that leads found are beats of the patient, in order of time.

    1. A complex is decided on with the last sample of its window, or with the one that confirmed
       it if that is later: by then nearly every lead has found it that will. What other leads
       found within 150 ms is the same complex.
    2. It is a beat if every lead that could show it has found it. Else the odds decide (`_odds`).
    3. The R peak is that of the chosen lead, else another's, less by how much it usually comes
       after that of the first lead. So it does not jump when another lead is chosen.
    4. From every decision the record of each lead is learned: how many of the patient's beats it
       finds, and how many it finds that are none (Dawid & Skene 1979, one observer a lead, from
       decision to decision).
    5. Another lead is chosen when its record and its noise were better for several beats.

    Args:
        filtered: float32[leads, m], the band of windows, ending with the sample ``upto``.
        masks: uint8[leads, m], why each sample is masked.
        first: position of the arrays' first sample.
        upto: the newest position that counts.
        closed: whether nothing follows: everything that waits is decided on.
        settings: float64[SETTINGS], the slots above.
        counters: int64[COUNTERS], updated.
        found: int64[leads, f, COLUMNS], what each lead has found, in order; updated.
        waiting: int64[leads], how many rows of it are used; updated.
        record: float64[leads, RECORD], updated.
        spans: float64[leads, USUAL_BEATS + 1], spans of each lead's latest beats; updated.
        shapes: float32[leads, 2 * SHAPE_REACH + 1], each lead's usual complex; updated.
        scratch: float64[leads + NOISE_S // NOISE_STEP], overwritten.
        beats: int64[b, BEAT_COLUMNS + leads], written; as many as all rows of ``found``.
        shown: int64[b, SHOWN_COLUMNS], written: complexes like the usual ones of their lead.

    Returns:
        How many beats were written, and how many complexes of ``shown``.
    """
    n = like_usual = 0
    while n < beats.shape[0]:
        lead, row, due = _next_due(found, waiting, settings)
        if lead < 0 or (due > upto and not closed):
            break
        due = min(due, upto)
        r = found[lead, row, R]
        of_lead = scratch[: found.shape[0]]
        _gather(found, waiting, lead, row, due, settings, of_lead)
        for k in range(found.shape[0]):
            if of_lead[k] >= 0 and record[k, LEARNED] >= USUAL_BEATS:
                at = found[k, int(of_lead[k]), R]
                if _is_usual(filtered[k], at - first, spans[k, SPANS], shapes[k]):
                    shown[like_usual, 0] = k
                    shown[like_usual, 1], shown[like_usual, 2] = at, due
                    like_usual += 1
        patient_r = _patient_r(counters, record, found, of_lead)
        if patient_r - counters[LAST_R] < settings[APART]:
            # The same beat, which this lead has found late, or one before it.
            _settle(found, waiting, due, settings, of_lead, True)
            continue
        is_beat = _is_beat(
            filtered, masks, first, r, settings, counters, record, spans, shapes, of_lead,
            scratch[found.shape[0] :],
        )  # fmt: skip
        _learn_record(filtered, masks, first, r, settings, record, of_lead, is_beat)
        if is_beat:
            _learn_shapes(filtered, first, record, spans, shapes, found, of_lead)
            _choose(filtered, first, r, settings, counters, record, spans, scratch, of_lead)
            _learn_interval(counters, patient_r - counters[LAST_R])
            counters[LAST_R] = patient_r
            beats[n, PATIENT_R], beats[n, DECIDED], beats[n, LEAD] = (
                patient_r,
                due,
                counters[CHOSEN],
            )
            for k in range(found.shape[0]):
                beats[n, BEAT_COLUMNS + k] = _r_in(k, patient_r, record, found, of_lead)
            n += 1
        _settle(found, waiting, due, settings, of_lead, is_beat)
    return n, like_usual


@jit
def _next_due(
    found: NDArray[np.int64], waiting: NDArray[np.int64], settings: NDArray[np.float64]
) -> tuple[int, int, int]:
    """Return lead, row and position of the decision that comes first; lead -1 if none waits."""
    lead, row, due = -1, 0, 0
    for k in range(found.shape[0]):
        for i in range(waiting[k]):
            if found[k, i, BECAME] == WAITS:
                at = max(found[k, i, R] + int(settings[BEHIND]), found[k, i, CONFIRMED])
                if lead < 0 or at < due:
                    lead, row, due = k, i, at
                break
    return lead, row, due


@jit
def _gather(
    found: NDArray[np.int64],
    waiting: NDArray[np.int64],
    lead: int,
    row: int,
    due: int,
    settings: NDArray[np.float64],
    of_lead: NDArray[np.float64],
) -> None:
    """Write which row of each lead is the complex in ``row`` of ``lead``, -1 where it found none.

    What was refused when this lead alone had found it still counts as found by it.
    """
    r = found[lead, row, R]
    for k in range(found.shape[0]):
        of_lead[k] = -1.0
        nearest = settings[SAME] + 1
        for i in range(waiting[k]):
            one = found[k, i]
            if one[R] > r + settings[SAME]:
                break
            apart = abs(one[R] - r)
            if apart < nearest and one[CONFIRMED] <= due and one[BECAME] != COUNTED:
                of_lead[k], nearest = i, apart
    of_lead[lead] = row


@jit
def _settle(
    found: NDArray[np.int64],
    waiting: NDArray[np.int64],
    due: int,
    settings: NDArray[np.float64],
    of_lead: NDArray[np.float64],
    is_beat: bool,
) -> None:
    """Remember what became of a complex, and forget those that are too old to matter."""
    for k in range(found.shape[0]):
        if of_lead[k] >= 0:
            found[k, int(of_lead[k]), BECAME] = COUNTED if is_beat else REFUSED
    for k in range(found.shape[0]):
        old = 0
        while old < waiting[k] and (
            found[k, old, BECAME] != WAITS and found[k, old, R] < due - settings[KEEP_FOR]
        ):
            old += 1
        if old:
            for i in range(old, waiting[k]):
                copy(found[k, i], found[k, i - old])
            waiting[k] -= old


@jit
def _range(x: NDArray[np.float32], centre: int, reach: int) -> float:
    """Return the span of x around ``centre``, clipped to the array."""
    begin, end = max(centre - reach, 0), min(centre + reach + 1, x.size)
    if begin >= end:
        return 0.0
    low, top = value_range(x, begin, end)
    return float(top - low)


@jit
def _noise(x: NDArray[np.float32], at: int, span: float, ring: NDArray[np.float64]) -> float:
    """Return the noise of a lead in the seconds before ``at`` as a part of a beat's span.

    That is the span of so much signal as a complex takes, in those parts of the time that have
    little: between beats.
    """
    n = 0
    for k in range(NOISE_S // NOISE_STEP):
        centre = at - NOISE_STEP * (k + 1) - SIZE_REACH
        if centre - SIZE_REACH < 0 or centre + SIZE_REACH >= x.size:
            continue
        value = _range(x, centre, SIZE_REACH)
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
def _likeness(x: NDArray[np.float32], centre: int, shape: NDArray[np.float32]) -> float:
    """Return the best correlation with a lead's usual complex near ``centre``, at least 0."""
    best = usual = 0.0
    for i in range(shape.size):
        usual += shape[i] * shape[i]
    for at in range(centre - PLAY, centre + PLAY + 1, PLAY_STEP):
        begin = at - SHAPE_REACH
        if begin < 0 or begin + shape.size > x.size:
            continue
        total = both = own = 0.0
        for i in range(shape.size):
            v = np.float64(x[begin + i])
            total += v
            both += v * shape[i]  # whose mean is 0
            own += v * v
        own -= total * total / shape.size
        if usual > 0.0 and own > 0.0:
            best = max(best, both / np.sqrt(usual * own))
    return best


@jit
def _is_usual(x: NDArray[np.float32], at: int, span: float, shape: NDArray[np.float32]) -> bool:
    """Return whether a complex is like a lead's usual one, and not much smaller."""
    return bool(
        _range(x, at, SHAPE_REACH) >= LEAST_USUAL * span
        and _likeness(x, at, shape) >= USUAL_LIKENESS
    )


@jit
def _can_show(code: int) -> bool:
    return code not in (LEAD_OFF, SATURATED, FLAT, NO_SIGNAL, GAP)


@jit
def _votes(
    x: NDArray[np.float32],
    mask: NDArray[np.uint8],
    at: int,
    settings: NDArray[np.float64],
) -> bool:
    """Return whether a lead that has found nothing could have: a line that is flat could not.

    ``at`` is a place in the arrays. An electrode may be off for seconds before that is sure.
    """
    inside = min(max(at, 0), mask.size - 1)
    return bool(_can_show(int(mask[inside])) and _range(x, at, FLAT_REACH) > settings[FLAT_SPAN])


@jit
def _is_beat(
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    first: int,
    r: int,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    of_lead: NDArray[np.float64],
    ring: NDArray[np.float64],
) -> bool:
    """Return whether a complex at ``r``, found by some leads, is a beat.

    What a lead finds first is taken for beats: so many are needed to know their size and shape.
    """
    against = 0
    for k in range(filtered.shape[0]):
        if of_lead[k] < 0 and _votes(filtered[k], masks[k], r - first, settings):
            against += 1
    if against == 0:
        return True
    odds = 0.0
    since = r - counters[LAST_R]
    if since < settings[SOON]:
        odds -= settings[SOON_WEIGHT]
    elif counters[USUAL_RR] > 0:
        overdue = settings[OVERDUE_WEIGHT] * (since / counters[USUAL_RR] - 1.0)
        odds += min(max(overdue, 0.0), settings[MOST_OVERDUE])
    for k in range(filtered.shape[0]):
        x, span = filtered[k], spans[k, SPANS]
        if of_lead[k] >= 0 and record[k, LEARNED] < USUAL_BEATS:
            return True
        if of_lead[k] >= 0:
            odds += _odds_of_found(x, r - first, settings, record[k], span, shapes[k], ring)
        elif _votes(x, masks[k], r - first, settings):
            odds += _odds_of_unseen(x, r - first, settings, record[k], span)
    return odds > 0.0


@jit
def _odds_of_found(
    x: NDArray[np.float32],
    at: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    span: float,
    shape: NDArray[np.float32],
    ring: NDArray[np.float64],
) -> float:
    """Return what a lead says for a beat at ``at`` that it has found, as the log of odds.

    The more the complex is like this patient's, as large, and the quieter the line around it; and
    the fewer of what this lead found were none.
    """
    like = _likeness(x, at, shape)
    size = min(_range(x, at, SIZE_REACH) / max(span, 1e-9), settings[MOST_SIZE])
    noise = np.log(_noise(x, at, span, ring))
    seen = (
        settings[LIKE_WEIGHT] * like
        + settings[SIZE_WEIGHT] * size
        - settings[NOISE_WEIGHT] * noise
        + settings[FOUND_BIAS]
    )
    trust = np.log(record[SENSITIVITY] / max(record[FALSE], 0.01)) - np.log(
        settings[USUAL_SENSITIVITY] / settings[USUAL_FALSE]
    )
    return float(seen + min(max(trust, -settings[MOST_TRUST]), settings[MOST_TRUST]))


@jit
def _odds_of_unseen(
    x: NDArray[np.float32],
    at: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    span: float,
) -> float:
    """Return what a lead says for a beat at ``at`` that it has not found, as the log of odds.

    The more there is at that place, and the more beats of this patient the lead misses.
    """
    size = min(_range(x, at, SHAPE_REACH) / max(span, 1e-9), 1.0)
    trust = np.log(1.0 - min(record[SENSITIVITY], 0.99)) - np.log(1.0 - settings[USUAL_SENSITIVITY])
    return float(
        settings[UNSEEN_WEIGHT] * size
        + settings[UNSEEN_BIAS]
        + min(max(trust, -settings[MOST_TRUST]), settings[MOST_TRUST])
    )


@jit
def _patient_r(
    counters: NDArray[np.int64],
    record: NDArray[np.float64],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
) -> int:
    """Return the R peak of the patient: by the chosen lead, or by the first that found it."""
    lead = counters[CHOSEN]
    if of_lead[lead] < 0:
        lead = 0
        while of_lead[lead] < 0:
            lead += 1
    return int(found[lead, int(of_lead[lead]), R] - np.int64(np.round(record[lead, OFFSET])))


@jit
def _r_in(
    lead: int,
    patient_r: int,
    record: NDArray[np.float64],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
) -> int:
    """Return where the R peak of a beat of the patient lies in a lead."""
    if of_lead[lead] >= 0:
        return int(found[lead, int(of_lead[lead]), R])
    return int(patient_r + np.int64(np.round(record[lead, OFFSET])))


@jit
def _learn_interval(counters: NDArray[np.int64], interval: int) -> None:
    """Let the usual interval follow one, if it can be that of two beats: up to three seconds."""
    if interval > LONGEST_RR:
        return
    if counters[USUAL_RR] == 0:
        counters[USUAL_RR] = interval
    else:
        counters[USUAL_RR] += np.int64(np.round(FOLLOW * (interval - counters[USUAL_RR])))


@jit
def _learn_record(
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    first: int,
    r: int,
    settings: NDArray[np.float64],
    record: NDArray[np.float64],
    of_lead: NDArray[np.float64],
    is_beat: bool,
) -> None:
    """Learn from a decision how far each lead that could show a beat is to be believed."""
    for k in range(filtered.shape[0]):
        has = of_lead[k] >= 0
        if not has and not _votes(filtered[k], masks[k], r - first, settings):
            continue
        if is_beat:
            found = 1.0 if has else 0.0
            record[k, SENSITIVITY] += settings[MEMORY] * (found - record[k, SENSITIVITY])
        false = 1.0 if has and not is_beat else 0.0
        record[k, FALSE] += settings[MEMORY] * (false - record[k, FALSE])


@jit
def _learn_shapes(
    filtered: NDArray[np.float32],
    first: int,
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
) -> None:
    """Learn span, shape and place of a beat in each lead that has found it."""
    for k in range(filtered.shape[0]):
        if of_lead[k] < 0:
            continue
        r = found[k, int(of_lead[k]), R]
        begin = r - first - SHAPE_REACH
        x, shape, ring = filtered[k], shapes[k], spans[k]
        if begin < 0 or begin + shape.size > x.size:
            continue
        total = 0.0
        for i in range(shape.size):
            total += x[begin + i]
        mean = total / shape.size
        share = FOLLOW if record[k, LEARNED] > 0 else 1.0
        for i in range(shape.size):
            shape[i] += np.float32(share * (x[begin + i] - mean - shape[i]))
        for i in range(USUAL_BEATS - 1):
            ring[i] = ring[i + 1]
        ring[USUAL_BEATS - 1] = _range(x, r - first, SHAPE_REACH)
        ring[SPANS] = median(ring)
        if record[k, LEARNED] < USUAL_BEATS:
            record[k, LEARNED] += 1
        if of_lead[0] >= 0:
            apart = r - found[0, int(of_lead[0]), R]
            record[k, OFFSET] += FOLLOW * (apart - record[k, OFFSET])


@jit
def _choose(
    filtered: NDArray[np.float32],
    first: int,
    r: int,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    scratch: NDArray[np.float64],
    of_lead: NDArray[np.float64],
) -> None:
    """Choose another lead if it was better for several beats in a row.

    The first lead is preferred while it is nearly as good. A lead that has never found a beat of
    the patient cannot be chosen, and one that did not find this one is no better now.
    """
    ring = scratch[filtered.shape[0] :]
    best, highest = counters[CHOSEN], settings[BETTER_BY] + _worth(
        filtered[counters[CHOSEN]], r - first, record[counters[CHOSEN]],
        spans[counters[CHOSEN], SPANS], ring,
    )  # fmt: skip
    if counters[CHOSEN] == 0:
        highest += settings[PREFERRED_BY]
    for k in range(filtered.shape[0]):
        if k == counters[CHOSEN] or of_lead[k] < 0 or record[k, LEARNED] < USUAL_BEATS:
            continue
        worth = _worth(filtered[k], r - first, record[k], spans[k, SPANS], ring)
        if k == 0:
            worth += settings[PREFERRED_BY]
        if worth > highest:
            best, highest = k, worth
    if best == counters[CHOSEN]:
        counters[BETTER_FOR] = 0
        return
    counters[BETTER_FOR] = counters[BETTER_FOR] + 1 if best == counters[BETTER] else 1
    counters[BETTER] = best
    if counters[BETTER_FOR] >= settings[BETTER_BEATS]:
        counters[CHOSEN], counters[BETTER_FOR] = best, 0


@jit
def _worth(
    x: NDArray[np.float32],
    at: int,
    record: NDArray[np.float64],
    span: float,
    ring: NDArray[np.float64],
) -> float:
    """Return how well a lead shows the patient's beats: by its errors and its noise."""
    errors = 1.0 - record[SENSITIVITY] + record[FALSE]
    return float(-np.log(errors + FEW_ERRORS) - np.log(_noise(x, at, span, ring)))
