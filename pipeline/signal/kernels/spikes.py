"""The kernels that take pacing spikes out of what the QRS detector sees."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import copy, decayed, jit, section

STRETCH = 5  # 14 ms each way from its peak: what a spike of at most 12.5 ms lies within
FOOT = 3  # samples that a level is the mean of: 8 ms, a period of what rings at 125 Hz
MIDDLE = 1.0  # samples by which the two halves of its width may differ: two sides of one sample
AROUND = STRETCH + 3 * FOOT  # three levels on each side
LATE = AROUND + STRETCH  # 19 samples: how much later a sample leaves `remove_spikes` than it came
KEPT = 2 * AROUND + 1  # samples before the new ones that the kernel looks at

OUTER = STRETCH + 1 + FOOT  # how far each way a first look goes
SEARCHED = 32  # samples that are looked through at once

# Slots of the settings; `pipeline.signal.quality` fills them.
LEAST, WIDEST, CALM, BALANCE, AFTER, FAST, SLOW, SETTINGS = range(8)
# Slots of the memory: the after-potential in mV, the one that follows, and in how many samples.
TAIL, NEXT, WAIT = range(3)

NO_RESPONSE = 1e-5  # mV: less of a spike's response is none


@jit
def _level(x: NDArray[np.float32], at: int) -> float:
    """Return the mean of the ``FOOT`` samples around ``at``."""
    total = np.float64(x[at - 1]) + np.float64(x[at]) + np.float64(x[at + 1])
    return float(total / FOOT)


@jit
def _reach(x: NDArray[np.float32], p: int, step: int, sign: float, half: float) -> float:
    """Return how far from ``p``, in samples, the deflection falls to ``half``; STRETCH at most."""
    if sign * x[p] < half:
        return STRETCH
    for k in range(1, STRETCH):
        v = sign * x[p + step * k]
        if v < half:
            u = sign * x[p + step * (k - 1)]
            return float(k - 1 + (u - half) / (u - v))
    return STRETCH


@jit
def _is_spike(x: NDArray[np.float32], p: int, settings: NDArray[np.float64]) -> bool:
    """Return whether the middle of a spike is at ``p``: narrow, and calm before and after it."""
    first = STRETCH + 2
    before, after = _level(x, p - first), _level(x, p + first)
    sign = 1.0 if x[p] > before else -1.0
    top = max(sign * x[p - 1], sign * x[p], sign * x[p + 1])
    rise, fall = top - sign * before, top - sign * after
    height = min(rise, fall)
    if height < settings[LEAST] or height < settings[BALANCE] * max(rise, fall):
        return False
    restless = settings[CALM] * height
    for k in range(1, 3):
        earlier, later = _level(x, p - first - FOOT * k), _level(x, p + first + FOOT * k)
        if abs(before - earlier) > restless or abs(after - later) > restless:
            return False
        before, after = earlier, later
    half = top - 0.5 * height
    left, right = _reach(x, p, -1, sign, half), _reach(x, p, 1, sign, half)
    return left + right <= settings[WIDEST] and abs(left - right) <= MIDDLE


@jit
def _remove(
    x: NDArray[np.float32], p: int, settings: NDArray[np.float64], memory: NDArray[np.float64]
) -> None:
    """Put a line in place of the spike at ``p``, and remember its after-potential."""
    a, b = p - STRETCH - 1, p + STRETCH + 1
    level, step = np.float64(x[a]), np.float64(x[b]) - np.float64(x[a])
    height = np.float64(x[p]) - level
    if step * height < 0.0 and abs(step) < settings[AFTER] * abs(height):
        memory[NEXT], memory[WAIT] = step, b - a
        step = np.float64(0.0)
    for k in range(a + 1, b):
        x[k] = np.float32(level + step * (k - a) / (b - a))


@jit
def _without_tail(
    x: NDArray[np.float32],
    p: int,
    settings: NDArray[np.float64],
    memory: NDArray[np.float64],
) -> float:
    """Return the sample that leaves as the one at ``p`` is judged, without an after-potential."""
    q = p - STRETCH
    if memory[TAIL] != 0.0:
        moved = np.float64(x[q]) - np.float64(x[q - 1])
        memory[TAIL] = decayed(memory[TAIL], moved, settings[FAST], settings[SLOW])
    if memory[WAIT] > 0.0:
        memory[WAIT] -= 1.0
        if memory[WAIT] == 0.0:
            memory[TAIL] += memory[NEXT]
    return float(x[q] - memory[TAIL])


@jit
def _is_steep(
    before: np.float32, foot: np.float32, rise: np.float32, v: np.float32, fall: np.float32,
    end: np.float32, after: np.float32, least: np.float32,
) -> bool:  # fmt: skip
    """Return whether a spike could peak at ``v``: a few comparisons, no branch."""
    a, b = v - foot, v - end
    above = (a > least) & (b > least) & (v > rise) & (v > fall)
    below = (-a > least) & (-b > least) & (v < rise) & (v < fall)
    # Most of what is steep stands in noise: one sample further out tells.
    half = np.float32(0.5)
    calm = (abs(foot - before) < half * abs(a)) & (abs(end - after) < half * abs(b))
    return bool((above | below) & calm)


@jit
def _steep_ones(x: NDArray[np.float32], first: int, n: int, least: np.float32) -> np.int32:
    """Return at which of n samples, at most 32, a spike could peak: a bit each."""
    w = x[first - OUTER : first + n + OUTER]
    found = np.int32(0)
    for i in range(n):  # several samples a step
        steep = _is_steep(
            w[i], w[i + 3], w[i + 6], w[i + 9], w[i + 12], w[i + 15], w[i + 18], least
        )
        found |= np.int32(np.int32(steep) << np.int32(i))
    return found


@jit
def remove_spikes(
    x: NDArray[np.float32],
    settings: NDArray[np.float64],
    memory: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Take the pacing spikes out of a signal; nothing else changes, not by a bit.

    A spike is 0.1 to 2 ms wide where it arises. Behind a recorder's filter some 10 ms are left of
    it, half as wide as the narrowest QRS complex. A spike rises out of a level that is calm,
    and ends in one that is calm too, if not always the same: the QRS complex of an effective
    pulse begins there. What a narrow R wave stands between, Q and S waves, is not calm.

    Its peak and 14 ms each way become a straight line. An after-potential of the opposite sign
    is taken away as it decays. A sample leaves LATE samples after it came, for a peak is assessed
    by the 39 ms that follow it.

    Args:
        x: float32[KEPT + n], finite: as the last call left them, then n new ones; changed.
        settings: float64[7], the slots above.
        memory: float64[3], the slots above, updated.
        out: float32[n], written: the samples LATE before the new ones.
    """
    least = np.float32(0.8 * settings[LEAST])  # of a spike so much stands above both its feet
    busy = (memory[TAIL] != 0.0) | (memory[WAIT] != 0.0)
    for begin in range(0, out.size, SEARCHED):
        n = min(SEARCHED, out.size - begin)
        first = KEPT + begin - AROUND
        if n == SEARCHED:  # nearly always: a number that the compiler knows
            steep = _steep_ones(x, first, SEARCHED, least)
        else:
            steep = _steep_ones(x, first, n, least)
        part = x[first - STRETCH : first - STRETCH + n]
        if not (busy | (steep != 0)):  # nearly always
            copy(part, out[begin : begin + n])
            continue
        for k in range(n):
            rises = (steep >> k) & 1
            if not (busy | (rises != 0)):
                out[begin + k] = part[k]
                continue
            if rises and memory[WAIT] == 0.0 and _is_spike(x, first + k, settings):
                _remove(x, first + k, settings, memory)
                steep = _steep_ones(x, first, n, least)
            out[begin + k] = np.float32(_without_tail(x, first + k, settings, memory))
            busy = (memory[TAIL] != 0.0) | (memory[WAIT] != 0.0)


@jit
def spike_response(
    x: NDArray[np.float32],
    unspiked: NDArray[np.float32],
    late: NDArray[np.float32],
    sections: NDArray[np.float64],
    memory: NDArray[np.float64],
    kept: int,
    out: NDArray[np.float32],
) -> bool:
    """Filter what was taken out of a signal: what spikes leave in the band of windows.

    The filter is linear. Its output for the signal without spikes is its output for the signal less
    this; and this is nothing, at no cost, but for a second after a spike.

    Args:
        x: float32[n], the signal.
        unspiked: float32[n], what left `remove_spikes` meanwhile.
        late: float32[LATE], the samples before ``x``; updated.
        sections: float64[5, 5], the filter's in the first two rows.
        memory: float64[5], two of each section, and the count of samples that follow; updated.
        kept: after the last response so many samples more count as one, for they are looked back
            on.
        out: float32[n], written where there is one, as late as ``unspiked``.

    Returns:
        Whether there is one.
    """
    n = x.size
    same = np.int32(memory[4] == 0.0)
    for i in range(min(LATE, n)):
        same &= np.int32(late[i] == unspiked[i])
    for i in range(n - LATE):  # several samples a step
        same &= np.int32(x[i] == unspiked[LATE + i])
    if not same:  # hardly ever
        a0, a1, b0, b1, left = memory
        rests = (a0 == 0.0) & (a1 == 0.0) & (b0 == 0.0) & (b1 == 0.0)
        for i in range(n):
            v = late[i] if i < LATE else x[i - LATE]
            taken = np.float64(v) - np.float64(unspiked[i])
            if rests & (taken == 0.0):
                out[i] = np.float32(0.0)
                left = max(left - 1.0, 0.0)
                continue
            y, a0, a1 = section(taken, sections[0], a0, a1)
            y, b0, b1 = section(y, sections[1], b0, b1)
            if taken == 0.0 and max(abs(a0), abs(b0), abs(b1)) < NO_RESPONSE:
                y = a0 = a1 = b0 = b1 = 0.0
                left = max(left - 1.0, 0.0)
                rests = True
            else:
                left = float(kept)
                rests = False
            out[i] = np.float32(y)
        memory[:] = a0, a1, b0, b1, left
    for i in range(LATE - n):
        late[i] = late[i + n]
    for i in range(min(LATE, n)):
        late[LATE - 1 - i] = x[n - 1 - i]
    return not same
