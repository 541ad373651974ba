"""The kernel that brings raw samples of one lead to all that they show.

One call for the kernels of a lead: for the 19 ms that a live source sends, calling them one by one
from Python takes longer than they do.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import fibrillation, repetition
from pipeline.signal.kernels.beats import detect_beats
from pipeline.signal.kernels.candidates import LONG_SAMPLES, Beats
from pipeline.signal.kernels.condition import watch
from pipeline.signal.kernels.sampling import filter_bank, resample, sanitise
from pipeline.signal.kernels.sections import copy, jit
from pipeline.signal.kernels.slots import NOISE, QRS, UNKNOWN
from pipeline.signal.kernels.spikes import KEPT, LATE, remove_spikes, spike_response

BAND = 0  # row of the filtered signal; the others are those of `slots`


class Memory(NamedTuple):
    """What a lead remembers: arrays of `pipeline.signal.leads.lead_state.LeadState`."""

    raw: NDArray[np.float64]
    sanitise: NDArray[np.float64]
    resample: NDArray[np.int64]
    history: NDArray[np.float32]
    unspiked: NDArray[np.float32]
    tail_clean: NDArray[np.float32]
    tail: NDArray[np.float32]
    tail_codes: NDArray[np.uint8]
    energies: NDArray[np.int32]
    spikes: NDArray[np.float64]
    filters: NDArray[np.float64]
    spiked: NDArray[np.float32]
    response: NDArray[np.float32]
    response_filter: NDArray[np.float64]
    detector: NDArray[np.int64]
    candidates: NDArray[np.int64]
    levels: NDArray[np.int64]
    shape: NDArray[np.float32]
    watch: NDArray[np.int64]
    extremes: NDArray[np.float64]
    recent: NDArray[np.uint8]
    blocks: NDArray[np.float64]
    usual: NDArray[np.float64]
    shapes: NDArray[np.float64]
    mean: NDArray[np.float64]
    """This and what follows is that of `kernels.fibrillation`,"""
    wide: NDArray[np.float64]
    low: NDArray[np.float64]
    rings: NDArray[np.float32]
    counters: NDArray[np.int64]
    counts: NDArray[np.int64]
    ring: NDArray[np.float32]
    """and this and what follows that of `kernels.repetition`."""
    lost: NDArray[np.uint8]
    fast_counters: NDArray[np.int64]
    fast_counts: NDArray[np.int64]


class Work(NamedTuple):
    """Arrays for at least n new samples, those of `pipeline.signal.workspace`.

    ``inputs``, ``spiked``, ``raw``, ``filtered``, ``response``, ``energies`` and ``masks`` hold
    them behind what came before.
    """

    inputs: NDArray[np.float32]
    input_codes: NDArray[np.uint8]
    clean: NDArray[np.float32]
    codes: NDArray[np.uint8]
    filtered: NDArray[np.float32]
    masks: NDArray[np.uint8]
    states: NDArray[np.uint8]
    spiked: NDArray[np.float32]
    raw: NDArray[np.float32]
    y: NDArray[np.float32]
    response: NDArray[np.float32]
    energies: NDArray[np.int32]
    found: NDArray[np.int64]
    candidate: NDArray[np.int64]
    places: NDArray[np.float64]
    slopes: NDArray[np.float32]
    """Scratch of `kernels.fibrillation`, and what it measures and finds,"""
    positions: NDArray[np.int64]
    rows: NDArray[np.float64]
    changes: NDArray[np.int64]
    line: NDArray[np.float64]
    """and that of `kernels.repetition`."""
    fast_positions: NDArray[np.int64]
    fast_rows: NDArray[np.float64]
    fast_changes: NDArray[np.int64]


class Rules(NamedTuple):
    """The settings of the kernels."""

    admission: NDArray[np.float64]
    """Those of `sanitise`, in its order."""
    taps: NDArray[np.float64]
    """The resampler's; empty rows where the rate is 360 Hz."""
    bank: NDArray[np.float64]
    spikes: NDArray[np.float64]
    detector: NDArray[np.float64]
    watch: NDArray[np.float64]
    wide: NDArray[np.float64]
    low: NDArray[np.float64]
    fibrillation: NDArray[np.float64]
    fast_rhythm: NDArray[np.float64]


MEMORY, WORK = len(Memory._fields), len(Memory._fields) + len(Work._fields)


@jit
def advance(
    x: NDArray[np.float32],
    marks: NDArray[np.uint8],
    step: int,
    per: int,
    done: int,
    end: int,
    most_flat: float,
    *arrays: NDArray[Any],
) -> tuple[int, int, int, int, int]:
    """Run new samples of a lead through its kernels.

    1. Replace what is no signal, and convert the rate to 360 Hz.
    2. Take out pacing spikes, and filter into three bands: for windows, for the detector, which
       never sees a spike and is behind by `LATE`, and for the measure of noise.
    3. Find QRS complexes in the detector's band.
    4. Measure what distinguishes fibrillation and rhythms too fast for single beats, and find where
       these begin and end.
    5. Follow the quality of the signal: why each sample is masked, if it is.
    6. Keep the newest samples, from which later windows are cut.

    Args:
        x: float32[n], raw, mV, any values.
        marks: uint8[n], their flags.
        step: output k of the resampler lies ``step / per`` inputs after output k - 1.
        per: see ``step``.
        done: samples of the segment before these, at 360 Hz.
        end: where the segment ends: what follows there only brings out its end; -1 as long as it
            goes on.
        most_flat: see `kernels.fibrillation.measure`.
        arrays: those of `Memory`, `Work` and `Rules`, one after the other: numba takes single
            arrays in a fifth of the time that it takes for a tuple of them.

    Returns:
        How many samples these are at 360 Hz, how many beats were found, whether anything is wrong
        with the signal, and how many changes of fibrillation and of fast rhythms there are: of
        ``found``, ``changes`` and ``fast_changes`` of the `Work`.
    """
    memory, rules = Memory(*arrays[:MEMORY]), Rules(*arrays[WORK:])
    whole = Work(*arrays[MEMORY:WORK])
    if end < 0 and x.size > 0:
        memory.raw[0] = x[x.size - 1]
    # 1.
    n = _to_360_hz(x, marks, step, per, memory, whole, rules)
    if n == 0:
        return 0, 0, 0, 0, 0
    tail, new = memory.tail.size, n if end < 0 else end - done
    work = _parts(whole, n, tail)
    clean, codes = work.clean, work.codes
    _put_before(memory, work)
    # 2.
    copy(clean, work.spiked[KEPT:])
    raw = work.raw[tail:]
    remove_spikes(work.spiked, rules.spikes, memory.spikes, raw)
    filter_bank(clean, raw, rules.bank, memory.filters, work.y)
    copy(work.y[BAND, :n], work.filtered[tail:])
    band = work.filtered[: work.filtered.size - LATE]
    if spike_response(
        clean, raw, memory.spiked, rules.bank, memory.response_filter, tail, work.response[tail:]
    ):
        _take_off_response(band, memory, work)
        band = work.response[LATE:]
    # 3.
    early = min(max(LATE - done, 0), n)  # the segment's first samples come later
    beats = Beats(
        memory.detector, memory.candidates, memory.levels, memory.shape, work.candidate, work.places
    )  # fmt: skip
    n_found = detect_beats(
        work.y[QRS, early:n], work.raw[LATE:], band, rules.detector, beats, work.energies,
        work.found,
    )  # fmt: skip
    for k in range(n_found):
        work.found[k, 1] += LATE
    # 4.
    measured, changed, fast_changed = _rhythms(
        clean[:new], codes[:new], work.y[QRS, :new], most_flat, memory, work, rules
    )
    # 5.
    wrong = watch(
        clean, codes, work.filtered, work.y, work.found[:n_found], work.positions[:measured],
        work.rows[:measured], rules.watch, memory.watch, memory.extremes, memory.recent,
        memory.blocks, memory.usual, memory.shapes, work.states,
    )  # fmt: skip
    _mask(codes, work.states, wrong, work.masks[tail:])
    # 6.
    _keep_latest(memory, work, n - early)
    return n, n_found, int(wrong), changed, fast_changed


@jit
def _to_360_hz(
    x: NDArray[np.float32],
    marks: NDArray[np.uint8],
    step: int,
    per: int,
    memory: Memory,
    work: Work,
    rules: Rules,
) -> int:
    """Write raw samples to ``clean`` at 360 Hz, finite, and to ``codes`` why each is masked.

    Return how many that are.
    """
    plausible_mv, rebase_after, leap_mv, spike, dropout, largest_tail, fast, slow = rules.admission
    before, n = memory.history.size, x.size
    converts = rules.taps.shape[1] > 0
    inputs = work.inputs[before : before + n] if converts else work.clean[:n]
    codes = work.input_codes[:n] if converts else work.codes[:n]
    sanitise(
        x, marks, plausible_mv, rebase_after, leap_mv, spike, dropout, largest_tail, fast, slow,
        memory.sanitise, inputs, codes,
    )  # fmt: skip
    if not converts:
        return n
    copy(memory.history, work.inputs[:before])
    m = resample(
        work.inputs[: before + n], codes, step, per, rules.taps, memory.resample, work.clean,
        work.codes,
    )  # fmt: skip
    copy(work.inputs[n : n + before], memory.history)
    return m


@jit
def _parts(work: Work, n: int, tail: int) -> Work:
    """Return of the arrays what n new samples need, behind a ``tail`` of those before them."""
    return Work(
        work.inputs, work.input_codes, work.clean[:n], work.codes[:n], work.filtered[: tail + n],
        work.masks[: tail + n], work.states[:n], work.spiked[: KEPT + n], work.raw[: tail + n],
        work.y, work.response[: tail + n], work.energies[: LONG_SAMPLES + n], work.found,
        work.candidate, work.places, work.slopes, work.positions, work.rows, work.changes,
        work.line, work.fast_positions, work.fast_rows, work.fast_changes,
    )  # fmt: skip


@jit
def _put_before(memory: Memory, work: Work) -> None:
    """Put before the new samples what the segment still remembers."""
    copy(memory.unspiked, work.spiked[: memory.unspiked.size])
    copy(memory.tail_clean, work.raw[: memory.tail_clean.size])
    copy(memory.tail, work.filtered[: memory.tail.size])
    copy(memory.energies, work.energies[: memory.energies.size])
    copy(memory.tail_codes, work.masks[: memory.tail_codes.size])


@jit
def _keep_latest(memory: Memory, work: Work, detected: int) -> None:
    """Remember the latest samples, of whose new ones the detector got ``detected``."""
    copy(work.spiked[work.spiked.size - memory.unspiked.size :], memory.unspiked)
    copy(work.raw[work.raw.size - memory.tail_clean.size :], memory.tail_clean)
    copy(work.filtered[work.filtered.size - memory.tail.size :], memory.tail)
    copy(work.energies[detected : detected + LONG_SAMPLES], memory.energies)
    copy(work.masks[work.masks.size - memory.tail_codes.size :], memory.tail_codes)


@jit
def _take_off_response(band: NDArray[np.float32], memory: Memory, work: Work) -> None:
    """Write over the response of spikes the ``band`` of windows as if there had been none."""
    copy(memory.response, work.response[: memory.response.size])
    copy(work.response[work.response.size - memory.response.size :], memory.response)
    without = work.response[LATE:]
    for i in range(without.size):
        without[i] = band[i] - without[i]


@jit
def _rhythms(
    clean: NDArray[np.float32],
    codes: NDArray[np.uint8],
    qrs: NDArray[np.float32],
    most_flat: float,
    memory: Memory,
    work: Work,
    rules: Rules,
) -> tuple[int, int, int]:
    """Find fibrillation and rhythms too fast for single beats.

    Return how many rows were measured, and the numbers of changes. What moves an electrode does not
    repeat itself: of the rows, those in a rhythm that keeps time say nothing of motion.
    """
    below = int(memory.counts[fibrillation.BELOW])
    ends_after = int(rules.fibrillation[fibrillation.ENDS_AFTER])
    n = fibrillation.measure(
        clean, codes, memory.mean, rules.wide, memory.wide, rules.low, memory.low, most_flat,
        below, ends_after, memory.rings, work.slopes, memory.counters, work.positions, work.rows,
    )  # fmt: skip
    changed = fibrillation.follow(
        work.positions[:n], work.rows[:n], rules.fibrillation, memory.counts, work.changes
    )
    active = memory.fast_counts[repetition.ACTIVE]
    m = repetition.measure(
        qrs, codes, NOISE, memory.ring, memory.lost, memory.fast_counters, work.line,
        work.fast_positions, work.fast_rows,
    )  # fmt: skip
    fast_changed = repetition.follow(
        work.fast_positions[:m], work.fast_rows[:m], rules.fast_rhythm, memory.fast_counts,
        work.fast_changes,
    )  # fmt: skip
    at = 0
    for k in range(n):
        while at < fast_changed and (
            work.fast_changes[at, repetition.POSITION] <= work.positions[k]
        ):
            if work.fast_changes[at, repetition.SURE] != 0:
                active = work.fast_changes[at, repetition.BEGINS]
            at += 1
        if active != 0:
            work.rows[k, UNKNOWN] = 1.0
    return n, changed, fast_changed


@jit
def _mask(
    codes: NDArray[np.uint8],
    states: NDArray[np.uint8],
    wrong: bool,
    masks: NDArray[np.uint8],
) -> None:
    """Write why each sample is masked: by itself, or by the state of the lead."""
    if not wrong:
        masks[:] = np.uint8(0)
        return
    for i in range(codes.size):
        masks[i] = codes[i] if codes[i] != 0 else states[i]
