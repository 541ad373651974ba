"""The window of a beat: its own shape, and beside those that the patient had before. Compiled."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.likeness import (
    NEVER,
    best_shifted,
    compared,
    correlation,
    log_distance,
    slope_width,
    value_span,
)
from pipeline.signal.kernels.naming.middles import renew_middles
from pipeline.signal.kernels.naming.ordered import quantile_of_ring, ratio
from pipeline.signal.kernels.naming.slots import (
    AREA,
    BEFORE_QRS,
    COARSE,
    COUNT,
    DEEPEST,
    DOWN_SLOPE,
    EARLY,
    FORGETTING,
    HEIGHT,
    HEIGHT_TO_LATE,
    HIGH,
    INTERVALS,
    LAST_LATE_LIKE,
    LAST_LIKE,
    LAST_P,
    LAST_QRS,
    LAST_WHOLE,
    LAST_WIDTH,
    LAST_WIDTH_RATIO,
    LATE,
    LATE_AT,
    LATE_BEATS,
    LATE_DISTANCE_P,
    LATE_DISTANCE_QRS,
    LATE_DISTANCE_T,
    LATE_KNOWN,
    LATE_P,
    LATE_PART,
    LATE_QRS,
    LATE_QRS_LAG,
    LATE_T,
    LATE_WHOLE,
    LEAST_INTERVALS,
    LEAST_LATE,
    LOW,
    MAIN_LIKE,
    MAIN_SHARE,
    MEASURES,
    OWN_EARLY,
    OWN_LIKE,
    OWN_SHARE,
    P_AT,
    P_BEATS,
    P_FROM,
    P_HEIGHT,
    P_LIKE,
    P_MEAN_LIKE,
    P_TICKS,
    P_TO,
    POINTS,
    PS,
    QRS_FROM,
    QRS_TICKS,
    QRS_TO,
    QUANTILES_OVER,
    R_VALUE,
    SAME_SHAPE,
    SEEN,
    SHAPE_STEP,
    SHAPES,
    T_HEIGHT,
    T_TO,
    TICKS,
    UP_SLOPE,
    WEIGHT,
    WIDTH,
    WIDTH_TO_LATE,
    R,
)
from pipeline.signal.kernels.sections import copy, jit


@jit
def measure_own(beat: NDArray[np.float32], row: NDArray[np.float32]) -> None:
    """Write width, slopes, heights and values of the beat itself to ``row``."""
    row[WIDTH] = slope_width(beat, QRS_FROM, QRS_TO, R)
    up = down = area = 0.0
    deepest = beat[QRS_FROM]
    base = 0.5 * (beat[QRS_FROM] + beat[QRS_TO - 1])
    for k in range(QRS_FROM, QRS_TO):
        slope = beat[k] - beat[k - 1]
        up, down = max(up, slope), min(down, slope)
        deepest = min(deepest, beat[k])
        area += abs(beat[k] - base)
    row[UP_SLOPE], row[DOWN_SLOPE] = up, down
    row[HEIGHT] = value_span(beat, QRS_FROM, QRS_TO)
    row[R_VALUE], row[DEEPEST], row[AREA] = beat[R], deepest, area / QRS_TICKS
    row[P_HEIGHT] = value_span(beat, P_FROM, P_TO)
    row[T_HEIGHT] = value_span(beat, QRS_TO, T_TO)
    for k in range(POINTS):
        row[MEASURES - 2 * POINTS + k] = beat[QRS_FROM + COARSE * k + 1]


@jit
def measure_beside_late(
    beat: NDArray[np.float32],
    counters: NDArray[np.int64],
    late_middles: NDArray[np.float32],
    middle: NDArray[np.float32],
    numbers: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how the beat compares with the median of the late ones to ``row``."""
    size = counters[LATE]
    row[LATE_KNOWN] = size
    if size < LEAST_LATE:
        return
    low, high = late_middles[LOW], late_middles[HIGH]
    for k in range(TICKS):
        middle[k] = 0.5 * (low[k] + high[k])
    best, qrs = compared(beat, middle, QRS_FROM, QRS_TO)
    row[LATE_QRS] = best
    row[LATE_QRS_LAG] = max(best, best_shifted(beat, middle, QRS_FROM, QRS_TO, 2))
    row[LATE_P], p_wave = compared(beat, middle, P_FROM, P_TO)
    row[LATE_T], t_wave = compared(beat, middle, QRS_TO, T_TO)
    row[LATE_WHOLE] = correlation(beat, middle, P_FROM, T_TO, 0)
    row[LATE_DISTANCE_P], row[LATE_DISTANCE_QRS] = log_distance(p_wave), log_distance(qrs)
    row[LATE_DISTANCE_T] = log_distance(t_wave)
    row[WIDTH_TO_LATE] = ratio(row[WIDTH], slope_width(middle, QRS_FROM, QRS_TO, R))
    row[HEIGHT_TO_LATE] = ratio(row[HEIGHT] + 0.05, value_span(middle, QRS_FROM, QRS_TO) + 0.05)
    row[LAST_LATE_LIKE], row[LAST_WIDTH_RATIO] = numbers[LAST_LIKE], numbers[LAST_WIDTH]
    for k in range(POINTS):
        at = QRS_FROM + COARSE * k + 1
        row[MEASURES - POINTS + k] = beat[at] - middle[at]


@jit
def measure_beside_last(
    beat: NDArray[np.float32],
    counters: NDArray[np.int64],
    last: NDArray[np.float32],
    p_waves: NDArray[np.float32],
    p_likes: NDArray[np.float64],
    room: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how the beat compares with the two before, and its P wave with the mean, to ``row``.

    ``room``, for `P_TICKS` values, is written.
    """
    if counters[SEEN] > 0:
        row[LAST_QRS] = correlation(beat, last[0], QRS_FROM, QRS_TO, 0)
        row[LAST_WHOLE] = correlation(beat, last[0], P_FROM, T_TO, 0)
        row[LAST_P] = correlation(beat, last[0], P_FROM, P_TO, 0)
    if counters[SEEN] > 1:
        row[BEFORE_QRS] = correlation(beat, last[1], QRS_FROM, QRS_TO, 0)
    known = counters[PS]
    if known == 0:
        return
    mean_like = 0.0
    for b in range(known):
        mean_like += p_likes[b]
    row[P_MEAN_LIKE] = mean_like / known
    n = P_TICKS
    for k in range(n):
        room[k] = 0.0
    # All ticks at once, whose sums do not wait for each other, and four beats at a time.
    in_fours = known - known % 4
    for b in range(0, in_fours, 4):
        one, two, three, four = p_waves[b], p_waves[b + 1], p_waves[b + 2], p_waves[b + 3]
        for k in range(n):
            room[k] = (((room[k] + one[k]) + two[k]) + three[k]) + four[k]
    for b in range(in_fours, known):
        for k in range(n):
            room[k] += p_waves[b, k]
    sum_a = sum_b = aa = bb = ab = 0.0
    for k in range(n):
        x, y = np.float64(beat[P_FROM + k]), room[k] / known
        sum_a += x
        sum_b += y
        aa += x * x
        bb += y * y
        ab += x * y
    power = (aa - sum_a * sum_a / n) * (bb - sum_b * sum_b / n)
    row[P_LIKE] = (ab - sum_a * sum_b / n) / math.sqrt(max(power, 0.0) + NEVER)


@jit
def measure_beside_shapes(
    beat: NDArray[np.float32],
    shapes: NDArray[np.float32],
    shape_numbers: NDArray[np.float64],
    row: NDArray[np.float32],
) -> int:
    """Write how the beat compares with the shapes; return the most alike, -1 if none is."""
    total = most = 0.0
    best, nearest, main = -1.0, -1, -1
    for s in range(SHAPES):
        weight = shape_numbers[s, WEIGHT]
        if weight <= 0.0:
            continue
        total += weight
        like = correlation(beat[QRS_FROM:QRS_TO], shapes[s], 0, QRS_TICKS, 0)
        if like > best:
            best, nearest = like, s
        if weight > most:
            most, main = weight, s
            row[MAIN_LIKE] = like
    if main < 0:
        return -1
    row[OWN_LIKE] = best
    row[MAIN_SHARE] = most / total
    if best < SAME_SHAPE:
        return -1
    row[OWN_SHARE] = shape_numbers[nearest, WEIGHT] / total
    row[OWN_EARLY] = shape_numbers[nearest, EARLY]
    return nearest


@jit
def learn_shape(
    beat: NDArray[np.float32],
    nearest: int,
    early: float,
    shapes: NDArray[np.float32],
    shape_numbers: NDArray[np.float64],
) -> None:
    """Move the most alike shape towards the beat, or begin one in the place of the rarest."""
    rarest = 0
    for s in range(SHAPES):
        shape_numbers[s, WEIGHT] *= FORGETTING
        if shape_numbers[s, WEIGHT] < shape_numbers[rarest, WEIGHT]:
            rarest = s
    if nearest < 0:
        copy(beat[QRS_FROM:QRS_TO], shapes[rarest])
        shape_numbers[rarest, WEIGHT] = shape_numbers[rarest, COUNT] = 1.0
        shape_numbers[rarest, EARLY] = early
        return
    shape_numbers[nearest, WEIGHT] += 1.0
    shape_numbers[nearest, COUNT] += 1.0
    step = max(1.0 / shape_numbers[nearest, COUNT], SHAPE_STEP)
    shape_numbers[nearest, EARLY] += step * (early - shape_numbers[nearest, EARLY])
    for k in range(QRS_TICKS):
        shapes[nearest, k] += np.float32(step) * (beat[QRS_FROM + k] - shapes[nearest, k])


@jit
def learn_late(
    beat: NDArray[np.float32],
    rr: float,
    counters: NDArray[np.int64],
    intervals: NDArray[np.float64],
    ranks: NDArray[np.uint16],
    late: NDArray[np.float32],
    late_middles: NDArray[np.float32],
    asked: NDArray[np.int64],
) -> None:
    """Keep the window of a late beat, in the place of the oldest, and the middle at each tick.

    ``ranks`` are those of the last `QUANTILES_OVER` intervals.
    """
    size = min(counters[INTERVALS], QUANTILES_OVER)
    if size < LEAST_INTERVALS or not rr >= quantile_of_ring(intervals, ranks, size, LATE_PART):
        return
    at, kept = counters[LATE_AT], counters[LATE]
    renew_middles(beat, late, kept, at, late_middles, asked)
    counters[LATE_AT] = (at + 1) % LATE_BEATS
    counters[LATE] = min(kept + 1, LATE_BEATS)


@jit
def learn_p(
    beat: NDArray[np.float32],
    row: NDArray[np.float32],
    counters: NDArray[np.int64],
    p_waves: NDArray[np.float32],
    p_likes: NDArray[np.float64],
) -> None:
    """Keep the P wave of a beat, in the place of the oldest."""
    at = counters[P_AT]
    for k in range(P_TICKS):
        p_waves[at, k] = beat[P_FROM + k]
    p_likes[at] = row[P_LIKE]
    counters[P_AT] = (at + 1) % P_BEATS
    counters[PS] = min(counters[PS] + 1, P_BEATS)
