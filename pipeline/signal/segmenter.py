"""Cut a stream of ECG samples into beats, one chunk at a time.

Feed chunks of any length to `Segmenter.push`; it returns the beats that became complete. The
result depends only on the samples, never on how they were cut into chunks:
`test_chunking_changes_nothing` checks that. Records, training and the live hub all go
through the same code.

Pure in memory: no sockets, no clock, no logging. Units: mV in, sample indices out. Not
thread-safe: one instance a stream.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import (
    SAMPLING_RATE_HZ,
    SAMPLING_RATE_LIMITS_HZ,
    WINDOW_AFTER_R,
)
from pipeline.signal import quality
from pipeline.signal.fast_rhythm import FastRhythmWatch
from pipeline.signal.fibrillation import NEVER_FLATTER, FibrillationWatch
from pipeline.signal.filters import BAND, filter_bank, resampling
from pipeline.signal.kernels import beats, candidates, condition, sampling, slots, spikes
from pipeline.signal.pacing import band_without_spikes
from pipeline.signal.quality import QualityChange, Reason
from pipeline.signal.samples import SampleBlock, admit
from pipeline.signal.segment import (
    NO_BEATS,
    BeatArrays,
    FastRhythmChange,
    FibrillationChange,
    Segment,
    Stretch,
    cut,
    fill,
    joined,
)
from pipeline.signal.segmenter_state import (
    DETECTOR,
    DONE,
    EXPECTED,
    LAST_R,
    LAST_RUN,
    NONE,
    ORIGIN,
    PENDING,
    TAIL_SAMPLES,
    WATCH,
    SegmenterState,
)
from pipeline.signal.workspace import Workspace, Workspaces

PIECE: Final = 16384
"""Samples that go through the kernels at once: what these hand on to each other stays in the
processor's cache."""

FILL_SECONDS: Final = 0.04
"""Missing samples are filled by a line up to this long, and masked; longer ones split the
stream."""

_FLUSH: Final = 140 + spikes.LATE
"""Samples after the end that confirm a beat just before it: R to energy, and APART; and by how much
the detector is behind."""

_EDGE: Final = 5
"""An R peak nearer to the end than so many samples is none: the signal was not seen to turn."""

_MOST_FLAT: Final = max(NEVER_FLATTER, quality.MOST_REST, quality.REST_SHARE)
"""With more flat slopes, as hearts that beat have, nothing asks where the power lies."""


class Segmenter:
    """The way of one stream from samples to windows.

    Push the samples of one epoch in order; repeats are dropped and holes are seen by the
    numbering. After `finish` the next push begins a new epoch; what the detector has learned
    about the size of this patient's QRS stays.
    """

    def __init__(self, fs_hz: float, state: SegmenterState | None = None) -> None:
        """Prepare for a stream of ``fs_hz``, or continue from the ``state`` of one.

        Raises:
            ValueError: the rate is outside 50 to 10,000 Hz.
            SnapshotError: the state is none of such a stream.
        """
        lowest, highest = SAMPLING_RATE_LIMITS_HZ
        if not lowest <= fs_hz <= highest:
            raise ValueError(f"sampling rate of {fs_hz} Hz is outside {lowest} to {highest} Hz")
        self._rate = resampling(fs_hz)
        self._fill = int(FILL_SECONDS * fs_hz)
        self._spikes = quality.pacing_spikes(fs_hz)
        self._filtered_spikes = np.array(quality.filtered_spikes(fs_hz))
        self._bank = filter_bank()
        if state is not None:
            state.check(self._rate)
        self.state = state or SegmenterState.fresh(self._rate.half)
        self._workspaces = Workspaces()
        self._connect()

    def _connect(self) -> None:
        """Let the parts of the segmenter work on the arrays of its state."""
        state = self.state
        self._beats = candidates.Beats(
            state.detector, state.candidates, state.levels, state.shape,
            np.zeros(candidates.CANDIDATE, dtype=np.int64),
        )  # fmt: skip
        self._fibrillation = FibrillationWatch(state.fibrillation, _MOST_FLAT)
        self._fast_rhythm = FastRhythmWatch(state.fast_rhythm)

    def push(self, block: SampleBlock) -> Segment:
        """Take in samples and return what they completed.

        Args:
            block: samples, float32[n] in mV, any values: what is not finite counts as no signal;
                and flags, uint8[n]. 0 <= first_sample < 2**53. Its epoch is not looked at.

        Raises:
            ValueError: a shape or a first sample other than promised; nothing has changed.
        """
        x, marks = admit(block.samples, block.first_sample, block.flags)
        counters = self.state.counters
        expected = int(counters[EXPECTED])
        if expected == NONE:
            if x.size:
                self._begin(block.first_sample, after_gap=False)
            expected = block.first_sample
        duplicates = min(max(expected - block.first_sample, 0), x.size)
        first = block.first_sample + duplicates
        if duplicates:
            x, marks = x[duplicates:], marks[duplicates:]
        gap = first - expected if x.size else 0
        before: Segment | None = None
        if x.size:
            end = first + x.size
            if gap > self._fill:
                before = self._flush()
                if self.state.watch[slots.STATE] != Reason.GAP:
                    before.quality.append(QualityChange(expected, Reason.GAP))
                self._begin(first, after_gap=True)
            elif gap:
                x, marks = fill(float(self.state.raw[0]), gap, x, marks)
            counters[EXPECTED] = end
            self.state.raw[0] = x[-1]
        begins = range(0, max(x.size, 1), PIECE)
        pieces = (self._advance(x[i : i + PIECE], marks[i : i + PIECE]) for i in begins)
        most = x.size * self._rate.per // self._rate.step + 2 * len(begins)
        segment = next(pieces) if len(begins) == 1 else joined(pieces, most)
        self._workspaces.forget_large()
        if before is not None:
            segment = before.followed_by(segment)
        segment.gap_samples, segment.duplicate_samples = gap, duplicates
        return segment

    def finish(self) -> Segment:
        """End the epoch: beats whose window can no longer be completed come out as they are."""
        last = self._flush()
        self.state.counters[[EXPECTED, LAST_R, DONE, PENDING]] = NONE, NONE, 0, 0
        return last

    def _begin(self, first_sample: int, *, after_gap: bool) -> None:
        self.state.begin_segment(self._rate, first_sample, after_gap=after_gap)
        self._connect()

    def _flush(self) -> Segment:
        """Bring out what the segment still holds, as if its last value lasted for a while."""
        state, rate = self.state, self._rate
        expected = int(state.counters[EXPECTED])
        if expected == NONE:
            return self._advance(np.empty(0, np.float32), np.empty(0, np.uint8))
        last = state.sanitise[sampling.LAST] + state.sanitise[sampling.OFFSET]
        more = rate.half + _FLUSH * rate.step // rate.per + 1
        end = (expected - 1) * rate.per // rate.step + 1 - int(state.counters[ORIGIN])
        pad = np.full(more, last, dtype=np.float32)
        return self._advance(pad, np.zeros(more, dtype=np.uint8), end=max(end, 0))

    def _advance(
        self, x: NDArray[np.float32], marks: NDArray[np.uint8], end: int | None = None
    ) -> Segment:
        """Run new samples through the kernels; ``end`` closes the segment there (see `_flush`).

        1. Sanitise the raw samples and convert their rate to 360 Hz (`sampled`).
        2. Filter them into three bands: for windows, for the detector, for the noise measure.
        3. Find QRS complexes in the detector's band, behind by `spikes.LATE`: it never sees pacing
           spikes.
        4. Follow the quality of the signal: why each sample is masked, if it is. A rhythm too fast
           for single beats keeps time, so it is no motion.
        5. Cut the windows of the beats that the new samples complete (`_emit`).
        6. List where the quality changes, and where fibrillation and rhythms too fast for single
           beats begin and end.
        7. Keep the newest samples, from which later windows are cut.
        """
        state = self.state
        # 1.
        clean, codes = self.sampled(x, marks)
        n = clean.size
        done = int(state.counters[DONE])
        first = int(state.counters[ORIGIN]) + done
        if not n:
            return Segment(*NO_BEATS, [], [], clean, first)
        new = n if end is None else end - done
        work = self._workspaces.of(n)
        work.put_before(state)
        # 2.
        work.spiked.new[:] = clean
        spikes.remove_spikes(work.spiked.whole, self._filtered_spikes, state.spikes, work.raw.new)
        sampling.filter_bank(clean, work.raw.new, self._bank, state.filters, work.y)
        work.filtered.new[:] = work.band
        # 3.
        band = band_without_spikes(state, self._bank, clean, work)
        early = min(max(spikes.LATE - done, 0), n)  # the segment's first samples come later
        n_found = beats.detect_beats(
            work.qrs[early:], work.unspiked, band, DETECTOR,
            self._beats, work.energies.whole, work.found,
        )  # fmt: skip
        found = work.found[:n_found]
        if n_found:
            found[:, 1] += spikes.LATE
        # 4.
        before = state.watch[slots.STATE]
        measures = self._fibrillation.measure(clean[:new], codes[:new])
        fast, moving = self._too_fast(work.qrs[:new], codes[:new], *measures)
        wrong = condition.watch(
            clean, codes, work.filtered.whole, work.y, found, measures[0], moving, WATCH,
            state.watch, state.extremes, state.recent, state.blocks, state.usual, state.shapes,
            work.states, work.runs.new,
        )  # fmt: skip
        mask = np.where(codes != 0, codes, work.states) if wrong else work.states
        work.masks.new[:] = mask
        # 5.
        emitted = self._emit(found, work, done + new - 1, closed=end is not None)
        # 6.
        strip = np.where(mask == 0, work.band, np.float32(np.nan)) if wrong else work.band.copy()
        changes = self._changes(before, work.states[:new], first) if wrong else []
        fibrillation = self._fibrillating(*measures)
        # 7.
        state.counters[DONE] = done + n
        work.keep_latest(state, n - early)
        return Segment(*emitted, changes, fibrillation, strip[:new], first, fast_rhythm=fast)

    def sampled(
        self, x: NDArray[np.float32], marks: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Sanitise raw samples and convert their rate: the first step of `push`, for trainings.

        Args:
            x: float32[n], mV, the stream's next samples.
            marks: uint8[n], their flags.

        Returns:
            float32[m] in mV at 360 Hz, finite, and uint8[m] of `Reason`, why each is masked.
        """
        state, rate = self.state, self._rate
        clean = np.empty(x.size, dtype=np.float32)
        codes = np.empty(x.size, dtype=np.uint8)
        sampling.sanitise(
            x, marks, quality.PLAUSIBLE_MV, float(self._fill), *self._spikes, state.sanitise,
            clean, codes,
        )  # fmt: skip
        if not rate.half:
            return clean, codes
        inputs = np.concatenate((state.history, clean))
        out = np.empty(x.size * rate.per // rate.step + 2, dtype=np.float32)
        out_codes = np.empty(out.size, dtype=np.uint8)
        n = sampling.resample(
            inputs, codes, rate.step, rate.per, rate.taps, state.resample, out, out_codes
        )
        state.history[:] = inputs[x.size :]
        return out[:n], out_codes[:n]

    def _changes(
        self, before: np.int64, states: NDArray[np.uint8], first: int
    ) -> list[QualityChange]:
        """List where the stream's state changed; ``first`` is the position of states[0]."""
        at = np.flatnonzero(np.diff(states, prepend=np.uint8(before)))
        samples = self._rate.to_source(at + first)
        return [
            QualityChange(int(sample), Reason(int(state)))
            for sample, state in zip(samples, states[at], strict=True)
        ]

    def _fibrillating(
        self, positions: NDArray[np.int64], rows: NDArray[np.float64]
    ) -> list[FibrillationChange]:
        """List where fibrillation begins and ends."""
        if not positions.size:
            return []  # nearly always
        origin = int(self.state.counters[ORIGIN])
        found = []
        for change in self._fibrillation.decide(positions, rows):
            at = np.array([change.position, change.begun_at]) + origin
            sample, begun_at = self._rate.to_source(at).tolist()
            found.append(FibrillationChange(sample, change.active, begun_at, change.hz, change.mv))
        return found

    def _too_fast(
        self,
        y: NDArray[np.float32],
        codes: NDArray[np.uint8],
        positions: NDArray[np.int64],
        rows: NDArray[np.float64],
    ) -> tuple[list[FastRhythmChange], NDArray[np.float64]]:
        """List where a rhythm too fast for single beats begins and ends.

        Also return the measures of motion: the ``rows`` at ``positions``, of which those in such a
        rhythm say nothing. What moves an electrode does not repeat itself.
        """
        was_active = self._fast_rhythm.state.active
        changes = self._fast_rhythm.push(y, codes)
        if not was_active and not changes:
            return [], rows  # nearly always
        origin = int(self.state.counters[ORIGIN])
        repeats = np.full(positions.size, was_active)
        found = []
        for change in changes:
            if change.sure:
                repeats[positions >= change.position] = change.active
            at = np.array([change.position, change.begun_at]) + origin
            sample, begun_at = self._rate.to_source(at).tolist()
            found.append(FastRhythmChange(sample, change.active, begun_at, change.bpm, change.sure))
        rows = rows.copy()
        rows[repeats, slots.UNKNOWN] = 1.0
        return found, rows

    def _emit(
        self, found: NDArray[np.int64], work: Workspace, last: int, *, closed: bool
    ) -> BeatArrays:
        """Return the beats whose window is complete with the sample at ``last``.

        When ``closed``, all of them.
        """
        state, counters = self.state, self.state.counters
        pending = int(counters[PENDING])
        reach = _EDGE if closed else WINDOW_AFTER_R - 1
        if not (found.size or closed or (pending and state.pending[0, 0] + reach <= last)):
            return NO_BEATS  # nearly always, when chunks are short
        waiting = np.concatenate((state.pending[:pending], found))
        b = int(np.count_nonzero(waiting[:, 0] + reach <= last))
        still = 0 if closed else len(waiting) - b
        state.pending[:still] = waiting[b : b + still]
        counters[PENDING] = still
        if not b:
            return NO_BEATS
        r = waiting[:b, 0]
        stretch = Stretch(
            int(counters[DONE]) - TAIL_SAMPLES, last, work.filtered.whole, work.masks.whole,
            work.runs.whole,
        )  # fmt: skip
        r_samples = r + counters[ORIGIN]
        needed = np.maximum(r + (WINDOW_AFTER_R - 1), waiting[:b, 1]) + counters[ORIGIN]
        return (
            r_samples,
            self._rate.to_source(r_samples),
            np.minimum(self._rate.needed(needed), counters[EXPECTED] - 1),
            self._intervals(r_samples, stretch.runs[r - stretch.first]),
            *cut(r, stretch),
        )

    def _intervals(
        self, r_samples: NDArray[np.int64], runs: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Return the RR intervals in seconds, NaN unless one analysable stretch holds both."""
        counters = self.state.counters
        previous = np.concatenate((counters[LAST_R : LAST_R + 1], r_samples[:-1]))
        before = np.concatenate((counters[LAST_RUN : LAST_RUN + 1], runs[:-1]))
        known = (previous != NONE) & (before == runs) & (runs % 2 == 0)
        counters[LAST_R], counters[LAST_RUN] = r_samples[-1], runs[-1]
        return np.where(known, (r_samples - previous) / SAMPLING_RATE_HZ, np.nan)


def detect_record(x: NDArray[np.float32], fs_hz: float) -> NDArray[np.int64]:
    """Return the R peaks, int64[b] in source samples, of a whole record float32[n] in mV.

    The record goes through a `Segmenter`, so these are the beats that a live stream would have.
    Raises ValueError for a shape other than (n,) or a rate outside 50 to 10,000 Hz.
    """
    segmenter = Segmenter(fs_hz)
    streamed = segmenter.push(SampleBlock(0, x))
    return np.concatenate((streamed.samples, segmenter.finish().samples))


def filter_record(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a whole 360 Hz record, float32[n] in mV, behind the window band-pass.

    Values that are no signal are held as in a stream; raises ValueError for another shape.
    """
    raw, codes = admit(x, 0, None)
    state = SegmenterState.fresh(0)
    clean = np.empty(raw.size, dtype=np.float32)
    out = np.empty((3, raw.size), dtype=np.float32)
    held = float(int(FILL_SECONDS * SAMPLING_RATE_HZ))
    sampling.sanitise(
        raw, codes.copy(), quality.PLAUSIBLE_MV, held, *quality.pacing_spikes(SAMPLING_RATE_HZ),
        state.sanitise, clean, codes,
    )  # fmt: skip
    sampling.filter_bank(clean, clean, filter_bank(), state.filters, out)
    return np.asarray(out[BAND])
