"""Where the arrays of one lead lie: its memory in one array, its work in one, its rules in one.

numba takes in an array that Python hands it in 60 ns. For 67 of them that is as long as the kernels
need for 150 ms of signal, and a live source sends 19 ms. In a kernel, to cut one out of another
costs next to nothing.

What lies where, `lay_out_memory` and `lay_out_work` say, to Python as to the kernels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import candidates, fibrillation, repetition, slots, spikes
from pipeline.signal.kernels.sections import PLACES_SCRATCH, jit

TAIL = 2048
"""Samples kept at 360 Hz: more than a beat found late by the search back reaches back for."""

MOST_HISTORY = 400
"""More than the inputs that any resampler looks back on."""

RECENT = 360


class Memory(NamedTuple):
    """What a lead remembers: arrays of `pipeline.signal.leads.lead_state.LeadState`.

    ``mean``, ``wide``, ``low``, ``rings``, ``fibrillation_counters`` and ``fibrillation_counts``
    are those of `kernels.fibrillation`; ``ring``, ``lost``, ``fast_counters`` and ``fast_counts``
    those of `kernels.repetition`.
    """

    raw: NDArray[np.float64]
    sanitise: NDArray[np.float64]
    spikes: NDArray[np.float64]
    filters: NDArray[np.float64]
    response_filter: NDArray[np.float64]
    extremes: NDArray[np.float64]
    blocks: NDArray[np.float64]
    usual: NDArray[np.float64]
    shapes: NDArray[np.float64]
    mean: NDArray[np.float64]
    wide: NDArray[np.float64]
    low: NDArray[np.float64]
    resample: NDArray[np.int64]
    detector: NDArray[np.int64]
    candidates: NDArray[np.int64]
    levels: NDArray[np.int64]
    watch: NDArray[np.int64]
    fibrillation_counters: NDArray[np.int64]
    fibrillation_counts: NDArray[np.int64]
    fast_counters: NDArray[np.int64]
    fast_counts: NDArray[np.int64]
    energies: NDArray[np.int32]
    unspiked: NDArray[np.float32]
    tail_clean: NDArray[np.float32]
    tail: NDArray[np.float32]
    spiked: NDArray[np.float32]
    response: NDArray[np.float32]
    shape: NDArray[np.float32]
    rings: NDArray[np.float32]
    ring: NDArray[np.float32]
    history: NDArray[np.float32]
    tail_codes: NDArray[np.uint8]
    recent: NDArray[np.uint8]
    lost: NDArray[np.uint8]


class Work(NamedTuple):
    """Arrays for at least n new samples, those of `pipeline.signal.workspace`.

    ``inputs``, ``spiked``, ``raw``, ``filtered``, ``response``, ``energies`` and ``masks`` hold
    them behind what came before. ``slopes``, ``positions``, ``rows`` and ``changes`` are scratch of
    `kernels.fibrillation`, and what it measures and finds; ``line`` and those called fast are the
    same of `kernels.repetition`.
    """

    filtered: NDArray[np.float32]
    masks: NDArray[np.uint8]
    states: NDArray[np.uint8]
    places: NDArray[np.float64]
    rows: NDArray[np.float64]
    line: NDArray[np.float64]
    fast_rows: NDArray[np.float64]
    found: NDArray[np.int64]
    candidate: NDArray[np.int64]
    positions: NDArray[np.int64]
    changes: NDArray[np.int64]
    fast_positions: NDArray[np.int64]
    fast_changes: NDArray[np.int64]
    energies: NDArray[np.int32]
    inputs: NDArray[np.float32]
    clean: NDArray[np.float32]
    spiked: NDArray[np.float32]
    raw: NDArray[np.float32]
    y: NDArray[np.float32]
    response: NDArray[np.float32]
    slopes: NDArray[np.float32]
    input_codes: NDArray[np.uint8]
    codes: NDArray[np.uint8]


class Rules(NamedTuple):
    """The settings of the kernels."""

    admission: NDArray[np.float64]
    """Those of `sanitise`, in its order."""
    bank: NDArray[np.float64]
    spikes: NDArray[np.float64]
    detector: NDArray[np.float64]
    watch: NDArray[np.float64]
    wide: NDArray[np.float64]
    low: NDArray[np.float64]
    fibrillation: NDArray[np.float64]
    fast_rhythm: NDArray[np.float64]


def _ends(*sizes: int) -> tuple[int, ...]:
    """Return 0, and where each of some arrays ends that lie one after the other."""
    return (0, *(int(end) for end in np.cumsum(sizes)))


_DOUBLES = _ends(
    1, 11, 3, 5 * 2, 5, slots.EXTREMES, slots.BLOCK_ROWS * slots.BLOCKS_KEPT,
    slots.USUAL_ROWS * (slots.USUAL_BEATS + 1), slots.USUAL_BEATS * slots.SHAPE_SIZE, 1, 4, 4,
)  # fmt: skip
_LONGS = _ends(
    5, candidates.COUNTERS, 16 * candidates.CANDIDATE, 4 * 8, slots.COUNTERS, fibrillation.SIZE,
    fibrillation.COUNTS, repetition.SIZE, repetition.COUNTS,
)  # fmt: skip
_SINGLES = _ends(
    candidates.LONG_SAMPLES, spikes.KEPT, TAIL, TAIL, spikes.LATE, TAIL,
    2 * candidates.SHAPE_REACH + 1, 2 * fibrillation.KEPT, repetition.KEPT,
)  # fmt: skip
_CODES = _ends(TAIL, RECENT, repetition.KEPT)
"""Where the arrays of `Memory` end, in order, by the size of their numbers."""
_MEMORY = _ends(_DOUBLES[-1], _LONGS[-1], -(-_SINGLES[-1] // 2), -(-_CODES[-1] // 8))


def memory_size(history: int) -> int:
    """Return how many float64 a lead needs whose resampler looks back on so many inputs."""
    return _MEMORY[4] + -(-history // 2)


def lay_out_memory(whole: NDArray[np.float64], history: int) -> Memory:
    """Return the parts of float64[memory_size(history)]."""
    doubles = whole[: _MEMORY[1]]
    longs = whole[_MEMORY[1] : _MEMORY[2]].view(np.int64)
    singles = whole[_MEMORY[2] : _MEMORY[3]].view(np.float32)
    codes = whole[_MEMORY[3] : _MEMORY[4]].view(np.uint8)
    return Memory(
        doubles[: _DOUBLES[1]],
        doubles[_DOUBLES[1] : _DOUBLES[2]],
        doubles[_DOUBLES[2] : _DOUBLES[3]],
        doubles[_DOUBLES[3] : _DOUBLES[4]].reshape((5, 2)),
        doubles[_DOUBLES[4] : _DOUBLES[5]],
        doubles[_DOUBLES[5] : _DOUBLES[6]],
        doubles[_DOUBLES[6] : _DOUBLES[7]].reshape((slots.BLOCK_ROWS, slots.BLOCKS_KEPT)),
        doubles[_DOUBLES[7] : _DOUBLES[8]].reshape((slots.USUAL_ROWS, slots.USUAL_BEATS + 1)),
        doubles[_DOUBLES[8] : _DOUBLES[9]].reshape((slots.USUAL_BEATS, slots.SHAPE_SIZE)),
        doubles[_DOUBLES[9] : _DOUBLES[10]],
        doubles[_DOUBLES[10] : _DOUBLES[11]].reshape((2, 2)),
        doubles[_DOUBLES[11] : _DOUBLES[12]].reshape((2, 2)),
        longs[: _LONGS[1]],
        longs[_LONGS[1] : _LONGS[2]],
        longs[_LONGS[2] : _LONGS[3]].reshape((16, candidates.CANDIDATE)),
        longs[_LONGS[3] : _LONGS[4]].reshape((4, 8)),
        longs[_LONGS[4] : _LONGS[5]],
        longs[_LONGS[5] : _LONGS[6]],
        longs[_LONGS[6] : _LONGS[7]],
        longs[_LONGS[7] : _LONGS[8]],
        longs[_LONGS[8] : _LONGS[9]],
        singles[: _SINGLES[1]].view(np.int32),
        singles[_SINGLES[1] : _SINGLES[2]],
        singles[_SINGLES[2] : _SINGLES[3]],
        singles[_SINGLES[3] : _SINGLES[4]],
        singles[_SINGLES[4] : _SINGLES[5]],
        singles[_SINGLES[5] : _SINGLES[6]],
        singles[_SINGLES[6] : _SINGLES[7]],
        singles[_SINGLES[7] : _SINGLES[8]].reshape((2, fibrillation.KEPT)),
        singles[_SINGLES[8] : _SINGLES[9]],
        whole[_MEMORY[4] :].view(np.float32)[:history],
        codes[: _CODES[1]],
        codes[_CODES[1] : _CODES[2]],
        codes[_CODES[2] : _CODES[3]],
    )


ROW = fibrillation.THIN * fibrillation.EVERY
FAST_ROW = repetition.THIN * repetition.EVERY
"""Samples from one row of measures to the next."""

SHORTEST_RR = 72
"""No beat is found sooner after another."""


def work_size(n: int) -> int:
    """Return how many float64 are enough for the work on n samples of a lead."""
    many, fast, beats = n // ROW + 1, n // FAST_ROW + 1, n // SHORTEST_RR + 32
    doubles = PLACES_SCRATCH + repetition.LINE + candidates.CANDIDATE + 2 * beats
    doubles += many * (fibrillation.COLUMNS + 1 + fibrillation.CHANGE)
    doubles += fast * (repetition.MEASURES * repetition.COLUMNS + 1 + repetition.CHANGE)
    singles = candidates.LONG_SAMPLES + MOST_HISTORY + spikes.KEPT + 2 * TAIL + fibrillation.SCRATCH
    return doubles + -(-(singles + 9 * n) // 2) + -(-2 * n // 8)


def lay_out_work(
    whole: NDArray[np.float64],
    n: int,
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    states: NDArray[np.uint8],
) -> Work:
    """Return the three arrays that are given, and the parts of float64[work_size(n)]."""
    many, fast, beats = n // ROW + 1, n // FAST_ROW + 1, n // SHORTEST_RR + 32
    line = PLACES_SCRATCH + repetition.LINE
    rows = line + many * fibrillation.COLUMNS
    fast_rows = rows + fast * repetition.MEASURES * repetition.COLUMNS
    longs = whole[fast_rows:].view(np.int64)
    found = candidates.CANDIDATE + 2 * beats
    positions = found + many
    changes = positions + many * fibrillation.CHANGE
    fast_positions = changes + fast
    fast_changes = fast_positions + fast * repetition.CHANGE
    singles = longs[fast_changes:].view(np.float32)
    energies = candidates.LONG_SAMPLES + n
    inputs = energies + MOST_HISTORY + n
    clean = inputs + n
    spiked = clean + spikes.KEPT + n
    raw = spiked + TAIL + n
    y = raw + 3 * n
    response = y + TAIL + n
    slopes = response + fibrillation.SCRATCH
    codes = singles[slopes:].view(np.uint8)
    return Work(
        filtered,
        masks,
        states,
        whole[:PLACES_SCRATCH],
        whole[line:rows].reshape((many, fibrillation.COLUMNS)),
        whole[PLACES_SCRATCH:line],
        whole[rows:fast_rows].reshape((fast, repetition.MEASURES, repetition.COLUMNS)),
        longs[candidates.CANDIDATE : found].reshape((beats, 2)),
        longs[: candidates.CANDIDATE],
        longs[found:positions],
        longs[positions:changes].reshape((many, fibrillation.CHANGE)),
        longs[changes:fast_positions],
        longs[fast_positions:fast_changes].reshape((fast, repetition.CHANGE)),
        singles[:energies].view(np.int32),
        singles[energies:inputs],
        singles[inputs:clean],
        singles[clean:spiked],
        singles[spiked:raw],
        singles[raw:y].reshape((3, n)),
        singles[y:response],
        singles[response:slopes],
        codes[:n],
        codes[n : 2 * n],
    )


_RULES = _ends(
    8, 5 * 5, spikes.SETTINGS, candidates.SETTINGS, slots.SETTINGS, 2 * 5, 2 * 5,
    fibrillation.RULES, repetition.RULES,
)  # fmt: skip


def lay_out_rules(whole: NDArray[np.float64]) -> Rules:
    """Return the parts of the settings of the kernels, one after the other."""
    return Rules(
        whole[: _RULES[1]],
        whole[_RULES[1] : _RULES[2]].reshape((5, 5)),
        whole[_RULES[2] : _RULES[3]],
        whole[_RULES[3] : _RULES[4]],
        whole[_RULES[4] : _RULES[5]],
        whole[_RULES[5] : _RULES[6]].reshape((2, 5)),
        whole[_RULES[6] : _RULES[7]].reshape((2, 5)),
        whole[_RULES[7] : _RULES[8]],
        whole[_RULES[8] : _RULES[9]],
    )


memory_of, work_of, rules_of = jit(lay_out_memory), jit(lay_out_work), jit(lay_out_rules)
