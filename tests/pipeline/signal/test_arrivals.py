"""When samples arrived, to a few milliseconds, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import SnapshotError
from pipeline.signal.arrivals import KEPT_S, TOGETHER_S, ArrivalState, ArrivalTimes
from pipeline.signal.leads.lead_state import TAIL_SAMPLES


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 0.02)), min_size=1, max_size=60))
def test_every_kept_sample_arrived_when_its_chunk_did(steps: list[tuple[int, float]]) -> None:
    """Never later than that, and earlier by `TOGETHER_S` at most."""
    arrivals, end, now, true = ArrivalTimes(100.0), 0, 0.0, []
    for samples, wait_s in steps:
        now += wait_s
        true += [now] * samples
        end += samples
        arrivals.record(end, now)
    for sample in range(max(0, end - round(KEPT_S * 100.0)), end):
        arrived = arrivals.of(sample)
        assert arrived is not None
        assert true[sample] - TOGETHER_S <= arrived <= true[sample] + 1e-9


def test_a_chunk_a_sample_takes_little_memory() -> None:
    """Ten thousand a second for a minute."""
    arrivals = ArrivalTimes(10_000.0)
    for n in range(600_000):
        arrivals.record(n + 1, n / 10_000.0)
    assert arrivals.state.arrivals.samples.size < 4 * KEPT_S / TOGETHER_S


def test_beats_are_found_within_what_is_kept() -> None:
    """A beat of which nothing is known any more would have a wrong latency."""
    assert KEPT_S * SAMPLING_RATE_HZ > TAIL_SAMPLES


@pytest.mark.parametrize(("begin", "end"), [(-1, 3), (4, 3), (0, 17)])
def test_state_of_arrivals_that_are_not_there_is_refused(begin: int, end: int) -> None:
    """It has room for sixteen."""
    state = ArrivalState()
    state.arrivals.begin, state.arrivals.end = begin, end
    with pytest.raises(SnapshotError, match="not there"):
        ArrivalTimes(360.0, state)


def test_before_the_first_chunk_nothing_arrived() -> None:
    """The caller knows what to say instead."""
    assert ArrivalTimes(360.0).of(0) is None
