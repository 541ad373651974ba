"""What leads together say of fibrillation and of rhythms too fast for single beats."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.schema.state import encode
from pipeline.signal import fast_rhythm, fibrillation
from pipeline.signal.leads.rhythm_agreement import (
    BEATS_ON_S,
    RESUMES_AFTER,
    RhythmAgreement,
    RhythmAgreementState,
)

Change = fibrillation.Change | fast_rhythm.Change
STEP = 180  # half a second between measures
BACK = round(BEATS_ON_S * 360)


def said(
    leads: list[list[Change]],
    shown: NDArray[np.int64],
    chosen: list[tuple[int, int]],
    n: int,
    cuts: list[int],
) -> tuple[list[Change], bytes]:
    """Return what a patient's rhythm changes to, and the memory left, of a record in parts."""
    state = RhythmAgreementState.fresh(len(leads))
    agreement, out = RhythmAgreement(state), []
    for a, b in itertools.pairwise(sorted({0, n, *(cut for cut in cuts if cut < n)})):
        new = [[one for one in of_lead if a <= one.position < b] for of_lead in leads]
        measured = np.arange(-(-a // STEP) * STEP, b, STEP)
        known = shown[(shown[:, 2] < b) & (shown[:, 1] >= a - 2 * BACK)]
        for changes in agreement.push(new, measured, known, [c for c in chosen if a <= c[0] < b]):
            out += changes
    return sorted(out, key=lambda one: (one.position, type(one).__name__)), encode(0, state)


def every(seconds: float, lead: int, begin: int, end: int) -> NDArray[np.int64]:
    """Return usual complexes of a lead, known half a second later."""
    r = np.arange(begin, end, round(seconds * 360))
    return np.stack((np.full(r.size, lead), r, r + 179), axis=1)


def waves(begin: int, end: int) -> list[Change]:
    """Return what a lead says that fibrillates for a while."""
    return [
        fibrillation.Change(begin, True, begin - 1440, 5.0, 0.5),
        fibrillation.Change(end, False, end - 900, 0.0, 0.0),
    ]


@settings(max_examples=60)
@given(data=st.data(), leads=st.integers(2, 3), cuts=st.lists(st.integers(1, 20000), max_size=30))
def test_parts_change_nothing(data: st.DataObject, leads: int, cuts: list[int]) -> None:
    """However a record arrives, the same is said, and the same is remembered."""
    n = 20000
    places = st.lists(st.integers(8, n // STEP), max_size=6, unique=True)
    changes: list[list[Change]] = []
    for _ in range(leads):
        at = [STEP * k for k in sorted(data.draw(places))]
        mine: list[Change] = []
        for begin, end in itertools.zip_longest(at[::2], at[1::2], fillvalue=n):
            mine += [one for one in waves(begin, end) if one.position < n]
        at = [STEP * k for k in sorted(data.draw(places))]
        mine += [
            fast_rhythm.Change(one, k % 2 == 0, one - 900, 290.0, sure=True)
            for k, one in enumerate(at)
        ]
        changes.append(sorted(mine, key=lambda one: one.position))
    beats = [
        every(0.8, lead, *sorted(data.draw(st.tuples(*2 * [st.integers(0, n)]))))
        for lead in range(leads)
    ]
    shown = np.concatenate(beats)
    shown = shown[np.argsort(shown[:, 2], kind="stable")]
    chosen = [(one, k % leads) for k, one in enumerate(sorted(data.draw(places)))]

    assert said(changes, shown, chosen, n, cuts) == said(changes, shown, chosen, n, [])


@pytest.mark.parametrize("beating", [0, 1])
def test_usual_beats_of_another_lead_end_what_one_goes_on_showing(beating: int) -> None:
    """Fibrillation that began in both is over two seconds after one shows usual beats again."""
    n, begin, resumed = 20000, 20 * STEP, 60 * STEP
    leads = [waves(begin, n - STEP), waves(begin, n - STEP)]
    leads[beating] = waves(begin, resumed)
    shown = every(0.8, beating, resumed, n)

    changes, _ = said(leads, shown, [], n, [])

    assert [change.active for change in changes] == [True, False]
    second_r_known = resumed + 288 + 179
    assert changes[1].position <= second_r_known + (RESUMES_AFTER + 1) * STEP


def test_a_fast_rhythm_is_that_of_the_chosen_lead() -> None:
    """When another lead is chosen, what that one shows begins or ends."""
    n, change = 8000, fast_rhythm.Change(2000, True, 1000, 290.0, sure=True)
    leads: list[list[Change]] = [[], [change]]
    nothing = np.empty((0, 3), np.int64)

    assert said(leads, nothing, [], n, [])[0] == []
    changes, _ = said(leads, nothing, [(3000, 1), (5000, 0)], n, [])

    assert [(one.position, one.active) for one in changes] == [(3000, True), (5000, False)]
