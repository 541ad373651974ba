"""The kernel that brings raw samples of one lead to all that they show.

One call for the kernels of a lead: for the 19 ms that a live source sends, calling them one by one
from Python takes longer than they do.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels import fibrillation, repetition
from pipeline.signal.kernels.beats import detect_beats
from pipeline.signal.kernels.candidates import LONG_SAMPLES, Beats
from pipeline.signal.kernels.condition import watch
from pipeline.signal.kernels.leads.memory import Memory, Rules, Work, memory_of, rules_of, work_of
from pipeline.signal.kernels.sampling import filter_bank, resample, sanitise
from pipeline.signal.kernels.sections import copy, jit
from pipeline.signal.kernels.slots import NOISE, QRS, UNKNOWN
from pipeline.signal.kernels.spikes import KEPT, LATE, remove_spikes, spike_response

BAND = 0  # row of the filtered signal; the others are those of `slots`


@jit
def advance(
    x: NDArray[np.float32],
    marks: NDArray[np.uint8],
    step: int,
    per: int,
    done: int,
    end: int,
    most_flat: float,
    memory_room: NDArray[np.float64],
    work_room: NDArray[np.float64],
    most: int,
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    states: NDArray[np.uint8],
    taps: NDArray[np.float64],
    settings: NDArray[np.float64],
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
        memory_room: float64[:] where `memory_of` finds what the lead remembers; updated.
        work_room: float64[:] where `work_of` finds room for the work on
        most: samples at most, at the lead's own rate and at 360 Hz.
        filtered: float32[TAIL + m], m >= n,
        masks: uint8[TAIL + m],
        states: and uint8[m], all three written as `Work` says.
        taps: the resampler's; empty rows where the rate is 360 Hz.
        settings: float64[:] where `rules_of` finds the settings of the kernels.

    Returns:
        How many samples these are at 360 Hz, how many beats were found, whether anything is wrong
        with the signal, and how many changes of fibrillation and of fast rhythms there are: of
        ``found``, ``changes`` and ``fast_changes`` of the `Work`.
    """
    memory, rules = memory_of(memory_room, max(taps.shape[1] - 1, 0)), rules_of(settings)
    whole = work_of(work_room, most, filtered, masks, states)
    if end < 0 and x.size > 0:
        memory.raw[0] = x[x.size - 1]
    # 1.
    n = _to_360_hz(x, marks, step, per, taps, memory, whole, rules)
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
    taps: NDArray[np.float64],
    memory: Memory,
    work: Work,
    rules: Rules,
) -> int:
    """Write raw samples to ``clean`` at 360 Hz, finite, and to ``codes`` why each is masked.

    Return how many that are.
    """
    plausible_mv, rebase_after, leap_mv, spike, dropout, largest_tail, fast, slow = rules.admission
    before, n = memory.history.size, x.size
    converts = taps.shape[1] > 0
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
        work.inputs[: before + n], codes, step, per, taps, memory.resample, work.clean, work.codes
    )  # fmt: skip
    copy(work.inputs[n : n + before], memory.history)
    return m


@jit
def _parts(work: Work, n: int, tail: int) -> Work:
    """Return of the arrays what n new samples need, behind a ``tail`` of those before them."""
    return Work(
        work.filtered[: tail + n], work.masks[: tail + n], work.states[:n], work.places, work.rows,
        work.line, work.fast_rows, work.found, work.candidate, work.positions, work.changes,
        work.fast_positions, work.fast_changes, work.energies[: LONG_SAMPLES + n], work.inputs,
        work.clean[:n], work.spiked[: KEPT + n], work.raw[: tail + n], work.y,
        work.response[: tail + n], work.slopes, work.input_codes, work.codes[:n],
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
    below = int(memory.fibrillation_counts[fibrillation.BELOW])
    ends_after = int(rules.fibrillation[fibrillation.ENDS_AFTER])
    n = fibrillation.measure(
        clean, codes, memory.mean, rules.wide, memory.wide, rules.low, memory.low, most_flat,
        below, ends_after, memory.rings, work.slopes, memory.fibrillation_counters, work.positions,
        work.rows,
    )  # fmt: skip
    changed = fibrillation.follow(
        work.positions[:n],
        work.rows[:n],
        rules.fibrillation,
        memory.fibrillation_counts,
        work.changes,
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
