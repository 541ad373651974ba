"""Rhythms too fast for single beats, of several leads."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.schema.state import encode
from pipeline.signal.fast_rhythm import Change
from pipeline.signal.leads.rhythm_agreement import RhythmAgreement, RhythmAgreementState

STEP = 180  # half a second between measures


def said(
    leads: list[list[Change]], chosen: list[tuple[int, int]], n: int, cuts: list[int]
) -> tuple[list[Change], bytes]:
    """Return what a patient's rhythm changes to, and the memory left, of a record in parts."""
    state = RhythmAgreementState.fresh(len(leads))
    agreement, out = RhythmAgreement(state), []
    for a, b in itertools.pairwise(sorted({0, n, *(cut for cut in cuts if cut < n)})):
        new = [[one for one in of_lead if a <= one.position < b] for of_lead in leads]
        out += agreement.push(new, [c for c in chosen if a <= c[0] < b])
    return out, encode(0, state)


@settings(max_examples=60)
@given(data=st.data(), leads=st.integers(2, 3), cuts=st.lists(st.integers(1, 20000), max_size=30))
def test_parts_change_nothing(data: st.DataObject, leads: int, cuts: list[int]) -> None:
    """However a record arrives, the same is said, and the same is remembered."""
    n = 20000
    places = st.lists(st.integers(8, n // STEP), max_size=6, unique=True)
    changes = [
        [
            Change(STEP * one, k % 2 == 0, STEP * one - 900, 290.0, sure=True)
            for k, one in enumerate(sorted(data.draw(places)))
        ]
        for _ in range(leads)
    ]
    chosen = [(one, k % leads) for k, one in enumerate(sorted(data.draw(places)))]

    assert said(changes, chosen, n, cuts) == said(changes, chosen, n, [])


def test_a_fast_rhythm_is_that_of_the_chosen_lead() -> None:
    """When another lead is chosen, what that one shows begins or ends."""
    n, change = 8000, Change(2000, True, 1000, 290.0, sure=True)
    leads: list[list[Change]] = [[], [change]]

    assert said(leads, [], n, [])[0] == []
    changes, _ = said(leads, [(3000, 1), (5000, 0)], n, [])

    assert [(one.position, one.active) for one in changes] == [(3000, True), (5000, False)]
