"""The kernel that makes one patient's beats of what the detectors of several leads found."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.evidence import (
    APART,
    BEHIND,
    FALSE,
    KEEP_FOR,
    LEARNED,
    LEAST_USUAL,
    OFFSET,
    SAME,
    SHAPE_REACH,
    SPANS,
    USUAL_BEATS,
    USUAL_FALSE,
    USUAL_LIKENESS,
    Seen,
    is_hidden,
    is_usual,
    learn_record,
    learn_shape,
    likeness_of,
    noise_before,
    odds_of,
    span_around,
)
from pipeline.signal.kernels.leads.choice import choose
from pipeline.signal.kernels.sections import jit, median

# Columns of what a lead's detector found, in order of time: R peak, the sample that confirmed it,
# and what became of it.
R, CONFIRMED, BECAME, COLUMNS = range(4)
WAITS, COUNTED, REFUSED = range(1, 4)
FOUND_KEPT = 48  # of each lead: those of 5 s that were decided, and those that wait

# Slots of the counters; positions count from the segment's start. BETTER is the lead that would be
# chosen instead of CHOSEN, and for how many beats in a row; USUAL_RR follows the intervals, 0 until
# there was one.
LAST_R, CHOSEN, BETTER, BETTER_FOR, USUAL_RR, DOUBTED, COUNTERS = range(7)

# Columns of what is written of each beat of the patient: its R peak, the sample with which it was
# decided, and the chosen lead; then follows its R peak in each lead.
PATIENT_R, DECIDED, LEAD, BEAT_COLUMNS = range(4)

# Columns of complexes that are like the usual ones: lead, R peak, and where they are known.
SHOWN_COLUMNS = 3

LONGEST_RR, NEVER = 1080, 2**62
FOLLOW = 0.125  # how fast the usual complex and the offset follow, of each beat
QUIET = 0.33  # of the usual span: less noise does not move an R peak
REPEATED = 3  # alike before one: what two waves of noise have in common may be chance
SURE = 0.9  # 9 to 1: what is less likely a beat teaches no interval
LOOKED_AT = 2000  # samples before a decision; fewer than what a stream remembers


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
) -> tuple[int, int, int]:
    """Decide which complexes that leads found are beats of the patient, in order of time.

    1. A complex is decided on with the last sample of its window, or with the one that confirmed
       it if that is later: by then nearly every lead has found it that will. What other leads
       found within 150 ms is the same complex. What is decided depends on the samples up to there,
       and on a bounded time before.
    2. It is a beat if every lead that could show it has found it. Else the odds decide (`odds_of`):
       the shape and size of it, the noise around, the time since the last beat, what the others
       show there, and what each lead found before.
    3. The R peak is that of the chosen lead, or of another where that one's is noise,
       less by how much it usually comes after that of the first lead. So it does not jump
       when another lead is chosen.
    4. From every decision the record of each lead is learned: how many of the patient's beats it
       finds, and how many it finds that are none (Dawid & Skene 1979, one observer a lead, from
       decision to decision, each with the probability that it is right).
    5. What a lead finds again and again while no beat is found is its new usual complex
       (`_has_changed`); else that follows the beats, but for those in noise or motion.
    6. Another lead is chosen when its record and its noise were better for several beats.

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
        scratch: float64[3 * leads + NOISE_SAMPLES // NOISE_STEP], overwritten.
        beats: int64[b, BEAT_COLUMNS + leads], written; as many as all rows of ``found``.
        shown: int64[b, SHOWN_COLUMNS], written: complexes like the usual ones of their lead.

    Returns:
        How many beats and complexes of ``shown`` were written, and when the next decision is due.
    """
    n, like_usual, leads = 0, 0, found.shape[0]
    of_lead, clear = scratch[:leads], scratch[leads : 2 * leads]
    places, ring = scratch[2 * leads : 3 * leads], scratch[3 * leads :]
    while n < beats.shape[0]:
        lead, row, due = _next_due(found, waiting, settings)
        if due == NEVER or (due > upto and not closed):
            break
        r = found[lead, row, R]
        _gather(found, waiting, lead, row, due, settings, of_lead)
        decided = min(due, upto)
        begin = max(max(decided - LOOKED_AT, 0), first)
        seen = Seen(filtered, masks, begin - first, decided + 1 - first)
        like_usual += _look(
            seen, begin, r - begin, counters[LAST_R], settings, found, of_lead, record, spans,
            shapes, ring, places, clear, shown[like_usual:],
        )  # fmt: skip
        patient_r = _patient_r(counters[CHOSEN], record, found, of_lead, clear)
        if patient_r - counters[LAST_R] < settings[APART]:
            # The same beat, which this lead has found late, or one before it.
            _settle(found, waiting, due, settings, of_lead, True)
            continue
        at = r - begin
        since = r - counters[LAST_R]
        odds = odds_of(
            seen, at, since, counters[USUAL_RR], settings, record, spans, shapes, places, ring
        )
        beat, sure = odds > 0.0, 1.0 / (1.0 + np.exp(-odds))
        learn_record(seen, at, settings, record, of_lead, sure)
        if beat:
            _learn_shapes(seen, begin, patient_r, record, spans, shapes, found, of_lead)
            counters[CHOSEN], counters[BETTER], counters[BETTER_FOR] = choose(
                seen, at, settings, counters[CHOSEN], counters[BETTER], counters[BETTER_FOR],
                record, spans, of_lead, ring,
            )  # fmt: skip
            _learn_interval(counters, patient_r, sure < SURE)
            beats[n, PATIENT_R], beats[n, DECIDED] = patient_r, decided
            beats[n, LEAD] = counters[CHOSEN]
            for k in range(leads):
                beats[n, BEAT_COLUMNS + k] = _r_in(k, patient_r, record, found, of_lead)
            n += 1
        _settle(found, waiting, due, settings, of_lead, beat)
    return n, like_usual, _next_due(found, waiting, settings)[2]


@jit
def _next_due(
    found: NDArray[np.int64], waiting: NDArray[np.int64], settings: NDArray[np.float64]
) -> tuple[int, int, int]:
    """Return lead, row and position of the decision that comes first; NEVER if none waits."""
    lead, row, due = 0, 0, NEVER
    for k in range(found.shape[0]):
        for i in range(waiting[k]):
            if found[k, i, BECAME] == WAITS:
                at = max(found[k, i, R] + int(settings[BEHIND]), found[k, i, CONFIRMED])
                if at < due:
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
                for column in range(COLUMNS):
                    found[k, i - old, column] = found[k, i, column]
            waiting[k] -= old


@jit
def _patient_r(
    chosen: int,
    record: NDArray[np.float64],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
    clear: NDArray[np.float64],
) -> int:
    """Return the R peak of the patient.

    It is that of the chosen lead, else of the first that found it; but where a lead is noisy and
    what it has found is not like its usual complex, that may lie beside the beat, so a lead in
    which it is ``clear`` comes first.
    """
    lead = -1
    for k in range(found.shape[0]):
        if of_lead[k] >= 0:
            better = lead < 0 or clear[k] > clear[lead]
            if better or (k == chosen and clear[k] == clear[lead]):
                lead = k
    r = found[lead, int(of_lead[lead]), R] - np.int64(np.round(record[lead, OFFSET]))
    return int(max(r, 0))  # the first beat may be cut off


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
def _learn_interval(counters: NDArray[np.int64], patient_r: int, doubted: bool) -> None:
    """Let the usual interval follow that before a beat, if it can be that of two beats.

    So it lasts up to three seconds, and neither beat is doubted: noise would make it shorter.
    """
    interval = patient_r - counters[LAST_R]
    if not (doubted or counters[DOUBTED] or interval > LONGEST_RR):
        if counters[USUAL_RR] == 0:
            counters[USUAL_RR] = interval
        else:
            counters[USUAL_RR] += np.int64(np.round(FOLLOW * (interval - counters[USUAL_RR])))
    counters[LAST_R], counters[DOUBTED] = patient_r, doubted


@jit
def _look(
    seen: Seen,
    begin: int,
    at: int,
    last_r: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    ring: NDArray[np.float64],
    places: NDArray[np.float64],
    clear: NDArray[np.float64],
    shown: NDArray[np.int64],
) -> int:
    """Write the ``places`` of a complex, in which leads it is ``clear``, and what is ``shown``.

    It is clear where it is like the usual one, or that has changed, or the line is quiet. Returns
    how many are shown. ``begin`` is the position of the first sample, ``at`` the complex's place.
    """
    n, decided = 0, begin + seen.end - seen.begin - 1
    since = max(last_r + settings[APART], decided - settings[KEEP_FOR])
    for k in range(record.shape[0]):
        x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
        clear[k], row = 0.0, int(of_lead[k])
        places[k] = -1.0 if row < 0 else max(found[k, row, R] - begin, 0)
        if row < 0 or record[k, LEARNED] < USUAL_BEATS:
            continue
        r = found[k, row, R]
        if is_usual(x, r - begin, spans[k, SPANS], shapes[k]):
            clear[k] = 1.0
            shown[n, 0], shown[n, 1], shown[n, 2] = k, r, decided
            n += 1
        elif _has_changed(x, found[k], row, begin, since, spans[k, SPANS]):
            clear[k] = 1.0
            learn_shape(x, r - begin - SHAPE_REACH, 1.0, shapes[k])
            spans[k, :] = span_around(x, r - begin, SHAPE_REACH)
            record[k, FALSE] = min(record[k, FALSE], settings[USUAL_FALSE])
        elif noise_before(x, codes, at, spans[k, SPANS], ring) < QUIET:
            clear[k] = 1.0
    return n


@jit
def _has_changed(
    x: NDArray[np.float32],
    found: NDArray[np.int64],
    row: int,
    begin: int,
    since: float,
    usual_span: float,
) -> bool:
    """Return whether what a lead finds is a new kind of complex, which repeats itself.

    Most of what it has found since the patient's last beat is alike. A lead that was exchanged, or
    whose electrode moved, shows the heart in another way; what is much smaller may be P waves.
    """
    at = found[row, R] - begin
    span = span_around(x, at, SHAPE_REACH)
    if span < LEAST_USUAL * usual_span:
        return False
    like, others, i = 0, 0, row - 1
    while i >= 0 and found[i, R] >= since:
        before = found[i, R] - begin
        other = span_around(x, before, SHAPE_REACH)
        is_like = min(other, span) >= LEAST_USUAL * max(other, span)
        if is_like and likeness_of(x, before, at) >= USUAL_LIKENESS:
            like += 1
        else:
            others += 1
        i -= 1
    return like >= REPEATED and like >= others


@jit
def _learn_shapes(
    seen: Seen,
    begin: int,
    patient_r: int,
    record: NDArray[np.float64],
    spans: NDArray[np.float64],
    shapes: NDArray[np.float32],
    found: NDArray[np.int64],
    of_lead: NDArray[np.float64],
) -> None:
    """Learn span, shape and place of a beat in each lead that has found it.

    Nothing is learned where noise or motion hides the beats of a lead that knows the patient: its
    own noise would become what it takes for usual.
    ``begin`` is the position of the first sample. Without the first lead, places are learned beside
    the patient's R peak, and by leads that have none yet alone: nothing may drift.
    """
    for k in range(record.shape[0]):
        if of_lead[k] < 0:
            continue
        x, codes = seen.filtered[k, seen.begin : seen.end], seen.masks[k, seen.begin : seen.end]
        r = found[k, int(of_lead[k]), R]
        of_first = r - begin - SHAPE_REACH
        shape, ring = shapes[k], spans[k]
        if record[k, LEARNED] >= USUAL_BEATS and is_hidden(codes, r - begin):
            continue
        if of_first < 0 or of_first + shape.size > x.size:
            continue
        share = FOLLOW if record[k, LEARNED] > 0 else 1.0
        learn_shape(x, of_first, share, shape)
        for i in range(USUAL_BEATS - 1):
            ring[i] = ring[i + 1]
        ring[USUAL_BEATS - 1] = span_around(x, r - begin, SHAPE_REACH)
        ring[SPANS] = median(ring)
        if of_lead[0] >= 0:
            apart = r - found[0, int(of_lead[0]), R]
            record[k, OFFSET] += share * (apart - record[k, OFFSET])
        elif record[k, LEARNED] < USUAL_BEATS:
            record[k, OFFSET] += share * (r - patient_r - record[k, OFFSET])
        if record[k, LEARNED] < USUAL_BEATS:
            record[k, LEARNED] += 1
