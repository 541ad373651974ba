"""Kernels that follow the signal's quality and cut windows out of the filtered stream."""

import numba
import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

LEAD_OFF, SATURATED, FLAT, NOISE = 1, 2, 3, 5

BLOCK_SAMPLES = 36  # a tenth of a second: shorter than what lies between two QRS

# Slots of `watch`'s counters; FLAT_FOR counts blocks.
TICK, FLAT_FOR, MASKED, STATE, ABSENT, MASK_CODE, RUN, IS_NOISY, BLOCK, HELD = range(10)

# Settings of `watch`; `pipeline.signal.segmenter` fills them.
FLAT_SPAN, FLAT_BLOCKS, MASKED_MOST, RELEASE, NOISY, QUIET = range(6)

# Slots of `watch`'s extremes: of the flat blocks so far, and of the current block.
FLAT_LOW, FLAT_TOP, LOW, TOP = range(4)


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def _range(x: NDArray[np.float32], begin: int, end: int) -> tuple[float, float]:
    """Return the extremes of x[begin:end], finite: without NaN a vector's worth a step."""
    low = top = x[begin]
    for i in range(begin + 1, end):
        low, top = min(low, x[i]), max(top, x[i])
    return low, top


@jit
def watch(
    clean: NDArray[np.float32],
    codes: NDArray[np.uint8],
    high: NDArray[np.float32],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    extremes: NDArray[np.float64],
    recent: NDArray[np.uint8],
    blocks: NDArray[np.float64],
    states: NDArray[np.uint8],
    runs: NDArray[np.uint8],
) -> bool:
    """Follow the stream's quality, sample by sample, with hysteresis.

    Flat lines and noise are assessed after each tenth of a second, a block. Where nothing is wrong,
    which is nearly always, a block is one step.

    Args:
        clean: float32[n], sanitised signal at 360 Hz.
        codes: uint8[n], why a sample is masked, 0 where it is not.
        high: float32[n], the same above the QRS, where muscle and mains are.
        settings: float64[6], the slots above.
        counters: int64[10], updated.
        extremes: float64[4], the slots above, updated.
        recent: uint8[360], ring of masked samples, updated.
        blocks: float64[1 + b], sum of |high| in the current block, and its mean in the latest
            ``b`` of them, a ring; updated.
        states: uint8[n], written: the stream's state from each sample on.
        runs: uint8[n], written: numbers the runs of analysable and other signal, modulo 256; even
            ones are analysable.

    Returns:
        Whether anything was wrong: if not, all codes and states are 0.
    """
    wrong = False
    begin = 0
    while begin < clean.size:
        into = counters[TICK] % BLOCK_SAMPLES
        end = min(clean.size, begin + BLOCK_SAMPLES - into)
        if into == 0:
            extremes[LOW] = extremes[TOP] = clean[begin]
            counters[HELD] = 0
        low, top = _range(clean, begin, end)
        extremes[LOW], extremes[TOP] = min(extremes[LOW], low), max(extremes[TOP], top)
        noise, code = blocks[0], 0
        for i in range(begin, end):
            noise += abs(np.float64(high[i]))
            code |= codes[i]
        blocks[0] = noise
        is_flat = counters[FLAT_FOR] >= settings[FLAT_BLOCKS]
        at_rest = counters[STATE] == 0 and counters[MASKED] == 0
        if code == 0 and at_rest and not is_flat and counters[IS_NOISY] == 0:
            states[begin:end] = 0
            runs[begin:end] = counters[RUN] & 255
        else:
            wrong = True
            for i in range(begin, end):
                at = (counters[TICK] + i - begin) % recent.size
                _step(int(codes[i]), at, is_flat, settings, counters, recent)
                states[i] = counters[STATE]
                runs[i] = counters[RUN] & 255
        counters[TICK] += end - begin
        begin = end
        if counters[TICK] % BLOCK_SAMPLES == 0:
            _assess_block(settings, counters, extremes, blocks)
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
    elif counters[IS_NOISY]:
        reason = NOISE
    state = counters[STATE]
    if reason != 0 and (state == 0 or reason <= state):
        counters[STATE] = reason
        counters[ABSENT] = 0
    elif state != 0:
        counters[ABSENT] += 1
        if counters[ABSENT] >= settings[RELEASE]:
            counters[STATE] = reason
            counters[ABSENT] = 0
    if (state == 0) != (counters[STATE] == 0):
        counters[RUN] += 1


@jit
def _assess_block(
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    extremes: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> None:
    """Take in a block that is complete: is the line flat, is the stream noisy?"""
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
    blocks[1 + counters[BLOCK]] = blocks[0] / BLOCK_SAMPLES
    blocks[0] = 0.0
    counters[BLOCK] = (counters[BLOCK] + 1) % (blocks.size - 1)
    quietest = blocks[1]
    for b in range(2, blocks.size):
        quietest = min(quietest, blocks[b])
    bound = settings[QUIET] if counters[IS_NOISY] else settings[NOISY]
    counters[IS_NOISY] = np.int64(quietest > bound)


@jit
def worst_codes(
    codes: NDArray[np.uint8], starts: NDArray[np.int64], width: int, out: NDArray[np.uint8]
) -> None:
    """Write the smallest code other than 0 of each window, 0 where all its samples are good.

    Args:
        codes: uint8[n].
        starts: int64[b], first sample of each window, 0 <= start <= n - width.
        width: samples in a window.
        out: uint8[b], written.
    """
    for b in range(starts.size):
        worst = np.int64(0)
        for i in range(starts[b], starts[b] + width):
            code = np.int64(codes[i])
            if code != 0 and (worst == 0 or code < worst):
                worst = code
        out[b] = worst


@jit
def cut_windows(
    filtered: NDArray[np.float32],
    starts: NDArray[np.int64],
    flat_mv: float,
    windows: NDArray[np.float32],
    spans: NDArray[np.float32],
) -> None:
    """Copy windows out of ``filtered`` and scale each to [-1, 1] by its own extremes.

    Args:
        filtered: float32[n], mV.
        starts: int64[b], first sample of each window, 0 <= start <= n - width.
        flat_mv: a window whose extremes lie closer than this becomes zeros (flat-line guard).
        windows: float32[b, width], written.
        spans: float32[b], written: the distance between the extremes, mV.
    """
    width = windows.shape[1]
    for b in range(starts.size):
        at = starts[b]
        low, high = _range(filtered, at, at + width)
        span = high - low
        spans[b] = span
        if span < flat_mv:
            windows[b, :] = np.float32(0.0)
        else:
            scale = np.float32(2.0) / span
            for i in range(width):
                windows[b, i] = (filtered[at + i] - low) * scale - np.float32(1.0)
