"""When samples arrived, to a few milliseconds, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.signal.arrivals import KEPT_S, TOGETHER_S, ArrivalTimes


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
    assert len(arrivals.state.arrivals) < 2 * KEPT_S / TOGETHER_S


def test_before_the_first_chunk_nothing_arrived() -> None:
    """The caller knows what to say instead."""
    assert ArrivalTimes(360.0).of(0) is None
