"""Kernels from raw samples to the filtered 360 Hz stream."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import NOTHING, decayed, jit, section

FLAG_LEAD_OFF, FLAG_SATURATED, FLAG_FILLED = 1, 2, 128
LEAD_OFF, SATURATED, NO_SIGNAL, GAP = 1, 2, 4, 6
RISEN = 0.05  # of a leap's height the signal has moved just before it: a spike a filter has widened
RESTLESS = 0.07  # of it the signal moves from sample to sample: noise, where any leap is a spike's
STAYS = 0.05  # of its leap's height a dropout's level moves at most: what a QRS has left moves on
MOST = 0.3  # of the smallest leap; more does not count there: the flank itself must not
# Slots of `sanitise`'s memory.
OFFSET, LAST, STARTED, HELD, LEAPING, LEAP, BASE, AFTER, TAIL, MOVED, USUAL = range(11)


@jit
def sanitise(
    x: NDArray[np.float32],
    flags: NDArray[np.uint8],
    plausible_mv: float,
    rebase_after: float,
    leap_mv: float,
    longest_spike: float,
    longest_dropout: float,
    largest_tail: float,
    fast: float,
    slow: float,
    memory: NDArray[np.float64],
    out: NDArray[np.float32],
    codes: NDArray[np.uint8],
) -> None:
    """Replace what is no signal by the last good value, and say where and why.

    The level of the first good sample is taken off everything, so that filters at rest are
    settled, whatever the electrode offset. After a long stretch without signal the level is
    taken again, so that the stream continues where it stopped instead of with a step. A leap that
    no heart makes is held back for as long as a pacing spike lasts: a spike is over by then, and
    leaves no trace, its after-potential included. So it is with a dropout, a contact that is lost
    for some hundredths of a second: its level is another, and stays. A step is taken as it is.
    So is the flank of a spike that a filter has widened, known by what of it came before the leap
    (`kernels.spikes` has the rest).

    Args:
        x: float32[n], anything.
        flags: uint8[n] of FLAG_*.
        plausible_mv: larger values are no signal.
        rebase_after: held samples after which the level is taken again.
        leap_mv: a larger change from one sample to the next is a leap.
        longest_spike: samples that a leap is held back,
        longest_dropout: and one that leads to another level.
        largest_tail: of a spike's height, that of its after-potential.
        fast: what at least remains of an after-potential from one sample to the next.
        slow: what at most remains.
        memory: float64[11], the slots above, updated.
        out: float32[n], written, finite.
        codes: uint8[n], written.
    """
    offset, last, started, waiting = memory[OFFSET], memory[LAST], memory[STARTED], memory[HELD]
    leaping, spike, base, after = memory[LEAPING], memory[LEAP], memory[BASE], memory[AFTER]
    tail, risen, usual = memory[TAIL], memory[MOVED], memory[USUAL]
    i = 0
    while i < x.size:
        if (started != 0.0) & (waiting == 0.0) & (tail == 0.0) & (after == 0.0) & (leaping == 0.0):
            i, last, risen, usual = _calm(
                x, flags, i, plausible_mv, leap_mv, slow, offset, last, risen, usual, out, codes
            )
            if i == x.size:
                break
        v = np.float64(x[i])
        held, code = _fault(v, flags[i], plausible_mv)
        if held:
            waiting += 1.0
        else:
            if started == 0.0 or waiting > rebase_after:
                offset = v - last
                started = 1.0
            waiting = 0.0
            level = v - offset
            if tail != 0.0:
                tail = decayed(tail, level - tail - last, fast, slow)
                level -= tail
            moved = level - last
            height = abs(moved)
            risen *= 0.5
            if height <= leap_mv:
                usual = usual * slow + min(height, MOST * leap_mv) * (1.0 - slow)
            leap = height > leap_mv and not (usual < RESTLESS * height and risen > RISEN * height)
            if leap and (
                leaping < longest_spike
                or (leaping < longest_dropout and abs(moved - spike) <= STAYS * abs(spike))
            ):
                if after == 0.0:
                    base, spike = last, moved
                elif height > abs(spike):
                    spike = moved
                leaping, after = leaping + 1.0, longest_spike
            else:
                if after > 0.0:
                    after -= 1.0
                    if 0.0 < (base - level) / spike < largest_tail:
                        tail += level - base
                        level = base
                leaping = 0.0
                last, risen = level, max(abs(level - last), risen)
        out[i] = np.float32(last)
        codes[i] = code
        i += 1
    memory[OFFSET], memory[LAST], memory[STARTED], memory[HELD] = offset, last, started, waiting
    memory[LEAPING], memory[LEAP], memory[BASE], memory[AFTER] = leaping, spike, base, after
    memory[TAIL], memory[MOVED], memory[USUAL] = tail, risen, usual


@jit
def _fault(v: float, flag: int, plausible_mv: float) -> tuple[bool, int]:
    """Return whether a sample is no signal, and its code: there are some that are."""
    if flag & FLAG_LEAD_OFF:
        return True, LEAD_OFF
    if not np.isfinite(v):
        return True, NO_SIGNAL
    if abs(v) > plausible_mv:
        return True, SATURATED
    if flag & FLAG_FILLED:
        return False, GAP
    return False, SATURATED if flag & FLAG_SATURATED else 0


@jit
def _calm(
    x: NDArray[np.float32],
    flags: NDArray[np.uint8],
    begin: int,
    plausible_mv: float,
    leap_mv: float,
    slow: float,
    offset: float,
    last: float,
    risen: float,
    usual: float,
    out: NDArray[np.float32],
    codes: NDArray[np.uint8],
) -> tuple[int, float, float, float]:
    """Take samples as they are from ``begin`` on, as long as nothing is wrong with them.

    Return where that ends, and what follows the samples: nearly always all of them go this way.
    """
    for i in range(begin, x.size):
        v = np.float64(x[i])
        level = v - offset
        height = abs(level - last)
        if not ((flags[i] == 0) & (abs(v) <= plausible_mv) & (height <= leap_mv)):  # NaN is not
            return i, last, risen, usual
        usual = usual * slow + min(height, MOST * leap_mv) * (1.0 - slow)
        risen = max(height, risen * 0.5)
        last = level
        out[i] = np.float32(level)
        codes[i] = 0
    return x.size, last, risen, usual


# Slots of `resample`'s counters.
TAKEN, POSITION, REST, BAD_AT, BAD_CODE = range(5)


@jit
def resample(
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    step: int,
    per: int,
    taps: NDArray[np.float64],
    counters: NDArray[np.int64],
    out: NDArray[np.float32],
    out_codes: NDArray[np.uint8],
) -> int:
    """Convert the sampling rate; positions are integers, so nothing drifts.

    Args:
        x: float32[2 * half - 1 + n], finite: the last inputs of the previous call, then n new.
        codes: uint8[n] of the new inputs.
        step: output k lies ``step / per`` inputs after output k - 1.
        per: see ``step``.
        taps: float64[phases + 1, 2 * half].
        counters: int64[5], updated: TAKEN inputs so far; POSITION and REST / per of the next
            output; BAD_AT and BAD_CODE of the latest input with a code.
        out: float32[m], written; m >= n * per / step + 1.
        out_codes: uint8[m], written: the code of the latest bad input that an output weighs.

    Returns:
        How many outputs were written.
    """
    half = taps.shape[1] // 2
    phases = taps.shape[0] - 1
    taken, position, rest = counters[TAKEN], counters[POSITION], counters[REST]
    bad_at, bad_code = counters[BAD_AT], counters[BAD_CODE]
    step_whole, step_rest = step // per, step % per
    first = taken - (2 * half - 1)
    end = taken + codes.size
    seen = taken
    n = 0
    while position + half < end:
        while seen <= position + half:
            if codes[seen - taken]:
                bad_at, bad_code = seen, np.int64(codes[seen - taken])
            seen += 1
        # Nearly always without a division, which takes as long as the sum.
        weights = taps[rest if phases == per else (rest * phases + per // 2) // per]
        at = position - half + 1 - first
        inputs = x[at : at + 2 * half]
        total = 0.0
        for j in range(weights.size):
            total += weights[j] * inputs[j]
        out[n] = np.float32(total)
        out_codes[n] = bad_code if bad_at > position - half else 0
        n += 1
        position += step_whole
        rest += step_rest
        if rest >= per:
            position += 1
            rest -= per
    while seen < end:
        if codes[seen - taken]:
            bad_at, bad_code = seen, np.int64(codes[seen - taken])
        seen += 1
    counters[TAKEN], counters[POSITION], counters[REST] = end, position, rest
    counters[BAD_AT], counters[BAD_CODE] = bad_at, bad_code
    return n


@jit
def filter_bank(
    x: NDArray[np.float32],
    unspiked: NDArray[np.float32],
    sections: NDArray[np.float64],
    memory: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Run ``x`` through the three filters of the stream: two sections, two, and one.

    Side by side and in variables of their own, because each section waits for its own last
    output: the processor works on the others meanwhile.

    Args:
        x: float32[n], finite.
        unspiked: float32[n], what the second filter gets: ``x`` without pacing spikes.
        sections: float64[5, 5], rows b0 b1 b2 a1 a2 with a0 = 1.
        memory: float64[5, 2], updated.
        out: float32[3, n], written.
    """
    a0, a1, b0, b1, c0, c1, d0, d1, e0, e1 = (
        memory[0, 0], memory[0, 1], memory[1, 0], memory[1, 1], memory[2, 0],
        memory[2, 1], memory[3, 0], memory[3, 1], memory[4, 0], memory[4, 1],
    )  # fmt: skip
    for i in range(x.size):
        v = np.float64(x[i]) + NOTHING
        u = np.float64(unspiked[i]) + NOTHING
        y, a0, a1 = section(v, sections[0], a0, a1)
        y, b0, b1 = section(y, sections[1], b0, b1)
        out[0, i] = np.float32(y)
        y, c0, c1 = section(u, sections[2], c0, c1)
        y, d0, d1 = section(y, sections[3], d0, d1)
        out[1, i] = np.float32(y)
        y, e0, e1 = section(v, sections[4], e0, e1)
        out[2, i] = np.float32(y)
    for s, (z0, z1) in enumerate(((a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1))):
        memory[s, 0] = z0
        memory[s, 1] = z1
