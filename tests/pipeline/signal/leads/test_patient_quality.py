"""What the signal of a patient is worth, and its runs, however the samples are cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.signal.leads.lead_state import TAIL_SAMPLES
from pipeline.signal.leads.patient_quality import PatientQuality
from pipeline.signal.quality import Reason
from pipeline.signal.segmenter_state import RUN, STATE, SegmenterState
from pipeline.signal.workspace import Workspace

LENGTH = 6 * TAIL_SAMPLES


@given(
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=60),
    wrong=st.lists(st.tuples(st.integers(0, LENGTH), st.integers(1, 500)), max_size=4),
)
def test_runs_are_numbered_alike_however_samples_are_cut(
    pieces: list[int], wrong: list[tuple[int, int]]
) -> None:
    """A run ends where the signal ceases to show a QRS, or does so again, long ago or just now."""
    states = np.zeros(LENGTH, dtype=np.uint8)
    for begin, length in wrong:
        states[begin : begin + length] = Reason.NOISE
    shows = states == Reason.OK
    numbers = np.cumsum(np.diff(shows, prepend=True) != 0)
    runs = np.concatenate((np.zeros(TAIL_SAMPLES, np.int64), numbers)).astype(np.uint8)
    state, work = SegmenterState.fresh(0), Workspace(900, 1)
    patient, done = PatientQuality(state), 0
    patient.begin_segment()
    for n in pieces * (LENGTH // sum(pieces) + 1):
        n = min(n, LENGTH - done)
        if not n:
            break
        new = states[done : done + n]
        work.states[0, :n], work.runs[:] = new, 255
        is_wrong = int(new.any())
        found = patient.push(work, n, is_wrong, *state.counters[[STATE, RUN]].tolist())
        patient.complete_runs(work, int(state.counters[RUN]))

        assert (work.runs[: TAIL_SAMPLES + n] == runs[done : done + TAIL_SAMPLES + n]).all()
        done += n
        assert (state.tail_runs == runs[done : done + TAIL_SAMPLES]).all()
        assert (np.zeros(n) if found is None else found).tolist() == new.tolist()
