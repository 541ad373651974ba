"""Cut a stream of ECG samples into beats, one chunk at a time.

Feed chunks of any length to `Segmenter.push`; it returns the beats that became complete. The
result depends only on the samples, never on how they were cut into chunks:
`test_chunking_changes_nothing` checks that. Records, training and the live hub all go
through the same code.

Pure in memory: no sockets, no clock, no logging. Units: mV in, sample indices out. Not
thread-safe: one instance a stream.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import (
    SAMPLING_RATE_HZ,
    SAMPLING_RATE_LIMITS_HZ,
    WINDOW_AFTER_R,
)
from pipeline.signal import quality
from pipeline.signal.fast_rhythm import Change as FastChange
from pipeline.signal.fibrillation import Change as FibrillationFound
from pipeline.signal.filters import BAND, filter_bank, resampling
from pipeline.signal.kernels import sampling, slots, spikes, windows
from pipeline.signal.kernels.agreement import SHOWN_COLUMNS
from pipeline.signal.kernels.windows import LEAD, SURE
from pipeline.signal.leads.agreement import Agreement
from pipeline.signal.leads.lead import FILL_SECONDS, Lead, LeadStep
from pipeline.signal.leads.lead_events import lead_events
from pipeline.signal.leads.lead_state import NONE, TAIL_SAMPLES, LeadState
from pipeline.signal.leads.patient_quality import PatientQuality, changes_of
from pipeline.signal.leads.rhythm_agreement import RhythmAgreement
from pipeline.signal.quality import LeadChange, QualityChange, Reason
from pipeline.signal.samples import SampleBlock, admit
from pipeline.signal.segment import (
    BeatArrays,
    FastRhythmChange,
    FibrillationChange,
    Segment,
    cut_leads,
    fill,
    joined,
    no_beats,
)
from pipeline.signal.segmenter_state import (
    DONE,
    EXPECTED,
    LAST_R,
    LAST_RUN,
    ORIGIN,
    PENDING,
    STATE,
    SegmenterState,
)
from pipeline.signal.workspace import Workspace, workspaces

PIECE: Final = 16384
"""Samples that go through the kernels at once: what these hand on to each other stays in the
processor's cache."""

_FLUSH: Final = 140 + spikes.LATE
"""Samples after the end that confirm a beat just before it: R to energy, and APART; and by how much
the detector is behind."""

_EDGE: Final = 5
"""An R peak nearer to the end than this many samples is none: the signal was not seen to turn."""

_NONE_USUAL: Final = np.empty((0, SHOWN_COLUMNS), dtype=np.int64)


class Segmenter:
    """The way of one stream from samples to windows.

    Push the samples of one epoch in order; repeats are dropped and holes are seen by the
    numbering. After `finish` the next push begins a new epoch; what the detector has learned
    about the size of this patient's QRS stays.
    """

    def __init__(
        self, fs_hz: float, state: SegmenterState | None = None, *, leads: int = 1
    ) -> None:
        """Prepare for a stream of ``fs_hz`` and so many leads, or continue from its ``state``.

        Raises:
            ValueError: the rate is outside 50 to 10,000 Hz.
            SnapshotError: the state does not fit this stream.
        """
        lowest, highest = SAMPLING_RATE_LIMITS_HZ
        if not lowest <= fs_hz <= highest:
            raise ValueError(f"sampling rate of {fs_hz} Hz is outside {lowest} to {highest} Hz")
        self._rate = resampling(fs_hz)
        self._fill = int(FILL_SECONDS * fs_hz)
        if state is not None:
            state.check(self._rate)
        self.state = state = state or SegmenterState.fresh(self._rate.half, leads)
        self._workspaces = workspaces(len(state.leads))
        self._no_beats = no_beats(len(state.leads))
        self._leads = [Lead(fs_hz, self._rate, lead) for lead in state.leads]
        self._due = 0
        """With which position a beat that waits is complete, at the earliest."""
        self._patient = PatientQuality(state)
        self._agreement = Agreement(state.agreement)
        self._rhythms = RhythmAgreement(state.rhythms)

    def push(self, block: SampleBlock) -> Segment:
        """Take in samples and return what they completed.

        Args:
            block: samples, float32[n] or float32[leads, n] in mV, any values: what is not finite
                counts as no signal; and flags of the same shape. 0 <= first_sample < 2**53. Its
                epoch is not looked at.

        Raises:
            ValueError: a shape or a first sample other than promised; nothing has changed.
        """
        x, marks = admit(block.samples, block.first_sample, block.flags, len(self._leads))
        counters, n = self.state.counters, x.shape[1]
        expected, first = int(counters[EXPECTED]), block.first_sample
        gap = duplicates = 0
        before: Segment | None = None
        if first != expected:
            if expected == NONE:
                if n:
                    self._begin(first, after_gap=False)
                expected = first
            duplicates = min(max(expected - first, 0), n)
            first += duplicates
            if duplicates:
                x, marks, n = x[:, duplicates:], marks[:, duplicates:], n - duplicates
            gap = first - expected if n else 0
            if gap > self._fill:
                before = self._before_gap(expected)
                self._begin(first, after_gap=True)
            elif gap:
                x, marks = self._filled(gap, x, marks)
        if n:
            counters[EXPECTED] = first + n
        if x.shape[1] <= PIECE:
            segment = self._advance(x, marks)
        else:
            begins = range(0, x.shape[1], PIECE)
            most = x.shape[1] * self._rate.per // self._rate.step + 2 * len(begins)
            segment = joined(
                (self._advance(x[:, i : i + PIECE], marks[:, i : i + PIECE], lent=True)
                 for i in begins),
                most,
            )  # fmt: skip
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

    def _before_gap(self, expected: int) -> Segment:
        """Return what is completed before a gap that begins at the sample ``expected``."""
        before = self._flush()
        if self.state.counters[STATE] != Reason.GAP:
            before.quality.append(QualityChange(expected, Reason.GAP))
        before.lead_quality += [
            LeadChange(expected, k, Reason.GAP)
            for k, state in enumerate(self._lead_states())
            if len(self._leads) > 1 and state != Reason.GAP
        ]
        return before

    def _begin(self, first_sample: int, *, after_gap: bool) -> None:
        self.state.begin_segment(self._rate, first_sample, after_gap=after_gap)
        self._patient.begin_segment()
        self._due = 0

    def _filled(
        self, gap: int, x: NDArray[np.float32], marks: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Put a line in the place of each lead's missing samples."""
        lines = [
            fill(float(lead.raw[0]), gap, *rows)
            for lead, *rows in zip(self.state.leads, x, marks, strict=True)
        ]
        return np.stack([line for line, _ in lines]), np.stack([filled for _, filled in lines])

    def _flush(self) -> Segment:
        """Bring out what the segment still holds, as if its last value lasted for a while."""
        state, rate = self.state, self._rate
        expected, leads = int(state.counters[EXPECTED]), len(self._leads)
        if expected == NONE:
            return self._advance(np.empty((leads, 0), np.float32), np.empty((leads, 0), np.uint8))
        more = rate.half + _FLUSH * rate.step // rate.per + 1
        end = (expected - 1) * rate.per // rate.step + 1 - int(state.counters[ORIGIN])
        pad = np.empty((leads, more), dtype=np.float32)
        pad[:] = [[lead.held] for lead in self._leads]
        return self._advance(pad, np.zeros((leads, more), dtype=np.uint8), end=max(end, 0))

    def _advance(
        self,
        x: NDArray[np.float32],
        marks: NDArray[np.uint8],
        end: int | None = None,
        *,
        lent: bool = False,
    ) -> Segment:
        """Run new samples through the kernels; ``end`` closes the segment there (see `_flush`).

        The strips may be ``lent``: the next call writes over them.

        1. Bring each lead's raw samples to what they show: its QRS complexes, its quality, its
           rhythms (`Lead`).
        2. Let the leads agree on the patient's beats, unless there is one alone.
        3. Take the best of the leads' states for the patient's, and number the runs of signal.
        4. Cut the windows of the beats that the new samples complete (`_emit`).
        5. List where the quality changes, and where fibrillation and rhythms too fast for single
           beats begin and end.
        """
        state, rate, leads = self.state, self._rate, self._leads
        counters = state.counters
        _, origin, done, _, _, _, was, run = counters.tolist()
        first, several = origin + done, len(leads) > 1
        # 1.
        given = x.shape[1]
        work = self._workspaces.of(max(given, given * rate.per // rate.step + 2))
        were = self._lead_states() if several else []
        closed, upto = end is not None, -1 if end is None else end
        steps = [
            lead.advance(x[k], marks[k], work.leads[k], done, upto) for k, lead in enumerate(leads)
        ]
        n, found, _, fibrillation, fast_rhythm, _ = steps[0]
        if not n:
            nothing = np.empty((len(x), 0), np.float32)
            return Segment(*self._no_beats, [], [], nothing, first)
        new = n if end is None else end - done
        last = done + new - 1
        # 2.
        wrong = int(steps[0].wrong)
        if several:
            found = self._agreement.push(
                [step.found for step in steps], work.filtered, work.masks, done - TAIL_SAMPLES,
                last, closed=closed,
            )  # fmt: skip
            for k in range(1, len(steps)):
                wrong |= steps[k].wrong << k
        # 3.
        states = self._patient.push(work, n, wrong, was, run)
        # 4.
        if len(found) or last >= self._due or closed:
            beats = self._emit(found, work, last, closed=closed)
        else:
            beats = self._no_beats  # nearly always, when chunks are short
        # 5.
        segment = Segment(
            *beats,
            [] if states is None else changes_of(was, states[:new], first, rate),
            [],
            _strips(work, new, wrong != 0, lent=lent),
            first,
            complexes=_NONE_USUAL,
            usual=_NONE_USUAL,
        )
        if several:
            if len(found) or not all(step.quiet for step in steps):
                self._add_leads(segment, steps, found, were, work.states[:, :new])
            segment.usual = self._usual()
        elif fibrillation or fast_rhythm:
            self._add_rhythms(segment, steps, fast_rhythm)
        counters[DONE] = done + n
        return segment

    def _add_leads(
        self,
        segment: Segment,
        steps: list[LeadStep],
        beats: NDArray[np.int64],
        were: list[int],
        states: NDArray[np.uint8],
    ) -> None:
        """List what each of several leads shows by itself, and the rhythms of the patient."""
        chosen = [(beat[SURE], beat[LEAD]) for beat in beats.tolist()]
        fast = self._rhythms.push([step.fast_rhythm for step in steps], chosen)
        if fast or any(step.fibrillation for step in steps):
            self._add_rhythms(segment, steps, fast)
        segment.lead_quality, segment.complexes = lead_events(
            [step.found for step in steps], [step.wrong for step in steps], were, states,
            segment.strip_first, int(self.state.counters[ORIGIN]), self._rate,
        )  # fmt: skip

    def _add_rhythms(
        self, segment: Segment, steps: list[LeadStep], fast: Sequence[FastChange]
    ) -> None:
        """List where fibrillation and rhythms too fast for single beats begin and end."""
        segment.fast_rhythm = [
            FastRhythmChange(*self._placed(one), one.bpm, one.sure) for one in fast
        ]
        segment.fibrillation = [
            FibrillationChange(*self._placed(one), one.hz, one.mv, lead)
            for lead, step in enumerate(steps)
            for one in step.fibrillation
        ]
        segment.fibrillation.sort(key=lambda change: change.sample)

    def _usual(self) -> NDArray[np.int64]:
        """Return the complexes like the usual ones of their lead that are known just now."""
        if not len(self.state.agreement.shown):
            return _NONE_USUAL  # nearly always, when chunks are short
        shown = self._agreement.take_shown()
        shown[:, 1:] = self._rate.to_source(shown[:, 1:] + self.state.counters[ORIGIN])
        return shown

    def _lead_states(self) -> list[int]:
        """Return the `Reason` that each lead is in."""
        return [int(lead.watch[slots.STATE]) for lead in self.state.leads]

    def _placed(self, change: FibrillationFound | FastChange) -> tuple[int, bool, int]:
        """Return where a change was sure, whether something begins, and since when."""
        origin, rate = int(self.state.counters[ORIGIN]), self._rate
        sample, begun_at = change.position + origin, change.begun_at + origin
        return rate.one_to_source(sample), change.active, rate.one_to_source(begun_at)

    def sampled(
        self, x: NDArray[np.float32], marks: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Sanitise samples of one lead and convert their rate, for trainings: `Lead.sampled`."""
        return self._leads[0].sampled(x, marks)

    def _emit(
        self, found: NDArray[np.int64], work: Workspace, last: int, *, closed: bool
    ) -> BeatArrays:
        """Return the beats whose window is complete with the sample at ``last``.

        When ``closed``, all of them.

        Args:
            found: as `windows.complete` takes it.
            work: the filtered signal, why it is masked, and its runs.
            last: the newest position that counts.
            closed: whether no sample follows.
        """
        counters, pending, rate = self.state.counters, self.state.pending, self._rate
        expected, origin, done, waited, last_r, last_run, _, run = counters.tolist()
        self._patient.complete_runs(work, run)
        some, begin = waited + len(found), done - TAIL_SAMPLES
        waiting = np.empty((some, pending.shape[1]), np.int64)
        positions, rr_s = np.empty((3, some), np.int64), np.empty(some)
        b, run, self._due = windows.complete(
            found, pending, waited, last, _EDGE if closed else WINDOW_AFTER_R - 1,
            WINDOW_AFTER_R - 1, expected - 1, origin, rate.step, rate.per, rate.half, last_r,
            last_run, work.runs, begin, SAMPLING_RATE_HZ, closed, waiting, positions, rr_s,
        )  # fmt: skip
        self.state.keep_pending(0 if closed else some - b)
        if not b:
            return self._no_beats
        r_samples, samples, ready = positions[:, :b]
        counters[LAST_R], counters[LAST_RUN] = r_samples[-1], run
        views = cut_leads(waiting[:b], work.filtered, work.masks, begin, last)
        return BeatArrays(r_samples, samples, ready, rr_s[:b], *views)


def _strips(work: Workspace, new: int, wrong: bool, *, lent: bool) -> NDArray[np.float32]:
    """Return the new samples in the band of windows, NaN where masked; else they may be lent."""
    strips: NDArray[np.float32] = work.filtered[:, TAIL_SAMPLES : TAIL_SAMPLES + new]
    if not lent or wrong:
        strips = strips.copy()
    if wrong:
        strips[work.masks[:, TAIL_SAMPLES : TAIL_SAMPLES + new] != 0] = np.nan
    return strips


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
    (raw,), (codes,) = admit(x, 0, None)
    state = LeadState.fresh(0)
    clean = np.empty(raw.size, dtype=np.float32)
    out = np.empty((3, raw.size), dtype=np.float32)
    held = float(int(FILL_SECONDS * SAMPLING_RATE_HZ))
    sampling.sanitise(
        raw, codes.copy(), quality.PLAUSIBLE_MV, held, *quality.pacing_spikes(SAMPLING_RATE_HZ),
        state.sanitise, clean, codes,
    )  # fmt: skip
    sampling.filter_bank(clean, clean, filter_bank(), state.filters, out)
    return np.asarray(out[BAND])
