"""What the front end remembers of one lead between chunks, and its kernels' settings.

All of it lies in fixed arrays, which the kernels update in place. Pure in memory.
"""

from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.state import Shape, State, field
from pipeline.signal import quality
from pipeline.signal.fast_rhythm import FastRhythmState
from pipeline.signal.fibrillation import FIBRILLATION_STEP_S, FibrillationState
from pipeline.signal.filters import Resampling
from pipeline.signal.kernels import candidates, repetition, sampling, slots, spikes
from pipeline.signal.kernels import fibrillation as fibrillation_kernel
from pipeline.signal.kernels.leads import memory
from pipeline.signal.quality import Reason

DETECTOR: Final = np.array(
    [
        72,  # APART: 200 ms, the refractory period (Pan & Tompkins 1985)
        34,  # DELAY: of the QRS band-pass and the 97 ms sum, measured on an impulse
        25,  # REACH: the R peak lies within 70 ms of the energy's centre
        15,  # RIM: the level around a complex is that of 40 ms before and after its reach
        0.3,  # TAPER: how much less a deflection counts at the edge of the reach
        720,  # LEARN: 2 s until the first levels; also the longest RR interval that is averaged
        900,  # RELEARN: 2.5 s without a beat, then the levels may be learned again
        1440,  # EXPIRE: a candidate older than 4 s stays what it was
        # What is a beat: its height beside that of the latest beats, times its contrast.
        1.1,  # EVIDENCE: where beats and all else part, in mitdb and svdb
        1.5,  # SEARCH_AFTER: RR intervals after which a beat is overdue (Pan & Tompkins: 1.66)
        0.5,  # SEARCH_RATIO: half the evidence counts then
        0.2,  # SEARCH_LEAST: of the height of the latest beats
        1.6,  # PEAKED: the least contrast of what is looked at again
        35 * 150.0,  # FLOOR: a mean of 15 uV, that of a QRS of 50 uV
        # What is a T wave, for 360 ms a matter of height and shape (Pan & Tompkins 1985).
        130,  # T_WITHIN: 360 ms
        0.9,  # T_EARLY: of the last beat's height, 200 ms after it,
        0.25,  # T_LATE: and after T_WITHIN
        180,  # T_SLOW: 500 ms, the longest QT interval; so long a T wave is recognised
        0.2,  # T_SLOPE: by its slope, beside that of the last beat
        115,  # T_PEAK: 320 ms, in which T waves peak: so long they are recognised
        0.65,  # T_BLUNT: by their sharpness beside that of the last beat
        0.75,  # T_SLOWER: where its slope is less than that of the last beat
        0.5,  # USUAL: of the height of the latest beats, and
        0.85,  # USUAL_SHARP: of their sharpness: no T wave by its height alone
        # What is a P wave: they have up to 0.25 mV.
        3500.0,  # P_SPAN: 0.35 mV
        0.75,  # P_SHARE: of the span of the latest beats
        0.8,  # BLUNT: of the sharpness of the latest beats
        0.4,  # SMALL: of their height; so small a beat must have the shape of the others
        1.1,  # SHARPER: times their sharpness no P wave has,
        0.6,  # P_SHARP: nor so much. A bell of 60 ms has 0.55, one of 80 ms, a short P wave, 0.44
        0.93,  # LIKE: correlation with the usual QRS complex
        0.9,  # SHARP_AS: of the sharpness of the latest beats
        # From what the levels are learned, at first and after RELEARN.
        4,  # SHOWN: beats from which the patient's QRS is known; fewer may be artefacts
        0.8,  # SHOWN_LIKE: correlation of such a beat with those before it
        0.7,  # LEARN_RATIO: of the height of the candidate from which they are learned
        3.0,  # LEARN_CONTRAST: noise stays below
        35 * 300.0,  # LEARN_FLOOR: a mean of 30 uV, that of a QRS of 150 uV (AAMI EC12)
        0.08,  # LEARN_SHARE: of the height of the latest beats
        3.0,  # DOMINANT: times the height of the latest beats: these were P waves
        0.15,  # IN_TIME: by so much of their mean intervals of a tachycardia differ
        1500.0,  # LEARN_SPAN: 0.15 mV, as AAMI EC12 states the floor,
        0.6,  # LEARN_SHARP: of what is this sharp. A bell of 60 ms has 0.55, of 80 ms 0.44
    ]
)
"""Settings of `pipeline.signal.kernels.beats.detect_beats`, in the order of its slots."""

WATCH: Final = np.array(
    [
        quality.FLAT_MV,
        quality.FLAT_SECONDS * SAMPLING_RATE_HZ / slots.BLOCK_SAMPLES,
        quality.MASKED_SHARE * SAMPLING_RATE_HZ,
        quality.RELEASE_SECONDS * SAMPLING_RATE_HZ,
        round(10 * quality.NOISE_SECONDS),
        quality.LEAST_SPAN_MV,
        quality.NOISY_SHARE,
        quality.QUIET_SHARE,
        quality.DROWNED_SHARE,
        quality.SMALL_SHARE,
        quality.BEATS_PASSED,
        quality.REST_SHARE,
        quality.WAVES_SHARE,
        quality.MOTION_SHARE,
        quality.MOTION_ROWS,
        quality.REST_SECONDS / FIBRILLATION_STEP_S,
        quality.MOST_REST,
        quality.ALIKE,
        quality.ODD_BEATS,
        quality.STILL_SHARE,
        quality.STILL_SECONDS * SAMPLING_RATE_HZ / slots.BLOCK_SAMPLES,
        quality.JUMP_MV,
        quality.JUMP_SHARE,
        quality.RETURN_MV,
        quality.RETURN_SECONDS * SAMPLING_RATE_HZ / slots.BLOCK_SAMPLES,
        quality.QRS_FLOOR_MV,
    ]
)
"""Settings of `pipeline.signal.kernels.condition.watch`, in the order of its slots."""

TAIL_SAMPLES: Final = memory.TAIL
"""Samples kept at 360 Hz: more than a beat found late by the search back reaches back for."""

_USUAL_RR: Final = 288  # 75 bpm until it is known

_LARGEST: Final = 1e12
"""Of every number that kernels calculate with: values are in mV, and lost samples are counted."""

_MOST_ENERGY: Final = int(candidates.MOST_ENERGY)

_LAST_POSITION: Final = 2**58
"""Beyond where the slowest samples that a source may number lie at 360 Hz."""

_DETECTOR_SIZES: Final = (
    candidates.BEST, candidates.LAST_HEIGHT, candidates.LAST_SLOPE, candidates.LAST_SHARP,
)  # fmt: skip
_WATCHED: Final = (
    slots.FLAT_FOR, slots.MASKED, slots.ABSENT, slots.HELD, slots.PASSED, slots.MOVING,
    slots.STEADY, slots.JUMPED_AT, slots.SEEN_AT,
)  # fmt: skip
"""Slots of `LeadState.watch` that count samples, or what is rarer."""
_REASONS: Final = (slots.STATE, slots.MASK_CODE, slots.NOISY_AS)
"""Slots of `LeadState.watch` that hold a `Reason`."""

NONE: Final = -1
"""Where a position says that there is none yet."""


_OWNERS: Final = {
    **{name: ("fibrillation", name) for name in ("mean", "wide", "low", "rings")},
    **{name: ("fast_rhythm", name) for name in ("ring", "lost")},
    "fibrillation_counters": ("fibrillation", "counters"),
    "fibrillation_counts": ("fibrillation", "counts"),
    "fast_counters": ("fast_rhythm", "counters"),
    "fast_counts": ("fast_rhythm", "counts"),
}
"""Which part of a `LeadState` holds an array of `memory.Memory`, and by what name."""


class LeadState(State):
    """All memory of a `Lead` of `pipeline.signal.leads`: arrays that kernels update in place."""

    raw: Annotated[NDArray[np.float64], Shape((1,))]
    """The last raw value, where a short gap's line begins."""
    sanitise: Annotated[NDArray[np.float64], Shape((11,))]
    resample: Annotated[NDArray[np.int64], Shape((5,))]
    history: Annotated[NDArray[np.float32], Shape((None,))]
    """float32[2 * half - 1]: the resampler's latest inputs."""
    spikes: Annotated[NDArray[np.float64], Shape((3,))]
    """The after-potential of a pacing spike."""
    unspiked: Annotated[NDArray[np.float32], Shape((spikes.KEPT,))]
    """The latest samples, of which the newest may still turn out to be a spike."""
    filters: Annotated[NDArray[np.float64], Shape((5, 2))]
    detector: Annotated[NDArray[np.int64], Shape((candidates.COUNTERS,))]
    """The ``counters`` of `candidates.Beats`."""
    candidates: Annotated[NDArray[np.int64], Shape((16, candidates.CANDIDATE))]
    """The ``waiting`` of `candidates.Beats`."""
    levels: Annotated[NDArray[np.int64], Shape((4, 8))]
    """The ``levels`` of `candidates.Beats`."""
    shape: Annotated[NDArray[np.float32], Shape((2 * candidates.SHAPE_REACH + 1,))]
    """The ``shape`` of `candidates.Beats`."""
    energies: Annotated[NDArray[np.int32], Shape((candidates.LONG_SAMPLES,))]
    """The detector's latest energies."""
    watch: Annotated[NDArray[np.int64], Shape((slots.COUNTERS,))]
    extremes: Annotated[NDArray[np.float64], Shape((slots.EXTREMES,))]
    recent: Annotated[NDArray[np.uint8], Shape((SAMPLING_RATE_HZ,))]
    blocks: Annotated[NDArray[np.float64], Shape((slots.BLOCK_ROWS, slots.BLOCKS_KEPT))]
    usual: Annotated[NDArray[np.float64], Shape((slots.USUAL_ROWS, slots.USUAL_BEATS + 1))]
    """Sizes of the latest beats, by which noise is assessed, and how much of the time rests."""
    shapes: Annotated[NDArray[np.float64], Shape((slots.USUAL_BEATS, slots.SHAPE_SIZE))]
    """Shapes of these beats."""
    tail_clean: Annotated[NDArray[np.float32], Shape((TAIL_SAMPLES,))]
    """The latest samples before the filter, as the detector sees them: without pacing spikes, and
    `kernels.spikes.LATE` behind."""
    tail: Annotated[NDArray[np.float32], Shape((TAIL_SAMPLES,))]
    """The latest samples behind the filter."""
    tail_codes: Annotated[NDArray[np.uint8], Shape((TAIL_SAMPLES,))]
    """Why each of ``tail`` is masked."""
    fibrillation: FibrillationState
    fast_rhythm: FastRhythmState = field(default_factory=FastRhythmState.fresh)
    spiked: Annotated[NDArray[np.float32], Shape((spikes.LATE,))] = field(
        default_factory=lambda: np.zeros(spikes.LATE, dtype=np.float32)
    )
    """The latest samples, with pacing spikes: the detector has not seen them."""
    response: Annotated[NDArray[np.float32], Shape((TAIL_SAMPLES,))] = field(
        default_factory=lambda: np.zeros(TAIL_SAMPLES, dtype=np.float32)
    )
    """What spikes leave in the band of windows, placed as ``tail_clean``."""
    response_filter: Annotated[NDArray[np.float64], Shape((5,))] = field(
        default_factory=lambda: np.zeros(5)
    )
    """Memory of the filter of ``response``."""

    @classmethod
    def fresh(cls, half: int) -> Self:
        """Return the state before the first sample; ``half`` as in `Resampling`."""
        levels = np.zeros((4, 8), dtype=np.int64)
        levels[candidates.RR] = _USUAL_RR
        return cls(
            raw=np.zeros(1),
            sanitise=np.zeros(11),
            resample=np.zeros(5, dtype=np.int64),
            history=np.zeros(max(2 * half - 1, 0), dtype=np.float32),
            spikes=np.zeros(3),
            unspiked=np.zeros(spikes.KEPT, dtype=np.float32),
            filters=np.zeros((5, 2)),
            detector=np.zeros(candidates.COUNTERS, dtype=np.int64),
            candidates=np.zeros((16, candidates.CANDIDATE), dtype=np.int64),
            levels=levels,
            shape=np.zeros(2 * candidates.SHAPE_REACH + 1, dtype=np.float32),
            energies=np.zeros(candidates.LONG_SAMPLES, dtype=np.int32),
            watch=np.zeros(slots.COUNTERS, dtype=np.int64),
            extremes=np.zeros(slots.EXTREMES),
            recent=np.zeros(SAMPLING_RATE_HZ, dtype=np.uint8),
            blocks=np.zeros((slots.BLOCK_ROWS, slots.BLOCKS_KEPT)),
            usual=np.zeros((slots.USUAL_ROWS, slots.USUAL_BEATS + 1)),
            shapes=np.zeros((slots.USUAL_BEATS, slots.SHAPE_SIZE)),
            tail_clean=np.zeros(TAIL_SAMPLES, dtype=np.float32),
            tail=np.zeros(TAIL_SAMPLES, dtype=np.float32),
            tail_codes=np.zeros(TAIL_SAMPLES, dtype=np.uint8),
            fibrillation=FibrillationState.fresh(),
        )

    def gather(self) -> NDArray[np.float64]:
        """Move all arrays into one, of which they are parts from then on, and return that.

        It is what `passage.advance` updates.
        """
        whole = np.zeros(memory.memory_size(self.history.size))
        parts = memory.lay_out_memory(whole, self.history.size)
        arrays: tuple[NDArray[Any], ...] = parts
        for own_name, part in zip(parts._fields, arrays, strict=True):
            owner, name = _OWNERS.get(own_name, (None, own_name))
            state = getattr(self, owner) if owner else self
            part[...] = getattr(state, name)
            setattr(state, name, part)
        return whole

    def is_consistent(self, rate: Resampling, expected: int, done: int) -> bool:
        """Return whether this can be the state of a lead of such a ``rate``.

        The kernels do not look whether an index lies within its array, nor a code among those of
        `Reason`; and what is no number, or beyond all times, would leave a stream deaf for ever.

        Args:
            rate: of the source.
            expected: the source's next sample, or `NONE`.
            done: samples of the segment that went through, at 360 Hz.
        """
        return (
            self.history.size == max(2 * rate.half - 1, 0)
            and self._numbers_are_possible()
            and self._positions_agree(rate, expected, done)
            and self._detector_is_possible()
            and self._quality_is_possible()
        )

    def _numbers_are_possible(self) -> bool:
        """Return whether every number that a kernel calculates with is one, and none is absurd."""
        fibrillation = self.fibrillation
        numbers = (
            self.sanitise, self.history, self.spikes, self.unspiked, self.filters, self.shape,
            self.extremes, self.blocks, self.usual, self.shapes, self.tail_clean, self.tail,
            self.spiked, self.response, self.response_filter, fibrillation.mean, fibrillation.wide,
            fibrillation.low, fibrillation.rings, self.fast_rhythm.ring,
        )  # fmt: skip
        return all(bool((np.abs(one) <= _LARGEST).all()) for one in numbers)  # NaN is not

    def next_in(self, rate: Resampling, expected: int) -> int:
        """Return where the next sample that the resampler makes lies, in steps of both rates."""
        due = self.resample.tolist()
        to_come = due[sampling.POSITION] - due[sampling.TAKEN]
        return (expected + to_come) * rate.per + due[sampling.REST] if rate.half else expected

    def _positions_agree(self, rate: Resampling, expected: int, done: int) -> bool:
        """Return whether all parts have seen the same samples."""
        due = self.resample.tolist()
        to_come = due[sampling.POSITION] - due[sampling.TAKEN]
        if not (
            0 <= due[sampling.TAKEN] <= _LAST_POSITION
            and 0 <= due[sampling.REST] < rate.per
            and 0 <= due[sampling.BAD_CODE] <= max(Reason)
            and -rate.half <= to_come <= rate.step // rate.per + 1
        ):
            return False
        return expected == NONE or bool(
            self.watch[slots.TICK] == done
            and self.detector[candidates.NOW] == max(done - spikes.LATE, 0)
            and self.fibrillation.counters[fibrillation_kernel.COUNT] == done
            and self.fast_rhythm.counters[repetition.COUNT] == done
        )

    def _detector_is_possible(self) -> bool:
        """Return whether the memory of `kernels.beats` is one that it leaves behind."""
        counters, apart = self.detector.tolist(), int(DETECTOR[candidates.APART])
        now, waiting = counters[candidates.NOW], counters[candidates.WAITING]
        best_at, last_at = counters[candidates.BEST_AT], counters[candidates.LAST_AT]
        learn, most = int(DETECTOR[candidates.LEARN]), candidates.SHORT_SAMPLES * _MOST_ENERGY
        overdue = int(DETECTOR[candidates.SEARCH_AFTER] * learn) + apart
        sizes = (candidates.HEIGHT, candidates.CONTRAST, candidates.SLOPE, candidates.SPAN)
        if not 0 <= waiting <= len(self.candidates):
            return False
        looked_at = self.candidates[:waiting]
        return bool(
            (best_at == NONE or max(now - apart, 0) <= best_at <= now)
            and NONE <= last_at <= now
            and -_LAST_POSITION <= counters[candidates.LAST_R] <= now
            and 0 <= counters[candidates.LEARNED] <= DETECTOR[candidates.SHOWN] + 1
            and 0 <= counters[candidates.DUE] <= now + overdue
            and all(0 <= counters[at] <= most for at in _DETECTOR_SIZES)
            and _within(self.energies, 0, _MOST_ENERGY)
            and counters[candidates.SHORT] == self.energies[-candidates.SHORT_SAMPLES :].sum()
            and _within(looked_at[:, candidates.AT], 0, now)
            and _within(looked_at[:, sizes], 0, most)
            and _within(looked_at[:, candidates.SHARPNESS], 0, most)
            and _within(self.levels, 0, most)
            and _within(self.levels[candidates.RR], 0, learn)
        )

    def _quality_is_possible(self) -> bool:
        """Return whether the memory of `kernels.condition` and the watches is what they leave."""
        watch, tick = self.watch.tolist(), int(self.watch[slots.TICK])
        return bool(
            all(0 <= watch[at] <= tick for at in _WATCHED)
            and all(0 <= watch[at] <= max(Reason) for at in _REASONS)
            and 0 <= watch[slots.BLOCK] < slots.BLOCKS_KEPT
            and 0 <= watch[slots.SHAPE] < slots.USUAL_BEATS
            and 0 <= watch[slots.ODD] < 1 << slots.USUAL_BEATS
            and abs(watch[slots.RECOVERING]) <= tick
            and self.recent.max() <= 1
            and watch[slots.MASKED] == self.recent.sum()
            and self.tail_codes.max() <= max(Reason)
            and self.fibrillation.is_consistent
            and self.fast_rhythm.is_consistent
        )

    def begin_segment(
        self, rate: Resampling, first_sample: int, last_r: int, *, after_gap: bool
    ) -> None:
        """Put everything at rest but the sizes and intervals that the detector has learned.

        The next input is the source's ``first_sample``. The latest beat of the patient was at
        ``last_r``, counted from the new segment's start, or none was. After a gap the lead begins
        in the state `Reason.GAP`.
        """
        learned = self.detector[candidates.LEARNED]
        fibrillation, fast = self.fibrillation, self.fast_rhythm
        for array in (
            self.sanitise, self.resample, self.history, self.spikes, self.unspiked, self.filters,
            self.detector, self.energies, self.watch, self.extremes, self.recent, self.blocks,
            self.tail_clean, self.tail, self.tail_codes, self.spiked, self.response,
            self.response_filter, fibrillation.mean, fibrillation.wide, fibrillation.low,
            fibrillation.rings, fibrillation.counters, fibrillation.counts, fast.ring, fast.lost,
            fast.counters, fast.counts,
        ):  # fmt: skip
            array[...] = 0
        whole, rest = divmod(rate.first_at(first_sample) * rate.step, rate.per)
        self.resample[:] = 0, whole - first_sample, rest, NONE - 2 * rate.half, 0
        detector = self.detector
        detector[[candidates.BEST_AT, candidates.LAST_AT]] = NONE
        detector[candidates.LAST_R] = last_r
        detector[candidates.LEARNED] = learned
        rr = float(np.median(self.levels[candidates.RR]))
        overdue = DETECTOR[candidates.SEARCH_AFTER] * rr + DETECTOR[candidates.APART]
        detector[candidates.DUE] = overdue if learned else DETECTOR[candidates.LEARN]
        if after_gap:
            self.watch[slots.STATE] = Reason.GAP


def _within(values: NDArray[Any], least: int, most: int) -> bool:
    """Return whether no value lies outside of two bounds; they may be none."""
    return bool(((least <= values) & (values <= most)).all())
