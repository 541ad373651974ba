"""What may be a QRS complex: how the detector describes it, and what tells it from other waves.

`pipeline.signal.kernels.beats` decides with it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import (
    PLACES,
    highest_correlation,
    jit,
    median,
    sum_of_squares,
    value_range,
)

UNITS_PER_MV = 10_000.0  # energies are integers, in 0.1 uV
MOST_ENERGY = 1e8  # 10 V: keeps every sum far inside int64

SHORT_SAMPLES = 35  # 97 ms, a QRS (Elgendi 2013)
LONG_SAMPLES = 220  # 611 ms, a beat (Elgendi 2013)

THOUSAND, MILLION = 1e3, 1e6
SHAPE_REACH = 36  # 100 ms before and after the centre: where a complex lies
MOST_CONTRAST = 5.0  # from here on the line around is quiet
LIKENESS_REACH = PLACES - 1  # 67 ms, in steps of 6 ms
SLOPE_SAMPLES = 5  # 14 ms: slopes are taken over so much
HALF_AS_STEEP = 0.5  # as the last beat: T waves are less (Pan & Tompkins 1985)


class Beats(NamedTuple):
    """All memory of `detect_beats` between chunks; positions count from the segment's start."""

    counters: NDArray[np.int64]
    """int64[COUNTERS], the slots below."""
    waiting: NDArray[np.int64]
    """int64[16, CANDIDATE]: what may still be a beat, in order of time; the columns below."""
    levels: NDArray[np.int64]
    """int64[4, 8], rings of the latest beats; the rows below."""
    shape: NDArray[np.float32]
    """float32[73]: the patient's usual QRS complex, 100 ms around its R peak."""
    candidate: NDArray[np.int64]
    """int64[CANDIDATE]: what may be a beat, as long as it is looked at."""
    places: NDArray[np.float64]
    """float64[PLACES_SCRATCH]: scratch of `highest_correlation`."""


# Slots of `Beats.counters`.
(
    NOW, SHORT, LONG, BEST, BEST_AT, LAST_AT, LAST_HEIGHT, LAST_SLOPE, LAST_SHARP,
    LAST_R, WAITING, LEARNED, DUE, FOUND, COUNTERS,
) = range(15)  # fmt: skip
# Columns of `Beats.waiting`, how a candidate is described: where its energy peaks, that energy, in
# thousandths how far it stands out, its steepest slope and its span in 0.1 uV, and the one by the
# other in millionths.
AT, HEIGHT, CONTRAST, SLOPE, SPAN, SHARPNESS, CANDIDATE = range(7)
# Rows of `Beats.levels`.
BEAT, RR, SHARP, SIZE = range(4)

# Settings of `detect_beats`, in samples of 360 Hz or as ratios; `pipeline.signal.segmenter_state`
# fills them.
(
    APART, DELAY, REACH, RIM, TAPER, LEARN, RELEARN, EXPIRE, EVIDENCE, SEARCH_AFTER,
    SEARCH_RATIO, SEARCH_LEAST, PEAKED, FLOOR, T_WITHIN, T_EARLY, T_LATE, T_SLOW, T_SLOPE,
    T_PEAK, T_BLUNT, T_SLOWER, USUAL, USUAL_SHARP, P_SPAN, P_SHARE, BLUNT, SMALL, SHARPER,
    P_SHARP, LIKE, SHARP_AS, SHOWN, SHOWN_LIKE, LEARN_RATIO, LEARN_CONTRAST, LEARN_FLOOR,
    LEARN_SHARE, DOMINANT, IN_TIME, LEARN_SPAN, LEARN_SHARP,
    SETTINGS,
) = range(43)  # fmt: skip


@jit
def remember(beats: Beats, row: int, value: int) -> None:
    """Put ``value`` in the place of the oldest of a ring of eight."""
    ring = beats.levels[row]
    for i in range(7):
        ring[i] = ring[i + 1]
    ring[7] = value


@jit
def _steepest(x: NDArray[np.float32]) -> float:
    """Return the largest change over `SLOPE_SAMPLES`.

    Numbers above 0 are in the order of their bits as integers, of which the compiler compares
    several in a step.
    """
    steepest = np.int64(0)
    for i in range(x.size - SLOPE_SAMPLES):
        change = np.float64(x[i + SLOPE_SAMPLES]) - np.float64(x[i])
        steepest = max(steepest, np.float64(abs(change)).view(np.int64))
    return float(np.int64(steepest).view(np.float64))


@jit
def describe(
    beats: Beats,
    at: int,
    height: int,
    around: int,
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    candidate: NDArray[np.int64],
) -> None:
    """Write what distinguishes a QRS complex from other waves and from noise.

    * Its energy over the mean of what surrounds it, the last beat's own left out: a QRS stands
      on a quiet line, one peak of noise among others does not.
    * Its steepest slope over 14 ms, as a part of its span: the conduction system spreads over the
      ventricles faster than anything spreads over the atria, or than repolarisation does.
    """
    counters = beats.counters
    rest, samples = around - height, LONG_SAMPLES - SHORT_SAMPLES
    if counters[LAST_AT] >= 0:
        begin = at + int(settings[APART]) - LONG_SAMPLES
        inside = min(max(counters[LAST_AT] - begin, 0), SHORT_SAMPLES)
        rest -= counters[LAST_HEIGHT] * inside // SHORT_SAMPLES
        samples -= inside
    mean = max(rest / samples, 1.0)
    centre = at - int(settings[DELAY]) - first
    begin = max(centre - SHAPE_REACH, 0)
    end = min(centre + SHAPE_REACH + 1, filtered.size)
    span, steepest = 0.0, 0.0
    if begin < end:
        low, top = value_range(filtered, begin, end)
        span = np.float64(top) - np.float64(low)
        steepest = _steepest(filtered[begin:end])
    candidate[AT] = at
    candidate[HEIGHT] = height
    candidate[CONTRAST] = np.int64(THOUSAND * min(height / SHORT_SAMPLES / mean, MOST_CONTRAST))
    candidate[SLOPE] = np.int64(min(steepest * UNITS_PER_MV, MOST_ENERGY))
    candidate[SPAN] = np.int64(min(span * UNITS_PER_MV, MOST_ENERGY))
    candidate[SHARPNESS] = np.int64(MILLION * steepest / span if span > 0.0 else 0.0)


@jit
def remember_shape(beats: Beats, filtered: NDArray[np.float32], r: int) -> None:
    """Let the usual QRS complex follow the one at ``r``."""
    shape, begin = beats.shape, r - SHAPE_REACH
    if begin < 0 or begin + shape.size > filtered.size:
        return
    x = filtered[begin : begin + shape.size]
    mean = np.float32(0.0)
    for i in range(shape.size):
        mean += x[i]
    mean /= np.float32(shape.size)
    for i in range(shape.size):
        shape[i] += np.float32(0.125) * (x[i] - mean - shape[i])


@jit
def evidence(candidate: NDArray[np.int64], level: float) -> float:
    """Return how large a candidate is beside the latest beats, times how far it stands out.

    ``level`` is the median height of these.
    """
    return float(candidate[HEIGHT] / max(level, 1.0) * candidate[CONTRAST] / THOUSAND)


@jit
def has_evidence(beats: Beats, candidate: NDArray[np.int64], settings: NDArray[np.float64]) -> bool:
    """Return whether a candidate is large enough and stands out enough for a beat.

    Between the wide complexes of a run no line is quiet. After the time of the T wave half of the
    evidence will do for what is as large as the latest beats, and half as steep as the last.
    """
    found, counters = evidence(candidate, median(beats.levels[BEAT])), beats.counters
    if found > settings[EVIDENCE]:
        return True
    return bool(
        found > settings[SEARCH_RATIO] * settings[EVIDENCE]
        and candidate[AT] - counters[LAST_AT] > settings[T_WITHIN]
        and candidate[SPAN] >= median(beats.levels[SIZE])
        and candidate[SLOPE] >= HALF_AS_STEEP * counters[LAST_SLOPE]
    )


@jit
def is_usual(beats: Beats, candidate: NDArray[np.int64], settings: NDArray[np.float64]) -> bool:
    """Return whether a candidate is much like the latest beats: what came before may be none."""
    return bool(
        candidate[HEIGHT] > settings[USUAL] * median(beats.levels[BEAT])
        and candidate[SHARPNESS] > settings[USUAL_SHARP] * median(beats.levels[SHARP])
    )


@jit
def likeness(beats: Beats, filtered: NDArray[np.float32], centre: int) -> float:
    """Return the correlation with the usual QRS complex at the best place near ``centre``."""
    begin = centre - LIKENESS_REACH - SHAPE_REACH
    energy = sum_of_squares(beats.shape)
    return highest_correlation(beats.shape, energy, filtered, begin, beats.places)


@jit
def is_alike(
    beats: Beats,
    candidate: NDArray[np.int64],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
) -> bool:
    """Return whether a candidate has the shape of the patient's usual QRS complex."""
    if candidate[SHARPNESS] < settings[SHARP_AS] * median(beats.levels[SHARP]):
        return False
    centre = candidate[AT] - int(settings[DELAY]) - first
    return bool(likeness(beats, filtered, centre) >= settings[LIKE])


@jit
def is_t_wave(beats: Beats, candidate: NDArray[np.int64], settings: NDArray[np.float64]) -> bool:
    """Return whether a candidate is the last beat's T wave: soon after it, and lower or slower.

    The sooner, the higher must a beat be: the ventricles cannot have recovered yet.
    """
    counters = beats.counters
    since = candidate[AT] - counters[LAST_AT]
    if counters[LAST_AT] < 0 or since >= settings[T_SLOW]:
        return False
    if candidate[SLOPE] < settings[T_SLOPE] * counters[LAST_SLOPE]:
        return True
    if since >= settings[T_WITHIN]:
        return False
    slower = candidate[SLOPE] < settings[T_SLOWER] * counters[LAST_SLOPE]
    peak = since < settings[T_PEAK]
    if peak and slower and candidate[SHARPNESS] < settings[T_BLUNT] * counters[LAST_SHARP]:
        return True
    if is_usual(beats, candidate, settings):
        return False
    late = max(since - settings[APART], 0.0) / (settings[T_WITHIN] - settings[APART])
    least = settings[T_EARLY] + (settings[T_LATE] - settings[T_EARLY]) * late
    return bool(candidate[HEIGHT] < least * counters[LAST_HEIGHT])


@jit
def is_p_wave(
    beats: Beats,
    candidate: NDArray[np.int64],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
) -> bool:
    """Return whether a candidate is no more than the atria.

    It is low, and blunter than the QRS; or very low, and not the QRS in small. What stands out and
    is sharper than both the QRS and any P wave is none: a fusion beat may be as low.
    """
    if candidate[SPAN] >= settings[P_SPAN]:  # most beats
        return False
    level = median(beats.levels[BEAT])
    if candidate[SPAN] >= settings[P_SHARE] * median(beats.levels[SIZE]) or (
        candidate[HEIGHT] >= level
    ):
        return False
    usual = median(beats.levels[SHARP])
    if (
        candidate[SHARPNESS] > max(settings[SHARPER] * usual, MILLION * settings[P_SHARP])
        and candidate[CONTRAST] > THOUSAND * settings[LEARN_CONTRAST]
    ):
        return False  # no wave of the atria, and no noise
    blunt = candidate[SHARPNESS] < settings[BLUNT] * usual
    small = candidate[HEIGHT] < settings[SMALL] * level
    return bool(blunt or (small and not is_alike(beats, candidate, filtered, first, settings)))


@jit
def may_teach(
    beats: Beats,
    candidate: NDArray[np.int64],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
) -> bool:
    """Return whether the levels may be learned from a candidate.

    It stands out and is as large as what counts (AAMI EC12: 150 uV), by its energy, or, where it is
    too sharp for a P wave, by its span: a narrow QRS has less energy. In a patient who has shown
    enough QRS complexes it is one of these in small.
    """
    if (
        beats.counters[NOW] - candidate[AT] > settings[EXPIRE]
        or candidate[CONTRAST] < THOUSAND * settings[LEARN_CONTRAST]
    ):
        return False
    if beats.counters[LEARNED] <= settings[SHOWN]:
        tall = candidate[SPAN] >= settings[LEARN_SPAN]
        sharp = candidate[SHARPNESS] >= MILLION * settings[LEARN_SHARP]
        return bool(candidate[HEIGHT] >= settings[LEARN_FLOOR] or (tall and sharp))
    return bool(
        candidate[HEIGHT] >= settings[LEARN_SHARE] * median(beats.levels[BEAT])
        and is_alike(beats, candidate, filtered, first, settings)
    )


@jit
def keep_time(beats: Beats, settings: NDArray[np.float64]) -> bool:
    """Return whether the latest eight waiting candidates are alike and come at equal intervals.

    In a fast tachycardia with wide complexes no beat stands on a quiet line, but it keeps time;
    noise does not.
    """
    n = beats.counters[WAITING]
    if n < 8 or beats.counters[NOW] - beats.waiting[n - 8, AT] > settings[EXPIRE]:
        return False
    lowest = highest = beats.waiting[n - 8, HEIGHT]
    for k in range(n - 7, n):
        height = beats.waiting[k, HEIGHT]
        lowest, highest = min(lowest, height), max(highest, height)
    if lowest < settings[LEARN_FLOOR] or highest > 2 * lowest:
        return False
    mean = (beats.waiting[n - 1, AT] - beats.waiting[n - 8, AT]) / 7.0
    for k in range(n - 7, n):
        interval = beats.waiting[k, AT] - beats.waiting[k - 1, AT]
        if abs(interval - mean) > settings[IN_TIME] * mean:
            return False
    return True


@jit
def dominates(beats: Beats, candidate: NDArray[np.int64], settings: NDArray[np.float64]) -> bool:
    """Return whether what was taken for beats so far were P waves beside this one."""
    return bool(
        candidate[CONTRAST] > THOUSAND * settings[LEARN_CONTRAST]
        and candidate[HEIGHT] > settings[DOMINANT] * median(beats.levels[BEAT])
        and median(beats.levels[SIZE]) < settings[P_SPAN]
        and median(beats.levels[SHARP]) < settings[BLUNT] * candidate[SHARPNESS]
    )
