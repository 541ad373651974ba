"""What a scorer is given of beats in several leads: the lead in use, and a second one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.constants import MEASURES, WINDOW_SAMPLES
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.beat_measures import with_evidence
from pipeline.scoring.lead_measures import MeasuredBeats, measure_beats, second_rows

BEATS, LEADS = 30, 3
RANDOM = np.random.default_rng(5)
RR_S = RANDOM.uniform(0.6, 1.0, BEATS)
WINDOWS = RANDOM.uniform(-1, 1, (LEADS, BEATS, WINDOW_SAMPLES)).astype(np.float32)
EVIDENCE = RANDOM.uniform(-4, 4, BEATS)


def measured(
    usable: NDArray[np.bool_], leads: NDArray[np.int64], cuts: tuple[int, ...] = ()
) -> MeasuredBeats:
    """Return the measures of the beats, taken in up to each of the ``cuts`` at a time."""
    features = [BeatFeatures() for _ in range(len(usable))]
    parts = []
    for begin, end in zip((0, *cuts), (*cuts, BEATS), strict=True):
        part = slice(begin, end)
        windows, its = WINDOWS[: len(usable), part], usable[:, part]
        evidence = EVIDENCE[part]
        parts.append(measure_beats(features, RR_S[part], windows, its, leads[part], evidence))
    return MeasuredBeats(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def of_lead(lead: int, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return what a stream of this lead alone gives to its scorer."""
    return with_evidence(BeatFeatures().measure(RR_S, WINDOWS[lead], usable), EVIDENCE)


def test_one_lead_has_no_second() -> None:
    """Its measures are its own."""
    found = measured(np.ones((1, BEATS), dtype=bool), np.zeros(BEATS, dtype=np.int64))

    np.testing.assert_array_equal(found.in_use, of_lead(0, np.ones(BEATS, dtype=bool)))
    assert not found.second.any()
    assert set(found.second_leads.tolist()) == {-1}


def test_each_lead_is_measured_beside_its_own_past() -> None:
    """Rows are those of a stream of that lead alone, whichever lead is in use."""
    usable = RANDOM.random((LEADS, BEATS)) < 0.7
    leads = RANDOM.integers(0, LEADS, BEATS)
    found = measured(usable, leads)

    alone = [of_lead(lead, its) for lead, its in enumerate(usable)]
    for b in range(BEATS):
        others = [lead for lead in range(LEADS) if lead != leads[b] and usable[lead, b]]
        second = others[0] if others else -1
        np.testing.assert_array_equal(found.in_use[b], alone[leads[b]][b])
        assert found.second_leads[b] == second
        expected = alone[second][b] if others else np.zeros(MEASURES)
        np.testing.assert_array_equal(found.second[b], expected)


@given(st.lists(st.integers(0, BEATS), max_size=4).map(sorted))
def test_measures_do_not_depend_on_how_beats_come(cuts: list[int]) -> None:
    """In any batches, with none in some."""
    usable = np.ones((LEADS, BEATS), dtype=bool)
    usable[0, 10:20] = False
    leads = np.where(usable[0], 0, 1)

    for one, other in zip(measured(usable, leads), measured(usable, leads, (*cuts,)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_without_second_leads_has_none() -> None:
    """Zeros stand for a beat without one beside beats that have one."""
    row = np.ones(MEASURES, dtype=np.float32)

    assert second_rows([None, None]) is None
    found = second_rows([None, row])
    assert found is not None
    np.testing.assert_array_equal(found, [np.zeros(MEASURES), row])
