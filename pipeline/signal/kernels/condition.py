"""The kernel that follows the quality of the signal, and its steps."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.motion import (
    assess_level,
    assess_motion,
    compare_shape,
    moves,
    remember,
)
from pipeline.signal.kernels.sections import jit, value_range
from pipeline.signal.kernels.slots import (
    ABSENT,
    BLOCK,
    BLOCK_SAMPLES,
    BLOCKS_KEPT,
    DROWNED_SHARE,
    FLAT,
    FLAT_BLOCKS,
    FLAT_FOR,
    FLAT_LOW,
    FLAT_SPAN,
    FLAT_TOP,
    HELD,
    HIGH,
    HIGH_MEAN,
    HIGH_SUM,
    LEAD_OFF,
    LEAST_SPAN,
    LOUD,
    LOW,
    MASK_CODE,
    MASKED,
    MASKED_MOST,
    MEDIAN,
    MOTION,
    NOISE,
    NOISE_BLOCKS,
    NOISY_AS,
    NOISY_SHARE,
    OVERLAID,
    OWN_SPAN,
    PASS_OVER,
    PASSED,
    QRS,
    QRS_FLOOR,
    QRS_LARGEST,
    QRS_PEAK,
    QUIET_SHARE,
    RELEASE,
    SATURATED,
    SEEN_AT,
    SMALL_SHARE,
    SPAN,
    STATE,
    TICK,
    TOP,
)

MAGNITUDE = np.int32(0x7FFFFFFF)  # the bits of a float32 without its sign


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
        settings: float64[26], the slots above.
        counters: int64[COUNTERS], updated.
        extremes: float64[EXTREMES], updated.
        recent: uint8[360], ring of masked samples, updated.
        blocks: float64[BLOCK_ROWS, BLOCKS_KEPT], rings of the latest blocks; updated.
        usual: float64[USUAL_ROWS, USUAL_BEATS + 1], the latest beats' sizes, oldest first, 0 where
            there was none, and their medians; updated.
        shapes: float64[USUAL_BEATS, SHAPE_SIZE], ring of the latest beats' shapes; updated.
        states: uint8[n], written: the stream's state from each sample on.

    Returns:
        Whether anything was wrong: if not, all codes and states are 0.
    """
    wrong = False
    begin = beat = row = 0
    first = counters[TICK] + clean.size - filtered.size
    states[:] = 0
    while begin < clean.size:
        into = counters[TICK] % BLOCK_SAMPLES
        end = min(clean.size, begin + BLOCK_SAMPLES - into)
        if into == 0:
            extremes[LOW] = extremes[TOP] = clean[begin]
            counters[HELD] = 0
        blocks_own = clean[begin:end], codes[begin:end], y[QRS, begin:end], y[HIGH, begin:end]
        if end - begin == BLOCK_SAMPLES:  # nearly always: a number that the compiler knows
            code = _measure(*blocks_own, BLOCK_SAMPLES, extremes)
        else:
            code = _measure(*blocks_own, end - begin, extremes)
        is_flat = counters[FLAT_FOR] >= settings[FLAT_BLOCKS]
        at_rest = counters[STATE] == 0 and counters[MASKED] == 0 and not is_flat
        quiet = counters[NOISY_AS] == 0 and not moves(settings, counters)
        if not (code == 0 and at_rest and quiet):
            wrong = True
            _follow(codes[begin:end], code, is_flat, settings, counters, recent, states[begin:end])
        counters[TICK] += end - begin
        begin = end
        while beat < found.shape[0] and found[beat, 1] < counters[TICK]:
            _learn_beat(found[beat, 0], first, filtered, settings, counters, blocks, usual)
            compare_shape(found[beat, 0] - first, filtered, settings, counters, shapes)
            counters[SEEN_AT] = found[beat, 0]
            beat += 1
        while row < measured_at.size and measured_at[row] <= counters[TICK]:
            assess_motion(measures[row], settings, counters, blocks, usual)
            row += 1
        if counters[TICK] % BLOCK_SAMPLES == 0:
            _assess_flatness(settings, counters, extremes)
            assess_level(settings, counters, extremes, blocks, usual)
            _assess_noise(
                counters[TICK] - first, filtered, settings, counters, extremes, blocks, usual
            )
    return wrong


@jit
def _measure(
    clean: NDArray[np.float32],
    codes: NDArray[np.uint8],
    qrs: NDArray[np.float32],
    high: NDArray[np.float32],
    n: int,
    extremes: NDArray[np.float64],
) -> int:
    """Take a block of n samples, or a part of it, into ``extremes``; return 0 if none is masked.

    The sum waits for itself; extremes are those of several samples in a step.
    """
    low, top = value_range(clean, 0, n)
    noise, peak, code = extremes[HIGH_SUM], np.int32(0), 0
    bits = qrs.view(np.int32)
    for i in range(n):
        peak = max(peak, np.int32(bits[i] & MAGNITUDE))  # in the order of the numbers themselves
    for i in range(n):
        code |= codes[i]
        noise += abs(np.float64(high[i]))
    extremes[LOW], extremes[TOP] = min(extremes[LOW], low), max(extremes[TOP], top)
    extremes[QRS_PEAK] = max(extremes[QRS_PEAK], np.int32(peak).view(np.float32))
    extremes[HIGH_SUM] = noise
    return code


@jit
def _follow(
    codes: NDArray[np.uint8],
    masked: int,
    is_flat: bool,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    recent: NDArray[np.uint8],
    states: NDArray[np.uint8],
) -> None:
    """Follow the state over a block, or a part of it, of which a sample is ``masked`` or none.

    Where none of the last second is, one reason holds throughout.
    """
    otherwise, state = _reason(is_flat, settings, counters), counters[STATE]
    if not masked and counters[MASKED] == 0:
        if otherwise == 0 and state == 0:
            return
        if otherwise != 0 and (state == 0 or otherwise <= state):
            counters[STATE], counters[ABSENT] = otherwise, 0
            states[:] = np.uint8(otherwise)
            return
        if counters[ABSENT] + states.size < settings[RELEASE]:
            counters[ABSENT] += states.size
            states[:] = np.uint8(state)
            return
    _step(codes, otherwise, settings, counters, recent, states)


@jit
def _step(
    codes: NDArray[np.uint8],
    otherwise: int,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    recent: NDArray[np.uint8],
    states: NDArray[np.uint8],
) -> None:
    """Follow the state sample by sample; where none is masked, the reason is the ``otherwise``."""
    count, latest, held = counters[MASKED], counters[MASK_CODE], counters[HELD]
    state, absent = counters[STATE], counters[ABSENT]
    most, release = settings[MASKED_MOST], settings[RELEASE]
    at = counters[TICK] % recent.size
    for i in range(codes.size):
        code = np.int64(codes[i])
        masked = np.int64(code != 0)
        count += masked - np.int64(recent[at])
        recent[at] = masked
        latest = code if masked else latest
        held |= masked & np.int64(code != SATURATED)
        many = count > most
        reason = code if code == LEAD_OFF else (latest if many else np.int64(otherwise))
        if (reason != 0) & ((state == 0) | (reason <= state)):
            state, absent = reason, np.int64(0)
        elif state != 0:
            absent += 1
            if absent >= release:
                state, absent = reason, np.int64(0)
        states[i] = state
        at = at + 1 if at + 1 < recent.size else 0
    counters[MASKED], counters[MASK_CODE], counters[HELD] = count, latest, held
    counters[STATE], counters[ABSENT] = state, absent


@jit
def _reason(is_flat: bool, settings: NDArray[np.float64], counters: NDArray[np.int64]) -> int:
    """Return what is wrong with the stream at a sample that is not masked, 0 if nothing is."""
    if is_flat:
        return FLAT
    if counters[NOISY_AS] != NOISE and moves(settings, counters):
        return MOTION
    return int(counters[NOISY_AS])


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
    between, b, quiet = blocks[QRS_LARGEST, at], at, share * max(settings[LEAST_SPAN], span)
    for _ in range(int(settings[NOISE_BLOCKS])):
        if blocks[HIGH_MEAN, b] <= quiet:
            return
        between = min(between, blocks[QRS_LARGEST, b])
        b = b - 1 if b > 0 else BLOCKS_KEPT - 1
    drowned = settings[DROWNED_SHARE] * usual[LOUD, MEDIAN]
    if before == NOISE:
        drowned *= settings[QUIET_SHARE] / settings[NOISY_SHARE]
    stands_out = (known and between < drowned) or between < settings[QRS_FLOOR]
    counters[NOISY_AS] = OVERLAID if stands_out else NOISE


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
    if counters[NOISY_AS] != 0 or small or moves(settings, counters):
        counters[PASSED] += 1
        if counters[PASSED] < settings[PASS_OVER]:
            return
    counters[PASSED] = 0
    lowest, highest = value_range(filtered, begin, end)
    remember(usual[SPAN], highest - lowest)
    remember(usual[LOUD], loudest)


@jit
def number_runs(states: NDArray[np.uint8], before: int, run: int, runs: NDArray[np.uint8]) -> int:
    """Number the runs of signal that could show a QRS, and of signal that could not.

    Args:
        states: uint8[n], the stream's state from each sample on.
        before: the state before them.
        run: the number of the run before them.
        runs: uint8[n], written: the run of each sample, modulo 256.

    Returns:
        The number of the latest run.
    """
    shown = before == 0 or before == OVERLAID
    for i in range(states.size):
        shows = states[i] == 0 or states[i] == OVERLAID
        run += int(shows != shown)
        shown = shows
        runs[i] = run & 255
    return run
