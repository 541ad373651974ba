"""One lead's way from samples to what may be beats of the patient, and to what the signal is worth.

`pipeline.signal.segmenter` puts several of them side by side. Pure in memory. Units: mV in, sample
positions at 360 Hz out.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal import fast_rhythm, fibrillation, quality
from pipeline.signal.fast_rhythm import FastRhythmWatch
from pipeline.signal.fibrillation import NEVER_FLATTER, FibrillationWatch
from pipeline.signal.filters import Resampling, filter_bank
from pipeline.signal.kernels import beats, candidates, condition, sampling, slots, spikes
from pipeline.signal.leads.lead_state import DETECTOR, WATCH, LeadState
from pipeline.signal.pacing import band_without_spikes
from pipeline.signal.workspace import LeadWorkspace

FILL_SECONDS: Final = 0.04
"""Missing samples are filled by a line up to this long, and masked; longer ones split the
stream."""

_MOST_FLAT: Final = max(NEVER_FLATTER, quality.MOST_REST, quality.REST_SHARE)
"""With more flat slopes, as hearts that beat have, nothing asks where the power lies."""


class LeadStep(NamedTuple):
    """What new samples of one lead have shown; positions count from the segment's start."""

    found: NDArray[np.int64]
    """int64[f, 2]: R peaks, and the samples that confirmed them."""
    wrong: bool
    """Whether a sample is masked or the lead is in a state other than `quality.Reason.OK`."""
    fibrillation: list[fibrillation.Change]
    fast_rhythm: list[fast_rhythm.Change]


class Lead:
    """One lead of a stream, from its samples to its detector's beats."""

    def __init__(self, fs_hz: float, rate: Resampling, state: LeadState) -> None:
        """Continue from the ``state`` of a lead of ``fs_hz``, whose resampling is ``rate``."""
        self.state = state
        self._rate = rate
        self._fill = int(FILL_SECONDS * fs_hz)
        self._spikes = quality.pacing_spikes(fs_hz)
        self._filtered_spikes = np.array(quality.filtered_spikes(fs_hz))
        self._bank = filter_bank()
        self.connect()

    def connect(self) -> None:
        """Let the parts work on the arrays of the state."""
        state = self.state
        self._beats = candidates.Beats(
            state.detector, state.candidates, state.levels, state.shape,
            np.zeros(candidates.CANDIDATE, dtype=np.int64),
        )  # fmt: skip
        self._fibrillation = FibrillationWatch(state.fibrillation, _MOST_FLAT)
        self._fast_rhythm = FastRhythmWatch(state.fast_rhythm)

    @property
    def held(self) -> float:
        """The value that is held where none is known."""
        sanitise = self.state.sanitise
        return float(sanitise[sampling.LAST] + sanitise[sampling.OFFSET])

    def advance(
        self,
        clean: NDArray[np.float32],
        codes: NDArray[np.uint8],
        work: LeadWorkspace,
        done: int,
        new: int,
    ) -> LeadStep:
        """Run new samples, as `sampled` returned them, through the kernels.

        1. Filter them into three bands: for windows, for the detector, for the noise measure.
        2. Find QRS complexes in the detector's band, behind by `spikes.LATE`: it never sees pacing
           spikes.
        3. Follow the quality of the signal: why each sample is masked, if it is. A rhythm too fast
           for single beats keeps time, so it is no motion.
        4. Look where fibrillation and rhythms too fast for single beats begin and end.
        5. Keep the newest samples, from which later windows are cut.

        Args:
            clean: float32[n], mV at 360 Hz.
            codes: uint8[n], why each is masked.
            work: arrays for n samples. ``filtered``, ``masks`` and ``states`` are written.
            done: samples of the segment before these.
            new: how many of these belong to the segment; what follows only brings out its end.
        """
        state, n = self.state, clean.size
        work.put_before(state)
        # 1.
        work.spiked.new[:] = clean
        spikes.remove_spikes(work.spiked.whole, self._filtered_spikes, state.spikes, work.raw.new)
        sampling.filter_bank(clean, work.raw.new, self._bank, state.filters, work.y)
        work.filtered.new[:] = work.band
        # 2.
        band = band_without_spikes(state, self._bank, clean, work)
        early = min(max(spikes.LATE - done, 0), n)  # the segment's first samples come later
        n_found = beats.detect_beats(
            work.qrs[early:], work.unspiked, band, DETECTOR,
            self._beats, work.energies.whole, work.found,
        )  # fmt: skip
        found = work.found[:n_found].copy()
        if n_found:
            found[:, 1] += spikes.LATE
        # 3.
        measures = self._fibrillation.measure(clean[:new], codes[:new])
        fast, moving = self._too_fast(work.qrs[:new], codes[:new], *measures)
        wrong = condition.watch(
            clean, codes, work.filtered.whole, work.y, found, measures[0], moving, WATCH,
            state.watch, state.extremes, state.recent, state.blocks, state.usual, state.shapes,
            work.states,
        )  # fmt: skip
        work.masks.new[:] = np.where(codes != 0, codes, work.states) if wrong else work.states
        # 4.
        fibrillating = self._fibrillation.decide(*measures) if measures[0].size else []
        # 5.
        work.keep_latest(state, n - early)
        return LeadStep(found, wrong, fibrillating, fast)

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

    def _too_fast(
        self,
        y: NDArray[np.float32],
        codes: NDArray[np.uint8],
        positions: NDArray[np.int64],
        rows: NDArray[np.float64],
    ) -> tuple[list[fast_rhythm.Change], NDArray[np.float64]]:
        """List where a rhythm too fast for single beats begins and ends.

        Also return the measures of motion: the ``rows`` at ``positions``, of which those in such a
        rhythm say nothing. What moves an electrode does not repeat itself.
        """
        was_active = self._fast_rhythm.state.active
        changes = self._fast_rhythm.push(y, codes)
        if not was_active and not changes:
            return [], rows  # nearly always
        repeats = np.full(positions.size, was_active)
        for change in changes:
            if change.sure:
                repeats[positions >= change.position] = change.active
        rows = rows.copy()
        rows[repeats, slots.UNKNOWN] = 1.0
        return changes, rows
