"""What shows that the electrodes move: the steps of `pipeline.signal.kernels.condition.watch`."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit, jit_in_any_order, median
from pipeline.signal.kernels.slots import (
    BLOCK,
    BLOCK_SAMPLES,
    BLOCKS_KEPT,
    FLAT_SLOPES,
    JUMP,
    JUMP_SHARE,
    JUMPED_AT,
    LEVEL,
    LEVEL_BLOCKS,
    LIKE,
    LOST_BLOCKS,
    LOUD,
    LOW,
    MEDIAN,
    MOST_REST,
    MOTION_ROWS,
    MOTION_SHARE,
    MOVING,
    ODD,
    ODD_BEATS,
    PASS_OVER,
    QRS_FLOOR,
    QRS_LARGEST,
    RECOVERING,
    REST,
    REST_ROWS,
    REST_SHARE,
    RETURN,
    RETURN_BLOCKS,
    SEEN_AT,
    SHAPE,
    SHAPE_BEFORE,
    SHAPE_PLAY,
    SHAPE_SIZE,
    SHAPE_STEP,
    SPAN,
    STEADY,
    STILL_BLOCKS,
    STILL_SHARE,
    TICK,
    TOP,
    UNKNOWN,
    USUAL_BEATS,
    WAVE_SPAN,
    WAVES,
    WAVES_SHARE,
)

_INNER = SHAPE_SIZE - 2 * SHAPE_PLAY  # of a shape, what is compared
_SHARE = 1.0 / _INNER
_ROUGH = 1e-6  # more than the order changes of a correlation,
_LEAST_POWER = 1e-6  # where of the power at least so much is not that of the mean


@jit
def moves(settings: NDArray[np.float64], counters: NDArray[np.int64]) -> bool:
    """Return whether what moves now is no heart."""
    lost = abs(counters[RECOVERING]) > LOST_BLOCKS  # no beat was found for so long
    return bool(counters[MOVING] >= settings[MOTION_ROWS] or lost)


@jit
def _level(blocks: NDArray[np.float64], newest: int) -> float:
    """Return the median level of half a second of blocks, the last of them ``newest``."""
    levels, first = blocks[LEVEL], (newest - LEVEL_BLOCKS + 1) % BLOCKS_KEPT
    second = first + 1 if first + 1 < BLOCKS_KEPT else 0
    third = second + 1 if second + 1 < BLOCKS_KEPT else 0
    fourth = third + 1 if third + 1 < BLOCKS_KEPT else 0
    a, b, c, d = levels[first], levels[second], levels[third], levels[fourth]
    e = levels[newest % BLOCKS_KEPT]
    # Of two pairs the lowest and the highest value are none.
    a, b, c, d = min(a, b), max(a, b), min(c, d), max(c, d)
    low, top = max(a, c), min(b, d)
    return float(max(min(low, e), min(max(low, e), top)))


@jit
def assess_level(
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    extremes: NDArray[np.float64],
    blocks: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> None:
    """Take in a block that is complete: does the line come back from a jump?

    An electrode that comes off, or is touched, moves the line by more than a heart does, and the
    recorder's high-pass brings it back. A beat that is found meanwhile ends that: it is seen.
    """
    at = counters[BLOCK]
    blocks[LEVEL, at] = 0.5 * (extremes[LOW] + extremes[TOP])
    moved = _level(blocks, at) - _level(blocks, at - LEVEL_BLOCKS)
    jump = max(settings[JUMP], settings[JUMP_SHARE] * usual[SPAN, MEDIAN])
    known = counters[TICK] > 2 * LEVEL_BLOCKS * BLOCK_SAMPLES
    if known and counters[RECOVERING] == 0 and abs(moved) > jump:
        counters[RECOVERING] = 1 if moved > 0.0 else -1
        counters[JUMPED_AT] = counters[TICK]
        return
    if counters[RECOVERING] == 0:
        return
    sign = 1 if counters[RECOVERING] > 0 else -1
    counters[RECOVERING] += sign
    seen = counters[SEEN_AT] > counters[JUMPED_AT]
    settled = -sign * moved < settings[RETURN]
    young = abs(counters[RECOVERING]) <= 2 * LEVEL_BLOCKS  # the jump itself is still in the levels
    if seen or (settled and not young) or abs(counters[RECOVERING]) > settings[RETURN_BLOCKS]:
        counters[RECOVERING] = 0


@jit
def remember(ring: NDArray[np.float64], value: float) -> None:
    """Put ``value`` behind the latest eight, and their median behind it."""
    for i in range(USUAL_BEATS - 1):
        ring[i] = ring[i + 1]
    ring[USUAL_BEATS - 1] = value
    if ring[0] > 0.0:
        ring[MEDIAN] = median(ring)


@jit
def compare_shape(
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
    total = power = 0.0
    for i in range(SHAPE_PLAY, SHAPE_SIZE - SHAPE_PLAY):
        v = np.float64(filtered[begin + SHAPE_STEP * i])
        total += v
        power += v * v
    is_odd = True
    for back in range(1, USUAL_BEATS + 1):
        # The latest first, and as they lie: nearly always that is enough.
        other = shapes[newest - back if newest >= back else newest - back + USUAL_BEATS]
        if _alike(filtered, begin, total, power, other) > settings[LIKE]:
            is_odd = False
            break
    if is_odd:
        for k in range(USUAL_BEATS):
            if _is_alike_shifted(filtered, begin, total, power, shapes[k], settings[LIKE]):
                is_odd = False
                break
    for i in range(SHAPE_SIZE):
        shapes[newest, i] = filtered[begin + SHAPE_STEP * i]
    counters[ODD] = (2 * counters[ODD] + np.int64(is_odd)) % (1 << USUAL_BEATS)


@jit
def _alike(
    filtered: NDArray[np.float32],
    begin: int,
    total: float,
    power: float,
    other: NDArray[np.float64],
) -> float:
    """Return the correlation of the inner part of the shape from ``begin`` with that of another.

    ``total`` and ``power`` are the sums of that part, and of its squares.
    """
    sb = sbb = sab = 0.0
    for i in range(_INNER):
        a = np.float64(filtered[begin + SHAPE_STEP * (i + SHAPE_PLAY)])
        b = other[i + SHAPE_PLAY]
        sb += b
        sbb += b * b
        sab += a * b
    return _correlation(total, power, sb, sbb, sab)


@jit
def _is_alike_shifted(
    filtered: NDArray[np.float32],
    begin: int,
    total: float,
    power: float,
    other: NDArray[np.float64],
    least: float,
) -> bool:
    """Return whether `_alike_shifted` is above ``least``.

    Where it is not, sums in any order tell nearly always: several a step, and no root.
    """
    v, vv, sab, tab, uab, vab = _sum_roughly(filtered, begin, other)
    a, b, c, d = other[0], other[1], other[2], other[3]
    e, f, g, h = other[_INNER], other[_INNER + 1], other[_INNER + 2], other[_INNER + 3]
    aa, bb, cc, dd, ee, ff, gg, hh = a * a, b * b, c * c, d * d, e * e, f * f, g * g, h * h
    left = _LEAST_POWER * vv
    own, part = power - total * total * _SHARE, _LEAST_POWER * power
    below = (least > _ROUGH) & (own > part)
    bound = (least - _ROUGH) * (least - _ROUGH)
    for sums, squares, both in (
        (v - e - f - g - h, vv - ee - ff - gg - hh, sab),
        (v - a - f - g - h, vv - aa - ff - gg - hh, tab),
        (v - a - b - c - h, vv - aa - bb - cc - hh, uab),
        (v - a - b - c - d, vv - aa - bb - cc - dd, vab),
    ):
        like, its = both - total * sums * _SHARE, squares - sums * sums * _SHARE
        below &= (its > left) & ((like <= 0.0) | (like * like < bound * own * its))
    return not below and _alike_shifted(filtered, begin, total, power, other) > least


@jit_in_any_order
def _sum_roughly(
    filtered: NDArray[np.float32], begin: int, other: NDArray[np.float64]
) -> tuple[float, float, float, float, float, float]:
    """Return, but for rounding, the sums of a shape, of its squares, and of the four products."""
    v = vv = sab = tab = uab = vab = 0.0
    for i in range(SHAPE_SIZE):
        v += other[i]
        vv += other[i] * other[i]
    for i in range(_INNER):
        a = np.float64(filtered[begin + SHAPE_STEP * (i + SHAPE_PLAY)])
        sab += a * other[i]
        tab += a * other[i + 1]
        uab += a * other[i + 3]
        vab += a * other[i + 4]
    return v, vv, sab, tab, uab, vab


@jit
def _alike_shifted(
    filtered: NDArray[np.float32],
    begin: int,
    total: float,
    power: float,
    other: NDArray[np.float64],
) -> float:
    """Return the highest such correlation with another shape, shifted by one or two samples.

    The four at once: each sum waits for itself, and the others are added up meanwhile.
    """
    sb = sbb = sab = tb = tbb = tab = 0.0
    ub = ubb = uab = vb = vbb = vab = 0.0
    for i in range(_INNER):
        a = np.float64(filtered[begin + SHAPE_STEP * (i + SHAPE_PLAY)])
        s, t, u, v = other[i], other[i + 1], other[i + 3], other[i + 4]
        sb, sbb, sab = sb + s, sbb + s * s, sab + a * s
        tb, tbb, tab = tb + t, tbb + t * t, tab + a * t
        ub, ubb, uab = ub + u, ubb + u * u, uab + a * u
        vb, vbb, vab = vb + v, vbb + v * v, vab + a * v
    return max(
        max(_correlation(total, power, sb, sbb, sab), _correlation(total, power, tb, tbb, tab)),
        max(_correlation(total, power, ub, ubb, uab), _correlation(total, power, vb, vbb, vab)),
    )


@jit
def _correlation(total: float, power: float, sb: float, sbb: float, sab: float) -> float:
    """Return the correlation of two inner parts by their sums; 0 of a flat one."""
    both = (power - total * total / _INNER) * (sbb - sb * sb / _INNER)
    return (sab - total * sb / _INNER) / np.sqrt(both) if both > 0.0 else 0.0


@jit
def _odd_beats(counters: NDArray[np.int64]) -> int:
    """Return how many of the latest beats were like none before them."""
    count = np.int64(0)
    for k in range(USUAL_BEATS):
        count += (counters[ODD] >> k) & 1
    return int(count)


@jit
def _still_blocks(blocks: NDArray[np.float64], least: float) -> int:
    """Return how many of the latest blocks have less than ``least`` in the QRS band."""
    count = np.int64(0)
    for b in range(BLOCKS_KEPT):
        count += np.int64(blocks[QRS_LARGEST, b] < least)
    return int(count)


@jit
def assess_motion(
    row: NDArray[np.float64],
    settings: NDArray[np.float64],
    counters: NDArray[np.int64],
    blocks: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> None:
    """Take in the measures of four seconds: does something move that is no heart?

    It leaves less rest between beats than this patient's do, or what was found is like nothing
    before it; it is as tall as beats, and has not the slow waves that a heart without rest makes:
    fibrillation, flutter, a tachycardia. In a pause the line is still for most of the time,
    however steep the one beat in it.
    """
    if row[UNKNOWN] != 0.0:
        counters[MOVING] = 0
        return
    rest, span = row[FLAT_SLOPES], usual[SPAN, MEDIAN]
    restless = rest < settings[REST_SHARE] * usual[REST, MEDIAN] and span > 0.0
    shapeless = rest < settings[MOST_REST] and _odd_beats(counters) >= settings[ODD_BEATS]
    still = max(settings[STILL_SHARE] * usual[LOUD, MEDIAN], settings[QRS_FLOOR])
    moves = (
        (restless or shapeless)
        and row[WAVES] < settings[WAVES_SHARE]
        and row[WAVE_SPAN] > settings[MOTION_SHARE] * span
        and _still_blocks(blocks, still) < settings[STILL_BLOCKS]
    )
    counters[MOVING] = counters[MOVING] + 1 if moves else 0
    counters[STEADY] += 1
    usually = 1 if counters[MOVING] == 0 else settings[PASS_OVER]
    if counters[STEADY] >= usually * settings[REST_ROWS]:
        counters[STEADY] = 0
        remember(usual[REST], rest)
