"""When samples arrived, to a few milliseconds, in bounded memory."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import SnapshotError
from pipeline.schema.state import decode, encode
from pipeline.signal.arrivals import KEPT_S, TOGETHER_S, ArrivalState, ArrivalTimes
from pipeline.signal.leads.lead_state import TAIL_SAMPLES
from pipeline.signal.sample_times import SampleTimes, SampleTimesState


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


@given(
    steps=st.lists(st.tuples(st.integers(1, 400), st.floats(-0.001, 0.02)), max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=4),
)
def test_arrivals_that_are_recorded_together_are_those_one_by_one(
    steps: list[tuple[int, float]], cuts: list[int]
) -> None:
    """However many they are, and wherever they are cut."""
    ends = list(accumulate(samples for samples, _ in steps))
    times = list(accumulate(wait_s for _, wait_s in steps))
    alone, together = ArrivalTimes(100.0), ArrivalTimes(100.0)
    for end, at in zip(ends, times, strict=True):
        alone.record(end, at)
    for begin, end in pairwise([0, *sorted(cuts), len(steps)]):
        together.record_all(ends[begin:end], times[begin:end])
    for sample in range(max([0, *ends]) + 1):
        assert together.of(sample) == alone.of(sample)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 500, 2**31 - 1, 2**31, 2**40]) | st.integers(0, 3_000),
            st.floats(0, 1e9),
            st.sampled_from(["add", "move", "forget", "keep", "save"]) | st.just("add"),
        ),
        max_size=90,
    )
)
def test_times_of_samples_are_those_of_a_list_of_pairs(
    steps: list[tuple[int, float, str]],
) -> None:
    """Whatever gap lies between two; only what is 2**31 samples before the newest may be gone."""
    times, pairs, sample = SampleTimes(SampleTimesState.fresh()), list[tuple[int, float]](), 0
    for ahead, at, what in steps:
        sample += ahead
        if what == "add":
            times.add(sample, at)
            pairs.append((sample, at))
        elif what == "move" and pairs:
            times.move_latest(sample)
            pairs[-1] = sample, pairs[-1][1]
        elif what == "forget":
            times.forget_before(sample - 2_000)
            pairs = [pair for pair in pairs if pair[0] >= sample - 2_000]
        elif what == "keep":
            wanted = times.samples % 3 != 1
            times.keep(wanted)
            pairs = [pair for pair in pairs if pair[0] % 3 != 1]
        elif what == "save":
            times = SampleTimes(decode(1, encode(1, times.state), SampleTimesState))
        pairs = [pair for pair in pairs if pair[0] > sample - 2**31]
        kept = times.samples > sample - 2**31
        assert list(zip(times.samples[kept], times.seconds[kept], strict=True)) == pairs
        for asked in (sample - 1_000, sample, sample + 1):
            after = [at for own, at in pairs if own > asked] or [at for _, at in pairs[-1:]]
            if pairs:
                assert times.at_or_behind(asked) == after[0]
        n = len(times)
        if pairs and n:
            samples, seconds = times.some(-1, 1)
            first, first_s = times.some(0, 1)
            assert samples[0] - first[0] == times.samples[-1] - times.samples[0]
            assert [*seconds, *first_s] == [times.seconds[-1], times.seconds[0]]


@pytest.mark.parametrize("origin", [2**54 + 1, -(2**60), 2**64 - 1])
def test_state_of_times_beyond_all_positions_is_refused(origin: int) -> None:
    """The sum of it and an offset would be another number."""
    state = SampleTimesState.fresh()
    state.origin = origin
    with pytest.raises(SnapshotError, match="times of samples"):
        SampleTimes(state)


def test_the_last_chunk_that_there_may_be_leaves_a_state_that_is_accepted() -> None:
    """It begins at the last position, and ends beyond it."""
    arrivals = ArrivalTimes(360.0)
    arrivals.record(2**53 + 3600, 1.0)
    again = ArrivalTimes(360.0, decode(1, encode(1, arrivals.state), ArrivalState))
    assert again.of(2**53 + 3000) == 1.0


def test_a_chunk_a_sample_takes_little_memory() -> None:
    """Ten thousand a second for a minute."""
    arrivals = ArrivalTimes(10_000.0)
    for n in range(600_000):
        arrivals.record(n + 1, n / 10_000.0)
    assert arrivals.state.arrivals.offsets.size < 4 * KEPT_S / TOGETHER_S


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
