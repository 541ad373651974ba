"""What distinguishes atrial fibrillation, over the last beats: irregular intervals and no P wave.

Compiled; every array is fixed, nothing is allocated. `pipeline.alarms.atrial_fibrillation` explains
the measures and weighs them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.alarms.entropy import NEAR_S, sample_entropy
from pipeline.signal.kernels.sections import copy, jit

BEATS: Final = 32
"""Beats looked back on: some 25 s. Shorter, the chance in 16 irregular intervals decides; longer,
less is known in a record of 30 s."""

P_TICKS: Final = 39
P_FROM: Final = 34
"""Of a window, whose R peak lies at 140: from 294 to 78 ms before it, in steps of two samples. P
waves of a slow conduction (PR interval of 300 ms) lie in it, too."""

QRS_TICKS: Final = 24
QRS_FROM: Final = 118
"""From 61 ms before the R peak to 69 ms after it."""

_STEP: Final = 2

COUNT, AT, SIZE = range(3)
"""Counters: beats in the rings (at most `BEATS`), and the place of the next."""

RR, P_SIZE, QRS_SIZE, ODD, COLUMNS = range(5)
"""Columns of the ring of numbers: RR interval in seconds, NaN where it is not known; sizes of the P
window and of the QRS complex, 0 where the window cannot be used; and whether the QRS complex is
unlike the others."""

(
    MEDIAN_STEP, RMS_STEP, ENTROPY, CELLS, REPEATS, NEXT, TURNS, UNEQUAL,
    RATE, P_ALIKE, P_HEIGHT, QRS_ALIKE, ODD_SHARE, P_NOISE, LATEST_P_ALIKE, MEASURES,
) = range(16)  # fmt: skip
"""Slots of the measures, see `_rhythm`, `_mark_odd` and `_p_waves`."""

LEAST_INTERVALS: Final = 6
LEAST_STEPS: Final = 5
"""Below these nothing is said."""

_UNLIKE: Final = 0.8
"""A QRS complex whose correlation with the mean of the others is lower is odd: ectopic, or noise.
Its intervals are left out, so that ventricular ectopy does not make a rhythm irregular."""

_LATE: Final = 0.9
"""P waves are looked for before beats that come no earlier than this part of the median interval:
there the T wave is over, and a supraventricular ectopic beat, whose P wave is another, does not
come so late."""

_QUANTILE: Final = 0.85
_LATEST: Final = 0.95
"""The latest beats come no earlier than this part of this quantile of the intervals. Where ectopy
is frequent the median interval is an ectopic one; what comes latest is sinus even there."""

_ALIKE: Final = 0.9
"""QRS complexes of one heart are at least so much alike; only less speaks of noise."""

_CELL_S: Final = 0.04
"""Width of the cells in which pairs of steps are counted (Sarkar et al., IEEE Trans. Biomed. Eng.
55, 2008)."""
_CELLS: Final = 15

_UNEQUAL: Final = 0.06
"""A step of more than this part of the median interval."""

SCRATCH: Final = (4, 2 * P_TICKS + 1)
CELLS_SHAPE: Final = (2 * _CELLS + 1, 2 * _CELLS + 1)
"""Shapes of the working memory of `measure`."""


@jit
def measure(
    rr_s: float,
    window: NDArray[np.float32],
    usable: bool,
    numbers: NDArray[np.float64],
    p: NDArray[np.float32],
    qrs: NDArray[np.float32],
    counters: NDArray[np.int64],
    scratch: NDArray[np.float64],
    cells: NDArray[np.uint8],
    out: NDArray[np.float64],
) -> bool:
    """Take a beat into the rings and measure the last beats.

    Args:
        rr_s: the interval before it, NaN where it is not known.
        window: float32[320], scaled to [-1, 1], R at 140.
        usable: whether the window can be analysed.
        numbers: float64[BEATS, COLUMNS], ring; updated.
        p: float32[BEATS, P_TICKS], ring of P windows without their line, of length 1; updated.
        qrs: float32[BEATS, QRS_TICKS], the same of QRS complexes; updated.
        counters: int64[SIZE], updated.
        scratch: float64[SCRATCH], written.
        cells: uint8[31, 31], zeros; zeros again afterwards.
        out: float64[MEASURES], written where enough intervals are known.

    Returns:
        Whether enough intervals are known.
    """
    at = counters[AT]
    numbers[at, RR] = rr_s
    numbers[at, ODD] = 0.0
    numbers[at, P_SIZE] = _take(window, P_FROM, p[at]) if usable else 0.0
    numbers[at, QRS_SIZE] = _take(window, QRS_FROM, qrs[at]) if usable else 0.0
    counters[AT] = at + 1 if at + 1 < BEATS else 0
    counters[COUNT] = min(counters[COUNT] + 1, BEATS)
    oldest = int(counters[AT]) if counters[COUNT] == BEATS else 0
    _mark_odd(numbers, qrs, counters[COUNT], scratch[0], out)
    _p_waves(numbers, p, counters[COUNT], scratch, out)
    return _rhythm(numbers, oldest, counters[COUNT], scratch, cells, out)


@jit
def _take(window: NDArray[np.float32], begin: int, row: NDArray[np.float32]) -> float:
    """Write a part of the window without its line, scaled to length 1; return its length before."""
    n = row.size
    middle, mean = 0.5 * (n - 1), 0.0
    for k in range(n):
        value = 0.5 * (
            np.float64(window[begin + _STEP * k]) + np.float64(window[begin + _STEP * k + 1])
        )
        row[k] = np.float32(value)
        mean += value / n
    slope = total = 0.0
    for k in range(n):
        slope += (k - middle) * (np.float64(row[k]) - mean)
        total += (k - middle) * (k - middle)
    slope /= total
    energy = 0.0
    for k in range(n):
        value = np.float64(row[k]) - mean - slope * (k - middle)
        row[k] = np.float32(value)
        energy += value * value
    size: float = np.sqrt(energy)
    if size > 0.0:
        for k in range(n):
            row[k] = np.float32(row[k] / size)
    return size


@jit
def _mark_odd(
    numbers: NDArray[np.float64],
    qrs: NDArray[np.float32],
    n: int,
    total: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Mark odd QRS complexes; measure their share and how alike the others are.

    QRS_ALIKE is the mean correlation of all pairs of the others, ODD_SHARE the share of odd ones.
    """
    for i in range(n):
        numbers[i, ODD] = 0.0
    like = used = 0.0
    for again in range(3):
        total[:QRS_TICKS] = 0.0
        used = 0.0
        for i in range(n):
            if numbers[i, QRS_SIZE] > 0.0 and numbers[i, ODD] == 0.0:
                used += 1.0
                for k in range(QRS_TICKS):
                    total[k] += qrs[i, k]
        like = 0.0
        for k in range(QRS_TICKS):
            like += total[k] * total[k]
        if again == 2 or used < 2.0:
            break
        changed = False
        for i in range(n):
            if numbers[i, QRS_SIZE] > 0.0:
                alike = 0.0
                for k in range(QRS_TICKS):
                    alike += total[k] * qrs[i, k]
                is_odd = np.float64(alike < _UNLIKE * np.sqrt(like))
                changed |= is_odd != numbers[i, ODD]
                numbers[i, ODD] = is_odd
        if not changed:  # nearly always, and the next turn would be the same
            break
    odd = 0.0
    for i in range(n):
        odd += numbers[i, ODD]
    out[ODD_SHARE] = odd / n
    alike = (like - used) / (used * (used - 1.0)) if used > 1.0 else 0.0
    out[QRS_ALIKE] = min(alike, _ALIKE)


@jit
def _p_waves(
    numbers: NDArray[np.float64],
    p: NDArray[np.float32],
    n: int,
    scratch: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Measure what lies before the QRS complexes of late beats that are not odd.

    P_ALIKE is the mean correlation of all pairs of P windows, P_HEIGHT the span of their mean and
    P_NOISE the mean size of single ones, both as parts of half a window's span, as logarithms.
    LATEST_P_ALIKE is as P_ALIKE, of the latest beats alone; 0 where fewer than three are known.
    """
    intervals, total = scratch[0], scratch[1]
    known = 0
    for i in range(n):
        if numbers[i, ODD] == 0.0 and numbers[i, RR] == numbers[i, RR]:
            intervals[known] = numbers[i, RR]
            known += 1
    late_s = _LATE * _median(intervals, known) if known else 0.0
    latest_s = _LATEST * intervals[int(_QUANTILE * (known - 1) + 0.5)] if known else 0.0  # sorted
    used = _sum_of_late(numbers, p, n, latest_s, total)
    out[LATEST_P_ALIKE] = _alike(total, used) if used >= 3.0 else 0.0
    used = _sum_of_late(numbers, p, n, late_s, total)
    if used < 4.0:
        out[P_ALIKE], out[P_HEIGHT], out[P_NOISE] = 0.0, np.log(0.005), np.log(0.01)
        return
    lowest = highest = total[P_TICKS]
    for k in range(P_TICKS):
        lowest = min(lowest, total[P_TICKS + k])
        highest = max(highest, total[P_TICKS + k])
    out[P_ALIKE] = _alike(total, used)
    out[P_HEIGHT] = np.log(0.5 * (highest - lowest) / used + 0.005)
    out[P_NOISE] = np.log(total[2 * P_TICKS] / used + 0.01)


@jit
def _sum_of_late(
    numbers: NDArray[np.float64],
    p: NDArray[np.float32],
    n: int,
    least_s: float,
    total: NDArray[np.float64],
) -> float:
    """Write sums over the beats no earlier than ``least_s`` that are not odd; return their number.

    Of their windows of length 1, of these in their size, and of the sizes.
    """
    used = 0.0
    total[:] = 0.0
    for i in range(n):
        late = numbers[i, RR] >= least_s  # not where the interval is not known
        if late and numbers[i, P_SIZE] > 0.0 and numbers[i, ODD] == 0.0:
            used += 1.0
            total[2 * P_TICKS] += numbers[i, P_SIZE]
            for k in range(P_TICKS):
                total[k] += p[i, k]
                total[P_TICKS + k] += numbers[i, P_SIZE] * p[i, k]
    return used


@jit
def _alike(total: NDArray[np.float64], used: float) -> float:
    """Return the mean correlation of all pairs of windows of length 1, from their sum."""
    like = 0.0
    for k in range(P_TICKS):
        like += total[k] * total[k]
    return (like - used) / (used * (used - 1.0))


@jit
def _rhythm(
    numbers: NDArray[np.float64],
    oldest: int,
    n: int,
    scratch: NDArray[np.float64],
    cells: NDArray[np.uint8],
    out: NDArray[np.float64],
) -> bool:
    """Measure the intervals between beats that are not odd; return whether enough are known.

    MEDIAN_STEP and RMS_STEP are the median and the root mean square of the steps from interval to
    interval, as parts of the median interval, as logarithms; UNEQUAL is the share of large steps.
    ENTROPY is the coefficient of sample entropy. CELLS is the share of distinct cells among pairs
    of steps: ectopic beats in a pattern fill few. NEXT and REPEATS are correlations of intervals
    with the next, and with the second or third: bigeminy and trigeminy repeat. TURNS is the share
    of intervals that are longer or shorter than both neighbours, RATE beats a second.
    """
    rr, follows, sizes = scratch[0], scratch[1], scratch[2]
    known, mean, last, i = 0, 0.0, -2, oldest
    odd_before = False
    for k in range(n):
        odd = numbers[i, ODD] > 0.0
        if not odd and not odd_before and numbers[i, RR] == numbers[i, RR]:
            rr[known], follows[known] = numbers[i, RR], np.float64(last == k - 1)
            mean += numbers[i, RR]
            last, known = k, known + 1
        odd_before = odd
        i = i + 1 if i + 1 < BEATS else 0
    if known < LEAST_INTERVALS:
        return False
    mean /= known
    steps, squares = 0, 0.0
    for k in range(1, known):
        if follows[k] > 0.0:
            sizes[steps] = abs(rr[k] - rr[k - 1])
            squares += sizes[steps] * sizes[steps]
            steps += 1
    if steps < LEAST_STEPS:
        return False
    copy(rr[:known], scratch[3, :known])
    median_s = _median(scratch[3], known)
    large = 0
    for k in range(steps):
        large += sizes[k] > _UNEQUAL * median_s
    out[UNEQUAL] = large / steps
    out[MEDIAN_STEP] = np.log(_median(sizes, steps) / median_s + 0.004)
    out[RMS_STEP] = np.log(np.sqrt(squares / steps) / median_s + 0.01)
    out[RATE] = 1.0 / median_s
    _patterns(rr, follows, known, mean, out)
    entropy = sample_entropy(rr, follows, known, scratch[2], scratch[3])
    out[ENTROPY] = entropy - np.log(2.0 * NEAR_S) - np.log(mean)
    out[CELLS] = _distinct(rr, follows, known, cells)
    return True


@jit
def _median(x: NDArray[np.float64], n: int) -> float:
    """Return the median of x[:n], which is sorted by insertion."""
    for i in range(1, n):
        value, j = x[i], i
        while j > 0 and x[j - 1] > value:
            x[j] = x[j - 1]
            j -= 1
        x[j] = value
    middle: float = 0.5 * (x[(n - 1) // 2] + x[n // 2])
    return middle


@jit
def _patterns(
    rr: NDArray[np.float64],
    follows: NDArray[np.float64],
    n: int,
    mean: float,
    out: NDArray[np.float64],
) -> None:
    """Write NEXT, REPEATS and TURNS of the intervals rr[:n]."""
    power, first, second, third = 1e-9, 0.0, 0.0, 0.0
    turns = triples = 0
    for k in range(n):
        now = rr[k] - mean
        power += now * now
        if k < 1 or follows[k] == 0.0:
            continue
        first += now * (rr[k - 1] - mean)
        if k < 2 or follows[k - 1] == 0.0:
            continue
        second += now * (rr[k - 2] - mean)
        triples += 1
        turns += (rr[k] - rr[k - 1]) * (rr[k - 1] - rr[k - 2]) < 0.0
        if k > 2 and follows[k - 2] > 0.0:
            third += now * (rr[k - 3] - mean)
    out[NEXT] = first / power
    out[REPEATS] = max(second, third) / power
    out[TURNS] = (turns + 0.65) / (triples + 1)  # two of three where all is chance


@jit
def _distinct(
    rr: NDArray[np.float64], follows: NDArray[np.float64], n: int, cells: NDArray[np.uint8]
) -> float:
    """Return how many of the pairs of steps lie in a cell of their own, as a share."""
    pairs = distinct = 0
    for clear in range(2):
        for k in range(2, n):
            if follows[k] == 0.0 or follows[k - 1] == 0.0:
                continue
            now = _cell(rr[k] - rr[k - 1])
            before = _cell(rr[k - 1] - rr[k - 2])
            if clear:
                cells[now, before] = 0
                continue
            pairs += 1
            distinct += cells[now, before] == 0
            cells[now, before] = 1
    return (distinct + 0.5) / (pairs + 1.0)


@jit
def _cell(step_s: float) -> int:
    cell = int(np.round(step_s / _CELL_S))
    return min(max(cell, -_CELLS), _CELLS) + _CELLS
