"""What a `pipeline.signal.segmenter.Segmenter` remembers between chunks, and its kernels' settings.

All of it lies in fixed arrays, which the kernels update in place. Pure in memory.
"""

from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_BEFORE_R
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State
from pipeline.signal import quality
from pipeline.signal.fibrillation import FIBRILLATION_STEP_S, FibrillationState
from pipeline.signal.filters import Resampling
from pipeline.signal.kernels import beats, condition, sampling
from pipeline.signal.kernels import fibrillation as fibrillation_kernel
from pipeline.signal.quality import Reason

DETECTOR: Final = np.array(
    [
        72,  # APART: 200 ms, the refractory period (Pan & Tompkins 1985)
        34,  # DELAY: of the QRS band-pass and the 97 ms sum, measured on an impulse
        25,  # REACH: the R peak lies within 70 ms of the energy's centre
        15,  # RIM: the level around a complex is that of 40 ms before and after its reach
        0.3,  # TAPER: how much less a deflection counts at the edge of the reach
        720,  # LEARN: 2 s until the first levels; also the longest RR interval that is averaged
        2160,  # RELEARN: 6 s without a beat, then the levels are learned anew
        1080,  # EXPIRE: a candidate older than 3 s stays what it was
        130,  # T_WITHIN: 360 ms, a T wave's time (Pan & Tompkins 1985)
        0.3,  # THRESHOLD: between rejects (0) and beats (1) (Hamilton & Tompkins 1986: 0.3125)
        0.4,  # T_RATIO: a T wave of 1.2 mV after a QRS of 1 mV stays below; early wide beats above
        1.66,  # SEARCH_AFTER: RR intervals after which a beat is overdue (Pan & Tompkins 1985)
        0.5,  # SEARCH_RATIO: half the threshold counts then, and for what is PROMINENT
        0.7,  # LEARN_RATIO: of the highest candidate of the learning time
        35 * 150.0,  # FLOOR: a mean of 15 uV, that of a QRS of 50 uV
        1.5,  # PEAKED: a late candidate's energy over that around it (noise stays below)
        2.0,  # PROMINENT: above this, half the threshold will do at once, without search back
    ]
)
"""Settings of `pipeline.signal.kernels.beats.detect_beats`, in the order of its slots."""

WATCH: Final = np.array(
    [
        quality.FLAT_MV,
        quality.FLAT_SECONDS * SAMPLING_RATE_HZ / condition.BLOCK_SAMPLES,
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
    ]
)
"""Settings of `pipeline.signal.kernels.condition.watch`, in the order of its slots."""

TAIL_SAMPLES: Final = 2048
"""Samples kept at 360 Hz: more than a beat found late by the search back reaches back for."""

PENDING_BEATS: Final = 32
"""Beats that may wait for their window: those of half a second, 200 ms apart, and at most the
detector's 16 waiting candidates."""

_USUAL_RR: Final = 288  # 75 bpm until it is known

NONE: Final = -1
"""Value of `EXPECTED` and `LAST_R` before the first sample and beat."""

# Slots of `SegmenterState.counters`. Positions at 360 Hz count from the segment's start, ORIGIN;
# EXPECTED is the source's next sample, DONE and PENDING count samples and beats, LAST_R and
# LAST_RUN belong to the latest beat that was handed out.
EXPECTED, ORIGIN, DONE, PENDING, LAST_R, LAST_RUN = range(6)


class SegmenterState(State):
    """All memory of a `Segmenter`: arrays that the kernels update in place."""

    counters: Annotated[NDArray[np.int64], Shape((6,))]
    """The slots above."""
    raw: Annotated[NDArray[np.float64], Shape((1,))]
    """The last raw value, where a short gap's line begins."""
    sanitise: Annotated[NDArray[np.float64], Shape((5,))]
    resample: Annotated[NDArray[np.int64], Shape((5,))]
    history: Annotated[NDArray[np.float32], Shape((None,))]
    """float32[2 * half - 1]: the resampler's latest inputs."""
    filters: Annotated[NDArray[np.float64], Shape((5, 2))]
    detector: Annotated[NDArray[np.int64], Shape((12,))]
    """`beats.Beats.counters`,"""
    candidates: Annotated[NDArray[np.int64], Shape((16, 2))]
    """its ``waiting``,"""
    levels: Annotated[NDArray[np.int64], Shape((3, 8))]
    """and its ``levels``."""
    energies: Annotated[NDArray[np.int32], Shape((beats.LONG_SAMPLES,))]
    """The detector's latest energies."""
    watch: Annotated[NDArray[np.int64], Shape((condition.COUNTERS,))]
    extremes: Annotated[NDArray[np.float64], Shape((condition.EXTREMES,))]
    recent: Annotated[NDArray[np.uint8], Shape((SAMPLING_RATE_HZ,))]
    blocks: Annotated[NDArray[np.float64], Shape((condition.BLOCK_ROWS, condition.BLOCKS_KEPT))]
    usual: Annotated[NDArray[np.float64], Shape((condition.USUAL_ROWS, condition.USUAL_BEATS + 1))]
    """Sizes of the latest beats, by which noise is judged, and how much of the time rests;"""
    shapes: Annotated[NDArray[np.float64], Shape((condition.USUAL_BEATS, condition.SHAPE_SIZE))]
    """their shapes."""
    tail_clean: Annotated[NDArray[np.float32], Shape((TAIL_SAMPLES,))]
    """The latest samples before the filter,"""
    tail: Annotated[NDArray[np.float32], Shape((TAIL_SAMPLES,))]
    """behind it,"""
    tail_codes: Annotated[NDArray[np.uint8], Shape((TAIL_SAMPLES,))]
    """why they are masked,"""
    tail_runs: Annotated[NDArray[np.uint8], Shape((TAIL_SAMPLES,))]
    """and the number of the run, analysable or not, that they belong to."""
    pending: Annotated[NDArray[np.int64], Shape((PENDING_BEATS, 2))]
    """R peak and confirmation of beats whose window is not complete."""
    fibrillation: FibrillationState

    @classmethod
    def fresh(cls, half: int) -> Self:
        """Return the state before the first sample; ``half`` as in `Resampling`."""
        counters = np.zeros(6, dtype=np.int64)
        counters[[EXPECTED, LAST_R]] = NONE
        levels = np.zeros((3, 8), dtype=np.int64)
        levels[beats.RR] = _USUAL_RR
        return cls(
            counters=counters,
            raw=np.zeros(1),
            sanitise=np.zeros(5),
            resample=np.zeros(5, dtype=np.int64),
            history=np.zeros(max(2 * half - 1, 0), dtype=np.float32),
            filters=np.zeros((5, 2)),
            detector=np.zeros(12, dtype=np.int64),
            candidates=np.zeros((16, 2), dtype=np.int64),
            levels=levels,
            energies=np.zeros(beats.LONG_SAMPLES, dtype=np.int32),
            watch=np.zeros(condition.COUNTERS, dtype=np.int64),
            extremes=np.zeros(condition.EXTREMES),
            recent=np.zeros(SAMPLING_RATE_HZ, dtype=np.uint8),
            blocks=np.zeros((condition.BLOCK_ROWS, condition.BLOCKS_KEPT)),
            usual=np.zeros((condition.USUAL_ROWS, condition.USUAL_BEATS + 1)),
            shapes=np.zeros((condition.USUAL_BEATS, condition.SHAPE_SIZE)),
            tail_clean=np.zeros(TAIL_SAMPLES, dtype=np.float32),
            tail=np.zeros(TAIL_SAMPLES, dtype=np.float32),
            tail_codes=np.zeros(TAIL_SAMPLES, dtype=np.uint8),
            tail_runs=np.zeros(TAIL_SAMPLES, dtype=np.uint8),
            pending=np.zeros((PENDING_BEATS, 2), dtype=np.int64),
            fibrillation=FibrillationState.fresh(),
        )

    def check(self, half: int) -> None:
        """Raise `SnapshotError` unless the kernels may trust the indices of a state that was read.

        They do not look whether an index lies within its array.
        """
        done, now = int(self.counters[DONE]), int(self.detector[beats.NOW])
        pending, waiting = int(self.counters[PENDING]), int(self.detector[beats.WAITING])
        due, fibrillation = self.resample, self.fibrillation.counters
        if not (
            self.history.size == max(2 * half - 1, 0)
            and 0 <= pending <= PENDING_BEATS
            and 0 <= waiting <= len(self.candidates)
            and bool((self.pending[:pending, 0] >= done - TAIL_SAMPLES + WINDOW_BEFORE_R).all())
            and bool((self.candidates[:waiting, 0] <= now).all())
            and self.detector[beats.BEST_AT] <= now
            and self.watch[condition.TICK] >= 0
            and 0 <= self.watch[condition.BLOCK] < condition.BLOCKS_KEPT
            and 0 <= self.watch[condition.SHAPE] < condition.USUAL_BEATS
            and (not half or due[sampling.POSITION] >= due[sampling.TAKEN] - half)
            and 0 <= fibrillation[fibrillation_kernel.AT] < fibrillation_kernel.KEPT
            and 0 <= fibrillation[fibrillation_kernel.SINCE] < fibrillation_kernel.EVERY
            and fibrillation[fibrillation_kernel.COUNT] >= 0
        ):
            raise SnapshotError("state of a segmenter whose indices are out of range")

    def begin_segment(self, rate: Resampling, first_sample: int, *, after_gap: bool) -> None:
        """Put everything at rest but the sizes and intervals that the detector has learned.

        The next input is the source's ``first_sample``. After a gap the stream begins in the state
        `Reason.GAP`.
        """
        origin = rate.first_at(first_sample)
        last_r = int(self.counters[LAST_R])
        learned = self.detector[beats.LEARNED]
        run = int(self.watch[condition.RUN])
        for array in (
            self.sanitise, self.resample, self.history, self.filters, self.detector,
            self.energies, self.watch, self.extremes, self.recent, self.blocks,
            self.tail_clean, self.tail, self.tail_codes, self.tail_runs,
        ):  # fmt: skip
            array[...] = 0
        self.fibrillation = FibrillationState.fresh()
        self.counters[[ORIGIN, DONE, PENDING]] = origin, 0, 0
        whole, rest = divmod(origin * rate.step, rate.per)
        self.resample[:] = 0, whole - first_sample, rest, NONE - 2 * rate.half, 0
        detector = self.detector
        detector[[beats.BEST_AT, beats.LAST_AT]] = NONE
        detector[beats.LAST_R] = last_r - origin if last_r != NONE else -int(DETECTOR[beats.APART])
        detector[beats.LEARNED] = learned
        rr = float(np.median(self.levels[beats.RR]))
        overdue = DETECTOR[beats.SEARCH_AFTER] * rr + DETECTOR[beats.APART]
        detector[beats.DUE] = overdue if learned else DETECTOR[beats.LEARN]
        if after_gap:
            self.watch[condition.STATE] = Reason.GAP
            self.watch[condition.RUN] = run + 1 + run % 2
