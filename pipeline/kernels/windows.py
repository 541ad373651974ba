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
    at = counters[TICK] % recent.size
    for i in range(clean.size):
        code = np.int64(codes[i])
        masked = np.uint8(code != 0)
        counters[MASKED] += np.int64(masked) - np.int64(recent[at])
        recent[at] = masked
        if masked:
            counters[MASK_CODE] = code
        v = np.float64(clean[i])
        if masked and code != SATURATED:
            counters[RUN] = 0  # a held value is no flat line
        else:
            extremes[0] = min(extremes[0], v)
            extremes[1] = max(extremes[1], v)
            if counters[RUN] == 0 or extremes[1] - extremes[0] > settings[FLAT_SPAN]:
                counters[RUN] = 0
                extremes[:] = v
            counters[RUN] += 1
        blocks[0] += abs(np.float64(high[i]))
        if at % NOISE_BLOCK == 0:
            blocks[1 + counters[BLOCK]] = blocks[0] / NOISE_BLOCK
            blocks[0] = 0.0
            counters[BLOCK] = (counters[BLOCK] + 1) % (blocks.size - 1)
            quietest = blocks[1]
            for b in range(2, blocks.size):
                quietest = min(quietest, blocks[b])
            bound = settings[QUIET] if counters[IS_NOISY] else settings[NOISY]
            counters[IS_NOISY] = np.int64(quietest > bound)
        reason = 0
        if code == LEAD_OFF:
            reason = LEAD_OFF
        elif counters[MASKED] > settings[MASKED_MOST]:
            reason = counters[MASK_CODE]
        elif counters[RUN] >= settings[FLAT_RUN]:
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
            counters[SPELL] += 1
        states[i] = counters[STATE]
        spells[i] = counters[SPELL] & 255
        at = at + 1 if at + 1 < recent.size else 0
    counters[TICK] += clean.size


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
