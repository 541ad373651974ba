"""The decisions that make one patient's beats of what several leads found."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.signal.kernels import evidence
from pipeline.signal.leads.agreement import Agreement, AgreementState
from pipeline.signal.leads.lead_state import TAIL_SAMPLES
from pipeline.signal.quality import Reason
from tests.support import agreement_reference
from tests.support.limits import examples

Finds = list[list[tuple[int, int]]]
SECOND = 360


def decided(
    filtered: NDArray[np.float32], masks: NDArray[np.uint8], found: Finds, cuts: list[int]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], AgreementState]:
    """Return what `Agreement` makes of a record that arrives in parts: beats, what was shown."""
    leads, n = filtered.shape
    state = AgreementState.fresh(leads)
    agreement = Agreement(state)
    tail = ((0, 0), (TAIL_SAMPLES, 0))
    x, codes = np.pad(filtered, tail), np.pad(masks, tail)
    beats: list[tuple[int, ...]] = []
    for a, b in itertools.pairwise(sorted({0, n, *(cut for cut in cuts if 0 < cut < n)})):
        new = [
            np.array([one for one in of_lead if a <= one[1] < b], dtype=np.int64).reshape(-1, 2)
            for of_lead in found
        ]
        part = slice(a, b + TAIL_SAMPLES)
        out = agreement.push(new, x[:, part], codes[:, part], a - TAIL_SAMPLES, b - 1, closed=False)
        beats += [tuple(row) for row in out.tolist()]
    return beats, [tuple(row) for row in state.shown.tolist()], state


def heart(
    rng: np.random.Generator, leads: int, seconds: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Finds]:
    """Return leads of a heart, why they are masked, and what imperfect detectors find in them."""
    n = round(seconds * SECOND)
    filtered = rng.normal(0, rng.choice([0.01, 0.05, 0.2], size=(leads, 1)), (leads, n))
    masks = np.zeros((leads, n), np.uint8)
    beats = np.cumsum(rng.integers(150, 420, n // 150))
    beats = beats[beats < n - 100]
    bump = np.hanning(41) - np.hanning(41).mean()
    found: Finds = []
    for k in range(leads):
        size, delay = rng.choice([0.05, 0.4, 1.0, -1.0]), int(rng.integers(-8, 9))
        for at in beats:
            if 20 <= at + delay < n - 21:
                filtered[k, at + delay - 20 : at + delay + 21] += size * bump
        for _ in range(rng.integers(3)):
            a, b = sorted(rng.integers(0, n, 2).tolist())
            masks[k, a : min(b, a + 1500)] = rng.choice([1, 3, 5, 9])
            if rng.random() < 0.5:
                filtered[k, a : min(b, a + 1500)] = 0
        seen = [int(at) + delay for at in beats if rng.random() < rng.choice([0.5, 0.95])]
        seen += rng.integers(0, n, int(rng.choice([0, 4, 30]))).tolist()
        apart: list[int] = []
        for at in sorted(max(one, 0) for one in seen):
            if not apart or at - apart[-1] >= 72:
                apart.append(at)
        late = 72 + np.where(
            rng.random(len(apart)) < rng.choice([0.05, 0.4]), rng.integers(0, 1400, len(apart)), 0
        )
        confirmed = np.maximum.accumulate(np.add(apart, late).astype(int))
        found.append(list(zip(apart, confirmed.tolist(), strict=True)))
    return filtered.astype(np.float32), masks, found


@settings(max_examples=examples(10, 40))
@given(
    seed=st.integers(0, 2**32 - 1),
    leads=st.integers(2, 4),
    cuts=st.lists(st.integers(1, 40 * SECOND), max_size=60),
)
def test_decisions_equal_the_reference_however_the_record_is_cut(
    seed: int, leads: int, cuts: list[int]
) -> None:
    """The kernel decides as the slow reference does, whatever was found and whenever it arrives."""
    filtered, masks, found = heart(np.random.default_rng(seed), leads, 40)

    expected = agreement_reference.Agreement(filtered, masks, found)
    beats, shown, state = decided(filtered, masks, found, cuts)

    assert beats == expected.beats
    assert shown == expected.shown
    assert state.chosen == expected.chosen
    for k, lead in enumerate(expected.leads):
        known = (lead.sensitivity, lead.false, lead.offset, lead.learned)
        np.testing.assert_allclose(state.record[k], known, atol=1e-9)
    assert state.is_consistent(leads, filtered.shape[1])


def pair(seconds: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], list[int]]:
    """Return two quiet leads of a heart that beats each second, their masks, and its R peaks."""
    n = seconds * SECOND
    filtered = np.random.default_rng(3).normal(0, 0.012, (2, n))
    beats = list(range(SECOND, n - SECOND, SECOND))
    for at in beats:
        filtered[:, at - 10 : at + 11] += np.hanning(21) - 0.3
    return filtered.astype(np.float32), np.zeros((2, n), np.uint8), beats


def as_found(places: list[int]) -> list[tuple[int, int]]:
    """Return what a detector finds at these places."""
    return [(at, at + 80) for at in sorted(places)]


def test_a_lead_that_was_refused_for_long_is_believed_when_beats_are_overdue() -> None:
    """One lead alone shows the heart now: within three intervals its complexes are beats again."""
    filtered, masks, beats = pair(120)
    lost, n = 60 * SECOND, filtered.shape[1]
    early, late = [at for at in beats if at < lost], [at for at in beats if at >= lost]
    false = [at + 150 for at in early]  # nothing is there, and the other lead finds nothing
    filtered[1, lost:] = np.random.default_rng(5).normal(0, 0.03, n - lost)
    found = [as_found([*early, *false, *late]), as_found(early)]

    decisions, _, _ = decided(filtered, masks, found, [])

    r = [row[0] for row in decisions]
    assert [at for at in r if at < lost] == early
    assert [at for at in r if at >= lost + 3 * SECOND] == [
        at for at in late if at >= lost + 3 * SECOND
    ]


def test_leads_that_find_a_beat_behind_the_end_agree_on_it() -> None:
    """The last beat, which is confirmed after the last sample, is one and found by both."""
    filtered, masks, beats = pair(30)
    end = beats[-1] + 60
    state = AgreementState.fresh(2)
    agreement = Agreement(state)
    found = [np.array([(at, at + 80 + k) for at in beats], dtype=np.int64) for k in (0, 20)]

    out = agreement.push(found, filtered, masks, 0, end - 1, closed=True)

    assert out[:, 0].tolist() == beats
    assert (out[:, 1] < end).all()
    assert (state.record[:, evidence.SENSITIVITY] > 0.96).all()


def test_no_beat_is_before_the_first_sample() -> None:
    """An R peak at the start, in a lead where R comes late, is not moved out of the record."""
    filtered, masks, _ = pair(20)
    masks[0] = Reason.LEAD_OFF
    state = AgreementState.fresh(2)
    state.record[1, evidence.OFFSET] = 40.0
    found = [np.empty((0, 2), np.int64), np.array([(12, 95)], dtype=np.int64)]

    out = Agreement(state).push(found, filtered, masks, 0, 400, closed=False)

    assert out[:, 0].tolist() == [0]
