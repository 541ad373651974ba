"""The kernel that follows the quality of the signal, and its steps."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit, median, value_range

LEAD_OFF, SATURATED, FLAT, NOISE, MOTION, OVERLAID = 1, 2, 3, 5, 9, 10

QRS, HIGH = 1, 2  # rows of the filtered signal
FLAT_SLOPES, WAVES, WAVE_SPAN, _, UNKNOWN = range(5)  # columns of the measures of fibrillation

BLOCK_SAMPLES = 36  # a tenth of a second: shorter than what lies between two QRS

# Slots of `watch`'s counters; FLAT_FOR counts blocks, PASSED beats, MOVING and STEADY measures.
(
    TICK, FLAT_FOR, MASKED, STATE, ABSENT, MASK_CODE, RUN, NOISY_AS, BLOCK, HELD, PASSED, MOVING,
    STEADY, SHAPE, ODD, COUNTERS,
) = range(16)  # fmt: skip

# Settings of `watch`; `pipeline.signal.segmenter` fills them.
(
    FLAT_SPAN, FLAT_BLOCKS, MASKED_MOST, RELEASE, NOISE_BLOCKS, LEAST_SPAN, NOISY_SHARE,
    QUIET_SHARE, DROWNED_SHARE, SMALL_SHARE, PASS_OVER, REST_SHARE, WAVES_SHARE, MOTION_SHARE,
    MOTION_ROWS, REST_ROWS, MOST_REST, LIKE, ODD_BEATS,
) = range(19)  # fmt: skip

# Slots of `watch`'s extremes: of the flat blocks so far, and of the current block; then the sum of
# the current block above the QRS band, and the peak in it.
FLAT_LOW, FLAT_TOP, LOW, TOP, HIGH_SUM, QRS_PEAK, EXTREMES = range(7)

# Rows of `watch`'s blocks: the mean above the QRS band, and the peak in it.
HIGH_MEAN, QRS_LARGEST, BLOCK_ROWS = range(3)
BLOCKS_KEPT = 36  # 3.6 s: more than a beat found late lies back

# Rows of what is usual: the span, and the peak in the QRS band, of the latest beats, and
# how much of the time between them rests.
SPAN, LOUD, REST, USUAL_ROWS = range(4)
OWN_SPAN = BLOCKS_KEPT * BLOCK_SAMPLES  # samples whose span has to do until beats are known
USUAL_BEATS = 8  # as many as the detector's levels
MEDIAN = USUAL_BEATS  # the slot behind them; 0 until so many are known

# The shapes of the latest beats: every fourth sample around R. Two are compared as they lie, and up
# to two of these apart.
SHAPE_STEP, SHAPE_BEFORE, SHAPE_SIZE, SHAPE_PLAY = 4, 48, 29, 2


@jit
def watch(
    clean: NDArray[np.float32],
    codes: NDArray[np.uint8],
    filtered: NDArray[np.float32],
    y: NDArray[np.float32],
    found: NDArray[np.int64],
    measured_at: NDArray[np.int64],
    measures: NDArray[np.float64],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    extremes: NDArray[np.float64],
    recent: NDArray[np.uint8],
    blocks: NDArray[np.float64],
    usual: NDArray[np.float64],
    shapes: NDArray[np.float64],
    states: NDArray[np.uint8],
    runs: NDArray[np.uint8],
) -> bool:
    """Follow the stream's quality, sample by sample, with hysteresis.

    Flat lines and noise are assessed after each tenth of a second, a block. Where nothing is wrong,
    which is nearly always, a block is one step.

    Args:
        clean: float32[n], sanitised signal at 360 Hz.
        codes: uint8[n], why a sample is masked, 0 where it is not.
        filtered: float32[m], the same in the band of windows, behind what came before.
        y: float32[3, n], the same in the bands of windows and of the QRS, and above, where muscle
            and mains are.
        found: int64[f, 2], the beats that these samples confirmed: R peak and confirming sample.
        measured_at: int64[m] and
        measures: float64[m, c]: the rows of `fibrillation.measure` that these samples completed.
        settings: float64[19], the slots above.
        counters: int64[COUNTERS], updated.
        extremes: float64[EXTREMES], updated.
        recent: uint8[360], ring of masked samples, updated.
        blocks: float64[BLOCK_ROWS, BLOCKS_KEPT], rings of the latest blocks; updated.
        usual: float64[USUAL_ROWS, USUAL_BEATS + 1], the latest beats' sizes, oldest first, 0 where
            there was none, and their medians; updated.
        shapes: float64[USUAL_BEATS, SHAPE_SIZE], ring of the latest beats' shapes; updated.
        states: uint8[n], written: the stream's state from each sample on.
        runs: uint8[n], written: numbers the runs of signal that could show a QRS and other, modulo
            256; even ones could.

    Returns:
        Whether anything was wrong: if not, all codes and states are 0.
    """
    wrong = False
    begin = beat = row = 0
    first = counters[TICK] + clean.size - filtered.size
    qrs, high = y[QRS], y[HIGH]
    states[:] = 0
    runs[:] = counters[RUN] & 255
    while begin < clean.size:
        into = counters[TICK] % BLOCK_SAMPLES
        end = min(clean.size, begin + BLOCK_SAMPLES - into)
        if into == 0:
            extremes[LOW] = extremes[TOP] = clean[begin]
            counters[HELD] = 0
        low, top = value_range(clean, begin, end)
        extremes[LOW], extremes[TOP] = min(extremes[LOW], low), max(extremes[TOP], top)
        low, top = value_range(qrs, begin, end)
        extremes[QRS_PEAK] = max(extremes[QRS_PEAK], top, -low)
        noise, code = extremes[HIGH_SUM], 0
        for i in range(begin, end):
            noise += abs(np.float64(high[i]))
            code |= codes[i]
        extremes[HIGH_SUM] = noise
        is_flat = counters[FLAT_FOR] >= settings[FLAT_BLOCKS]
        at_rest = counters[STATE] == 0 and counters[MASKED] == 0 and not is_flat
        quiet = counters[NOISY_AS] == 0 and not _moves(settings, counters)
        if not (code == 0 and at_rest and quiet):
            wrong, run = True, counters[RUN]
            for i in range(begin, end):
                at = (counters[TICK] + i - begin) % recent.size
                _step(int(codes[i]), at, is_flat, settings, counters, recent)
                states[i] = counters[STATE]
                runs[i] = counters[RUN] & 255
            if counters[RUN] != run:
                runs[end:] = counters[RUN] & 255
        counters[TICK] += end - begin
        begin = end
        while beat < found.shape[0] and found[beat, 1] < counters[TICK]:
            _learn_beat(found[beat, 0], first, filtered, settings, counters, blocks, usual)
            _compare_shape(found[beat, 0] - first, filtered, settings, counters, shapes)
            beat += 1
        while row < measured_at.size and measured_at[row] <= counters[TICK]:
            _assess_motion(measures[row], settings, counters, usual)
            row += 1
        if counters[TICK] % BLOCK_SAMPLES == 0:
            _assess_flatness(settings, counters, extremes)
            _assess_noise(
                counters[TICK] - first, filtered, settings, counters, extremes, blocks, usual
            )
    return wrong


@jit
def _step(
    code: int,
    at: int,
    is_flat: bool,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    recent: NDArray[np.uint8],
) -> None:
    """Follow the state over one sample, whose place in the ring is ``at``."""
    masked = code != 0
    counters[MASKED] += np.int64(masked) - np.int64(recent[at])
    recent[at] = masked
    if masked:
        counters[MASK_CODE] = code
        if code != SATURATED:
            counters[HELD] = 1
    reason = 0
    if code == LEAD_OFF:
        reason = LEAD_OFF
    elif counters[MASKED] > settings[MASKED_MOST]:
        reason = counters[MASK_CODE]
    elif is_flat:
        reason = FLAT
    elif counters[NOISY_AS] != NOISE and _moves(settings, counters):
        reason = MOTION
    else:
        reason = counters[NOISY_AS]
    state = counters[STATE]
    if reason != 0 and (state == 0 or reason <= state):
        counters[STATE] = reason
        counters[ABSENT] = 0
    elif state != 0:
        counters[ABSENT] += 1
        if counters[ABSENT] >= settings[RELEASE]:
            counters[STATE] = reason
            counters[ABSENT] = 0
    if _shows_qrs(state) != _shows_qrs(counters[STATE]):
        counters[RUN] += 1


@jit
def _moves(settings: NDArray[np.float64], counters: NDArray[np.int64]) -> bool:
    return bool(counters[MOVING] >= settings[MOTION_ROWS])


@jit
def _shows_qrs(state: int) -> bool:
    return bool(state in (0, OVERLAID))


@jit
def _assess_flatness(
    settings: NDArray[np.float64], counters: NDArray[np.int64], extremes: NDArray[np.float64]
) -> None:
    """Take in a block that is complete: is the line flat?"""
    low, top = extremes[LOW], extremes[TOP]
    if counters[HELD] or top - low > settings[FLAT_SPAN]:
        counters[FLAT_FOR] = 0  # a held value is no flat line
    else:
        if counters[FLAT_FOR]:
            low, top = min(low, extremes[FLAT_LOW]), max(top, extremes[FLAT_TOP])
        if top - low > settings[FLAT_SPAN]:
            low, top, counters[FLAT_FOR] = extremes[LOW], extremes[TOP], 0
        extremes[FLAT_LOW], extremes[FLAT_TOP] = low, top
        counters[FLAT_FOR] += 1


@jit
def _assess_noise(
    now: int,
    filtered: NDArray[np.float32],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    extremes: NDArray[np.float64],
    blocks: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> None:
    """Take in a block that is complete: is the stream noisy, and does its QRS still stand out?

    As long as no beats are known, the signal's own span has to do; whether what is found in noise
    is a QRS cannot be said then.
    """
    at = counters[BLOCK]
    blocks[HIGH_MEAN, at] = extremes[HIGH_SUM] / BLOCK_SAMPLES
    blocks[QRS_LARGEST, at] = extremes[QRS_PEAK]
    extremes[HIGH_SUM] = extremes[QRS_PEAK] = 0.0
    counters[BLOCK] = at + 1 if at + 1 < BLOCKS_KEPT else 0
    before, span = counters[NOISY_AS], usual[SPAN, MEDIAN]
    share = settings[QUIET_SHARE] if before else settings[NOISY_SHARE]
    counters[NOISY_AS] = 0
    if blocks[HIGH_MEAN, at] <= share * max(settings[LEAST_SPAN], span):
        return  # nearly always
    known = span > 0.0
    if not known:
        lowest, highest = value_range(filtered, max(0, now - OWN_SPAN), now)
        span = highest - lowest
    quietest, between = blocks[HIGH_MEAN, at], blocks[QRS_LARGEST, at]
    for back in range(1, int(settings[NOISE_BLOCKS])):
        b = (at - back) % BLOCKS_KEPT
        quietest = min(quietest, blocks[HIGH_MEAN, b])
        between = min(between, blocks[QRS_LARGEST, b])
    if quietest <= share * max(settings[LEAST_SPAN], span):
        return
    drowned = settings[DROWNED_SHARE] * usual[LOUD, MEDIAN]
    if before == NOISE:
        drowned *= settings[QUIET_SHARE] / settings[NOISY_SHARE]
    counters[NOISY_AS] = OVERLAID if known and between < drowned else NOISE


@jit
def _learn_beat(
    r: int,
    first: int,
    filtered: NDArray[np.float32],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    blocks: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> None:
    """Take in the size of a beat, from a tenth of a second before its R peak to one after it.

    A beat is confirmed later than that. What is found in noise, or is much smaller than the
    patient's beats, may be none: of it only one in several counts, so that it cannot soon pass for
    usual.
    """
    latest = (counters[TICK] - 1) // BLOCK_SAMPLES - 1  # in the rings
    back = latest - r // BLOCK_SAMPLES
    begin, end = r - BLOCK_SAMPLES - first, r + BLOCK_SAMPLES - first
    if back < 1 or back + 2 > BLOCKS_KEPT or begin < 0 or end > filtered.size:
        return
    loudest = 0.0
    for k in range(back - 1, back + 2):
        loudest = max(loudest, blocks[QRS_LARGEST, (counters[BLOCK] - 1 - k) % BLOCKS_KEPT])
    small = loudest < settings[SMALL_SHARE] * usual[LOUD, MEDIAN]
    if counters[NOISY_AS] != 0 or small or _moves(settings, counters):
        counters[PASSED] += 1
        if counters[PASSED] < settings[PASS_OVER]:
            return
    counters[PASSED] = 0
    lowest, highest = value_range(filtered, begin, end)
    _remember(usual[SPAN], highest - lowest)
    _remember(usual[LOUD], loudest)


@jit
def _remember(ring: NDArray[np.float64], value: float) -> None:
    """Put ``value`` behind the latest eight, and their median behind it."""
    for i in range(USUAL_BEATS - 1):
        ring[i] = ring[i + 1]
    ring[USUAL_BEATS - 1] = value
    if ring[0] > 0.0:
        ring[MEDIAN] = median(ring)


@jit
def _compare_shape(
    r: int,
    filtered: NDArray[np.float32],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    shapes: NDArray[np.float64],
) -> None:
    """Take in the shape of a beat at ``r``: is it odd, or like one of those before it?"""
    begin = r - SHAPE_BEFORE
    if begin < 0 or begin + SHAPE_STEP * (SHAPE_SIZE - 1) >= filtered.size:
        return
    newest = counters[SHAPE]
    counters[SHAPE] = newest + 1 if newest + 1 < USUAL_BEATS else 0
    shape = np.empty(SHAPE_SIZE)
    for i in range(SHAPE_SIZE):
        shape[i] = filtered[begin + SHAPE_STEP * i]
    total = power = 0.0
    for i in range(SHAPE_PLAY, SHAPE_SIZE - SHAPE_PLAY):
        total += shape[i]
        power += shape[i] * shape[i]
    is_odd = True
    for k in range(USUAL_BEATS * (2 * SHAPE_PLAY + 1)):
        # The latest first, and as they lie: nearly always that is enough.
        back, turn = k % USUAL_BEATS + 1, k // USUAL_BEATS
        shift = SHAPE_PLAY + ((turn + 1) // 2) * (1 - 2 * (turn % 2))
        other = newest - back if newest >= back else newest - back + USUAL_BEATS
        if _alike(shape, total, power, shapes, other, shift) > settings[LIKE]:
            is_odd = False
            break
    for i in range(SHAPE_SIZE):
        shapes[newest, i] = shape[i]
    counters[ODD] = (2 * counters[ODD] + np.int64(is_odd)) % (1 << USUAL_BEATS)


@jit
def _alike(
    shape: NDArray[np.float64],
    total: float,
    power: float,
    shapes: NDArray[np.float64],
    other: int,
    shift: int,
) -> float:
    """Return the correlation of the inner part of a shape with another, shifted.

    ``total`` and ``power`` are the sums of that part, and of its squares.
    """
    n = SHAPE_SIZE - 2 * SHAPE_PLAY
    sb = sbb = sab = 0.0
    for i in range(n):
        a, b = shape[i + SHAPE_PLAY], shapes[other, i + shift]
        sb += b
        sbb += b * b
        sab += a * b
    both = (power - total * total / n) * (sbb - sb * sb / n)
    return (sab - total * sb / n) / np.sqrt(both) if both > 0.0 else 0.0


@jit
def _odd_beats(counters: NDArray[np.int64]) -> int:
    """Return how many of the latest beats were like none before them."""
    count = np.int64(0)
    for k in range(USUAL_BEATS):
        count += (counters[ODD] >> k) & 1
    return int(count)


@jit
def _assess_motion(
    row: NDArray[np.float64],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    usual: NDArray[np.float64],
) -> None:
    """Take in the measures of four seconds: does something move that is no heart?

    It leaves less rest between beats than this patient's do, or what was found is like nothing
    before it; it is as tall as beats, and has not the slow waves that a heart without rest makes:
    fibrillation, flutter, a tachycardia.
    """
    if row[UNKNOWN] != 0.0:
        counters[MOVING] = 0
        return
    rest, span = row[FLAT_SLOPES], usual[SPAN, MEDIAN]
    restless = rest < settings[REST_SHARE] * usual[REST, MEDIAN] and span > 0.0
    shapeless = rest < settings[MOST_REST] and _odd_beats(counters) >= settings[ODD_BEATS]
    moves = (
        (restless or shapeless)
        and row[WAVES] < settings[WAVES_SHARE]
        and row[WAVE_SPAN] > settings[MOTION_SHARE] * span
    )
    counters[MOVING] = counters[MOVING] + 1 if moves else 0
    counters[STEADY] += 1
    usually = 1 if counters[MOVING] == 0 else settings[PASS_OVER]
    if counters[STEADY] >= usually * settings[REST_ROWS]:
        counters[STEADY] = 0
        _remember(usual[REST], rest)
