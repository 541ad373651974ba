"""Kernels that follow the signal's quality and cut windows out of the filtered stream."""

import numba
import numpy as np
from numpy.typing import NDArray

LEAD_OFF, SATURATED, FLAT, NOISE = 1, 2, 3, 5

jit = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")

NOISE_BLOCK = 36  # a tenth of a second: shorter than what lies between two QRS

# Slots of `watch`'s counters.
TICK, RUN, MASKED, STATE, ABSENT, MASK_CODE, SPELL, IS_NOISY, BLOCK = range(9)

# Settings of `watch`; `pipeline.segmenter` fills them.
FLAT_SPAN, FLAT_RUN, MASKED_MOST, RELEASE, NOISY, QUIET = range(6)


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
    spells: NDArray[np.uint8],
) -> None:
    """Follow the stream's quality, sample by sample, with hysteresis.

    Args:
        clean: float32[n], sanitised signal at 360 Hz.
        codes: uint8[n], why a sample is masked, 0 where it is not.
        high: float32[n], the same above the QRS, where muscle and mains are.
        settings: float64[6], the slots above.
        counters: int64[9], updated.
        extremes: float64[2], lowest and highest value of the current flat run, updated.
        recent: uint8[360], ring of masked samples, updated.
        blocks: float64[1 + b], sum of |high| in the current tenth of a second, and its mean in
            the latest ``b`` of them, a ring; updated.
        states: uint8[n], written: the stream's state from each sample on.
        spells: uint8[n], written: numbers the stretches, modulo 256; even ones are analysable.
    """
    # In variables of their own: what lies in an array is read and written every time.
    flat_span, flat_run, masked_most = (
        settings[FLAT_SPAN],
        settings[FLAT_RUN],
        settings[MASKED_MOST],
    )
    run, masked, state, absent = counters[RUN], counters[MASKED], counters[STATE], counters[ABSENT]
    mask_code, spell, is_noisy = counters[MASK_CODE], counters[SPELL], counters[IS_NOISY]
    low, top, noise = extremes[0], extremes[1], blocks[0]
    at = counters[TICK] % recent.size
    for i in range(clean.size):
        code = np.int64(codes[i])
        masked += np.int64(code != 0) - np.int64(recent[at])
        recent[at] = code != 0
        v = np.float64(clean[i])
        if code != 0:
            mask_code = code
        if code != 0 and code != SATURATED:
            run = 0  # a held value is no flat line
        else:
            low, top = min(low, v), max(top, v)
            if run == 0 or top - low > flat_span:
                run = 0
                low = top = v
            run += 1
        noise += abs(np.float64(high[i]))
        if at % NOISE_BLOCK == 0:
            is_noisy = _judge_noise(blocks, noise, is_noisy, settings, counters)
            noise = 0.0
        reason = 0
        if code == LEAD_OFF:
            reason = LEAD_OFF
        elif masked > masked_most:
            reason = mask_code
        elif run >= flat_run:
            reason = FLAT
        elif is_noisy:
            reason = NOISE
        before = state
        if reason != 0 and (state == 0 or reason <= state):
            state, absent = reason, 0
        elif state != 0:
            absent += 1
            if absent >= settings[RELEASE]:
                state, absent = reason, 0
        if (before == 0) != (state == 0):
            spell += 1
        states[i] = state
        spells[i] = spell & 255
        at = at + 1 if at + 1 < recent.size else 0
    counters[TICK] += clean.size
    counters[RUN], counters[MASKED], counters[STATE], counters[ABSENT] = run, masked, state, absent
    counters[MASK_CODE], counters[SPELL], counters[IS_NOISY] = mask_code, spell, is_noisy
    extremes[0], extremes[1], blocks[0] = low, top, noise


@jit
def _judge_noise(
    blocks: NDArray[np.float64],
    noise: float,
    is_noisy: int,
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
) -> int:
    """End a tenth of a second with this sum of |high|; return 1 where the stream is noisy now."""
    blocks[1 + counters[BLOCK]] = noise / NOISE_BLOCK
    counters[BLOCK] = (counters[BLOCK] + 1) % (blocks.size - 1)
    quietest = blocks[1]
    for b in range(2, blocks.size):
        quietest = min(quietest, blocks[b])
    return np.int64(quietest > (settings[QUIET] if is_noisy else settings[NOISY]))


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
        low = filtered[at]
        high = filtered[at]
        for i in range(1, width):
            v = filtered[at + i]
            low = min(low, v)
            high = max(high, v)
        span = high - low
        spans[b] = span
        if span < flat_mv:
            windows[b, :] = np.float32(0.0)
        else:
            scale = np.float32(2.0) / span
            for i in range(width):
                windows[b, i] = (filtered[at + i] - low) * scale - np.float32(1.0)
